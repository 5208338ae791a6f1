"""What a figure shows, in words: for readers who hear the page instead of seeing it."""

from __future__ import annotations

from typing import Any

_LONGEST = 1500  # characters


def describe_figure(shown: Any, figure: Any) -> str:
    """Return the alternative text of a figure.

    ``shown``: a Display that tells its numbers itself (``alt_``), or anything else; ``figure``
    (matplotlib.figure.Figure): its panels are described by titles, axes and legends otherwise.
    """
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
    return text if len(text) <= _LONGEST else text[:_LONGEST].rsplit(" ", 1)[0] + " ..."
