"""How long a paragraph may be: sixty words, five numbers. A number with its interval counts once."""

import re

import nbformat

MOST_WORDS, MOST_NUMBERS = 60, 5
_NUMBER = re.compile(
    r"(?<![\w.])[-+\N{MINUS SIGN}]?\d[\d.,]*(?:e[-+]?\d+)?(?:\s?%)?(?:\s*\[[^\]]*\](?:\s?%)?)?"
)
# Where something stands, or what it is called, is no result.
_NAME = re.compile(
    r"(?:sections?|chapters?|figs?\.?|figures?|tables?|notebooks?|seed|ISCN)\s*\d[\d.]*"
    r"(?:\s*(?:,|and|to)\s*\d[\d.]*)*|\d+\s?px|\d+ \S \d+|InceptionV3|VGG16|\d\d?,[XY]+\S*|95 %",
    re.IGNORECASE,
)


def paragraphs(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the paragraphs and list items that a reader meets: Markdown cells, conclusions, captions."""
    texts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and not cell.source.startswith("**Parameters"):
            texts.append(cell.source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [data[kind] for kind in ("text/markdown",) if kind in data]
            texts += [told["caption"] for kind, told in data.items() if kind.endswith("karyo.figure+json")]
            texts += re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", data.get("text/html", ""), re.DOTALL)
    plain = (re.sub(r"<span class=\"karyo-links\">.*|<[^>]+>", "", text) for text in texts)
    return [
        part.strip()
        for text in plain
        for part in re.split(r"\n\s*\n|\n\s*- |\A- |\n#+ ", text)
        if part.strip()
    ]


def headlines(notebook: nbformat.NotebookNode) -> list[dict]:
    """Return the headline numbers of a notebook."""
    kinds = (
        data for cell in notebook.cells for o in cell.get("outputs", []) for data in o.get("data", {}).items()
    )
    return [item for kind, items in kinds if kind.endswith("karyo.headline+json") for item in items]


def too_long(paragraph: str) -> str:
    """Return what is too much in a paragraph; empty where nothing is."""
    words, numbers = len(paragraph.split()), len(_NUMBER.findall(_NAME.sub("", paragraph)))
    said = [f"{words} words"] if words > MOST_WORDS else []
    said += [f"{numbers} numbers"] if numbers > MOST_NUMBERS else []
    return " and ".join(said)


def complaints(notebook: nbformat.NotebookNode) -> list[str]:
    """Return every paragraph that is too long, with what is too much."""
    found = ((too_long(paragraph), paragraph) for paragraph in paragraphs(notebook))
    return [f"{said}: {paragraph}" for said, paragraph in found if said]


# Kinds of sentences that were once wrong or empty, as patterns that no executed notebook may hold.
EMPTY = {
    "a change that is none": re.compile(r"\b(\d\.\d+) becomes \1\b"),
    "an unnamed a or b": re.compile(r"\bright in [ab] only\b|\bin a only\b"),
    "a bar that is a stroke": re.compile(r"the bar is the mean"),
    "a mark denied that is there": re.compile(r"a whole chromosome more or less is not"),
    "an average of nothing": re.compile(r"\bnan\b|\bNone\b"),
}


def empty_sentences(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the sentences of a notebook that say something wrong or nothing."""
    return [
        f"{kind}: {paragraph}"
        for paragraph in paragraphs(notebook)
        for kind, pattern in EMPTY.items()
        if pattern.search(paragraph)
    ]
