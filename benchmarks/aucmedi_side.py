"""The same job in AUCMEDI, in an environment of its own: ``make bench-aucmedi`` creates it."""

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from benchmarks.material import Sizes, make_labels, make_pages
from benchmarks.measure import Job, Row
from benchmarks.training import CachedCondition
from karyo_lib.study.runs import project_dir

_SCRIPT = Path(__file__).with_name("aucmedi_script.py")
_PLACE = "KARYO_BENCH_AUCMEDI"


@dataclass(frozen=True)
class AUCMEDICondition(Job):
    """An epoch of a frozen VGG16 by AUCMEDI's own interface, on a sample of the images.

    Attributes
    ----------
    sizes : Sizes
    python : str
        Interpreter of its environment.
    """

    sizes: Sizes = field(default_factory=Sizes)
    python: str = ""

    def prepare(self) -> tempfile.TemporaryDirectory:
        folder = tempfile.TemporaryDirectory(prefix="karyo-bench-")
        count = self.sizes.sample
        for i, page in enumerate(make_pages(count)):
            Image.fromarray(page).save(Path(folder.name) / f"{i:04d}.png")
        told = {
            "labels": make_labels(count).tolist(),
            "train": max(4, int(0.8 * count)),
            "shape": list(self.sizes.input_shape[:2]),
        }
        (Path(folder.name) / "job.json").write_text(json.dumps(told), encoding="utf-8")
        return folder

    def run(self, folder: tempfile.TemporaryDirectory) -> dict[str, float]:
        """Train two epochs in a fresh process, which tells the time of the second."""
        done = subprocess.run(
            [self.python, str(_SCRIPT), folder.name],
            capture_output=True,
            text=True,
            check=False,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        )
        if done.returncode:
            raise RuntimeError(
                f"Expected AUCMEDI to train. Received exit status {done.returncode}: {done.stderr[-500:]}"
            )
        return json.loads(done.stdout.splitlines()[-1])


def find_python() -> str:
    """Return the interpreter of AUCMEDI's environment, or '' if there is none."""
    named = os.environ.get(_PLACE)
    place = Path(named) if named else project_dir() / ".venv-aucmedi" / "bin" / "python"
    return str(place) if place.is_file() else ""


def make_row(sizes: Sizes) -> Row:
    """Return the row; without its environment there is only karyo's side."""
    used = sizes.train + sizes.validation
    jobs: tuple[Job, ...] = (
        CachedCondition(note=f"features extrapolated from {sizes.sample} images", sizes=sizes),
    )
    python = find_python()
    if python:
        note = f"extrapolated from 1 of {sizes.epochs} epochs on {sizes.sample} of {used} images"
        times = sizes.epochs * used / sizes.sample
        jobs = (*jobs, AUCMEDICondition("AUCMEDI", times, note, sizes, python))
    return Row(
        "aucmedi",
        f"The same condition in AUCMEDI 0.11: frozen VGG16, {sizes.epochs} epochs, {sizes.images} images",
        1.0,
        jobs,
        missing="" if python else f"AUCMEDI: no environment; make bench-aucmedi creates it, or set {_PLACE}",
    )
