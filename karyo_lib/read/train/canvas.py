"""A scene in the making, and the truth about it."""

import numpy as np

from karyo_lib.read.train.pieces import Piece

#: Side of a scene, scale of the mask layers, and most objects of one.
SIZE, STRIDE, MOST = 512, 2, 96


class Canvas:
    """A scene in the making: transmittance, two label layers at half the size, and its objects."""

    def __init__(self, light: np.ndarray | None = None):
        self.light = np.ones((SIZE, SIZE), np.float32) if light is None else light
        self.layers = np.zeros((2, SIZE // STRIDE, SIZE // STRIDE), np.uint8)
        self.boxes, self.labels, self.exact = [], [], []

    def add(self, box: np.ndarray, label: int, exact: bool) -> int:
        """Note an object; returns its number, from 1."""
        self.boxes.append(np.asarray(box, np.float32))
        self.labels.append(label)
        self.exact.append(exact)
        return len(self.boxes)

    @staticmethod
    def window(shape: tuple[int, int], x: int, y: int) -> tuple:
        """Where on the scene something with its corner at x, y lies, and which part of it that is."""
        high, wide = shape
        x0, y0 = min(max(0, x), SIZE), min(max(0, y), SIZE)
        x1, y1 = max(x0, min(SIZE, x + wide)), max(y0, min(SIZE, y + high))
        if x1 == x0 or y1 == y0:
            return np.s_[:0, :0], np.s_[:0, :0]
        return np.s_[y0:y1, x0:x1], np.s_[y0 - y : y1 - y, x0 - x : x1 - x]

    def overlap(self, piece: Piece, x: int, y: int) -> float:
        """Share of the piece's mask that would lie on ink that is there."""
        there, here = self.window(piece.ink.shape, x, y)
        mask = piece.mask[here][::4, ::4]
        return float((mask & (self.light[there][::4, ::4] < 0.8)).sum() / max(1, mask.sum()))

    def paste(self, piece: Piece, x: int, y: int) -> bool:
        """Lay a piece with its corner at x, y, if most of it lies on the scene and there is room for one."""
        there, here = self.window(piece.ink.shape, x, y)
        mask = piece.mask[here]
        if len(self.boxes) >= MOST or mask.sum() < 0.6 * piece.mask.sum():
            return False
        self.light[there] *= 1 - piece.ink[here]
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        corner = np.array([there[1].start, there[0].start] * 2)
        box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) + corner
        number = self.add(box, piece.label if mask.sum() > 0.95 * piece.mask.sum() else -1, True)
        y0, x0 = there[0].start, there[1].start
        small = mask[y0 % STRIDE :: STRIDE, x0 % STRIDE :: STRIDE]
        y0, x0 = -(-y0 // STRIDE), -(-x0 // STRIDE)
        first = self.layers[0, y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]]
        second = self.layers[1, y0 : y0 + small.shape[0], x0 : x0 + small.shape[1]]
        free = small & (first == 0)
        second[small & ~free] = number
        first[free] = number
        return True
