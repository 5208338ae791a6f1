"""What follows from the measured rows by multiplication: the whole thesis profile, a million karyograms."""

from collections.abc import Sequence

import pandas as pd

from benchmarks.material import Sizes
from karyo_lib.networks.conditions import CONDITIONS
from karyo_lib.settings import PROFILES

PROTOCOLS = 2
"""Thesis and grouped; networks on frozen bases are trained under their shuffled controls as well."""
MILLION = 1_000_000
MACHINES = 16


def compose_profile(turns: pd.DataFrame, sizes: Sizes) -> pd.DataFrame:
    """Return the parts of the profile ``thesis`` both ways, from the medians of the rows.

    Parameters
    ----------
    turns : pandas.DataFrame
        Of the rows condition, last-block, last-two-blocks, all, features-*, passes and search.

    Returns
    -------
    pandas.DataFrame
        ``part``, ``times``, ``karyo_s``, ``plain_s`` (both of all times). Empty if a row is missing.
    """
    needed = {"condition", "last-block", "last-two-blocks", "all", "features-vgg16", "features-inceptionv3"}
    needed |= {"passes", "search"}
    if turns.empty or not needed <= set(turns["row"]):
        return pd.DataFrame(columns=["part", "times", "karyo_s", "plain_s"])
    median = turns.groupby(["row", "side"])["seconds"].median()

    def ours(row: str) -> float:
        return float(median[row]["karyo"])

    def plain(row: str) -> float:
        return float(median[row].drop("karyo").max())

    profile = PROFILES["thesis"]
    epoch = (sizes.train + sizes.validation) / sizes.sample
    features = turns.loc[turns["row"] == "condition", "feature_seconds"].median()
    head = ours("condition") - features
    keras = {b: float(median[f"features-{b}"]["Keras predict"]) for b in ("vgg16", "inceptionv3")}
    slower = keras["inceptionv3"] / keras["vgg16"]  # an epoch through the frozen base, by its forward pass
    original = sum(c.data == "original" and c.base == "VGG16" for c in CONDITIONS)
    small = (profile.normal + profile.abnormal) / (profile.augmented_normal + profile.augmented_abnormal)
    fits = (1 + original * small) * 2 * PROTOCOLS * profile.repeats  # of each base, in fits of all images
    inception = ours("features-inceptionv3") * sizes.images / sizes.sample
    rows = [
        ("features of both bases", 1, features + inception, 0.0),
        ("VGG16 frozen, fits", fits, fits * head, fits * plain("condition")),
        ("InceptionV3 frozen, fits", fits, fits * head, fits * plain("condition") * slower),
    ]
    for row in ("last-block", "last-two-blocks"):
        times = PROTOCOLS * sizes.epochs * epoch
        title = f"VGG16 {row.replace('-', ' ')}, fits"
        rows.append((title, PROTOCOLS, times * ours(row), times * plain(row)))
    times = PROTOCOLS * sizes.epochs * epoch
    rows.append(("InceptionV3 trained in full, fits", PROTOCOLS, times * ours("all"), times * ours("all")))
    count = len(CONDITIONS) * PROTOCOLS
    rows.append(("Monte Carlo passes", count, count * ours("passes"), count * plain("passes")))
    rows.append(("search", PROTOCOLS, PROTOCOLS * ours("search"), PROTOCOLS * plain("search")))
    return pd.DataFrame(rows, columns=["part", "times", "karyo_s", "plain_s"])


def compose_scale(turns: pd.DataFrame) -> pd.DataFrame:
    """Return what a million karyograms take: ``where``, ``images_per_s``, ``hours``, ``basis``."""
    rows = []
    mine = turns[(turns["row"] == "screening") & (turns["side"] == "karyo")] if len(turns) else turns
    if len(mine):
        rate = float((mine["images"] / mine["measured_seconds"]).median())
        rows = [
            ("this machine", rate, MILLION / rate / 3600, "measured"),
            (
                f"{MACHINES} such machines",
                MACHINES * rate,
                MILLION / rate / 3600 / MACHINES,
                "not measured: files are dealt out in chunks of 32 that share nothing",
            ),
            ("one GPU", float("nan"), float("nan"), "not measured here"),
        ]
    return pd.DataFrame(rows, columns=["where", "images_per_s", "hours", "basis"])


def describe_table(table: pd.DataFrame) -> Sequence[str]:
    """Return one sentence a comparison that has an aim: reached or not."""
    said = []
    for line in table.dropna(subset=["aim"]).to_dict("records"):
        word = "reached" if line["ratio"] >= line["aim"] else "not reached"
        said.append(
            f"{line['what']}, against {line['reference']}: {line['ratio']:.3g} x "
            f"({line['q25']:.3g} to {line['q75']:.3g}), hoped for {line['aim']:g}: {word}."
        )
    return said
