"""Set-up: the locks, the conda environment and the make targets belong together and name no host."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from benchmarks.figures import fill, load_figures, read_run, render

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKED = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
BINDING = {"jupyterlab", "tensorflow", "numpy", "pandas", "seaborn", "scikit-learn", "scikit-optimize"}
BINDING |= {"papermill", "pillow"}


def tracked():
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout, so there is no list of committed files")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def wanted(*extras):
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def test_binding_packages_are_asked_for():
    names = {requirement.name for requirement in wanted()}
    assert names >= BINDING


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.txt", ("fast",)), ("requirements-test.txt", ("fast", "test", "cluster"))],
)
def test_lock_has_everything_asked_for_with_hashes(lock, extras):
    text = (ROOT / lock).read_text()
    versions = dict(LOCKED.findall(text))
    for requirement in wanted(*extras):
        assert requirement.name in versions, f"{requirement.name} is not in {lock}: make lock"
        assert requirement.specifier.contains(Version(versions[requirement.name])), requirement.name
    blocks = re.split(r"\n(?=[a-z0-9])", text.strip())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_test_lock_repeats_the_lock():
    runtime = set(LOCKED.findall((ROOT / "requirements.txt").read_text()))
    assert runtime <= set(LOCKED.findall((ROOT / "requirements-test.txt").read_text()))


def test_dependencies_have_a_reason_each():
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    asked = [line for line in lines if re.match(r'\s+"[\w\[\]-]+>=', line)]
    assert len(asked) == len(wanted(*PROJECT["optional-dependencies"]))
    assert all(re.search(r"#\s+\S+", line) for line in asked)


def test_conda_environment_is_in_step():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, listed = environment["dependencies"]
    assert SpecifierSet(python.removeprefix("python")) == SpecifierSet(PROJECT["requires-python"])
    assert pip == "pip"
    assert listed == {"pip": ["-r requirements.txt"]}


def imported(path):
    """Return the packages that a file imports, the library's own and the standard library's left out."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        yield from ({name.split(".")[0] for name in names} - sys.stdlib_module_names - {"karyo_lib"})


def test_imports_are_declared():
    """Every package that the library imports is asked for by name, not brought along by another."""
    named = {
        "IPython": "ipython",
        "PIL": "pillow",
        "cv2": "opencv_python_headless",
        "skimage": "scikit_image",
        "google": "protobuf",
    }
    named |= {"sklearn": "scikit_learn", "skopt": "scikit_optimize", "zmq": "pyzmq", "yaml": "pyyaml"}
    optional = {"aucmedi", "jax", "torch", "openvino", "onnx", "onnxruntime", "dask", "distributed"}
    asked = {requirement.name.replace("-", "_") for requirement in wanted()} | optional
    for path in (ROOT / "karyo_lib").rglob("*.py"):
        for module in imported(path):
            assert named.get(module, module) in asked, f"{path.name} imports {module}"


def test_no_committed_file_names_a_host_of_packages_or_a_place_on_a_machine():
    hosts = re.compile(r"\b(?:files\.pythonhosted|pypi\.(?:org|python)|anaconda\.org/|/simple/)")
    places = re.compile(r"(?<![\w.$}~-])/(?:work|root|home|tmp|Users|opt)/[\w.]")
    for path in tracked():
        if path.suffix in {".png", ".npz", ".zip", ".keras", ".h5", ".jpg"} or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        found = hosts.search(text) or places.search(text)
        assert not found, f"{path.relative_to(ROOT)} names {found[0]}"


def test_make_lists_its_targets():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "reports", "test", "docs", "figures", "lint", "lab", "lock", "clean"):
        assert f"make {target} " in listed


def test_ci_runs_what_the_readme_says():
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_wheel_carries_data_templates_and_licence(tmp_path):
    copy = tmp_path / "copy"
    for path in tracked():
        target = copy / path.relative_to(ROOT)
        if path.relative_to(ROOT).parts[0] in {"karyo_lib", "data"} or path.parent == ROOT:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (copy / "README.md").touch()
    words = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
    ]
    subprocess.run([*words, str(tmp_path), str(copy)], check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("karyo-*.whl"))) as wheel:
        names = wheel.namelist()
    for name in (
        *("karyo_lib/_data/cytobands/iscn_550.tsv", "karyo_lib/_data/lab_styles.json"),
        *("karyo_lib/static/report.css", "karyo_lib/study/report/templates/karyo/conf.json"),
        "karyo_lib/study/report/templates/karyo/index.html.j2",
    ):
        assert name in names
    assert any(name.endswith("LICENSE") for name in names)


def test_the_readme_is_short_and_its_numbers_are_the_committed_figures():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert fill(text, load_figures()) == text, "make figures"
    groups = re.findall(r"<!-- figures: ([\w ]+) -->", text)
    assert groups == ["real pages", "spreads", "thesis"]
    figures = load_figures()
    assert set(figures["group"]) == set(groups)
    assert (figures["value"] != "").all()
    # a measured number outside the tables would be one that nothing renews
    prose = re.sub(r"<!-- figures.*?<!-- end -->|```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    assert re.findall(r"(?<![\w.])\.\d\d|\d+(?:\.\d+)? %|\d+ to \d+\)", prose) == [
        ".99"
    ]  # what the thesis prints


def test_figures_of_a_run_are_written_as_the_readme_has_them(tmp_path):
    (tmp_path / "tables").mkdir()
    rows = "condition,step,value,low,high\naugmented-vgg16-frozen,printed,0.99,,\n"
    rows += "augmented-vgg16-frozen,apart,0.513,0.4,0.62\noriginal-vgg16-frozen,apart,0.6,,\n"
    (tmp_path / "tables" / "story_numbers.csv").write_text(rows)
    figures = read_run(tmp_path)
    assert figures[["value", "low", "high"]].to_numpy().tolist() == [[".99", "", ""], [".51", ".40", ".62"]]
    assert "| printed | **.99** |\n" in render(figures, "thesis")
    assert "| **.51** (.40 to .62) |" in render(figures, "thesis")
