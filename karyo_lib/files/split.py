"""Who trains, validates and tests, under protocols that leak and protocols that do not.

- ``thesis``: every image for itself, at random, as in the thesis (section 3.2). On augmented data copies of
  one karyogram stand in training and test: **leaky**, kept to reproduce the published figures.
- ``grouped``: patients are split first; training uses all copies of its karyograms, validation and test use
  originals alone.
- ``without-SOURCE``: trained on all karyograms but those of one source, tested on that source's originals:
  what a network has learnt of one source says nothing of the label in another.
- ``shuffled-thesis``, ``shuffled-grouped``: the same with the labels of the karyograms permuted. Nothing is
  left to learn, so whatever performance remains is the leak's.
"""

from collections.abc import Collection, Iterator

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from karyo_lib.files.index import LABELS

SPLIT_COLUMNS = ("data", "protocol", "repeat", "image_id", "parent_id", "patient_id", "label", "part")
PROTOCOLS = ("thesis", "grouped", "shuffled-thesis", "shuffled-grouped")
WITHOUT = "without-"  # and the name of a source
PARTS = ("train", "val", "test")
TEST_SHARE = 0.2
VAL_SHARE = 0.2  # of what the test leaves: 64 / 16 / 20 % in all

_ATTEMPTS = 30  # at the sizes; whole patients seldom fit at once
_MOST_ATTEMPTS = 300  # where no attempt yet has given every part both labels


class LeakError(ValueError):
    """A patient or karyogram stands in more than one part; the message names them."""


def make_splits(
    index: pd.DataFrame,
    augmented: pd.DataFrame,
    seed: int,
    *,
    repeats: int = 1,
    test_only: Collection[str] = (),
) -> pd.DataFrame:
    """Split original and augmented images under every protocol; columns `SPLIT_COLUMNS`, ``label`` as trained
    with. Parts are stratified by label and hold 64, 16 and 20 % of the images: 92, 24, 30 of 146 originals
    and 442, 111, 139 of 692 augmented images, as in the thesis; the grouped parts come as near to this as
    whole patients allow. ``test_only``: images that stand in the test part under the grouped protocols, with
    all others of their patients: an external check."""
    parents = _check(index, augmented, test_only)
    held = frozenset(parents.loc[parents["image_id"].isin(test_only), "patient_id"])
    copies = augmented[["image_id", "parent_id", "copy"]]
    tables = []
    for repeat in range(repeats):
        for number, protocol in enumerate(PROTOCOLS):
            rng = np.random.default_rng([seed, repeat, number])
            labelled = _shuffle(parents, rng, held) if protocol.startswith("shuffled") else parents
            split = _split_thesis if protocol.endswith("thesis") else _split_grouped
            for data, table in split(labelled, copies, rng, held):
                tables.append(table.assign(data=data, protocol=protocol, repeat=repeat))
        for source in list_sources(index, test_only):
            away = index.loc[index["source"] == source, "image_id"]
            for data, table in _split_without(parents, copies, seed + repeat, held, away):
                tables.append(table.assign(data=data, protocol=f"{WITHOUT}{source}", repeat=repeat))
    return pd.concat(tables, ignore_index=True)[list(SPLIT_COLUMNS)]


def list_sources(index: pd.DataFrame, test_only: Collection[str] = ()) -> list[str]:
    """Sources that can be held apart: both labels there, and enough to train on elsewhere."""
    if "source" not in index or index["source"].nunique() < 2:
        return []
    counts = pd.crosstab(index["source"], index["label"]).reindex(columns=list(LABELS), fill_value=0)
    trained = index[~index["image_id"].isin(test_only)]
    found = []
    for source in counts.index[(counts > 0).all(axis=1)]:
        away = trained["patient_id"].isin(index.loc[index["source"] == source, "patient_id"])
        patients = trained[~away].groupby("label")["patient_id"].nunique().reindex(list(LABELS), fill_value=0)
        if (patients >= 2).all():  # one each for training and validation
            found.append(source)
    return found


def check_no_leak(splits: pd.DataFrame) -> None:
    """Check that no patient and no karyogram stands in two parts, but for the thesis's protocols."""
    grouped = splits[~splits["protocol"].str.endswith("thesis")]
    for column in ("patient_id", "parent_id", "image_id"):
        by = grouped.groupby(["data", "protocol", "repeat", column])["part"]
        leaks = by.agg(lambda parts: "+".join(sorted(set(parts))))[by.nunique() > 1]
        if len(leaks):
            told = "{3} in {parts} ({0}, {1}, repeat {2})"
            named = "; ".join(told.format(*key, parts=parts) for key, parts in leaks.head(5).items())
            raise LeakError(f"Expected each {column} in one part. Received {len(leaks)} in several: {named}.")


def _check(index: pd.DataFrame, augmented: pd.DataFrame, test_only: Collection[str]) -> pd.DataFrame:
    parents = index[["image_id", "patient_id", "label"]].reset_index(drop=True)
    for what, ids in (("test_only", test_only), ("parent_id of augmented", augmented["parent_id"])):
        unknown = sorted(set(ids) - set(parents["image_id"]))
        if unknown:
            raise ValueError(f"Expected {what} to be ids of the index. Received {', '.join(unknown[:5])}.")
    if len(parents) > 1 and parents["patient_id"].nunique() == 1:
        raise ValueError(
            f"Expected karyograms of several patients. Received the one patient id "
            f"{parents['patient_id'].iloc[0]!r} for all {len(parents)}: name each patient in the column "
            "patient_id, or leave it empty where a karyogram is a patient of its own."
        )
    for label, patients in _count_patients(parents).items():
        if patients < len(PARTS):
            raise ValueError(
                f"Expected {label} karyograms of at least {len(PARTS)} patients, one each for training, "
                f"validation and test. Received {patients}; add {label} karyograms."
            )
    return parents


def _count_patients(parents: pd.DataFrame) -> pd.Series:
    return parents.groupby("label")["patient_id"].nunique().reindex(list(LABELS), fill_value=0)


def _shuffle(parents: pd.DataFrame, rng: np.random.Generator, held: frozenset[str]) -> pd.DataFrame:
    """Permute the labels of the karyograms, again where a label falls to too few patients to be split."""
    for _ in range(_MOST_ATTEMPTS):
        shuffled = parents.assign(label=rng.permutation(parents["label"].to_numpy()))
        if (_count_patients(shuffled[~shuffled["patient_id"].isin(held)]) >= len(PARTS)).all():
            break
    return shuffled


def _split_thesis(
    parents: pd.DataFrame, copies: pd.DataFrame, rng: np.random.Generator, _: frozenset[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    originals = parents.assign(parent_id=parents["image_id"])
    augmented = copies.merge(parents.rename(columns={"image_id": "parent_id"}), on="parent_id")
    for data, table in (("original", originals), ("augmented", augmented)):
        yield data, table.assign(part=_assign(table["image_id"], table["label"], rng))


def _split_grouped(
    parents: pd.DataFrame, copies: pd.DataFrame, rng: np.random.Generator, held: frozenset[str]
) -> Iterator[tuple[str, pd.DataFrame]]:
    dealt = parents.assign(part=_assign(parents["patient_id"], parents["label"], rng, held))
    yield from _with_copies(dealt, copies)


def _with_copies(dealt: pd.DataFrame, copies: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Originals, and augmented images with copies in the training part alone."""
    yield "original", dealt.assign(parent_id=dealt["image_id"])
    augmented = copies.merge(dealt.rename(columns={"image_id": "parent_id"}), on="parent_id")
    yield "augmented", augmented[(augmented["part"] == "train") | (augmented["copy"] == 0)]


def _split_without(
    parents: pd.DataFrame, copies: pd.DataFrame, seed: int, held: frozenset[str], away: pd.Series
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Test on some images; train and validate on patients who have none among them."""
    tested = parents["image_id"].isin(away)
    strangers = ~parents["patient_id"].isin(set(parents.loc[tested, "patient_id"]) | held)
    rest = parents[strangers]
    folds = min(round(1 / VAL_SHARE), rest.groupby("label")["patient_id"].nunique().min())
    dealer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    train, val = next(dealer.split(rest, rest["label"], rest["patient_id"]))
    parts = [rest.iloc[train].assign(part="train"), rest.iloc[val].assign(part="val")]
    yield from _with_copies(pd.concat([*parts, parents[tested].assign(part="test")]), copies)


def _assign(
    groups: pd.Series, labels: pd.Series, rng: np.random.Generator, held: frozenset[str] = frozenset()
) -> np.ndarray:
    """Deal whole groups out to the parts; returns the part of each image."""
    counts = pd.crosstab(groups.to_numpy(), labels.to_numpy()).reindex(columns=list(LABELS), fill_value=0)
    sizes = counts.to_numpy()
    in_test = counts.index.isin(list(held))
    target = _targets(sizes.sum(axis=0), sizes[in_test].sum(axis=0))
    best, least = None, np.inf
    for attempt in range(_MOST_ATTEMPTS):
        dealt = _deal(sizes, target, in_test, rng)
        received = np.stack([sizes[dealt == part].sum(axis=0) for part in range(len(PARTS))])
        miss = np.abs(received - target).sum()
        if (received > 0).all() and miss < least:
            best, least = dealt, miss
        if least == 0 or (best is not None and attempt >= _ATTEMPTS):
            break
    if best is None:
        raise ValueError(
            "Expected patients that can be shared out so that training, validation and test each have "
            f"normal and abnormal karyograms. Received {len(sizes)} patients, {len(held)} of them for the "
            f"test only, for which {_MOST_ATTEMPTS} attempts failed; add patients of the rarer label."
        )
    return np.array(PARTS)[pd.Series(best, index=counts.index).loc[groups].to_numpy()]


def _targets(n_by_label: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return how many images of each label (columns) each part (rows) should receive."""
    total = n_by_label.sum()
    needed = held.sum() + (held == 0).sum()  # a part without one of the labels measures nothing
    n_test = max(int(np.ceil(TEST_SHARE * total)), needed)
    n_val = max(int(np.ceil(VAL_SHARE * (total - n_test))), len(LABELS))
    normal, abnormal = n_by_label
    test = _share(abnormal, normal, n_test, held[1], held[0])
    val = _share(abnormal - test, normal - (n_test - test), n_val, 0, 0)
    target = np.array([[n_val - val, val], [n_test - test, test]])
    return np.vstack([n_by_label - target.sum(axis=0), target])


def _share(abnormal: int, normal: int, size: int, least_abnormal: int, least_normal: int) -> int:
    """Return how many of a part's `size` images are abnormal: in proportion, with room for the fixed ones."""
    wanted = round(abnormal * size / (abnormal + normal))
    lowest = max(least_abnormal, size - normal, 1)
    highest = min(size - least_normal, abnormal, size - 1)
    return int(max(lowest, min(wanted, highest)))


def _deal(sizes: np.ndarray, target: np.ndarray, in_test: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal groups out: large ones first, each to a part with a chance equal to its room, then single images.
    Where all are single the targets are met exactly and every such split is equally likely."""
    dealt = np.full(len(sizes), PARTS.index("test"))
    room = target.copy()
    room[PARTS.index("test")] -= sizes[in_test].sum(axis=0)
    n_images = sizes.sum(axis=1)
    large = rng.permutation(np.flatnonzero(~in_test & (n_images > 1)))
    for group in large[np.argsort(-n_images[large], kind="stable")]:
        size = sizes[group]
        left = (room - size)[:, size > 0].min(axis=1)
        chance = np.where(left >= 0, room @ size, 0)
        if chance.any():
            part = rng.choice(len(PARTS), p=chance / chance.sum())
        else:  # no part has room: the one that overflows least
            part = rng.choice(np.flatnonzero(left == left.max()))
        dealt[group] = part
        room[part] -= size
    for label in range(len(LABELS)):
        single = np.flatnonzero(~in_test & (n_images == 1) & (sizes[:, label] == 1))
        places = np.repeat(np.arange(len(PARTS)), room[:, label].clip(0))
        dealt[single] = rng.permutation(places)[: len(single)]
    return dealt
