"""What a notebook cell shows: figures, tables, headline numbers, banners, sentences; as HTML and as plain
text.

Headlines and banners carry a media type of their own, so that a report can lift them to its top.
"""

import base64
import html
import io
import math
import numbers
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from PIL import Image

from karyo_lib.judge.intervals import NO_INTERVAL
from karyo_lib.networks.conditions import CONDITIONS
from karyo_lib.resources import data_file

# How training and test were split, in words; files have the keys.
SPLIT_TITLES = {
    "thesis": "the thesis's",
    "grouped": "by patient",
    "shuffled-thesis": "the thesis's, labels at random",
    "shuffled-grouped": "by patient, labels at random",
}

# What the columns 'low' and 'high' may be the limits of, where a table has no 'x_low' and 'x_high'.
_ESTIMATES = ("value", "mean", "difference", "share", "share_right", "sensitivity", "rate")
HEADLINE = "application/vnd.karyo.headline+json"
TEMPLATES = Path(__file__).parent / "report" / "templates"
BANNER = "application/vnd.karyo.banner+json"
FIGURE = "application/vnd.karyo.figure+json"
RUN = "application/vnd.karyo.run+json"
_LONGEST_ALT = 1500  # characters
_LONG = 36  # characters: a longer text in a table is set in several lines
_SENTENCE = 90  # characters: such a text has a wider column
_PLACE = re.compile(r"(?P<report>\d\d_\w+)\.html(?:#(?P<anchor>[\w.-]+))?")
_CSV_INSIDE = 1_500_000  # bytes: a larger table is linked to its file, not carried inside the page
_HEAVY_SVG = 300_000  # bytes: above, the page shows the PNG; the SVG can still be taken from it
_TITLES = {  # files have the keys
    "condition": {condition.key: condition.title for condition in CONDITIONS},
    "protocol": SPLIT_TITLES,
}
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_HEAVY_PNG = 150_000  # bytes: above, the PNG goes to 256 colours


def words(column: Any) -> str:
    """Return a column's name as it is read."""
    return str(column).replace("_", " ")


@cache
def _explanations() -> dict[str, str]:
    table = pd.read_csv(data_file("columns.csv"), dtype=str)
    return dict(zip(table["column"], table["explanation"], strict=True))


def explain(column: Any) -> str:
    """Return what a column means, where that is known, and what pressing its heading does."""
    told = _explanations().get(str(column), "")
    return f"{told}. Press to sort." if told else "Press to sort."


def find_limits(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return estimate -> columns of its limits: one cell on the page, three columns in the CSV."""
    pairs = {name: (f"{name}_low", f"{name}_high") for name in frame}
    names = list(frame)
    before = names[: names.index("low")] if "low" in names else []
    if estimates := [name for name in before if name in _ESTIMATES]:
        pairs[estimates[-1]] = ("low", "high")  # limits stand behind what they are limits of
    return {
        name: pair
        for name, pair in pairs.items()
        if all(end in frame and pd.api.types.is_numeric_dtype(frame[end]) for end in (name, *pair))
    }


@cache
def static(name: str) -> str:
    """Return the text of a style sheet or script that comes with the package."""
    return (Path(__file__).parents[1] / "static" / name).read_text(encoding="utf-8")


@cache
def templates() -> jinja2.Environment:
    """Return the templates of the reports; texts are escaped in them."""
    loader = jinja2.FileSystemLoader(TEMPLATES / "karyo")
    return jinja2.Environment(loader=loader, autoescape=False, trim_blocks=True, lstrip_blocks=True)


def frame() -> Any:
    """Return the macros that cells, reports and the index share."""
    return templates().get_template("frame.html.j2").module


def slug(text: str) -> str:
    """Return *text* as an anchor: ``'Fig 4.8'`` becomes ``'fig-4-8'``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def data_uri(content: bytes, media_type: str) -> str:
    """Return *content* as an address that needs no file."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"


def format_number(value: Any, digits: int = 3) -> str:
    """Return a number as a reader wants it: integers in groups, others to *digits* significant places."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return "\N{EN DASH}"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if not isinstance(value, numbers.Real):
        return str(value)
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}".replace(",", "\u202f")
    value = float(value)
    if math.isinf(value):
        return "∞" if value > 0 else "\N{MINUS SIGN}∞"
    size = abs(value)
    if size != 0 and (size < 1e-3 or size >= 1e6):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}\u202f\N{MULTIPLICATION SIGN}\u202f10{str(int(exponent)).translate(_RAISED)}"
    places = digits if size <= 1 else max(0, digits - 1 - int(math.log10(size)))
    return f"{value:,.{places}f}".replace(",", "\u202f")


def thumbnail(path: Path, size: tuple[int, int]) -> str:
    """Return an image, at most *size* (width, height) in px, as an address that needs no file."""
    with Image.open(path) as image:
        small = image.convert("RGBA")
        small.thumbnail(size)
        flat = Image.new("RGB", small.size, "white")
        flat.paste(small, mask=small.getchannel("A"))
    stream = io.BytesIO()
    flat.save(stream, format="WEBP", quality=80)
    return data_uri(stream.getvalue(), "image/webp")


class Shown:
    """Base of everything shown in a cell: HTML beside plain text, and ``told()`` under a ``media`` type."""

    media = ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        own = {self.media: self.told()} if self.media else {}
        return {"text/html": self.to_html(), "text/plain": str(self), **own}


@dataclass(frozen=True)
class Figure(Shown):
    """A figure with its caption and the links that download it."""

    media = FIGURE
    name: str
    caption: str
    thesis: str | None
    alt: str
    width: int  # CSS px
    height: int
    png: bytes  # at twice that size
    svg: bytes

    @classmethod
    def render(cls, shown: Any, name: str, caption: str, thesis: str | None = None) -> "Figure":
        """Render a matplotlib Figure or Axes, or a Display that keeps ``figure_``, and close it."""
        import matplotlib.pyplot as plt

        figure = _figure_of(shown)
        svg, png = io.BytesIO(), io.BytesIO()
        figure.draw_without_rendering()  # lays out once; each file would else be laid out again
        figure.set_layout_engine("none")
        inside = figure.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
        with plt.rc_context({"svg.hashsalt": name}):  # the same figure gives the same bytes
            figure.savefig(svg, format="svg", bbox_inches=inside, metadata={"Date": None})
        figure.savefig(png, format="png", bbox_inches=inside, dpi=2 * figure.dpi, metadata={"Software": None})
        plt.close(figure)
        small, (width, height) = _lighter(png.getvalue())
        alt = describe_figure(shown, figure) or caption
        return cls(name, caption, thesis, alt, width // 2, height // 2, small, svg.getvalue())

    def __str__(self) -> str:
        return f"{self.thesis + ': ' if self.thesis else ''}{self.caption}"

    @property
    def anchor(self) -> str:
        return slug(self.thesis or self.name)

    def told(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("name", "thesis", "anchor", "caption")}

    def to_html(self) -> str:
        png, svg = data_uri(self.png, "image/png"), data_uri(self.svg, "image/svg+xml")
        return frame().figure(self, svg if len(self.svg) <= _HEAVY_SVG else png, png, svg)


@dataclass(frozen=True)
class Table(Shown):
    """A saved table with its caption: the first rows on the page, all of it in the CSV."""

    name: str
    caption: str
    thesis: str | None
    frame: pd.DataFrame
    csv: bytes
    rows: int
    digits: int
    pictures: dict[str, str] = field(default_factory=dict)  # figure name -> address of its thumbnail

    def __str__(self) -> str:
        title = f"{self.thesis + ': ' if self.thesis else ''}{self.caption}"
        return f"{title}\n{self.frame.head(self.rows).to_string(index=False)}"

    @property
    def anchor(self) -> str:
        return slug(self.thesis or self.name)

    def to_html(self) -> str:
        shown = self.frame.head(self.rows)
        limits = find_limits(shown)
        columns = [name for name in shown if name not in {end for pair in limits.values() for end in pair}]
        number = {
            name: pd.api.types.is_numeric_dtype(shown[name]) and not pd.api.types.is_bool_dtype(shown[name])
            for name in columns
        }
        cells = [
            [self._cell(row, name, number[name], limits.get(name)) for name in columns]
            for row in shown.to_dict("records")
        ]
        inside = len(self.csv) <= _CSV_INSIDE
        address = data_uri(self.csv, "text/csv") if inside else f"tables/{self.name}.csv"
        heads = [(words(name), explain(name), number[name]) for name in columns]
        return frame().table(self, heads, cells, len(self.frame) - len(shown), address)

    def _cell(self, row: dict, column: Any, is_number: bool, limits: tuple[str, str] | None) -> str:
        value = row[column]
        text = str(value) if column == "seed" else format_number(value, self.digits)
        text = _TITLES.get(column, {}).get(text, text)
        if not is_number:
            long = f' class="long{" sentence" if len(text) > _SENTENCE else ""}"' if len(text) > _LONG else ""
            return f"<td{long}>{self._linked(text, column)}</td>"
        raw = "" if pd.isna(value) else repr(float(value))
        ends = [row[end] for end in limits or ()]
        if ends and not pd.isna(ends).any():
            text += f" <small>[{', '.join(format_number(end, self.digits) for end in ends)}]</small>"
        return f'<td class="number" data-value="{raw}">{text}</td>'

    def _linked(self, text: str, column: Any) -> str:
        """Return a text as HTML: a place in a report as a link, a figure in ``thumbnail`` as a picture."""
        if column == "thumbnail":
            address = self.pictures.get(text)
            return f'<img class="karyo-thumbnail" src="{address}" alt="">' if address else ""
        if found := _PLACE.fullmatch(text):
            place = f"{found['report']}, {found['anchor']}" if found["anchor"] else found["report"]
            return f'<a href="{html.escape(text)}">{html.escape(place)}</a>'
        return html.escape(text)


@dataclass(frozen=True)
class Headline(Shown):
    """The numbers a report opens with, each with its interval."""

    media = HEADLINE
    items: Sequence[Sequence[Any]]  # label, value and, if known, low, high, note

    def __str__(self) -> str:
        return "; ".join(f"{one['label']} {one['value']} {one['interval']}".strip() for one in self.told())

    def told(self) -> list[dict[str, str]]:
        """Return ``label, value, interval, note`` of each number, as text."""
        return [_tell(*item) for item in self.items]

    def to_html(self) -> str:
        return frame().headlines(self.told())


@dataclass(frozen=True)
class Banner(Shown):
    """A warning that a reader must not miss. Without text it shows nothing."""

    media = BANNER
    text: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind.upper()}: {self.text}" if self.text else ""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return super()._repr_mimebundle_() if self.text else {"text/plain": ""}

    def told(self) -> dict[str, str]:
        return {"text": self.text, "kind": self.kind}

    def to_html(self) -> str:
        return frame().banners([self.told()])


@dataclass(frozen=True)
class Text:
    """A conclusion in words, computed from the run's own numbers (Markdown)."""

    markdown: str

    def __str__(self) -> str:
        return self.markdown

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


def _tell(label: str, value: Any, low: Any = None, high: Any = None, note: str = "") -> dict[str, str]:
    if low is None or high is None:
        interval = ""
    elif pd.isna(low) or pd.isna(high):
        interval = f"({NO_INTERVAL})"
    else:
        interval = f"({format_number(low)} to {format_number(high)})"
    return {"label": label, "value": format_number(value), "interval": interval, "note": note or ""}


def _figure_of(shown: Any) -> Any:
    from matplotlib.figure import Figure as MatplotlibFigure

    if hasattr(shown, "plot") and not hasattr(shown, "figure_") and not hasattr(shown, "figure"):
        shown = shown.plot() or shown
    for candidate in (shown, getattr(shown, "figure_", None), getattr(shown, "figure", None)):
        if isinstance(candidate, MatplotlibFigure):
            return candidate
    raise TypeError(
        "Expected a matplotlib Figure or Axes, or a Display that keeps figure_. "
        f"Received {type(shown).__name__}."
    )


def _lighter(png: bytes) -> tuple[bytes, tuple[int, int]]:
    """Return the PNG, in 256 colours where it is heavy, and its size in px."""
    with Image.open(io.BytesIO(png)) as image:
        size = image.size
        if len(png) <= _HEAVY_PNG:
            return png, size
        flat = Image.new("RGB", size, "white")
        flat.paste(image, mask=image.getchannel("A") if "A" in image.getbands() else None)
        small = io.BytesIO()
        flat.quantize(256).save(small, format="PNG", optimize=True)
    return min((png, small.getvalue()), key=len), size


def describe_figure(shown: Any, figure: Any) -> str:
    """Return what a figure shows in words, for readers who hear the page: what a Display tells (``alt_``)."""
    text = getattr(shown, "alt_", "") or " ".join(filter(None, map(_describe_axes, figure.axes)))
    if not text or not figure.legends:
        return _shortened(text)
    entries = "; ".join(entry.get_text() for legend in figure.legends for entry in legend.get_texts())
    return _shortened(text if getattr(shown, "alt_", "") else f"{text} Legend: {entries}.")


def _describe_axes(ax: Any) -> str:
    title = " ".join(filter(None, (ax.get_title(loc) for loc in ("left", "center", "right"))))
    x, y = _flat(ax.get_xlabel()), _flat(ax.get_ylabel())
    if ax.images and not y:
        return f"Image: {x or title}." if x or title else ""
    what = f"{y} against {x}" if x and y else x or y
    legend = ax.get_legend()
    entries = [entry.get_text() for entry in legend.get_texts()] if legend else []
    entries += [_flat(text.get_text()) for text in ax.texts]
    told = "; ".join(filter(None, entries))
    words = ": ".join(filter(None, (_flat(title), what)))
    return f"{words}{f' ({told})' if told else ''}." if words or told else ""


def _flat(text: str) -> str:
    return " ".join(text.split())


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_ALT else text[:_LONGEST_ALT].rsplit(" ", 1)[0] + " ..."
