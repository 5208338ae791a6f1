"""Reviews: what a specialist signed, as ``.review.json`` files. Whatever is not just that is refused.

A file is ``{"format": "karyo-review", "version": 1, "reviews": [...]}``; a review has the fields of `Review`,
an object those of `ReviewedObject`, ``class`` in place of ``name``; ``templates/cell.js`` has the same rules.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from karyo_lib.iscn import CHROMOSOMES, count_formula
from karyo_lib.store import write_whole

SUFFIX = ".review.json"
FOLDER = "reviews"  # beside the worklist
STATUSES = ("agree", "corrected", "unusable")
MOST_BYTES = 100_000_000
_SLOTS = (*CHROMOSOMES, "mar")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_MOST = {
    "reviews": 10_000, "objects": 300, "polygons": 20, "numbers": 4_000, "was": 20, "initials": 12,
    "note": 2_000,
}  # fmt: skip


class ReviewError(ValueError):
    """A file that is no review; the message says what was expected. Nothing of it is used."""


@dataclass(frozen=True)
class ReviewedObject:
    """An object of a picture as the specialist left it."""

    was: tuple[int, ...]  # positions of the objects of the reading that it is made of
    name: str  # class, '1' to '22', 'X', 'Y' or 'mar'; '' for what is no chromosome
    turned: bool  # whether it stands upside down on the picture
    outline: tuple[tuple[float, ...], ...]  # polygons ``x, y, x, y, ...`` in pixels of the picture


@dataclass(frozen=True)
class Review:
    """What a specialist signed of one picture."""

    picture: str  # digest of the picture's pixels, see :func:`karyo_lib.screening.view.digest_pixels`
    status: str  # {'agree', 'corrected', 'unusable'}
    initials: str
    note: str
    time: str  # UTC, ISO 8601, '2026-01-31T12:00:00Z'
    formula: str  # count formula of the objects; '' where there are none
    objects: tuple[ReviewedObject, ...]

    @property
    def signed(self) -> datetime:
        return datetime.fromisoformat(self.time)

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(one.name for one in self.objects if one.name))


def parse_reviews(content: bytes | str) -> list[Review]:
    """Read reviews from the content of a file.

    Raises ReviewError if it is anything but reviews: another format, unknown or repeated fields, numbers or
    texts out of range, a formula that is not that of the objects.

    Examples
    --------
    >>> parse_reviews('{"format": "karyo-review", "version": 1, "reviews": []}')
    []
    """
    if len(content) > MOST_BYTES:
        raise ReviewError(f"Expected reviews of at most {MOST_BYTES} bytes. Received {len(content)}.")
    try:
        if isinstance(content, bytes):
            content = content.decode("utf-8")
        told = json.loads(content, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ReviewError(f"Expected reviews as JSON. Received none ({type(error).__name__}).") from error
    told = _fields(told, ("format", "version", "reviews"), "a file of reviews")
    if told["format"] != "karyo-review" or told["version"] != 1 or isinstance(told["version"], bool):
        raise ReviewError("Expected reviews of karyo, version 1. Received another format or version.")
    return [_review(one, number) for number, one in enumerate(_list(told["reviews"], "reviews"), start=1)]


def format_reviews(reviews: Iterable[Review]) -> str:
    """Return the content of a file of reviews: what `parse_reviews` reads."""
    told = [asdict(review) for review in reviews]
    for review in told:
        review["objects"] = [
            {("class" if k == "name" else k): v for k, v in one.items()} for one in review["objects"]
        ]
    return json.dumps({"format": "karyo-review", "version": 1, "reviews": told}, ensure_ascii=False)


def read_reviews(folder: Path, more: Iterable[Path] = ()) -> dict[str, Review]:
    """Picture -> its latest review, of all ``.review.json`` in a folder, its ``reviews/``, and `more`;
    ReviewError names a file that is none."""
    latest: dict[str, Review] = {}
    found = [path for place in (folder, folder / FOLDER) for path in sorted(place.glob(f"*{SUFFIX}"))]
    for path in (*found, *more):
        try:
            if path.stat().st_size > MOST_BYTES:
                raise ReviewError(f"Expected at most {MOST_BYTES} bytes. Received {path.stat().st_size}.")
            reviews = parse_reviews(path.read_bytes())
        except (ReviewError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise ReviewError(f"{path.name!r}: {said}") from error
        for review in reviews:
            held = latest.get(review.picture)
            if held is None or held.signed < review.signed:
                latest[review.picture] = review
    return latest


def write_review(folder: Path, review: Review) -> Path:
    """Write one review into ``reviews/`` of a screening's out folder; returns the file."""
    path = Path(folder) / FOLDER / f"{review.picture}{SUFFIX}"
    write_whole(path, format_reviews([review]))
    return path


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a field twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _fields(value: Any, names: tuple[str, ...], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise ReviewError(f"Expected {what} with the fields {', '.join(names)}. Received something else.")
    return value


def _list(value: Any, what: str, least: int = 0) -> list:
    if not isinstance(value, list) or not least <= len(value) <= _MOST[what]:
        raise ReviewError(f"Expected {least} to {_MOST[what]} {what} in a list. Received something else.")
    return value


def _review(value: Any, number: int) -> Review:
    names = ("picture", "status", "initials", "note", "time", "formula", "objects")
    told = _fields(value, names, f"review {number}")
    if not all(isinstance(told[name], str) for name in names[:-1]):
        raise ReviewError(f"Expected texts in review {number}. Received something else.")
    objects = tuple(_object(one) for one in _list(told["objects"], "objects"))
    review = Review(**{name: told[name] for name in names[:-1]}, objects=objects)
    if not _DIGEST.fullmatch(review.picture):
        raise ReviewError(f"Expected the digest of a picture in review {number}. Received something else.")
    if review.status not in STATUSES:
        raise ReviewError(f"Expected a status, one of {', '.join(STATUSES)}, in review {number}.")
    for name in ("initials", "note"):
        if len(told[name].encode("utf-16-le", "surrogatepass")) // 2 > _MOST[name]:  # as a browser counts
            raise ReviewError(f"Expected at most {_MOST[name]} letters as {name} in review {number}.")
    if not review.initials.strip():
        raise ReviewError(f"Expected initials in review {number}. Received none.")
    try:
        if not _TIME.fullmatch(review.time):
            raise ValueError(review.time)
        datetime.fromisoformat(review.time)
    except ValueError as error:
        raise ReviewError(f"Expected a time such as 2026-01-31T12:00:00Z in review {number}.") from error
    formula = count_formula(review.counts) if objects else ""
    if review.formula != formula:
        raise ReviewError(f"Expected the formula of the objects, {formula}, in review {number}.")
    return review


def _object(value: Any) -> ReviewedObject:
    told = _fields(value, ("was", "class", "turned", "outline"), "an object")
    was = _list(told["was"], "was", 1)
    if not all(isinstance(i, int) and not isinstance(i, bool) and 0 <= i < 1000 for i in was):
        raise ReviewError("Expected positions of objects from 0 to 999. Received something else.")
    if not isinstance(told["class"], str) or told["class"] not in ("", *_SLOTS):
        raise ReviewError("Expected a class, 1 to 22, X, Y, mar or none. Received something else.")
    if not isinstance(told["turned"], bool):
        raise ReviewError("Expected true or false as turned. Received something else.")
    outline = tuple(_polygon(polygon) for polygon in _list(told["outline"], "polygons", 1))
    return ReviewedObject(tuple(was), told["class"], told["turned"], outline)


def _polygon(value: Any) -> tuple[float, ...]:
    numbers = _list(value, "numbers", 6)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise ReviewError("Expected numbers in an outline. Received something else.")
        if not -100 <= number <= 20_000:
            raise ReviewError("Expected pixels from -100 to 20000 in an outline. Received others.")
    if len(numbers) % 2:
        raise ReviewError("Expected pairs of x and y in an outline. Received an odd number.")
    return tuple(numbers)
