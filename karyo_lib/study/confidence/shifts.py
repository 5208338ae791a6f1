"""Notebook 06: who is referred when pages are not what the models were trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from karyo_lib.judge import CombinedScore, compute_risk_coverage, compute_scores
from karyo_lib.judge.intervals import wilson
from karyo_lib.judge.novelty import Novelty
from karyo_lib.study.confidence.methods import METHODS, PAIR, PROTOCOL, Comparison, name_method
from karyo_lib.study.confidence.samples import Passes, uncertainties_of
from karyo_lib.study.data.copies import load_splits
from karyo_lib.study.data.unseen import IN_DISTRIBUTION, NO_KARYOGRAMS, Unseen, load_unseen, make_shifts
from karyo_lib.study.networks.fits import load_image_map, select_split
from karyo_lib.study.runs import Run

REFERRED = 0.2  # share of the validation images that the combined score's threshold refers
RULES = {
    "votes": "votes below the thesis's threshold",
    "combined": "combined score, 20 % of validation referred",
    "novelty": "unlike the training pages",
}


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


def measure_shifts(run: Run, passes: Passes, comparison: Comparison) -> Shifts:
    """Put shifted pages, and pages that are no karyograms, to the thesis's method and to both bases."""
    panel = comparison.panel
    condition = panel.pair[0] if panel.pair else next(iter(panel.members))
    known = passes.scores.query("protocol == @PROTOCOL and part == 'test' and condition == @condition")
    unseen = load_unseen(run, known[known["repeat"] == panel.repeat])
    shifts = make_shifts(run, unseen)
    images, split = load_image_map(run), select_split(load_splits(run), "augmented", PROTOCOL, panel.repeat)
    training, validating = (
        [images[image_id] for image_id in split.loc[split["part"] == part, "image_id"]]
        for part in ("train", "val")
    )
    novelty = Novelty().fit(panel.features(condition, training), panel.features(condition, validating))
    novel = {name: novelty.is_novel(panel.features(condition, pages)) for name, (pages, _) in shifts.items()}
    tables = []
    for method in ("dropout", "bases") if len(panel.pair) == len(PAIR) else ("dropout", "ensemble"):
        rows = comparison.scores.query("method == @method and condition == @condition and part == 'val'")
        rows = rows[rows["repeat"] == panel.repeat]
        combined = CombinedScore().fit(rows, rows["y_true"].to_numpy())
        threshold = np.quantile(combined.transform(rows), 1 - REFERRED)
        for name, (pages, y) in shifts.items():
            array = panel.sample(method, condition, pages)
            scores = compute_scores(array, referral_threshold=run.settings.referral_threshold)
            scores["combined"] = combined.transform(scores)
            scores = scores.assign(method=method, title=name_method(method, condition), shift=name)
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
                "method": METHODS[method],
                "pages": name,
                "n": len(part),
                **_share("error_rate", wrong if labelled else []),
                "aurc_vote_share": _area(wrong, part, "vote_share") if labelled else np.nan,
                "aurc_combined": _area(wrong, part, "combined") if labelled else np.nan,
                "mean_confidence": part["confidence"].mean(),
                **{k: v for rule in RULES for k, v in _share(f"referred_{rule}", part[f"by_{rule}"]).items()},
                **_share("referred_combined_or_novelty", part["by_combined"] | part["by_novelty"]),
                **_share("error_rate_kept", kept["label"] != kept["y_true"] if labelled else []),
            }
        )
    return pd.DataFrame(rows)


def _share(name: str, flags: Sequence[bool]) -> dict[str, float]:
    """A share with its 95 % Wilson limits; NaN where there is nothing to count."""
    low, high = wilson(int(np.sum(flags)), len(flags))
    return {name: np.mean(flags) if len(flags) else np.nan, f"{name}_low": low, f"{name}_high": high}


def _area(wrong: np.ndarray, part: pd.DataFrame, score: str) -> float:
    return compute_risk_coverage(wrong, uncertainties_of(part)[score].to_numpy()).aurc


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
