"""At which scale the detector is surest of a picture, and what only its looks at other scales show."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from karyo_lib.read.detector import Detections, Detector
from karyo_lib.shape.boxes import resize

#: Width in pixels that the detector knows, and on most pictures as a share of the root of their area.
SEEN_WIDTH, _USUAL_WIDTH = 11.0, 0.02
#: Scales that are tried, relative to that one. Of a karyogram the search begins at the first of two of them,
#: goes to smaller ones, where chromosomes whose chromatids lie apart are seen whole and looks cost less, and
#: else to larger ones; the second is a beginning, too, of what is none, or where the detector is not `_SURE`.
_SCALES, _BEGIN = (0.25, 0.32, 0.4, 0.5, 0.64, 0.8, 1.0, 1.25, 1.6, 2.0, 2.5), (3, 5)
_SURE = 0.75
#: Of scales at which it is nearly as sure of a metaphase the largest is taken: it sees more of what crosses.
_AS_SURE = 0.95
#: Most magnification, most pixels of one look.
MOST_SCALE, _MOST_PIXELS = 4.0, 2.5e6
#: Least score of an object; share of the smaller of two masks from which they are one object.
_LEAST_SCORE, _SAME = 0.35, 0.75
#: On a karyogram, what another scale is so sure of counts where the surest one sees nothing: a small Y alone
#: in its slot is missed at one scale and plain at the next. Share of its box that may lie in those of others.
_SURE_ELSEWHERE, _LIES_ON = 0.5, 0.25
#: On a metaphase, what another look sees counts if so much of it lies on no object: of the chromosomes that
#: are missed in piles two thirds are found (validation spreads); what is none the counting sorts out.
_UNCOVERED = 0.4
#: By which the odds of its being a chromosome are less than its score says.
_ELSEWHERE = 0.35
#: Most cells have at least so many: of a scale at which fewer are seen the detector is less sure.
_USUAL, _WHOLE = 42, 46
#: Sureness of a whole cell, and width of its chromosomes in pixels, from which no larger scale is tried for
#: one that is surer: larger looks cost most. A picture that is enlarged already shows nothing new.
_PLAIN, _PLAIN_ENLARGED, _WIDE = 0.78, 0.76, 10.0
#: Uprightness from which chromosomes are laid out: on real pages 0.75 and more, on spreads 0.22 and less.
UPRIGHT = 0.5


#: What the detector saw of a picture at each of the scales that it was looked at on, and those scales.
Looks = dict[int, tuple[Detections, float]]


def look(
    light: np.ndarray, detector: Detector, thorough: bool = False, looks: Looks | None = None
) -> tuple[Detections, float]:
    """What the detector sees at the scale where it is surest, that scale, and what only other looks show: on
    a karyogram two larger scales where something is lacking or they are asked for. ``looks`` keeps them."""
    usual = SEEN_WIDTH / (_USUAL_WIDTH * np.sqrt(light.size))
    most = min(MOST_SCALE, np.sqrt(_MOST_PIXELS / light.size))
    looks = {} if looks is None else looks
    seen: Looks = {}

    def sureness(at: int) -> float:
        if not 0 <= at < len(_SCALES):
            return -1.0
        if at and usual * _SCALES[at - 1] >= most:
            return -1.0
        if at not in seen:
            scale = min(usual * _SCALES[at], most)
            if at not in looks:
                looks[at] = detector.detect(resize(light, scale), _LEAST_SCORE, _SAME), scale
            seen[at] = looks[at]
        score = seen[at][0].score
        return float(score.sum() / max(len(score), _USUAL))  # as if nothing were seen of the rest of a cell

    def upright(at: int) -> bool:
        return uprightness([mask > 0.5 for _, _, mask in seen[at][0].masks]) >= UPRIGHT

    def plain(at: int) -> bool:
        widths = [min(mask.shape) for _, _, mask in seen[at][0].masks]
        least = _PLAIN if seen[at][1] < 1 else _PLAIN_ENLARGED
        whole = len(widths) >= _WHOLE and sureness(at) >= least and upright(at)
        return bool(whole and np.median(widths) >= _WIDE)

    best = _BEGIN[0]
    if sureness(best) > 0 and upright(best):
        for step in (-1, 1):
            while not (step > 0 and plain(best)) and sureness(best + step) > sureness(best):
                best += step
            if best != _BEGIN[0]:
                break
    if sureness(best) < _SURE or not upright(best):
        best = max(best, _BEGIN[1], key=sureness)
        best = best if seen else 0  # a picture too small for either
        while sureness(better := max((best - 1, best + (not plain(best))), key=sureness)) > sureness(best):
            best = better
    spread = not upright(best)
    if spread:
        best = max(at for at in seen if sureness(at) >= _AS_SURE * sureness(best))
    found, scale = seen[best]
    near = sorted(seen.keys() - {best}, key=lambda at: abs(at - best))
    others = [rescaled(seen[at][0], scale / seen[at][1]) for at in near]
    if spread:
        return add_uncovered(found, others), scale
    found, largest = add_apart(found, others), max(seen)
    for at in (largest + 1, largest + 2):  # what is lacking may be small
        if (thorough or len(found.score) < _WHOLE) and sureness(at) > 0:
            found = add_apart(found, [rescaled(seen[at][0], scale / seen[at][1])])
    return found, scale


def rescaled(seen: Detections, ratio: float) -> Detections:
    """What was seen, in pixels of another look."""
    masks = [
        (round(x * ratio), round(y * ratio), resize(mask.astype(np.float32), ratio))
        for x, y, mask in seen.masks
    ]
    return replace(seen, boxes=seen.boxes * ratio, masks=masks)


def _together(found: Detections, other: Detections, new: Sequence[int] | np.ndarray) -> Detections:
    """Objects, and some of another look."""
    arrays = {
        name: np.concatenate([getattr(found, name), getattr(other, name)[new]])
        for name in ("boxes", "score", "log_proba")
    }
    return Detections(**arrays, masks=[*found.masks, *(other.masks[i] for i in new)])


def add_apart(found: Detections, others: list[Detections]) -> Detections:
    """Objects of a karyogram, and those of other looks that are sure and whose boxes lie on none of them."""
    for other in others:
        low = np.maximum(other.boxes[:, None, :2], found.boxes[:, :2])
        common = (
            np.clip(np.minimum(other.boxes[:, None, 2:], found.boxes[:, 2:]) - low, 0, None).prod(2).sum(1)
        )
        apart = common < _LIES_ON * (other.boxes[:, 2:] - other.boxes[:, :2]).prod(1)
        found = _together(found, other, np.flatnonzero((other.score >= _SURE_ELSEWHERE) & apart))
    return found


def add_uncovered(found: Detections, others: list[Detections]) -> Detections:
    """Objects of a metaphase, where they cross, and those of other looks of which no object covers much."""
    both = [found, *others]
    right, bottom = (
        max((m[at] + m[2].shape[1 - at] for one in both for m in one.masks), default=0) for at in (0, 1)
    )
    covered = np.zeros((bottom, right), bool)
    for x, y, mask in found.masks:
        covered[y : y + mask.shape[0], x : x + mask.shape[1]] |= mask > 0.5
    for number, i in sorted(
        ((k, i) for k, other in enumerate(others) for i in range(len(other.score))),
        key=lambda at: -others[at[0]].score[at[1]],
    ):
        x, y, mask = others[number].masks[i]
        own, under = mask > 0.5, covered[y : y + mask.shape[0], x : x + mask.shape[1]]
        if own.any() and (own & ~under).sum() >= _UNCOVERED * own.sum():
            under |= own
            found = _together(found, others[number], [i])
    n = len(both[0].score)
    later = found.score[n:]
    later = _ELSEWHERE * later / (_ELSEWHERE * later + 1 - later)
    return replace(found, score=np.concatenate([found.score[:n], later]))


def uprightness(masks: list[np.ndarray]) -> float:
    """Mean of cos 2a over objects, a the angle from upright, long ones weighing more: 1 upright, 0 anyhow."""
    total = weight = 0.0
    for mask in masks:
        y, x = np.nonzero(mask)
        if len(y) < 2:
            continue
        vx, vy, cross = x.var(), y.var(), ((x - x.mean()) * (y - y.mean())).mean()
        size = np.hypot(vy - vx, 2 * cross) / max(vx + vy, 1e-6)
        total += (vy - vx) / max(vx + vy, 1e-6)
        weight += size
    return total / max(weight, 1e-6)
