"""Pixels of more than 8 bits, or of none that are whole numbers -> 8-bit grey."""

import numpy as np

_BIT_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
_TAILS = 0.05  # percent of the pixels at either end that may lie anywhere: hot ones, overshoot of a filter
_OVERSHOOT = 0.3  # of the range 0..1, by which floats may leave it: sharper resampling overshoots at edges
_NARROW, _FLAT = 1 / 4, 1 / 64  # shares of the range: stretched below the one, an empty page at the other
_SAMPLE = 1_000_000
STRETCHED = "uses a narrow part of its range of grey: stretched"


def to_8_bit(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale deep pixels to 0..255 by the range that nearly all of them use, and a note for the user or ''.
    Cameras store 10 to 14 bits in 16: dividing by 65535 would leave such a page black. The range is the
    smallest common bit depth that holds all but 0.05 % of the pixels; floats may span 0..1 or -1..1; negative
    whole numbers are shifted to zero. Where a quarter of the range or less is in use, that part is stretched
    over all of it."""
    whole = np.issubdtype(values.dtype, np.integer)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("pixels that are not finite numbers")
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    low, high = np.percentile(sample, (_TAILS, 100 - _TAILS))
    black, white = _range(low, high, whole, float(values.min()))
    span, note = white - black, ""
    if _FLAT * span <= high - low < _NARROW * span:
        black, white, note = low, high, STRETCHED
    return np.rint((values.clip(black, white) - black) * (255 / (white - black))).astype(np.uint8), note


def _range(low: float, high: float, whole: bool, least: float) -> tuple[float, float]:
    """Black and white of pixels whose values lie between `low` and `high`."""
    if not whole and high <= 1 + _OVERSHOOT:
        if low >= -_OVERSHOOT:
            return 0.0, 1.0
        if low >= -1 - _OVERSHOOT:
            return -1.0, 1.0
    black = min(0.0, low if not whole else least)
    over = 1.0 if whole else 1.05
    ranges = (2.0**bits - 1 for bits in _BIT_DEPTHS)
    needed = next((span for span in ranges if high - black <= over * span), high - black)
    return black, black + max(needed, 1.0)
