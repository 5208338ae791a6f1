"""Notebook 06: shifted pages, and pages that are none: who is referred, and which promise holds."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from karyo_lib import judge
from karyo_lib.judge.intervals import share_row, wilson
from karyo_lib.judge.scores import Novelty
from karyo_lib.networks.conditions import READER
from karyo_lib.networks.inference import sample_dropout
from karyo_lib.study.confidence import samples
from karyo_lib.study.data.collection import load_splits
from karyo_lib.study.data.unseen import (
    IN_DISTRIBUTION,
    NO_KARYOGRAMS,
    Unseen,
    halve,
    load_unseen,
    make_shifts,
)
from karyo_lib.study.networks.fits import load_image_map, require_fit, select_split
from karyo_lib.study.runs import Run

REFERRED = 0.2  # share of the validation images that the combined score's threshold refers
RULES = {
    "votes": "votes below the thesis's threshold",
    "combined": "combined score, 20 % of validation referred",
    "novelty": "unlike the training pages",
}
ALPHAS = (0.01, 0.05, 0.10, 0.20, 0.30)
DELTA = 0.10
HONEST, LEAKY = "Models split by patient", "Models on copies split at random (thesis)"
FROZEN_ONE = "augmented-vgg16-frozen"


@dataclass(frozen=True, eq=False)
class Shifts:
    # ``method, title, shift, page, y_true`` (NaN where a page has no label), the columns of
    # :func:`karyo_lib.judge.compute_scores`, ``combined``, and whether each of ``RULES`` refers it:
    # ``by_votes, by_combined, by_novelty``.
    scores: pd.DataFrame
    pages: dict[str, np.ndarray]  # by shift, uint8 (N, H, W)
    unseen: Unseen

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(self.scores["method"]))


def measure_shifts(run: Run, passes: samples.Passes, comparison: samples.Comparison) -> Shifts:
    """Put shifted pages, and pages that are no karyograms, to the thesis's method and to both bases."""
    panel = comparison.panel
    condition = panel.pair[0] if panel.pair else next(iter(panel.members))
    own = passes.scores[passes.scores["protocol"] == samples.PROTOCOL]
    known = own.query("part == 'test' and condition == @condition")
    unseen = load_unseen(run, known[known["repeat"] == panel.repeat])
    shifts = make_shifts(run, unseen)
    images, split = (
        load_image_map(run),
        select_split(load_splits(run), "augmented", samples.PROTOCOL, panel.repeat),
    )
    training, validating = (
        [images[image_id] for image_id in split.loc[split["part"] == part, "image_id"]]
        for part in ("train", "val")
    )
    novelty = Novelty().fit(panel.features(condition, training), panel.features(condition, validating))
    novel = {name: novelty.is_novel(panel.features(condition, pages)) for name, (pages, _) in shifts.items()}
    tables = []
    for method in ("dropout", "bases") if len(panel.pair) == len(samples.PAIR) else ("dropout", "ensemble"):
        rows = comparison.scores.query("method == @method and condition == @condition and part == 'val'")
        rows = rows[rows["repeat"] == panel.repeat]
        combined = judge.CombinedScore().fit(rows, rows["y_true"].to_numpy())
        threshold = np.quantile(combined.transform(rows), 1 - REFERRED)
        for name, (pages, y) in shifts.items():
            array = panel.sample(method, condition, pages)
            scores = judge.compute_scores(array, referral_threshold=run.settings.referral_threshold)
            scores["combined"] = combined.transform(scores)
            scores = scores.assign(method=method, title=samples.name_method(method, condition), shift=name)
            scores = scores.assign(page=np.arange(len(pages)), y_true=np.nan if y is None else y)
            flags = {"by_votes": scores["referred"], "by_combined": scores["combined"] > threshold}
            tables.append(scores.assign(**flags, by_novelty=novel[name]))
    scores = pd.concat(tables, ignore_index=True)
    run.save_table(scores, "scores_by_shift")
    return Shifts(scores, {name: pages for name, (pages, _) in shifts.items()}, unseen)


def shift_table(shifts: Shifts) -> pd.DataFrame:
    """Return errors, area under the risk-coverage curve and share referred, by method and shift."""
    rows = []
    for (method, name), part in shifts.scores.groupby(["method", "shift"], sort=False):
        labelled = part["y_true"].notna().all()
        wrong = (part["label"] != part["y_true"]).to_numpy()
        kept = part[~(part["by_combined"] | part["by_novelty"])]
        rows.append(
            {
                "method": samples.METHODS[method],
                "pages": name,
                "n": len(part),
                **share_row("error_rate", wrong if labelled else []),
                "aurc_vote_share": _area(wrong, part, "vote_share") if labelled else np.nan,
                "aurc_combined": _area(wrong, part, "combined") if labelled else np.nan,
                "mean_confidence": part["confidence"].mean(),
                **{
                    k: v
                    for rule in RULES
                    for k, v in share_row(f"referred_{rule}", part[f"by_{rule}"]).items()
                },
                **share_row("referred_combined_or_novelty", part["by_combined"] | part["by_novelty"]),
                **share_row("error_rate_kept", kept["label"] != kept["y_true"] if labelled else []),
            }
        )
    return pd.DataFrame(rows)


def _area(wrong: np.ndarray, part: pd.DataFrame, score: str) -> float:
    return judge.compute_risk_coverage(wrong, samples.uncertainties_of(part)[score].to_numpy()).aurc


def describe_shifts(shifts: Shifts) -> list[str]:
    """Say in words who is referred when pages are shifted or no karyograms, with intervals."""
    first = shifts.scores[shifts.scores["method"] == shifts.methods[0]]

    def told(name: str, rule: str) -> str:
        flags = first.loc[first["shift"] == name, f"by_{rule}"]
        low, high = wilson(int(flags.sum()), len(flags))
        return f"{flags.mean():.0%} [{low:.0%}, {high:.0%}]"

    sentences = [
        "Of pages that are no karyograms, all of which should be referred, the distance to the training "
        f"pages refers {told(NO_KARYOGRAMS, 'novelty')}, the combined score "
        f"{told(NO_KARYOGRAMS, 'combined')}, the thesis's rule {told(NO_KARYOGRAMS, 'votes')}.",
        f"Of karyograms as trained on, {shifts.unseen.origin}, the distance refers "
        f"{told(IN_DISTRIBUTION, 'novelty')}.",
    ]
    means = first.assign(wrong=first["label"] != first["y_true"]).groupby("shift", sort=False)
    more = means[["wrong", "by_combined"]].mean().drop(NO_KARYOGRAMS)
    more -= more.loc[IN_DISTRIBUTION]
    if unnoticed := list(more.index[(more["wrong"] > 0) & (more["by_combined"] <= 0)]):
        sentences.append(
            f"Unnoticed by the models' own doubts, more answers are wrong and no more referred: "
            f"{'; '.join(unnoticed)}."
        )
    return sentences


@dataclass(frozen=True, eq=False)
class Promises:
    # By models (``split by patient``, the thesis's protocol, the reader) and alpha.
    promises: dict[tuple[str, float], judge.Promise]
    # ``models, alpha, checked_on, n, n_cleared, misses, rate, low, high, verdict``, of each one's strictest.
    checks: pd.DataFrame
    rests_on: dict[str, str]  # the calibration part in words


def find_strictest(promises: dict[tuple[str, float], judge.Promise], models: str) -> judge.Promise | None:
    """Return the promise with the lowest alpha that has a threshold, if any."""
    given = [p for (name, _), p in promises.items() if name == models and p.threshold is not None]
    return min(given, key=lambda promise: promise.alpha, default=None)


def make_promises(
    run: Run, passes: samples.Passes, comparison: samples.Comparison, shifts: Shifts, reader: samples.Passes
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
        (models, alpha): judge.choose_threshold(
            own["p_mean"], own["y_true"], alpha=alpha, delta=DELTA, groups=own["patient_id"].to_numpy()
        )
        for models, (own, _) in calibrated.items()
        for alpha in ALPHAS
    }
    rows = []
    for models, parts in checked.items():
        promise = find_strictest(promises, models)
        for name, part in parts.items() if promise else ():
            check = judge.check_promise(promise, part["p_mean"], part["y_true"].astype(int))
            row = {"models": models, "alpha": promise.alpha, "checked_on": name, "n": len(part)}
            rows.append(row | asdict(check))
    columns = ["models", "alpha", "checked_on", "n", "n_cleared", "misses", "rate", "low", "high", "verdict"]
    rests_on = {models: words for models, (_, words) in calibrated.items()}
    return Promises(promises, pd.DataFrame(rows, columns=columns), rests_on)


def _ask_leaky(run: Run, pages: np.ndarray) -> np.ndarray:
    fit = require_fit(run, FROZEN_ONE, "thesis")
    features = samples.Panel(run, 0, {FROZEN_ONE: (fit,)}).features(FROZEN_ONE, pages)
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
