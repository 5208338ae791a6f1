"""Scenes to train the detector on: spreads, composed spreads, karyogram pages, pictures without any cell."""

import os
import string
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from karyo_lib.draw import STYLES, draw_karyogram
from karyo_lib.iscn.bands import CHROMOSOMES
from karyo_lib.read.train import pieces
from karyo_lib.shape.boxes import BOX, resize

#: Of a spread's pixels: chromosomes are 11 of them wide; how wide those of drawn pages are made.
_SCALE, _DRAWN_WIDTH = 0.75, 12.5
#: Objects of a scene that are learned from; batches after which a process takes other spreads.
_OBJECTS, _RENEWED = 24, 400
_CHARACTERS = [*string.ascii_letters, *string.digits, *"+-.,;:()/?"]
#: Chromosomes per row of the usual layouts.
_ROWS = (
    *((5, 7, 6, 6), (3, 2, 7, 3, 3, 4, 2), (5, 7, 6, 4, 2), (8, 8, 8)),
    *((6, 6, 6, 6), (12, 12), (3, 5, 8, 8)),
)


@cache
def _fonts() -> list[str]:
    """Files of the machine's scalable fonts, and of matplotlib's own."""
    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [*map(str, own.glob("DejaVuSans*.ttf")), *sorted(font_manager.findSystemFonts())]


class SceneMaker:
    """Makes random scenes from some spreads of training cases and some drawn pages."""

    def __init__(self, folder: Path, seed: Sequence[int], spreads: int = 150, pages: int = 20):
        self.rng = rng = np.random.default_rng(seed)
        cells = pieces.list_spreads(folder, "training")["cell"]
        cells = rng.choice(cells, min(spreads, len(cells)), replace=False)
        self.spreads, self.pieces, self.drawn, self.drawn_pieces = [], [], [], []
        for _, image, boxes in pieces.open_spreads(folder, cells):
            labels = boxes["class"].map(CHROMOSOMES.index).to_numpy()
            spread = pieces.prepare_spread(
                resize(image, _SCALE), boxes[BOX].to_numpy() * _SCALE, labels, _SCALE
            )
            self.spreads.append(spread)
            lone = np.where(spread.exact[:, None], spread.boxes, 0)
            self.pieces += pieces.cut_pieces(spread.light, spread.layer, lone, spread.labels)
        for _ in range(pages):
            image, layer, labels = self._draw()
            self.drawn.append((image, layer))
            boxes = np.array([pieces.box_of(layer == k + 1) for k in range(len(labels))])
            paper, dark = np.median(image), max(1.0, float(np.percentile(image, 0.5)))
            light = np.clip((image - dark) / max(40.0, paper - dark), 0, 1).astype(np.float32)
            self.drawn_pieces += pieces.cut_pieces(light, layer, boxes, labels)
        both = (self.pieces, self.drawn_pieces)
        self.by_class = [[[p for p in source if p.label == c] for c in range(24)] for source in both]

    def _draw(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A drawn page, light, its chromosomes 12.5 pixels wide; which pixel is whose; their classes."""
        rng = self.rng
        style, formula = rng.choice(list(STYLES)), rng.choice(["46,XX", "46,XY"])
        page = draw_karyogram(formula, style=style, seed=int(rng.integers(2**31)), size=None)
        area = np.bincount(page.labels.ravel(), minlength=len(page.truth) + 1)[1:]
        scale = _DRAWN_WIDTH / np.median(area / page.truth["length_px"])
        image = resize(255 - page.image if np.median(page.image) < 110 else page.image, scale)
        labels = page.labels.astype(np.uint8)
        layer = cv2.resize(labels, image.shape[::-1], interpolation=cv2.INTER_NEAREST)
        return image, layer, page.truth["chromosome"].map(CHROMOSOMES.index).to_numpy()

    def make(self) -> tuple[np.ndarray, pieces.Canvas, bool]:
        """Make one scene: its picture, the truth, and whether things stand upright on it."""
        kind = self.rng.choice(5, p=[0.45, 0.12, 0.29, 0.11, 0.03])
        canvas = (self._spread, self._composed, self._page, self._drawn_page, self._nothing)[kind]()
        return pieces.photograph(canvas.light, kind in (2, 3), self.rng), canvas, kind in (2, 3)

    # ---- the kinds of scene

    def _spread(self) -> pieces.Canvas:
        rng = self.rng
        spread = self.spreads[rng.integers(len(self.spreads))]
        scale = float(np.exp(np.clip(rng.normal(0, 0.25), -0.55, 0.5)))
        light, matrix, corner = self._crop(spread.light, scale, 1.0)
        canvas = pieces.Canvas(light)
        half = pieces.SIZE // pieces.STRIDE
        layer = cv2.warpAffine(spread.layer, matrix / pieces.STRIDE, (half, half), flags=cv2.INTER_NEAREST)
        number = np.zeros(256, np.uint8)
        number[pieces.UNKNOWN] = pieces.UNKNOWN
        for k, box in enumerate(spread.boxes):
            box = (box - np.array([*corner, *corner])) * scale
            seen = np.clip(box, 0, pieces.SIZE)
            share = (seen[2:] - seen[:2]).prod() / max(1.0, (box[2:] - box[:2]).prod())
            if share > 0.5 and min(seen[2:] - seen[:2]) > 3:
                number[k + 1] = canvas.add(
                    seen, spread.labels[k] if share > 0.95 else -1, bool(spread.exact[k])
                )
        canvas.layers[0] = number[layer]
        if rng.random() < 0.75:
            self._scatter(canvas, rng.integers(1, 12), scale * rng.uniform(0.9, 1.1))
        if rng.random() < 0.15:
            self._dirt(canvas)
        return canvas

    def _crop(self, image: np.ndarray, scale: float, ground: float) -> tuple[np.ndarray, np.ndarray, list]:
        """A square of an image anywhere, scaled; the matrix that did it, and the square's corner."""
        corner = [
            self.rng.uniform(min(0, side - pieces.SIZE / scale), max(0, side - pieces.SIZE / scale))
            for side in image.shape[::-1]
        ]
        matrix = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
        smooth = cv2.INTER_AREA if scale < 0.7 else cv2.INTER_LINEAR
        return (
            cv2.warpAffine(image, matrix, (pieces.SIZE, pieces.SIZE), flags=smooth, borderValue=ground),
            matrix,
            corner,
        )

    def _composed(self) -> pieces.Canvas:
        rng = self.rng
        canvas = pieces.Canvas()
        if rng.random() < 0.5:
            for _ in range(rng.integers(1, 4)):
                self._nucleus(canvas)
        self._scatter(canvas, rng.integers(8, 50), float(np.exp(rng.normal(0, 0.25))), rng.random() < 0.2)
        if rng.random() < 0.6:
            self._dirt(canvas)
        return canvas

    def _scatter(self, canvas: pieces.Canvas, n: int, scale: float, drawn: bool = False) -> None:
        rng = self.rng
        source = self.drawn_pieces if drawn else self.pieces
        stretch, spread = rng.uniform(0.85, 1.15), rng.uniform(0.15, 0.3)
        for _ in range(n):
            piece = source[rng.integers(len(source))]
            size = scale * rng.uniform(0.95, 1.05)
            piece = pieces.turn_piece(piece, rng.uniform(0, 2 * np.pi), (size, size * stretch))
            high, wide = piece.ink.shape
            manner = rng.random()
            if canvas.boxes and manner < 0.7:
                x0, y0, x1, y1 = canvas.boxes[rng.integers(len(canvas.boxes))]
                most = 0.45 if manner < 0.35 else 0.06  # crossing, touching
                for _ in range(8):
                    x, y = rng.uniform(x0, x1) - wide / 2, rng.uniform(y0, y1) - high / 2
                    if manner >= 0.35:  # out to the border of what is there
                        angle = rng.uniform(0, 2 * np.pi)
                        for step in range(0, 60, 3):
                            at = int(x + step * np.cos(angle)), int(y + step * np.sin(angle))
                            if canvas.overlap(piece, *at) <= most:
                                break
                        x, y = at
                    if canvas.overlap(piece, int(x), int(y)) <= most:
                        canvas.paste(piece, int(x), int(y))
                        break
            else:
                for _ in range(10):
                    x, y = rng.normal(pieces.SIZE / 2, pieces.SIZE * spread, 2) - np.array([wide, high]) / 2
                    if canvas.overlap(piece, int(x), int(y)) == 0:
                        canvas.paste(piece, int(x), int(y))
                        break

    def _page(self) -> pieces.Canvas:
        rng = self.rng
        canvas = pieces.Canvas()
        drawn = rng.random() < 0.25
        scale = float(np.exp(np.clip(rng.normal(0.05, 0.22), -0.5, 0.5)))
        lengthwise = rng.uniform(0.55, 1.15)
        gap = rng.uniform(-2.5, 7) if rng.random() < 0.8 else rng.uniform(-8, 0)
        apart = rng.uniform(6, 45) * scale
        sorted_rows, splayed = rng.random() < 0.3, rng.random() < 0.4
        most_gap = rng.uniform(2, 7) * scale
        by_class = self.by_class[int(drawn)]
        order = np.arange(24) if sorted_rows else rng.permutation(24)
        rows = np.split(order, np.cumsum(_ROWS[rng.integers(len(_ROWS))])[:-1])
        start = int(rng.integers(len(rows))) if rng.random() < 0.6 else 0
        face = self._face(rng.uniform(6, 18))
        labels, rule, align = rng.random() < 0.85, rng.random() < 0.3, rng.integers(3)
        y = rng.uniform(-20, 40)
        left = rng.uniform(-60, 30)
        pale = rng.uniform(0.45, 1.0)
        for row in rows[start:] + rows[:start]:
            slots, tallest = [], 0
            for c in row:
                if not by_class[c]:
                    continue
                copies = rng.choice([1, 2, 2, 2, 2, 2, 2, 3])
                pair = []
                for _ in range(copies):
                    piece = by_class[c][rng.integers(len(by_class[c]))]
                    angle = pieces.upright_angle(piece) + rng.normal(0, 0.12) + np.pi * rng.integers(2)
                    piece = pieces.turn_piece(
                        piece, angle, (scale * rng.uniform(0.95, 1.05), scale * lengthwise)
                    )
                    if splayed and rng.random() < 0.8:
                        piece = pieces.splay(piece, rng.uniform(0, most_gap), rng)
                    piece = pieces.Piece(piece.ink * pale, piece.mask, piece.label if not sorted_rows else -1)
                    pair.append(piece)
                    tallest = max(tallest, piece.ink.shape[0])
                slots.append((c, pair))
            x = left + rng.uniform(0, 20)
            for c, pair in slots:
                begin = x
                for piece in pair:
                    high, wide = piece.ink.shape
                    top = y + (tallest - high) * (0.5, 1.0, 0.0)[align] + rng.normal(0, 1)
                    canvas.paste(piece, int(x), int(top))
                    x += wide - 6 + gap + rng.uniform(-1, 2)
                if labels:
                    name = CHROMOSOMES[c]
                    left_over = x - begin - face.getlength(name) + 40 * (rng.random() < 0.03)
                    self._print(canvas, name, begin + left_over / 2, y + tallest + rng.uniform(0, 5), face)
                x += rng.choice([apart, apart, apart, 2 * apart])
                if x > pieces.SIZE:
                    break
            y += tallest + (face.size + 8 if labels else 6)
            if rule:
                thick = int(rng.integers(1, 4))
                cv2.line(
                    canvas.light, (int(left), int(y)), (int(x), int(y)), float(rng.uniform(0, 0.5)), thick
                )
            y += rng.uniform(2, 40) * scale
            if y > pieces.SIZE:
                break
        self._print_more(canvas)
        return canvas

    def _drawn_page(self) -> pieces.Canvas:
        rng = self.rng
        image, layer = self.drawn[rng.integers(len(self.drawn))]
        scale = 0.9 * float(np.exp(np.clip(rng.normal(0, 0.22), -0.5, 0.5)))
        paper = float(np.median(image))
        grey, matrix, _ = self._crop(image, scale, paper)
        canvas = pieces.Canvas(np.clip(grey / max(paper, 1.0), 0, 1.1).astype(np.float32))
        full = cv2.warpAffine(layer, matrix, (pieces.SIZE, pieces.SIZE), flags=cv2.INTER_NEAREST)
        area, seen = np.bincount(layer.ravel(), minlength=256), np.bincount(full.ravel(), minlength=256)
        number = np.zeros(256, np.uint8)
        for k in range(1, layer.max() + 1):
            if seen[k] > 20 and seen[k] > 0.6 * area[k] * scale**2 and len(canvas.boxes) < pieces.MOST:
                # Karyograms lie in order here: their classes would teach places, not bands.
                number[k] = canvas.add(pieces.box_of(full == k), -1, True)
        canvas.layers[0] = number[full[:: pieces.STRIDE, :: pieces.STRIDE]]
        return canvas

    def _nothing(self) -> pieces.Canvas:
        rng = self.rng
        canvas = pieces.Canvas()
        if rng.random() < 0.4:
            face = self._face(rng.uniform(7, 40))
            for y in np.arange(rng.uniform(0, 60), pieces.SIZE, face.size * rng.uniform(1.2, 2)):
                words = ["".join(rng.choice(_CHARACTERS, rng.integers(1, 9))) for _ in range(12)]
                self._print(canvas, " ".join(words), rng.uniform(0, 60), y, face)
        else:
            for _ in range(rng.integers(0, 9)):
                self._nucleus(canvas)
            grain = rng.standard_normal((pieces.SIZE // 4, pieces.SIZE // 4)).astype(
                np.float32
            ) * rng.uniform(0, 0.3)
            canvas.light += cv2.resize(grain, (pieces.SIZE, pieces.SIZE), interpolation=cv2.INTER_CUBIC)
            self._dirt(canvas)
        self._print_more(canvas)
        return canvas

    # ---- what is no chromosome

    def _face(self, size: float) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(self.rng.choice(_fonts())), size)

    @staticmethod
    def _print(
        canvas: pieces.Canvas, text: str, x: float, y: float, face: ImageFont.FreeTypeFont, shade: float = 0.0
    ) -> None:
        line = Image.new("L", [side + 2 for side in face.getbbox(text)[2:]])
        ImageDraw.Draw(line).text((0, 0), text, 255, face)
        ink = np.asarray(line, np.float32) / 255 * (1 - shade)
        there, here = canvas.window(ink.shape, int(x), int(y))
        canvas.light[there] *= 1 - ink[here]

    def _print_more(self, canvas: pieces.Canvas) -> None:
        rng = self.rng
        for _ in range(rng.poisson(2.5)):
            x, y, kind = rng.uniform(-20, pieces.SIZE), rng.uniform(-10, pieces.SIZE), rng.random()
            shade, thick = float(rng.choice([0, 0, rng.uniform(0, 0.7)])), int(rng.integers(1, 4))
            if kind < 0.5:
                text = rng.choice(
                    ["46,XY", "46,XX", "47,XY,+21", "45,X", "A", "B", "C", "D", "E", "F", "G", ""]
                )
                text = text or "".join(rng.choice(_CHARACTERS, rng.integers(2, 14)))
                self._print(canvas, str(text), x, y, self._face(rng.uniform(10, 44)), shade)
            elif kind < 0.7:
                end = int(x + rng.normal(0, 40)), int(y + rng.choice([0, 0, rng.normal(0, 40)]))
                draw = cv2.line if rng.random() < 0.3 else cv2.arrowedLine
                draw(canvas.light, (int(x), int(y)), end, shade, thick, cv2.LINE_AA)
            elif kind < 0.85:
                end = int(x + rng.uniform(30, 300)), int(y + rng.uniform(40, 200))
                cv2.rectangle(canvas.light, (int(x), int(y)), end, shade, thick, cv2.LINE_AA)
            else:
                cv2.line(canvas.light, (0, int(y)), (pieces.SIZE, int(y)), shade, thick)

    def _nucleus(self, canvas: pieces.Canvas) -> None:
        rng = self.rng
        ink = np.zeros((pieces.SIZE, pieces.SIZE), np.float32)
        centre = tuple(rng.uniform(-30, pieces.SIZE + 30, 2).astype(int).tolist())
        axes = tuple((rng.uniform(22, 80) * rng.uniform(0.8, 1.2, 2)).astype(int).tolist())
        cv2.ellipse(ink, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.25, 0.75)), -1)
        grain = rng.standard_normal((pieces.SIZE // 3, pieces.SIZE // 3)).astype(np.float32)
        ink = cv2.GaussianBlur(ink, (0, 0), rng.uniform(0.8, 4))
        ink *= 1 + rng.uniform(0.05, 0.3) * cv2.resize(grain, (pieces.SIZE, pieces.SIZE))
        canvas.light *= 1 - np.clip(ink, 0, 0.95)

    def _dirt(self, canvas: pieces.Canvas) -> None:
        rng = self.rng
        for _ in range(rng.integers(1, 30)):
            centre = tuple(rng.integers(0, pieces.SIZE, 2).tolist())
            axes = tuple(np.maximum(1, rng.exponential(2.2, 2)).astype(int).tolist())
            turn, shade = float(rng.uniform(0, 180)), float(rng.uniform(0, 0.8))
            cv2.ellipse(canvas.light, centre, axes, turn, 0, 360, shade, -1, cv2.LINE_AA)


def turn_scene(
    image: np.ndarray, canvas: pieces.Canvas, upright: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, label layers and boxes, mirrored, and turned by right angles where nothing is upright."""
    layers, boxes = canvas.layers, np.array(canvas.boxes, np.float32).reshape(-1, 4)
    if rng.random() < 0.5:
        image, layers = image[:, ::-1], layers[:, :, ::-1]
        boxes[:, [0, 2]] = pieces.SIZE - boxes[:, [2, 0]]
    if not upright or rng.random() < 0.1:
        if rng.random() < 0.5:
            image, layers = image[::-1], layers[:, ::-1]
            boxes[:, [1, 3]] = pieces.SIZE - boxes[:, [3, 1]]
        if rng.random() < 0.5:
            image, layers = image.T, layers.transpose(0, 2, 1)
            boxes = boxes[:, [1, 0, 3, 2]]
    return image, layers, boxes


def make_batch(maker: SceneMaker, size: int, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
    """Scenes, uint8 (n, SIZE, SIZE), and what the losses need: ``layers`` (n, 2, SIZE / 2, SIZE / 2), whose
    pixel it is, from 1; ``centres`` (n, MOST, 2), cells; ``chosen`` (n, _OBJECTS, 10), row and column of a
    cell, number, class, whether the mask is exact, box, 1."""
    centres = np.full((size, pieces.MOST, 2), -1e3, np.float32)
    chosen = np.zeros((size, _OBJECTS, 10), np.float32)
    images, layers, most = [], [], pieces.SIZE // 4 - 1
    for b in range(size):
        image, canvas, upright = maker.make()
        image, layer, box = turn_scene(image, canvas, upright, rng)
        images.append(image)
        layers.append(layer)
        n = len(box)
        place = np.clip((box[:, [1, 0]] + box[:, [3, 2]]) / (8), 0, most).astype(int)  # row, column
        centres[b, :n] = place
        some = rng.permutation(n)[:_OBJECTS]
        aside = place[some] + rng.integers(-1, 2, (len(some), 2)) * (rng.random((len(some), 1)) < 0.4)
        away = np.abs(aside[:, None] - place).sum(-1)  # a cell beside its centre, unless another's is nearer
        own = away.min(1, initial=9) >= away[np.arange(len(some)), some]
        at = np.clip(np.where(own[:, None], aside, place[some]), 0, most)
        rest = (
            np.c_[some + 1, np.array(canvas.labels)[some], np.array(canvas.exact)[some]] if n else at[:, :0]
        )
        chosen[b, : len(some)] = np.c_[at, rest, box[some], np.ones(len(some))] if n else 0
    return np.stack(images), {"layers": np.stack(layers), "centres": centres, "chosen": chosen}


@lru_cache(maxsize=1)
def _maker(folder: Path, seed: tuple[int, ...], spreads: int) -> SceneMaker:
    return SceneMaker(folder, [*seed, os.getpid()], spreads)


def batch_of(folder: Path, seed: int, number: int, size: int, spreads: int) -> tuple[np.ndarray, dict]:
    """A batch; the process makes its scenes from other spreads after `_RENEWED` of them."""
    maker = _maker(folder, (seed, number // _RENEWED), spreads)
    return make_batch(maker, size, np.random.default_rng([seed, number]))
