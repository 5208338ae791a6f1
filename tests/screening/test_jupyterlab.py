"""The same cell in JupyterLab: shown by a notebook, corrected, signed, and written into the folder."""

import os
import re
import signal
import subprocess
import sys

import nbformat
import pytest
from signed_cells import draw_result, write_screening

from karyo_lib.screening.review import read_reviews

SOURCE = "from karyo_lib.screening import ReviewWidget\nReviewWidget('out')"


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab of this interpreter, with nothing of the user's."""
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=0", "--LabApp.news_url=",
        "--IdentityProvider.token=known", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={tmp_path}",
    ]  # fmt: skip
    env = os.environ | own | {"IPYTHONDIR": str(tmp_path / "ipython")}
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as server:
        found = (re.search(r"http://(?:localhost|127\.0\.0\.1):\d+", line) for line in server.stderr)
        yield next(filter(None, found))[0].replace("localhost", "127.0.0.1")
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=60)


def test_a_cell_is_corrected_in_jupyterlab_and_written_into_the_folder(browser, lab, tmp_path):
    result = draw_result("46,XY", 1, "misnamed.png", "misnamed")
    folder = write_screening(tmp_path / "out", [result])
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SOURCE)], metadata=kernel)
    nbformat.write(notebook, tmp_path / "own.ipynb")
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(120_000)
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "request", lambda r: None if r.url.startswith((lab, "blob:", "data:")) else complaints.append(r.url)
    )
    page.goto(f"{lab}/lab/tree/own.ipynb?token=known")
    prompt = page.locator(".jp-CodeCell .jp-InputPrompt").first
    while not re.search(r"[*\d]", prompt.inner_text()):  # the kernel is not there at once
        page.locator(".jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(500)
    page.wait_for_selector(".karyo-cell[data-ready]")
    assert page.locator(".kc-formula").inner_text() == "46,XY,-4,+5"
    page.locator(".kc-one.doubtful").click()
    for key in ("4", "Enter", "k"):  # not JupyterLab's own keys
        page.keyboard.press(key)
    assert page.locator(".kc-formula").inner_text() == "46,XY"
    page.keyboard.type("CD")
    page.keyboard.press("Enter")
    page.keyboard.press("k")
    page.locator(".kc-signed", has_text="corrected, CD").wait_for()
    for _ in range(300):
        if signed := read_reviews(folder):
            break
        page.wait_for_timeout(100)
    review = signed[result.digest]
    assert (review.status, review.formula, review.initials) == ("corrected", "46,XY", "CD")
    assert page.locator(".jp-CodeCell").count() == 1
    assert complaints == []
    page.close()
