"""Pages, packages and a judge that need no network."""

from dataclasses import dataclass

import numpy as np

from karyo_lib.judge import Promise
from karyo_lib.screening.judges import Look
from karyo_lib.screening.package import Calibration, Package, Recipe
from karyo_lib.screening.packing import PackSettings
from karyo_lib.screening.reference import PAGE_MEASURES, Reference

SMALL = PackSettings(input_shape=(64, 64, 3), page_size=200, epochs=2, passes=8)  # trained in seconds


def draw_bars(seed: int, size: tuple[int, int] = (200, 200), dark: int = 60) -> np.ndarray:
    """A white page with 46 dark bars; `dark` sets how dark they are."""
    width, height = size
    rng = np.random.default_rng(seed)
    page = np.full((height, width), 255, np.uint8)
    for i in range(46):
        row, column = divmod(i, 12)
        x, y = 6 + column * (width - 10) // 12, 6 + row * (height - 8) // 4
        page[y : y + int(rng.integers(height // 10, height // 5)), x : x + width // 30] = dark
    return page


def make_promise(threshold: float | None) -> Promise:
    return Promise("cleared", 0.05, 0.1, threshold, 100, 20, 60, 1, 0.05, 0.7, "The promise <b>sentence</b>.")


def make_package(threshold: float | None = 0.2, reference: bool = False) -> Package:
    """A package of a few numbers; only the stub judge can look with it."""
    n = len(PAGE_MEASURES)
    like = Reference((-1e9,) * n, (1e9,) * n, np.eye(4, dtype=np.float32), 1, 1.0, 20) if reference else None
    return Package(
        Recipe("network", page_size=200, passes=4),
        np.arange(100, dtype=np.float32),
        Calibration("temperature", 1.5, n=20),
        make_promise(threshold),
        like,
        facts={"title": "stub", "warning": "", "sections": []},
    )


@dataclass
class StubJudge:
    """Says how dark the ink of a page is; stops with Ctrl-C after so many pages."""

    stop_after: int = 10**9
    batch: int = 4
    native: bool = False
    seen: int = 0

    def look(self, pages):
        looks = []
        for page in pages:
            self.seen += 1
            if self.seen > self.stop_after:
                raise KeyboardInterrupt
            p = float(np.clip(page.fitted.min() / 255, 0.001, 0.999))
            heat = np.zeros((2, 2), np.float32)
            heat[0, 1] = 1.0
            embedding = np.array([1, 0, 0, 0], np.float32)
            looks.append(Look(p, np.full(4, p), embedding, heat))
        return looks
