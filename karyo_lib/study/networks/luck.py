"""Luck, leak and source: the same method on the same karyograms, split again and again, and apart by source.

The leak is the thesis's way of splitting less the one that holds copies together; the source what is lost on
karyograms of a source that training did not see; what is left above chance is the truth.
"""

import os
import time

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from karyo_lib.files.split import TEST_SHARE, WITHOUT
from karyo_lib.judge import describe_differences, format_interval, summarise_runs
from karyo_lib.judge.intervals import bootstrap_interval, draw_bootstrap_weights
from karyo_lib.judge.metrics import roc_auc
from karyo_lib.networks.backend import keras
from karyo_lib.networks.conditions import CONDITIONS, TITLES
from karyo_lib.networks.features import FeatureCache, compute_features
from karyo_lib.networks.models import CUTS, INPUT_SHAPE
from karyo_lib.study.data.collection import load_collection, split_copies
from karyo_lib.study.displays.dots import DotsDisplay, StoryDisplay
from karyo_lib.study.displays.style import PROTOCOL_TITLES
from karyo_lib.study.networks.fits import load_image_map, resolve_run_weights
from karyo_lib.study.runs import Run
from karyo_lib.study.thesis import load_conditions

REFERENCE = "original-vgg16-frozen"
HEADLINE = "augmented-vgg16-frozen"
FROZEN = tuple(condition for condition in CONDITIONS if not condition.fine_tuned)
CHANCE = 0.5
STRENGTH = 0.1  # inverse of the probe's penalty; fixed beforehand, so that no split chooses it
# Name in keras.applications -> its module, which preprocesses.
BASES = {"ResNet50V2": "resnet_v2", "EfficientNetV2B0": "efficientnet_v2", "ConvNeXtTiny": "convnext"}
_SEED = 2020


def measure_luck(run: Run) -> pd.DataFrame:
    """Measure the linear probe on repeated splits under every protocol, and apart by source."""
    images, index = load_image_map(run), load_collection(run).index
    splits = split_copies(run, run.settings.luck_repeats)
    bases = sorted({condition.base for condition in FROZEN})
    features = {base: compute_pooled(run, base, list(images.values())) for base in bases}
    source = index.set_index("image_id")["source"]
    predicted = predict_splits(features, pd.Index(images), splits)
    table = measure_repeats(predicted, source)
    run.save_table(table, "luck")
    run.save_table(measure_apart(predicted, source, run.settings.bootstrap), "apart")
    return table


def measure_repeats(predicted: list[tuple], source: pd.Series) -> pd.DataFrame:
    """Return the test AUC of the probe for each frozen condition, protocol and repeat."""
    rows = []
    for condition, protocol, repeat, test, y, p in predicted:
        within = float(auc_within(y, p, test["parent_id"].map(source).to_numpy())[0])
        value = roc_auc_score(y, p) if len(set(y)) == 2 else np.nan
        rows.append((condition, protocol, repeat, value, within))
    return pd.DataFrame(rows, columns=["condition", "protocol", "repeat", "value", "within"])


def measure_apart(predicted: list[tuple], source: pd.Series, resamples: int) -> pd.DataFrame:
    """AUC of the mean prediction on sources that training did not see (each one, and 'each': all pairs),
    bootstrapped by image; empty where no source can be held apart."""
    tables = [
        test.assign(condition=condition, y=y, p=p)
        for condition, protocol, _, test, y, p in predicted
        if protocol.startswith(WITHOUT)
    ]
    rows = []
    for condition, part in pd.concat(tables).groupby("condition", sort=False) if tables else ():
        mean = part.groupby(["image_id", "patient_id"], as_index=False)[["y", "p"]].mean()
        where = mean["image_id"].map(source).to_numpy()
        for name in (*sorted(set(where)), "each"):
            mine = mean[(where == name) | (name == "each")]
            y, p, of = mine["y"].to_numpy(int), mine["p"].to_numpy(), mine["image_id"].map(source).to_numpy()
            weights = draw_bootstrap_weights(len(y), resamples, 0, mine["patient_id"].to_numpy())
            low, high = bootstrap_interval(lambda w, y=y, p=p, of=of: auc_within(y, p, of, w), weights)
            rows.append((condition, name, float(auc_within(y, p, of)[0]), low, high, len(y)))
    return pd.DataFrame(rows, columns=["condition", "away", "value", "low", "high", "n"])


def predict_splits(features: dict[str, np.ndarray], image_ids: pd.Index, splits: pd.DataFrame) -> list[tuple]:
    """Fit the probe on every split: condition, protocol, repeat, test rows, labels, probabilities."""
    predicted, runs = [], splits.groupby(["data", "protocol", "repeat"], sort=False)
    for (data, protocol, repeat), split in tqdm(runs, "Repeated splits", unit="split"):
        where = image_ids.get_indexer(split["image_id"])
        y = (split["label"] == "abnormal").to_numpy().astype(int)
        train, test = ((split["part"] == part).to_numpy() for part in ("train", "test"))
        for condition in FROZEN:
            if condition.data == data and condition.base in features:
                x = features[condition.base][where]
                p = predict_probe(x[train], y[train], x[test])
                predicted.append((condition.key, protocol, repeat, split[test], y[test], p))
    return predicted


def auc_within(
    y: np.ndarray, p: np.ndarray, source: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the AUC over pairs of one source, (B,) or, without weights, (1,); NaN where there are none."""
    weights = np.ones((1, len(y))) if weights is None else weights
    total = pairs = 0.0
    for name in pd.unique(source):
        mine = source == name
        w, labels = weights[:, mine], y[mine]
        n = w[:, labels == 1].sum(axis=1) * w[:, labels == 0].sum(axis=1)
        if n.any():
            total, pairs = total + n * np.nan_to_num(roc_auc(labels, p[mine], w)), pairs + n
    pairs = np.broadcast_to(pairs, len(weights))
    return np.divide(total, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def luck_display(luck: pd.DataFrame) -> DotsDisplay:
    """Return every single run as a dot, by condition and protocol; dots of shuffled labels are open."""
    shown = luck[luck["protocol"].isin(PROTOCOL_TITLES)]
    shown = shown.assign(condition=shown["condition"].map(TITLES))
    place = {name: i for i, name in enumerate((*PROTOCOL_TITLES, *dict.fromkeys(shown["condition"])))}
    ordered = shown.sort_values(["condition", "protocol"], key=lambda c: c.map(place), kind="stable")
    return DotsDisplay.from_table(
        ordered, "condition", "protocol", "value", "Test AUC", titles=PROTOCOL_TITLES,
        hollow=("shuffled-thesis", "shuffled-grouped"), reference=(CHANCE, "chance: 0.5"),
    )  # fmt: skip


def luck_table(luck: pd.DataFrame, value: str = "value") -> pd.DataFrame:
    """Return mean, spread, range and interval by condition and protocol."""
    shown = luck[~luck["protocol"].str.startswith(WITHOUT)]
    return summarise_runs(shown, ["condition", "protocol"], value, test_share=TEST_SHARE, within=(0, 1))


STEPS = {
    "printed": "printed",
    "thesis": "the thesis's way",
    "grouped": "copies held together",
    "within": "within one source",
    "apart": "source held apart",
    "random": "labels at random, the thesis's way",
}


def story_table(luck: pd.DataFrame, apart: pd.DataFrame) -> pd.DataFrame:
    """Return the test AUC of each frozen condition, from what the thesis printed to what is left."""
    means, within = luck_table(luck), luck_table(luck, "within")
    named = {"thesis": "thesis", "grouped": "grouped", "shuffled-thesis": "random"}
    steps = [means[means["protocol"] == key].assign(step=step) for key, step in named.items()]
    if len(apart):
        steps.append(within[within["protocol"] == "grouped"].assign(step="within"))
        steps.append(apart[apart["away"] == "each"].assign(step="apart"))
    table = pd.concat([step.rename(columns={"mean": "value"}) for step in steps])
    printed = load_conditions()["auc"].loc[pd.unique(table["condition"])]
    table = pd.concat([printed.rename("value").reset_index().assign(step="printed"), table])
    order = {step: i for i, step in enumerate(STEPS)}
    table = table.sort_values("step", key=lambda steps: steps.map(order), kind="stable", ignore_index=True)
    return table[["condition", "step", "value", "low", "high"]]


def worth_table(luck: pd.DataFrame, apart: pd.DataFrame) -> pd.DataFrame:
    """What leak (paired by split), source (of two independent AUCs) and truth are worth, by condition."""
    wide = luck.pivot(index=["condition", "repeat"], columns="protocol", values="value")
    leaks = (wide["thesis"] - wide["grouped"]).rename("value").reset_index()
    leak = summarise_runs(leaks, ["condition"], test_share=TEST_SHARE).rename(columns={"mean": "value"})
    rows = [leak.assign(part="leak")]
    if len(apart):
        table = story_table(luck, apart).set_index(["step", "condition"])
        held, away = table.loc["grouped"], table.loc["apart"]
        value = held["value"] - away["value"]
        below = np.hypot(held["value"] - held["low"], away["high"] - away["value"])
        above = np.hypot(held["high"] - held["value"], away["value"] - away["low"])
        source = pd.DataFrame({"value": value, "low": value - below, "high": value + above})
        rows += [source.reset_index().assign(part="source")]
        rows += [(away - CHANCE).reset_index().assign(part="truth")]
    return pd.concat(rows, ignore_index=True)[["condition", "part", "value", "low", "high"]]


def show_worth(luck: pd.DataFrame, apart: pd.DataFrame) -> pd.DataFrame:
    """Return what leak, source and truth are worth, one row a condition, as it is shown."""
    worth = worth_table(luck, apart)
    told = [format_interval(*row) for row in worth[["value", "low", "high"]].to_numpy()]
    wide = worth.assign(told=told).pivot(index="condition", columns="part", values="told")
    wide = wide[[part for part in ("leak", "source", "truth") if part in wide]]
    printed = load_conditions()["auc"].loc[wide.index]
    return wide.assign(printed=printed, condition=wide.index.map(TITLES)).reset_index(drop=True)[
        ["condition", "printed", *wide.columns]
    ]


def story_display(luck: pd.DataFrame, apart: pd.DataFrame) -> StoryDisplay:
    """Return the figure from what the thesis printed to what is left."""
    worth = worth_table(luck, apart)
    return StoryDisplay.from_tables(
        story_table(luck, apart), worth[worth["condition"] == HEADLINE], STEPS, TITLES
    )


def describe_story(luck: pd.DataFrame, apart: pd.DataFrame) -> list[str]:
    """Say in words what leak, source and truth are worth: one sentence each, the verdict first."""
    table = story_table(luck, apart).query("condition == @HEADLINE").set_index("step")
    worth = worth_table(luck, apart).query("condition == @HEADLINE").set_index("part")

    def auc(step: str) -> str:
        return format_interval(*table.loc[step, ["value", "low", "high"]])

    def amount(part: str) -> str:
        holds_zero = part != "truth" and not worth.loc[part, "low"] > 0
        told = format_interval(*worth.loc[part, ["value", "low", "high"]])
        return told + " (an interval that holds zero)" * holds_zero

    told = [
        f"The leak is worth {amount('leak')}: the thesis's way gives AUC {auc('thesis')} "
        f"(printed {table.loc['printed', 'value']:.2f}), copies held together {auc('grouped')}."
    ]
    if "random" in table.index:
        memory = "it measures memory" if table.loc["random", "low"] > CHANCE else "no memory shows"
        told.append(f"On labels drawn at random the thesis's way gives {auc('random')}: {memory}.")
    if "apart" not in table.index:
        return [*told, "All karyograms come from one source, so that none can be held apart."]
    left = "Something true is left" if worth.loc["truth", "low"] > 0 else "Nothing true is shown to be left"
    return [
        *told,
        f"The source is worth {amount('source')}: trained on one source and tested on the "
        f"other, the AUC is {auc('apart')}.",
        f"{left}: {amount('truth')} above chance.",
    ]


def compare_on_splits(luck: pd.DataFrame) -> pd.DataFrame:
    """Compare conditions with `REFERENCE`, paired: the same patients tested in each split."""
    wide = luck[luck["protocol"] == "grouped"].pivot(index="repeat", columns="condition", values="value")
    table = compare_columns(wide, dict.fromkeys(wide.columns.drop(REFERENCE), REFERENCE))
    table.insert(0, "title", table.pop("condition").map(TITLES))
    return table


def compare_columns(wide: pd.DataFrame, references: dict[str, str]) -> pd.DataFrame:
    """Return paired differences of columns of runs to their reference columns, with corrected intervals."""
    differences = pd.concat([
        pd.DataFrame({"condition": key, "value": wide[key] - wide[reference]})
        for key, reference in references.items()
    ])  # fmt: skip
    table = summarise_runs(differences, ["condition"], test_share=TEST_SHARE)
    better = differences.groupby("condition", sort=False)["value"].agg(lambda values: int((values > 0).sum()))
    table = table.assign(better_in=table["condition"].map(better))
    table = table.rename(columns={"mean": "difference", "runs": "splits"})
    return table[["condition", "difference", "low", "high", "better_in", "splits"]]


def describe_luck(luck: pd.DataFrame) -> str:
    """Say in words how far luck with the split alone carries, and whether conditions differ beyond it."""
    table = luck_table(luck)
    grouped = table[table["protocol"] == "grouped"].assign(width=lambda t: t["max"] - t["min"])
    widest = grouped.loc[grouped["width"].idxmax()]
    told = (
        f"One split shows one number: on {int(widest['runs'])} splits by patient "
        f"{TITLES[widest['condition']]} (linear probe) has a test AUC from {widest['min']:.2f} to "
        f"{widest['max']:.2f}."
    )
    baseline = f"{TITLES[REFERENCE]}, paired by split"
    return f"{told}\n\n{describe_differences(compare_on_splits(luck), baseline=baseline)}"


def compute_newer(name: str, images: list[np.ndarray]) -> tuple[np.ndarray, float, str]:
    """Return globally averaged features of a newer base (N, channels), seconds a page, and its weights."""
    if name not in BASES:
        raise ValueError(f"Expected a base among {', '.join(BASES)}. Received {name!r}.")
    network, purity = _build(getattr(keras.applications, name))
    size = INPUT_SHAPE[:2]
    pages = [np.asarray(Image.fromarray(page).resize(size, Image.Resampling.BILINEAR)) for page in images]
    x = np.repeat(np.stack(pages)[..., None], 3, axis=-1).astype("float32")
    x = getattr(keras.applications, BASES[name]).preprocess_input(x)
    network.predict(x[:1], verbose=0)  # traced before the clock starts
    began = time.perf_counter()
    features = network.predict(x, batch_size=16, verbose=0)
    return features, (time.perf_counter() - began) / len(images), purity


def _build(build) -> tuple[keras.Model, str]:
    said = {"include_top": False, "pooling": "avg", "input_shape": INPUT_SHAPE}
    if os.environ.get("KARYO_OFFLINE", "0") in ("", "0"):
        try:
            return build(weights="imagenet", **said), "imagenet"
        except Exception:  # Keras wraps whatever the network did in a bare Exception
            pass
    keras.utils.set_random_seed(_SEED)
    return build(weights=None, **said), "random"


def compute_pooled(run: Run, base: str, images: list[np.ndarray], side: int = INPUT_SHAPE[0]) -> np.ndarray:
    """Return globally averaged features of pages, float32 (N, channels), at an input of `side` pixels."""
    weights, cut = resolve_run_weights(run, base), CUTS[base]["head"]
    shape = (side, side, 3)
    return compute_features(base, weights, images, cut, FeatureCache(), input_shape=shape).mean(axis=(1, 2))


def predict_probe(
    train: np.ndarray, y_train: np.ndarray, test: np.ndarray, *, balanced: bool = False
) -> np.ndarray:
    """Fit the probe on training features and return the probability of abnormal of the test features."""
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=STRENGTH, max_iter=2000, class_weight="balanced" if balanced else None),
    )
    return model.fit(train, y_train).predict_proba(test)[:, 1]
