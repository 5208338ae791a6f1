"""A fitted calibrator as plain numbers, which a package can hold."""

from dataclasses import dataclass

import numpy as np

from karyo_lib.judge import IsotonicCalibrator, TemperatureCalibrator

KINDS = ("temperature", "isotonic", "none")


@dataclass(frozen=True)
class Calibration:
    """Raw probabilities -> probabilities that mean what they say."""

    kind: str = "none"  # {'temperature', 'isotonic', 'none'}
    temperature: float = 1.0  # the logit is divided by it
    x: tuple[float, ...] = ()  # corners of the isotonic line, rising
    y: tuple[float, ...] = ()
    n: int = 0  # validation karyograms it was fitted on

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", tuple(map(float, self.x)))
        object.__setattr__(self, "y", tuple(map(float, self.y)))
        if self.kind not in KINDS:
            raise ValueError(f"Expected a calibration among {', '.join(KINDS)}. Received {self.kind!r}.")
        if not 0 < self.temperature < 1e6:
            raise ValueError(f"Expected a temperature above 0. Received {self.temperature!r}.")
        if self.kind == "isotonic":
            x, y = np.array(self.x), np.array(self.y)
            rising = x.size == y.size > 0 and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
            if not rising or not (0 <= y[0] <= y[-1] <= 1):
                raise ValueError("Expected rising corners within 0 and 1. Received others.")

    @classmethod
    def fit(cls, kind: str, p: np.ndarray, y_true: np.ndarray) -> "Calibration":
        """Fit on validation probabilities `p` (N,) and labels `y_true` (N,) of 0 and 1."""
        n = len(p)
        if kind == "temperature":
            return cls(kind, TemperatureCalibrator().fit(p, y_true).temperature_, n=n)
        if kind == "isotonic":
            line = IsotonicCalibrator().fit(p, y_true).regression_
            return cls(kind, 1.0, tuple(line.X_thresholds_), tuple(line.y_thresholds_), n=n)
        return cls(kind)

    def transform(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64, same shape."""
        p = np.asarray(p, dtype=float)
        if self.kind == "temperature":
            calibrator = TemperatureCalibrator()
            calibrator.temperature_ = self.temperature
            return calibrator.transform(p)
        return np.interp(p, self.x, self.y) if self.kind == "isotonic" else p

    def describe(self) -> str:
        """Say what is done."""
        return {
            "temperature": f"logit divided by a temperature of {self.temperature:.3g}, fitted on {self.n} "
            "validation karyograms",
            "isotonic": f"isotonic regression through {len(self.x)} corners, fitted on {self.n} validation "
            "karyograms",
            "none": "none",
        }[self.kind]
