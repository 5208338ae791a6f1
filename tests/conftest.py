"""Fixtures for material that is not part of the repository; tests that need it skip with the reason."""

import os
import shutil
from pathlib import Path

import joblib
import pytest

_BESIDE = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items):
    """The run of all notebooks takes longest: it starts first, other workers do the rest meanwhile."""
    items.sort(key=lambda item: item.path.name != "test_smoke.py")


def _material(variable: str, *parts: str) -> Path:
    path = Path(os.environ.get(variable) or _BESIDE.joinpath(*parts))
    if not path.exists():
        pytest.skip(f"{'/'.join(parts)} is not on this machine; set {variable} to run this test")
    return path


@pytest.fixture(scope="session")
def bank_dir() -> Path:
    """Folder with ``chromosomes.zip`` and ``cells.csv``: real G-banded chromosomes."""
    return _material("KARYO_BANK", "chromosomes")


@pytest.fixture(scope="session")
def weights_dir() -> Path:
    """Folder with the ImageNet weights of VGG16 and (partial) InceptionV3 and their manifest."""
    return _material("KARYO_WEIGHTS", "weights")


@pytest.fixture(scope="session")
def real_karyogram() -> Path:
    """A real karyogram page, 46,XY."""
    return _material("KARYO_REAL_KARYOGRAM", "karyograms", "nhgri_46XY.png")


@pytest.fixture(scope="session")
def shipped():
    """The reader that comes with karyo; its networks see a picture once, however many tests show it."""
    from karyo_lib.read.reader import Reader

    reader = Reader.load()
    reader.detector.detect = _remember(reader.detector.detect)
    reader._decode = _remember(reader._decode)
    return reader


def _remember(work):
    kept = {}

    def ask(*given):
        key = joblib.hash(given)
        if key not in kept:
            kept[key] = work(*given)
        return kept[key]

    return ask


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, Debian's."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not on this machine; install the package chromium to run this test")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
