"""Notebook 06: a threshold with a promise, the data it rests on, and the shift under which it fails."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from karyo_lib.judge import Promise, check_promise, choose_threshold
from karyo_lib.networks.conditions import READER
from karyo_lib.networks.sampling import sample_dropout
from karyo_lib.study.confidence.methods import Comparison, Panel
from karyo_lib.study.confidence.samples import Passes
from karyo_lib.study.confidence.shifts import Shifts
from karyo_lib.study.data.unseen import halve
from karyo_lib.study.networks.fits import require_fit
from karyo_lib.study.runs import Run

ALPHAS = (0.01, 0.05, 0.10, 0.20, 0.30)
DELTA = 0.10
HONEST, LEAKY = "Models split by patient", "Models on copies split at random (thesis)"
FROZEN_ONE = "augmented-vgg16-frozen"


@dataclass(frozen=True, eq=False)
class Promises:
    # By models (``split by patient``, the thesis's protocol, the reader) and alpha.
    promises: dict[tuple[str, float], Promise]
    # ``models, alpha, checked_on, n, n_cleared, misses, rate, low, high, verdict``, of each one's strictest.
    checks: pd.DataFrame
    rests_on: dict[str, str]  # the calibration part in words


def find_strictest(promises: dict[tuple[str, float], Promise], models: str) -> Promise | None:
    """Return the promise with the lowest alpha that has a threshold, if any."""
    given = [p for (name, _), p in promises.items() if name == models and p.threshold is not None]
    return min(given, key=lambda promise: promise.alpha, default=None)


def make_promises(
    run: Run, passes: Passes, comparison: Comparison, shifts: Shifts, reader: Passes
) -> Promises:
    """Choose thresholds on a calibration part and check them on cases that did not choose them. Networks
    split by patient, and the reader: half of the unseen karyograms (its: the run's) chooses, the other
    checks, as it is and shifted. The thesis's protocol: its own test part, full of copies, chooses."""
    unseen, method, panel = shifts.unseen, shifts.methods[-1], comparison.panel
    condition = panel.pair[0] if panel.pair else next(iter(panel.members))
    half = unseen.rows("calibrate")
    answers = unseen.table.iloc[half].assign(
        p_mean=panel.sample(method, condition, unseen.images[half]).mean(axis=0)
    )
    calibrated = {HONEST: (answers, f"half of the karyograms {unseen.origin}")}
    answers = shifts.scores[(shifts.scores["method"] == method) & shifts.scores["y_true"].notna()]
    checked = {HONEST: dict(list(answers.groupby("shift", sort=False)))}
    if unseen.fresh and FROZEN_ONE in set(passes.scores["condition"]):
        own = passes.select(FROZEN_ONE, "thesis")
        calibrated[LEAKY] = own, "the test part of the thesis's protocol, one copy a patient"
        answers = unseen.table.assign(p_mean=_ask_leaky(run, unseen.images))
        checked[LEAKY] = {"patients not in the run": answers}
    table = halve(reader.scores, run.seed)
    own, other = (table[table["half"] == half] for half in ("calibrate", "check"))
    calibrated[READER.title] = own, "half of the run's karyograms"
    checked[READER.title] = {"the other half": other}
    promises = {
        (models, alpha): choose_threshold(
            own["p_mean"], own["y_true"], alpha=alpha, delta=DELTA, groups=own["patient_id"].to_numpy()
        )
        for models, (own, _) in calibrated.items()
        for alpha in ALPHAS
    }
    rows = []
    for models, parts in checked.items():
        promise = find_strictest(promises, models)
        for name, part in parts.items() if promise else ():
            check = check_promise(promise, part["p_mean"], part["y_true"].astype(int))
            row = {"models": models, "alpha": promise.alpha, "checked_on": name, "n": len(part)}
            rows.append(row | asdict(check))
    columns = ["models", "alpha", "checked_on", "n", "n_cleared", "misses", "rate", "low", "high", "verdict"]
    rests_on = {models: words for models, (_, words) in calibrated.items()}
    return Promises(promises, pd.DataFrame(rows, columns=columns), rests_on)


def _ask_leaky(run: Run, pages: np.ndarray) -> np.ndarray:
    fit = require_fit(run, FROZEN_ONE, "thesis")
    features = Panel(run, 0, {FROZEN_ONE: (fit,)}).features(FROZEN_ONE, pages)
    return sample_dropout(fit.model, features, run.settings.passes, seed=run.seed).mean(axis=0)


def promise_table(promises: Promises) -> pd.DataFrame:
    """Return every promise asked for: threshold, what it rests on, and its sentence."""
    names = {
        "alpha": "miss_rate_at_most", "threshold": "threshold", "n": "calibration_cases",
        "n_abnormal": "abnormal", "n_cleared": "cleared", "misses": "misses", "bound": "upper_limit",
        "sentence": "sentence",
    }  # fmt: skip
    table = pd.DataFrame([asdict(promise) for promise in promises.promises.values()])[list(names)]
    table = table.rename(columns=names).astype({"threshold": float})
    table.insert(0, "models", [models for models, _ in promises.promises])
    return table


def describe_promises(promises: Promises) -> list[str]:
    """Say in words what can be promised, on what it rests, and where it fails."""
    sentences = []
    for models, rests_on in promises.rests_on.items():
        promise = find_strictest(promises.promises, models)
        if promise is None:
            refused = promises.promises[models, ALPHAS[-1]]
            sentences.append(f"**{models}**, calibrated on {rests_on}: nothing. {refused.sentence}")
            continue
        rows = promises.checks[promises.checks["models"] == models]
        broken = rows.loc[rows["verdict"] == "broken", "checked_on"]
        verdict = (
            f"**Broken** on {', '.join(broken)}, which do not come from where the calibration cases came from"
            if len(broken)
            else "kept, or too few are cleared to tell"
        )
        sentences.append(f"**{models}**, calibrated on {rests_on}: {verdict}. {promise.sentence}")
    return sentences
