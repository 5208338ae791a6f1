"""The model card of a package, in Markdown and HTML, from the numbers of its own run."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

NOTICE = "Research tool, not a medical device. No diagnosis may rest on it."


@cache
def environment() -> Environment:
    """Return the templates of this room; HTML is escaped."""
    return Environment(
        loader=PackageLoader("karyo_lib.screening"),
        autoescape=select_autoescape(["html.j2", "html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render_card(facts: dict[str, Any]) -> tuple[str, str]:
    """Return a card as Markdown and as one HTML page.

    ``facts``: ``title`` (str), ``warning`` (str, may be ''), ``sections``: list of dicts with ``title``,
    ``text`` (list of str) and ``rows`` (list of lists of str, the first one the headings; may be empty).
    """
    told = {"notice": NOTICE, "title": "karyo model", "warning": "", "sections": [], **facts}
    markdown = environment().get_template("card.md.j2").render(told, cell=_cell)
    return markdown, environment().get_template("card.html.j2").render(told)


def _cell(text: Any) -> str:
    return str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
