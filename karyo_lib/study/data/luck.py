"""Luck with the split: the same method on the same karyograms, split again and again."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

from karyo_lib.files.split import TEST_SHARE, check_no_leak, make_splits
from karyo_lib.judge import describe_differences, format_interval, summarise_runs
from karyo_lib.networks.conditions import CONDITIONS
from karyo_lib.study.data.collection import load_collection
from karyo_lib.study.data.copies import load_copies
from karyo_lib.study.displays.dots import LeakDisplay
from karyo_lib.study.networks.fits import load_image_map
from karyo_lib.study.networks.probe import compute_pooled, predict_probe
from karyo_lib.study.runs import Run

REFERENCE = "original-vgg16-frozen"
FROZEN = tuple(condition for condition in CONDITIONS if not condition.fine_tuned)


def make_repeated_splits(run: Run) -> pd.DataFrame:
    """Split the collection `luck_repeats` times, stratified, whole patients under the grouped protocols."""
    index = load_collection(run).index
    held_out = tuple(index.loc[index["source"] == "real-aneuploid", "image_id"])
    splits = make_splits(
        index, load_copies(run).table, run.seed, repeats=run.settings.luck_repeats, test_only=held_out
    )
    check_no_leak(splits)
    return splits


def measure_luck(run: Run) -> pd.DataFrame:
    """Measure the linear probe on repeated splits under every protocol, and keep the table.

    Returns
    -------
    pandas.DataFrame
        ``condition`` (key), ``protocol, repeat, value``: test AUC of every single run.
    """
    images, splits = load_image_map(run), make_repeated_splits(run)
    bases = {condition.base for condition in FROZEN}
    features = {base: compute_pooled(run, base, list(images.values())) for base in sorted(bases)}
    table = measure_repeats(features, pd.Index(images), splits)
    run.save_table(table, "luck")
    return table


def measure_repeats(
    features: dict[str, np.ndarray], image_ids: pd.Index, splits: pd.DataFrame
) -> pd.DataFrame:
    """Return the test AUC of the probe for each frozen condition, protocol and repeat.

    Parameters
    ----------
    features : dict of str to numpy.ndarray
        By base, shape (N, channels), rows in the order of `image_ids`.
    image_ids : pandas.Index
    splits : pandas.DataFrame
        From :func:`karyo_lib.files.split.make_splits`.
    """
    rows = []
    runs = splits.groupby(["data", "protocol", "repeat"], sort=False)
    for (data, protocol, repeat), split in tqdm(runs, "Repeated splits", unit="split"):
        where = image_ids.get_indexer(split["image_id"])
        y = (split["label"] == "abnormal").to_numpy().astype(int)
        train, test = ((split["part"] == part).to_numpy() for part in ("train", "test"))
        for condition in FROZEN:
            if condition.data == data and condition.base in features:
                x = features[condition.base][where]
                p = predict_probe(x[train], y[train], x[test])
                value = roc_auc_score(y[test], p) if len(set(y[test])) == 2 else np.nan
                rows.append((condition.key, protocol, repeat, value))
    return pd.DataFrame(rows, columns=["condition", "protocol", "repeat", "value"])


def luck_display(luck: pd.DataFrame) -> LeakDisplay:
    """Return every single run as a dot, by condition and protocol."""
    return LeakDisplay.from_runs(luck.assign(condition=luck["condition"].map(_titles())))


def luck_table(luck: pd.DataFrame) -> pd.DataFrame:
    """Return mean, spread, range and interval by condition and protocol.

    The interval of the mean allows for the karyograms that the splits share (Nadeau and Bengio 2003).
    """
    table = summarise_runs(luck, ["condition", "protocol"], test_share=TEST_SHARE)
    return table.assign(low=table["low"].clip(lower=0), high=table["high"].clip(upper=1))


def compare_on_splits(luck: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """Compare conditions with a reference, paired: the same patients tested in each split.

    Returns
    -------
    pandas.DataFrame
        ``title, difference, low, high, better_in, splits``.
    """
    wide = luck[luck["protocol"] == "grouped"].pivot(index="repeat", columns="condition", values="value")
    rest = [condition for condition in wide.columns if condition != reference]
    return compare_columns(wide, {key: reference for key in rest}).assign(
        title=lambda table: table["condition"].map(_titles())
    )[["title", "difference", "low", "high", "better_in", "splits"]]


def compare_columns(wide: pd.DataFrame, references: dict[str, str]) -> pd.DataFrame:
    """Return paired differences of columns of runs to their reference columns, with corrected intervals.

    Parameters
    ----------
    wide : pandas.DataFrame
        One row a split, one column a method.
    references : dict of str to str
        Column -> column that it is compared with.
    """
    differences = pd.concat(
        [
            pd.DataFrame({"condition": key, "value": wide[key] - wide[reference]})
            for key, reference in references.items()
        ]
    )
    table = summarise_runs(differences, ["condition"], test_share=TEST_SHARE)
    better = differences.groupby("condition", sort=False)["value"].agg(lambda values: int((values > 0).sum()))
    return pd.DataFrame(
        {
            "condition": table["condition"],
            "difference": table["mean"],
            "low": table["low"],
            "high": table["high"],
            "better_in": table["condition"].map(better),
            "splits": table["runs"],
        }
    )


def describe_luck(luck: pd.DataFrame) -> str:
    """Say in words how far luck with the split alone carries, and whether conditions differ beyond it."""
    table = luck_table(luck)
    grouped = table[table["protocol"] == "grouped"].assign(width=lambda t: t["max"] - t["min"])
    widest = grouped.loc[grouped["width"].idxmax()]
    mean = format_interval(widest["mean"], widest["low"], widest["high"])
    told = (
        f"On {int(widest['runs'])} splits by patient of the same karyograms, "
        f"{_titles()[widest['condition']]} (linear probe) has a test AUC anywhere from "
        f"{widest['min']:.2f} to {widest['max']:.2f}, mean {mean}. "
        "One split, however it is drawn, shows one of these numbers."
    )
    reference = _titles()[REFERENCE]
    compared = compare_on_splits(luck)
    return f"{told}\n\n{describe_differences(compared, baseline=f'{reference}, paired by split')}"


def _titles() -> dict[str, str]:
    return {condition.key: condition.title for condition in CONDITIONS}
