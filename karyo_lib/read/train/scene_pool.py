"""Scenes without end: processes make them into shared memory, batches are drawn from what is there."""

import mmap
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np

from karyo_lib.read.train.canvas import MOST, SIZE, STRIDE
from karyo_lib.read.train.scenes import SceneMaker

#: Objects of a scene that boxes, classes and masks are learned from at a time.
OBJECTS = 24
_FIELDS = (
    ("image", np.uint8, (SIZE, SIZE)),
    ("layers", np.uint8, (2, SIZE // STRIDE, SIZE // STRIDE)),
    ("boxes", np.float32, (MOST, 4)),
    ("labels", np.int16, (MOST,)),
    ("exact", bool, (MOST,)),
    ("upright", bool, ()),
)


class ScenePool:
    """Scenes in memory that processes share; each process rewrites its own places in turn.

    ``limit``: most spreads that a process holds.
    """

    def __init__(self, folder: Path, processes: int, places: int, seed: int = 0, limit: int | None = None):
        self.arrays = {"version": self._share(np.int32, (places,))}
        self.arrays |= {name: self._share(kind, (places, *shape)) for name, kind, shape in _FIELDS}
        context = multiprocessing.get_context("fork")
        self.workers = [
            context.Process(target=self._work, args=(folder, seed, i, processes, limit), daemon=True)
            for i in range(processes)
        ]
        for worker in self.workers:
            worker.start()

    @staticmethod
    def _share(kind: type, shape: tuple[int, ...]) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        return np.frombuffer(mmap.mmap(-1, max(size, 1)), kind, int(np.prod(shape))).reshape(shape)

    def _work(self, folder: Path, seed: int, part: int, parts: int, limit: int | None) -> None:
        import cv2

        cv2.setNumThreads(1)
        os.nice(5)
        maker = SceneMaker(folder, seed, part, parts, limit)
        version, own = self.arrays["version"], range(part, len(self.arrays["version"]), parts)
        while True:
            for place in own:
                try:
                    scene = maker.make()
                except (ValueError, IndexError) as error:  # a rare shape: another scene instead
                    print("scene:", repr(error)[:200], flush=True)
                    continue
                version[place] += 1  # odd while it is written
                for name, _, _ in _FIELDS:
                    self.arrays[name][place] = scene[name]
                version[place] += 1

    def made(self) -> int:
        """Scenes made up to now."""
        return int(self.arrays["version"].sum()) // 2

    def draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Copy one scene that is whole."""
        version = self.arrays["version"]
        while True:
            ready = np.flatnonzero((version > 0) & (version % 2 == 0))
            if not len(ready):
                time.sleep(0.2)
                continue
            place = int(rng.choice(ready))
            before = version[place]
            scene = {name: self.arrays[name][place].copy() for name, _, _ in _FIELDS}
            if version[place] == before and before % 2 == 0:
                return scene

    def close(self) -> None:
        """End the processes."""
        for worker in self.workers:
            worker.kill()


def turn_scene(scene: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Mirror a scene, and turn it by right angles where nothing on it is upright."""
    image, layers, boxes = scene["image"], scene["layers"], scene["boxes"].copy()
    if rng.random() < 0.5:
        image, layers = image[:, ::-1], layers[:, :, ::-1]
        boxes[:, [0, 2]] = SIZE - boxes[:, [2, 0]]
    if not scene["upright"] or rng.random() < 0.1:
        if rng.random() < 0.5:
            image, layers = image[::-1], layers[:, ::-1]
            boxes[:, [1, 3]] = SIZE - boxes[:, [3, 1]]
        if rng.random() < 0.5:
            image, layers = image.T, layers.transpose(0, 2, 1)
            boxes = boxes[:, [1, 0, 3, 2]]
    valid = (scene["boxes"][:, 2] > scene["boxes"][:, 0])[:, None]
    return scene | {"image": image, "layers": layers, "boxes": boxes * valid}


def make_batch(pool: ScenePool, size: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Scenes as the network takes them, and what its losses need."""
    scenes = [turn_scene(pool.draw(rng), rng) for _ in range(size)]
    cells = SIZE // 4
    centres = np.full((size, MOST, 2), -1e3, np.float32)
    chosen = np.zeros((size, OBJECTS, 10), np.float32)  # row, column, id, class, exact, box, valid
    for b, scene in enumerate(scenes):
        valid = np.flatnonzero(scene["boxes"][:, 2] > scene["boxes"][:, 0])
        box = scene["boxes"][valid]
        place = np.clip((box[:, [1, 0]] + box[:, [3, 2]]) / 8, 0, cells - 1).astype(int)  # row, column
        centres[b, valid] = place
        some = rng.permutation(len(valid))[:OBJECTS]
        n = len(some)
        at = place[some] + np.where(rng.random((n, 1)) < 0.4, rng.integers(-1, 2, (n, 2)), 0)
        away = np.abs(at[:, None] - place).sum(-1)
        own = away.min(1) >= away[np.arange(n), some] if n else np.zeros(0, bool)
        at = np.clip(np.where(own[:, None], at, place[some]), 0, cells - 1)
        rest = [valid[some] + 1, scene["labels"][valid[some]], scene["exact"][valid[some]]]
        chosen[b, :n] = np.c_[at, np.stack(rest, 1), box[some], np.ones(n)]
    images = np.stack([scene["image"] for scene in scenes])
    layers = np.stack([scene["layers"] for scene in scenes]).astype(np.uint8)
    return images, {"layers": layers, "centres": centres, "chosen": chosen}
