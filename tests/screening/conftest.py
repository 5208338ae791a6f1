"""A judge that needs no network, small folders of pages, and one package that was really trained."""

import sys
from pathlib import Path

import pytest
from PIL import Image
from screening_stubs import SMALL, StubJudge, draw_bars, make_package

from karyo_lib.screening import judges, screener
from karyo_lib.screening.package import Package, save_package
from karyo_lib.screening.packing import train_package
from karyo_lib.study.data.recipe import AlphaRecipe, draw_dataset

sys.path.append(str(Path(__file__).resolve().parents[1] / "files"))  # bad_images


@pytest.fixture
def stub(monkeypatch) -> StubJudge:
    """Puts the stub in the place of every judge."""
    judge = StubJudge()
    for module in (judges, screener):
        monkeypatch.setattr(module, "open_judge", lambda package, heat_map: judge)
    return judge


@pytest.fixture
def stub_model(tmp_path) -> Path:
    path = tmp_path / "stub.karyo"
    save_package(make_package(), path)
    return path


@pytest.fixture
def pages_dir(tmp_path) -> Path:
    """Twelve pages, from surely normal (0) to surely abnormal (11)."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for i in range(12):
        Image.fromarray(draw_bars(i, dark=18 * i)).save(folder / f"page{i:02}.png")
    return folder


@pytest.fixture(scope="session")
def drawn_dir(tmp_path_factory) -> Path:
    """Twenty-two drawn karyograms of a labelled data folder."""
    folder = tmp_path_factory.mktemp("drawn")
    recipe = AlphaRecipe(
        normal=12, abnormal=10, size=(200, 200), styles=("classic",), sources="balanced", seed=3
    )
    index = draw_dataset(recipe, folder / "pages", progress=False)
    table = index.assign(file_name="pages/" + index["path"])
    table[["file_name", "label", "iscn", "patient_id"]].to_csv(folder / "metadata.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def trained(drawn_dir) -> Package:
    """A VGG16 with random weights and a head that was trained a little, at 64 x 64 pixels."""
    return train_package(drawn_dir, SMALL, weights="random", progress=False)
