"""Readings of a labelled folder of images against the truth, and a page of its errors to look at."""

import base64
import io
import time
from collections.abc import Iterable
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from karyo_lib.files.images import UnusableImage, read_image
from karyo_lib.files.listing import DatasetError
from karyo_lib.iscn import CHROMOSOMES, NORMAL_FORMULAE, KaryotypeError, count_formula, parse_karyotype
from karyo_lib.judge.intervals import wilson
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading, summary

#: A formula of which a reader is as sure as this should be right.
SURE = 0.95
_SIDE = 760  # pixels of the longer side of a picture

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Readings against the truth</title>
<meta name="viewport" content="width=device-width">
<style>body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem;color:#1a1a1a}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;border-bottom:1px solid #ddd;
text-align:left;vertical-align:top}img{max-width:100%;border:1px solid #ccc}section{margin:2.5rem 0}
.wrong{color:#a33c00;font-weight:600}</style>
<h1>Readings against the truth</h1>
<p>A research tool, not a medical device.</p>
<table>{% for row in summary %}<tr><th scope="row">{{ row.measure }}</th><td>{{ row.shown }}</td></tr>
{% endfor %}</table>
{% if shown %}<h2>Images to look at</h2>{% else %}<p>Nothing was read wrongly or referred.</p>{% endif %}
{% for page in shown %}<section><h3>{{ page.file }}</h3>
<p class="{{ '' if page.exact else 'wrong' }}">Truth {{ page.truth }}; read {{ page.formula }}
({{ '%.0f' % (100 * page.formula_probability) }} %){% if page.arrangement %}; laid out as
{{ page.arrangement }}{% endif %}.</p>{% if page.refer_reason %}<p>Referred: {{ page.refer_reason }}.</p>
{% endif %}{% if page.picture %}<img alt="{{ page.file }} with names"
src="data:image/jpeg;base64,{{ page.picture }}">{% endif %}</section>{% endfor %}</html>
"""


def read_truths(folder: Path) -> pd.DataFrame:
    """Labelled images of a folder: ``file, truth`` (count formula) of the rows of ``index.csv`` that count.

    Raises DatasetError if there is no such table, or a truth is no formula.
    """
    path = folder / "index.csv"
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"Expected {folder.name!r} to hold a table index.csv with columns file, truth. {error}"
        ) from error
    if missing := {"file", "truth"} - set(table):
        raise DatasetError(f"Expected columns file, truth in {path.name}. Received none named {missing}.")
    if "confidence" in table:
        table = table[table["confidence"] != "unsure"]
    inside = folder.resolve()
    for name in table["file"]:
        if inside not in (folder / name).resolve().parents:
            raise DatasetError(f"Expected files below {folder.name!r}. Received {name!r}.")
    return table[["file"]].assign(truth=[true_counts(t) for t in table["truth"]]).reset_index(drop=True)


def true_counts(formula: str) -> str:
    """Count formula of a karyotype, whose structural changes may lack their bands: '46,XY,t(9;22)'."""
    try:
        counts = parse_karyotype(formula).counts
    except KaryotypeError:
        number, sex, *parts = formula.split(",") if formula.count(",") else (formula, "", "")
        counts = parse_karyotype(",".join([number, sex, *(p for p in parts if "(" not in p)])).counts
    return count_formula({name: counts[name] for name in CHROMOSOMES})


def score_folder(reader: Reader, truths: pd.DataFrame, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read the images of a folder.

    Returns ``table``: ``file, truth``, what `karyo_lib.read.reading.summary` says, ``exact`` and ``seconds``,
    one row an image; ``pictures``: JPEG in base64 of those that are wrong or referred, '' for the others.
    """
    rows, pictures = [], []
    for file, truth in truths.itertuples(index=False):
        started = time.perf_counter()
        try:
            image = read_image(folder / file)
        except UnusableImage as error:
            unread = {"kind": "unreadable", "formula": "?", "refer_reason": str(error), "p_count": 0.5}
            rows.append({"file": file, "truth": truth, **unread, "exact": False})
            pictures.append("")
            continue
        reading = reader.read(image)
        seconds = time.perf_counter() - started
        exact = reading.formula == truth
        rows.append({"file": file, "truth": truth, **summary(reading), "exact": exact, "seconds": seconds})
        pictures.append("" if exact and not reading.refer_reason else draw_reading(image, reading))
    return pd.DataFrame(rows), pictures


def summarise_folder(table: pd.DataFrame) -> pd.DataFrame:
    """Shares with 95 % Wilson limits: ``measure, k, n, share, low, high, shown``."""
    normal = table["truth"].isin(NORMAL_FORMULAE)
    called, sure = table["p_count"] > 0.5, table["formula_probability"].fillna(0) >= SURE
    cleared = table["decision"] == "cleared for number"
    rows = []
    for measure, among, right in (
        ("count formula exact", table["truth"] != "", table["exact"]),
        ("normal numbers not called abnormal (specificity)", normal, ~called),
        ("abnormal numbers called abnormal (sensitivity)", ~normal, called),
        (f"exact where the formula is given with {SURE:.0%} and more", sure, table["exact"]),
        ("referred", table["truth"] != "", table["refer_reason"] != ""),
        ("normal numbers cleared", normal, cleared),
        ("abnormal numbers cleared", ~normal, cleared),
    ):
        k, n = int((among & right).sum()), int(among.sum())
        low, high = wilson(k, n) if n else (np.nan, np.nan)
        shown = f"{k} of {n} ({k / n:.0%}; {low:.0%} to {high:.0%})" if n else "none"
        rows.append((measure, k, n, k / n if n else np.nan, low, high, shown))
    seconds = table["seconds"].dropna() if "seconds" in table else pd.Series(dtype=float)
    if len(seconds):
        shown = f"{seconds.median():.1f} (median), {seconds.max():.1f} (longest)"
        rows.append(("seconds an image", len(seconds), len(seconds), *([np.nan] * 3), shown))
    return pd.DataFrame(rows, columns=["measure", "k", "n", "share", "low", "high", "shown"])


def write_errors(table: pd.DataFrame, pictures: Iterable[str], path: Path) -> None:
    """Write one HTML file, without links: the summary, then images read wrongly, then those referred."""
    shown = table.assign(picture=list(pictures))
    shown = shown[~shown["exact"] | (shown["refer_reason"] != "")].sort_values("exact", kind="stable")
    shown = shown.fillna({"formula_probability": 0.0, "arrangement": ""})
    template = jinja2.Environment(autoescape=True).from_string(_PAGE)
    text = template.render(summary=summarise_folder(table).to_dict("records"), shown=shown.to_dict("records"))
    path.write_text(text, encoding="utf-8")


def draw_reading(image: np.ndarray, reading: Reading) -> str:
    """The image with a box and a name at each object, JPEG in base64; vermillion where in doubt."""
    scale = _SIDE / max(image.shape)
    page = Image.fromarray(image).convert("RGB")
    page = page.resize((max(1, round(page.width * scale)), max(1, round(page.height * scale))))
    draw = ImageDraw.Draw(page)
    for row in reading.chromosomes.itertuples():
        odd = row.doubtful or (row.printed not in ("", "XY", row.chromosome) and len(row.printed) < 3)
        colour = "#D55E00" if odd else "#0072B2"
        box = [value * scale for value in (row.x0, row.y0, row.x1, row.y1)]
        draw.rectangle(box, outline=colour)
        draw.text((box[0] + 1, box[1] - 11), row.chromosome or "not one", fill=colour)
    out = io.BytesIO()
    page.save(out, "JPEG", quality=80)
    return base64.b64encode(out.getvalue()).decode()
