"""The cells of a screening in JupyterLab: looked at, corrected and signed as in the worklist."""

import json
from pathlib import Path

import anywidget
import traitlets

from karyo_lib.screening.card import NOTICE
from karyo_lib.screening.journal import Entry, Journal
from karyo_lib.screening.review import Review, format_reviews, parse_reviews, read_reviews, write_review
from karyo_lib.screening.view import band_tables

_SCRIPTS = Path(__file__).with_name("templates")


class ReviewWidget(anywidget.AnyWidget):
    """A screening's cells, most urgent first; reviews are written into its folder as they are signed.

    ``folder``: what `karyo screen` wrote. ``at``: which cell is shown, from 0. Raises ValueError if the
    folder is no screening's, or holds no case that could be read.

    Examples
    --------
    >>> ReviewWidget("worklist")  # doctest: +SKIP
    """

    _esm = _SCRIPTS / "cell.js"
    _css = _SCRIPTS / "cell.css"
    at = traitlets.Int(0).tag(sync=True)
    told = traitlets.Dict().tag(sync=True)
    bands = traitlets.Dict().tag(sync=True)
    picture = traitlets.Bytes().tag(sync=True)
    review = traitlets.Dict().tag(sync=True)
    initials = traitlets.Unicode("").tag(sync=True)

    def __init__(self, folder: str | Path):
        self._folder = Path(folder)
        self._journal = Journal.finished(self._folder)
        self._reviews = read_reviews(self._folder)
        self._entries: list[Entry] = sorted(
            (entry for entry in self._journal.entries if entry.decision != "quarantined"), key=Entry.urgency
        )
        if not self._entries:
            raise ValueError(
                f"Expected cases that could be read. Received {self._folder.name!r} without any."
            )
        super().__init__(bands=band_tables())
        self._show()

    @property
    def reviews(self) -> dict[str, Review]:
        return dict(self._reviews)

    @traitlets.validate("at")
    def _check_at(self, proposal: traitlets.Bunch) -> int:
        return min(max(proposal["value"], 0), len(self._entries) - 1)

    @traitlets.observe("at")
    def _show(self, _: object = None) -> None:
        (result,) = self._journal.read([self._entries[self.at]])
        held = self._reviews.get(result.digest)
        with self.hold_sync():
            self.picture = result.picture
            self.review = json.loads(format_reviews([held]))["reviews"][0] if held else {}
            self.told = {
                "cell": json.loads(result.cell) if result.cell else None,
                "key": result.digest,
                "title": result.file,
                "decision": result.decision,
                "reason": result.reason,
                "where": f"{self.at + 1} of {len(self._entries)}",
                "notice": NOTICE,
                "last": len(self._entries),
            }

    @traitlets.observe("review")
    def _keep(self, change: traitlets.Bunch) -> None:
        if not change["new"]:
            return
        told = json.dumps({"format": "karyo-review", "version": 1, "reviews": [change["new"]]})
        (review,) = parse_reviews(told)
        if review != self._reviews.get(review.picture):
            write_review(self._folder, review)
            self._reviews[review.picture] = review
