"""Trains the decoder on spreads and drawings; fine-tunes it on a bank, or a lab's own sorted pages."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from karyo_lib.draw import STYLES, draw_karyogram
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.judge.intervals import wilson
from karyo_lib.networks.backend import device_name, keras, use_mixed_precision
from karyo_lib.read.decode import Decoder, DecoderSettings
from karyo_lib.read.decoding_network import (
    NetworkSettings,
    build_aligning_model,
    build_decoding_model,
    place_loss,
)
from karyo_lib.read.layout import arrange
from karyo_lib.read.reader import Reader
from karyo_lib.read.train.fit_decoder import DecoderTraining, fit, fit_settings
from karyo_lib.read.train.pieces import orient, read_spreads
from karyo_lib.read.train.rearrange import StripSet, whole_places
from karyo_lib.read.train.score import compose_trials, gain_limits, normal_cells, patient_part
from karyo_lib.shape.scaling import ScaledStrips, scale_strips

#: Share of the examples that are chromosomes of spreads; the others are drawn.
_SHARE_OF_SPREADS = 0.7
#: One page in so many of a lab's own is kept aside, to say whether adapting helped.
_KEPT_ASIDE = 4
#: A chromosome that surely looks like one of another slot was laid there by mistake: it teaches nothing.
_SURELY_ANOTHER = 0.98
#: A page on which slots name fewer is not sorted.
_LEAST_NAMED = 20


@dataclass(frozen=True)
class Adapted:
    """A reader that learned a lab's looks, and what that was worth on pages kept aside."""

    reader: Reader
    pages: int  # that it learned from
    right: np.ndarray  # (pages kept aside, 3): chromosomes, those like their slots before, and now

    @property
    def sentence(self) -> str:
        n, before, after = self.right.T
        gain, least, most = (100 * x for x in gain_limits((after - before) / n))
        n, before, after = (int(x.sum()) for x in (n, before, after))
        low, high = wilson(after, n)
        said = (
            f"On {len(self.right)} pages kept aside {after} of {n} chromosomes look most like what their "
            f"slots say ({after / n:.1%}; {low:.1%} to {high:.1%}), {before} ({before / n:.1%}) did before"
        )
        if np.isnan(least):
            return f"{said}: no page differs."
        told = "It helped" if least > 0 else "It did harm" if most < 0 else "It is not shown that it helped"
        return f"{said}. {told}: {gain:+.1f} points a page (95 % interval {least:+.1f} to {most:+.1f})."


def make_strip_set(parts: Iterable[tuple[ScaledStrips, Sequence[str]]]) -> StripSet:
    """Strips of normal chromosomes of several cells, with their classes; classes are drawn about evenly."""
    cells = [(strips, [CLASSES.index(name) for name in names]) for strips, names in parts]
    strips = ScaledStrips.join([strips for strips, _ in cells])
    classes = np.array([k for _, names in cells for k in names], np.int32)
    number = np.repeat(np.arange(len(cells)), [len(names) for _, names in cells])
    weights = 1 / np.maximum(np.bincount(classes, minlength=len(CLASSES))[classes], 1) ** 0.7
    rows = strips.rows.astype(int)
    return StripSet(
        strips.images, rows, classes, number, whole_places(classes, rows), weights / weights.sum()
    )


def strips_of_bank(bank: ChromosomeBank, cells: Iterable[str]) -> StripSet:
    def each() -> Iterable[tuple[ScaledStrips, list[str]]]:
        for cell in cells:
            cutouts = bank.cutouts(cell)
            strips = scale_strips([cutout.image for cutout in cutouts])
            yield strips, [cutout.chromosome for cutout in cutouts]

    return make_strip_set(each())


def strips_of_drawings(n: int, seed: int = 0) -> StripSet:
    """Strips of drawn normal cells, the lab styles by turns."""

    def each() -> Iterable[tuple[ScaledStrips, list[str]]]:
        for i in range(n):
            style = list(STYLES)[i % len(STYLES)]
            page = draw_karyogram("46,XY", style=style, seed=seed * 1000 + i, annotate=False, size=None)
            images, masks, names = [], [], []
            for number, row in enumerate(page.truth.itertuples(), start=1):
                where = slice(int(row.y0), int(row.y1) + 1), slice(int(row.x0), int(row.x1) + 1)
                mask = page.labels[where] == number
                if row.polarity == 1 and mask.any():
                    images.append(np.where(mask, page.image[where], 255).astype(np.uint8))
                    masks.append(mask)
                    names.append(row.chromosome)
            yield scale_strips(images, masks), names

    return make_strip_set(each())


def fine_tune(decoder: Decoder, strips: StripSet, minutes: float, seed: int = 2) -> Decoder:
    """Go on training a decoder, on chromosomes of a lab, cut and joined as in its first training."""
    s = DecoderTraining(
        batch_size=64, learning_rate=3e-4, minutes=minutes, chunk=10, realign=(0.4,), processes=1, seed=seed
    )
    return _fit(decoder, strips, replace(s, looks=replace(s.looks, strength=0.7)), decoder._built())


def _fit(decoder: Decoder, strips: StripSet, s: DecoderTraining, start: keras.Model | None = None) -> Decoder:
    keras.utils.set_random_seed(s.seed)
    fitted = Decoder(decoder.settings)
    fitted.model = build_decoding_model(decoder.settings.network)
    if start is not None:
        fitted.model.set_weights(start.get_weights())
    optimizer = keras.optimizers.AdamW(
        s.learning_rate, weight_decay=s.weight_decay, clipnorm=1.0, beta_2=0.98
    )
    fitted.model.compile(optimizer, place_loss)
    fit(fitted.model, build_aligning_model(fitted.model), strips, s, align_first=start is not None)
    return fitted


def train_anew(
    folder: Path | None,
    minutes: float,
    seed: int = 2,
    drawn: int = 160,
    network: NetworkSettings | None = None,
    tell: Callable[[str], None] = print,
) -> Reader:
    """Train a decoder on lone chromosomes of spreads and drawn cells, or on drawn ones alone (``folder``
    None); temperature and score on validation cases, or cells drawn apart."""
    upright = strips_of_drawings(drawn, seed)
    if folder is None:
        tell(f"{len(upright)} drawn chromosomes to train on")
        return _train_anew(upright, strips_of_drawings(max(1, drawn // 8), seed + 1), minutes, seed, network)
    parts = []
    for part, each in (("training", 2), ("validation", 1)):
        found = make_strip_set(tqdm(read_spreads(folder, part, each), f"Spreads, {part}", unit="spread"))
        turned = orient(
            ScaledStrips(found.images, found.rows), found.classes,
            ScaledStrips(upright.images, upright.rows), upright.classes,
        )  # fmt: skip
        parts.append(replace(found, images=turned.images))
    own, validation = parts
    tell(f"{len(own)} chromosomes of spreads and {len(upright)} drawn ones to train on")
    both = {f.name: np.concatenate([getattr(own, f.name), getattr(upright, f.name)]) for f in fields(own)}
    both["cells"][len(own) :] += own.cells.max() + 1
    both["weights"][: len(own)] *= _SHARE_OF_SPREADS / (1 - _SHARE_OF_SPREADS)
    return _train_anew(StripSet(**both), validation, minutes, seed, network)


def _train_anew(
    strips: StripSet, validation: StripSet, minutes: float, seed: int, network: NetworkSettings | None
) -> Reader:
    """Karyo's own reader with a decoder trained from nothing; it clears nothing."""
    card = device_name().startswith("GPU")
    s = DecoderTraining(minutes=minutes, realign=(0.45,), seed=seed, processes=8 if card else 1)
    if not card:
        s = replace(s, batch_size=64, learning_rate=8e-4, chunk=10)
    use_mixed_precision(card)
    reader = Reader.load().with_settings(clear_below=None, promise="")
    reader.decoder = _fit(Decoder(DecoderSettings(network or NetworkSettings())), strips, s)
    use_mixed_precision(False)
    reader.decoder = fit_settings(reader.decoder, validation)
    return reader


def train_on_bank(
    bank: ChromosomeBank, minutes: float, seed: int = 2, pages: int = 60, tell: Callable[[str], None] = print
) -> Reader:
    """Fine-tune on a bank's training patients; others set temperature and the score that marks a change."""
    cells = {part: normal_cells(bank, part)["cell"] for part in ("train", "val")}
    if any(len(own) == 0 for own in cells.values()):
        raise ValueError(
            "Expected normal cells of patients to train on and of others to set thresholds on. Received "
            f"{bank.cells['case'].nunique()} patients, of parts "
            f"{sorted(set(bank.cells['case'].map(patient_part)))}: ten or more patients have all parts."
        )
    reader = Reader.load().with_settings(clear_below=None, promise="")
    tell(f"{len(cells['train'])} cells to train on, {len(cells['val'])} to set thresholds on")
    tuned = fine_tune(reader.decoder, strips_of_bank(bank, cells["train"]), minutes, seed)
    reader.decoder = fit_settings(tuned, strips_of_bank(bank, cells["val"]))
    composed = compose_trials(bank, -(-pages // len(STYLES)), seed, part="val", abnormal=0)
    composed = tqdm(islice(composed, pages), "Reading composed normal pages", pages, unit="page")
    return fit_marks(reader, (page.image for page in composed))


def fit_marks(reader: Reader, images: Iterable[np.ndarray], share: float = 0.05) -> Reader:
    """Set from which score changes are marked: on at most ``share`` of these pages, which have none."""
    counted = reader.with_settings(least_score=-np.inf)
    highest = []
    for image in images:
        changes = counted.read(image).structure
        highest.append(changes.loc[changes["kind"] != "variant", "score"].max())
    high = np.sort(np.nan_to_num(np.array(highest, float)))[::-1]
    least, often = high[int(share * len(high))], high[int(5 * share * len(high))]
    scale = max(float(least - often) / np.log(5), 1.0)
    return reader.with_settings(least_score=max(float(least), 1.0), score_scale=scale, half_seen=None)


@dataclass(frozen=True)
class SortedPage:
    """Chromosomes that slots name: strips, names, log-probabilities (n, 24), and which teach (bool, n): not
    those that surely look like another slot's, or upside down."""

    strips: ScaledStrips
    names: list[str]
    log_proba: np.ndarray
    teaches: np.ndarray


def sorted_page(reader: Reader, image: np.ndarray) -> SortedPage | None:
    """What a sorted page says of its chromosomes; None where it has no slots that name them."""
    found, labels = reader.find(image)
    if found.kind != "karyogram":
        return None
    strips = scale_strips(found.cutouts, found.masks)
    decoded = reader.decoder.decode(strips, reader.settings.upside_down)
    slots = np.array(arrange(found.boxes, labels, decoded.log_proba).slots, object)
    most = {name: 2 for name in CLASSES} | {"Y": 1}  # more, and one of them may be another, or a piece
    named = [i for i, name in enumerate(slots) if name in CLASSES and (slots == name).sum() <= most[name]]
    if len(named) < _LEAST_NAMED:
        return None
    names, log_p = slots[named].tolist(), decoded.log_proba[named]
    looks = np.exp(log_p - np.logaddexp.reduce(log_p, axis=1, keepdims=True))
    other = np.array([CLASSES[k] for k in looks.argmax(1)], object) != slots[named]
    teaches = ~(other & (looks.max(1) > _SURELY_ANOTHER)) & (decoded.p_upside_down[named] < 0.5)
    return SortedPage(strips.take(named), names, log_p, teaches)


def adapt(
    reader: Reader,
    images: Iterable[np.ndarray],
    minutes: float,
    seed: int = 2,
    tell: Callable[[str], None] = print,
) -> Adapted:
    """Learn a lab's looks from its own pages with named slots; ValueError if fewer than eight have them."""
    pages = [page for page in (sorted_page(reader, image) for image in images) if page is not None]
    if len(pages) < 8:
        raise ValueError(
            f"Expected at least eight pages whose slots name their chromosomes. Received {len(pages)}."
        )
    aside = np.random.default_rng(seed).permutation(len(pages))[: max(2, len(pages) // _KEPT_ASIDE)].tolist()
    own = [page for i, page in enumerate(pages) if i not in aside]
    tell(f"{len(own)} pages to learn from, {len(aside)} kept aside")
    taught = [
        (page.strips.take(rows), page.names, rows) for page in own for rows in [page.teaches.nonzero()[0]]
    ]
    strips = make_strip_set((strips, [names[i] for i in rows]) for strips, names, rows in taught)
    tuned = fine_tune(reader.decoder, strips, minutes, seed)
    right = []
    for page in (pages[i] for i in aside):
        truth = np.array([CLASSES.index(name) for name in page.names])
        looks = tuned.decode(page.strips, reader.settings.upside_down).log_proba
        right.append([len(truth), *(int((p.argmax(1) == truth).sum()) for p in (page.log_proba, looks))])
    adapted = reader.with_settings(clear_below=None, promise="")
    adapted.decoder = tuned
    return Adapted(adapted, len(own), np.array(right))
