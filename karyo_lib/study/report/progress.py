"""Tells how far a run is: notebook k of n, cell, epoch, time left; live in a terminal, else line by line."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

# tqdm in a terminal or as a widget: '  Epoch:  40%|####  | 12/30 [00:10<00:15,  1.2it/s]'
_TQDM = re.compile(r"(?P<n>\d+)/(?P<total>\d+)\s*\[(?P<spent>[\d:]+)<(?P<left>[\d:?]+)")
_TQDM_NAME = re.compile(r"([^\r\n|%]*?):?\s*\d+%")
_KERAS = re.compile(r"Epoch (?P<n>\d+)/(?P<total>\d+)")
_QUIET = 20.0  # seconds between plain lines within a notebook

# Share of a run's time, where this folder has no record of an earlier run to go by.
SHARES = {"01": 6, "02": 3, "03": 10, "04": 12, "05": 60, "06": 6, "07": 3}


def read_step(message: Mapping[str, Any]) -> str | None:
    """Return 'Epoch 12/30, 0:15 left' if a kernel's message carries progress of tqdm or Keras, else None."""
    content = message.get("content", {})
    if message.get("msg_type") == "stream":
        text = content.get("text", "")
    elif message.get("msg_type") == "comm_msg":
        state = content.get("data", {}).get("state", {})
        text = state.get("value", "") if isinstance(state, Mapping) else ""
    else:
        return None
    if not isinstance(text, str):
        return None
    *_, last = re.split(r"[\r\n]", text.strip()) or [""]
    if found := _TQDM.search(last):
        name = _TQDM_NAME.match(last)
        left = "" if "?" in found["left"] else f", {found['left'].removeprefix('0')} left"
        return (
            f"{name[1].strip() + ' ' if name and name[1].strip() else ''}{found['n']}/{found['total']}{left}"
        )
    if found := _KERAS.search(text):
        return f"epoch {found['n']}/{found['total']}"
    return None


def duration(seconds: float) -> str:
    """Return ``'7 s'``, ``'2 min 5 s'`` or ``'1 h 4 min'``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Monitor:
    def __init__(self, expected: Mapping[str, float], stream: TextIO | None = None) -> None:
        self.console = Console(file=stream or sys.stdout, highlight=False, soft_wrap=True)
        self.expected = dict(expected)
        self.finished: list[str] = []
        self.started = self.told = time.monotonic()  # again when the first notebook starts
        self.place, self.name, self.cells, self.cell, self.step = 0, "", 1, 0, ""
        self.live = None
        if self.console.is_terminal:
            told = [
                TextColumn("{task.description}"),
                BarColumn(24),
                TextColumn("{task.fields[note]}"),
            ]
            self.live = Progress(SpinnerColumn(), *told, console=self.console, transient=True)
            self.task = self.live.add_task("starting", total=1.0, note="")

    def __enter__(self) -> Monitor:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live:
            self.live.stop()

    def say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False)

    def notebook(self, name: str, cells: int) -> None:
        if not self.name and not self.finished:
            self.started = self.told = time.monotonic()
        self.place = list(self.expected).index(name) + 1
        self.name, self.cells, self.cell, self.step = name, max(cells, 1), 0, ""
        if not self.live:
            self.say(f"notebook {self.place} of {len(self.expected)}  {name}  started")
        self._show(force=True)

    def at_cell(self, number: int) -> None:
        self.cell, self.step = number, ""
        self._show()

    def heard(self, message: Mapping[str, Any]) -> None:
        if step := read_step(message):
            self.step = step
            self._show()

    def done(self, name: str, outcome: str, style: str = "") -> None:
        """A notebook ended, or was left out."""
        self.finished.append(name)
        place = list(self.expected).index(name) + 1
        self.say(f"notebook {place} of {len(self.expected)}  {name}  {outcome}", style)

    @property
    def fraction(self) -> float:
        """Share of the run that is behind, by expected time."""
        total = sum(self.expected.values()) or 1.0
        behind = sum(self.expected[name] for name in self.finished)
        if self.name and self.name not in self.finished:
            behind += self.expected[self.name] * max(self.cell - 1, 0) / self.cells
        return min(behind / total, 1.0)

    def _show(self, force: bool = False) -> None:
        now = time.monotonic()
        spent, fraction = now - self.started, self.fraction
        told = spent > 5 and fraction > 0.03
        left = f"about {duration(spent * (1 - fraction) / fraction)} left" if told else ""
        cell = f"cell {self.cell}/{self.cells}" * bool(self.cell)
        note = " · ".join(filter(None, [cell, self.step, f"{duration(spent)} spent", left]))
        title = f"notebook {self.place} of {len(self.expected)}  {self.name}"
        if self.live:
            self.live.update(self.task, completed=fraction, description=title, note=note)
        elif not force and now - self.told >= _QUIET:
            self.told = now
            self.say(f"{title}  {note}")
