"""The folder of one run: its tables, figures, models and images, each written whole or not at all."""

import html
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from karyo_lib.files.bank import BANK_FILES
from karyo_lib.settings import Profile, SettingsError, load_settings
from karyo_lib.store import write_whole, writing
from karyo_lib.study.present import RUN, Banner, Figure, Headline, Shown, Table, Text, static, thumbnail

FOLDERS = ("tables", "figures", "models", "data")
# Read back as text even where all values look like numbers: '007' is a patient, '21' a chromosome.
TEXT_COLUMNS = ("cell", "case", "chromosome", "copy_of", "iscn", "donor", "formula", "sha256", "slot")


class MissingInput(FileNotFoundError):
    """A file that an earlier notebook makes is not there; the message names the command that makes it."""


def project_dir() -> Path:
    """Return the checkout that holds ``notebooks/``; without one, the working directory."""
    checkout, here = Path(__file__).resolve().parents[2], Path.cwd().resolve()
    if here != checkout and (here / "notebooks").is_dir() and (here / "karyo_lib").is_dir():
        raise SettingsError(
            f"Expected the karyo of this folder, {here.name!r}. Received the one of {str(checkout)!r}, into "
            "which it would write: a .venv cannot be copied. Make a new one here with 'make setup'."
        )
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


@dataclass(frozen=True)
class Run(Shown):
    """One run of the study. Open it with :meth:`Run.open`; as the last line of a cell it shows what it is."""

    media = RUN
    settings: Profile  # sizes, epochs, passes and the like
    # ``reports/<profile>`` unless told otherwise; holds ``tables``, ``figures``, ``models`` and ``data``.
    dir: Path
    seed: int
    # Folder of own karyograms, folder of real chromosomes, file or folder of pretrained weights; or ``''``.
    data: str
    bank: str
    weights: str

    @classmethod
    def open(
        cls,
        profile: str = "quick",
        run_dir: str = "",
        seed: int = 2020,
        data: str = "",
        bank: str = "",
        weights: str = "",
        **overrides: Any,
    ) -> "Run":
        """Open a run's folder, and make it if it is not there."""
        settings = load_settings(profile, **overrides)
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise SettingsError(f"Expected seed to be a whole number from 0. Received {seed!r}.")
        if data and bank:
            raise SettingsError(
                "Expected one source of karyograms: data (your own) or bank (real chromosomes). "
                "Received both."
            )
        for name, place in {"data": data, "bank": bank}.items():
            if place and not Path(place).expanduser().is_dir():
                raise SettingsError(f"Expected {name} to be an existing folder. Received {place!r}.")
        lacking = [name for name in BANK_FILES if bank and not (Path(bank).expanduser() / name).is_file()]
        if lacking:
            raise SettingsError(
                f"Expected bank to be a folder with {' and '.join(BANK_FILES)}. "
                f"Received {bank!r} without {' and '.join(lacking)}."
            )
        if weights not in ("", "random") and not Path(weights).expanduser().exists():
            raise SettingsError(
                f"Expected weights to be an existing file or folder, or 'random'. Received {weights!r}."
            )
        data, bank, weights = (
            place if place in ("", "random") else str(Path(place).expanduser().resolve())
            for place in (data, bank, weights)
        )
        folder = Path(run_dir).expanduser().resolve() if run_dir else project_dir() / "reports" / profile
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        run = cls(settings=settings, dir=folder, seed=seed, data=data, bank=bank, weights=weights)
        _show_in_notebook(run)
        return run

    def told(self) -> dict[str, Any]:
        return {"profile": self.settings.name, "seed": self.seed}

    # what it is

    @property
    def source(self) -> str:
        """Where the karyograms come from: ``'drawn'``, ``'composed'`` or ``'own'``."""
        return "own" if self.data else "composed" if self.bank else "drawn"

    def __str__(self) -> str:
        return (
            f"karyo run: {self.settings.name}, seed {self.seed}, {self.source} karyograms, in {self.dir.name}"
        )

    def to_html(self) -> str:
        drawn, composed = "drawn from the ISCN band tables", "laid out from real chromosomes"
        sources = {"drawn": drawn, "composed": composed, "own": "your own folder"}
        rows = {"Profile": self.settings.name, "Seed": str(self.seed), "Karyograms": sources[self.source]}
        rows["Folder"] = f"{self.dir.parent.name}/{self.dir.name}"
        parts = "".join(f"<dt>{key}</dt><dd>{html.escape(value)}</dd>" for key, value in rows.items())
        return (
            f"<style>{static('present.css')}</style><script>{static('tables.js')}</script>"
            f'<div class="karyo karyo-run"><dl>{parts}</dl></div>'
        )

    def command(self, only: str = "") -> str:
        """Return the command line that runs one notebook (or all) into this folder."""
        words = ["karyo", "run", "--profile", self.settings.name]
        if self.dir != project_dir() / "reports" / self.settings.name:
            words += ["--out", str(self.dir)]
        for name, place in {"--data": self.data, "--bank": self.bank, "--weights": self.weights}.items():
            words += [name, place] if place else []
        words += ["--seed", str(self.seed)] if self.seed != 2020 else []
        for name, value in self.settings.changes().items():
            told = ",".join(value) if isinstance(value, tuple) else str(value)
            words += ["--set", f"{name}={told.lower() if isinstance(value, bool) else told}"]
        words += ["--only", only] if only else []
        return shlex.join(words)

    # files

    def path(self, folder: str, name: str = "") -> Path:
        """Return a path in ``tables``, ``figures``, ``models`` or ``data`` (whether or not it exists)."""
        if folder not in FOLDERS:
            raise ValueError(f"Expected a folder of a run, one of {', '.join(FOLDERS)}. Received {folder!r}.")
        return self.dir / folder / name

    def require(self, name: str, made_by: str) -> Path:
        """Return the path of a file, ``'tables/splits.csv'``, that a notebook, ``'02_augment'``, makes."""
        if not (self.dir / name).exists():
            raise MissingInput(
                f"Expected {name} in the run folder {self.dir.name}, made by "
                f"{made_by or 'an earlier notebook'}. Received no such file. "
                f"Make it with: {self.command(only=made_by)}"
            )
        return self.dir / name

    def save_table(self, table: pd.DataFrame, name: str) -> Path:
        """Write ``tables/<name>.csv``; the index of *table* is not kept."""
        write_whole(self._table(name), table.to_csv(index=False))
        return self._table(name)

    def load_table(self, name: str, made_by: str = "") -> pd.DataFrame:
        """Read ``tables/<name>.csv``; ``*_id`` and :data:`TEXT_COLUMNS` stay text, ``''`` where missing."""
        path = self.require(f"tables/{name}.csv", made_by)
        columns = pd.read_csv(path, nrows=0).columns
        text = [column for column in columns if column.endswith("_id") or column in TEXT_COLUMNS]
        empty = {column: [""] for column in columns if column not in text}  # an id may well read 'NA'
        return pd.read_csv(
            path, dtype=dict.fromkeys(text, str), na_values=empty, keep_default_na=False, low_memory=False
        )

    def save_array(self, array: np.ndarray | Mapping[str, np.ndarray], name: str) -> Path:
        """Write one array, or several by key, to ``data/<name>.npz``."""
        arrays = dict(array) if isinstance(array, Mapping) else {"array": np.asarray(array)}
        with writing(self.path("data", f"{_checked(name)}.npz")) as part, part.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        return self.path("data", f"{name}.npz")

    def _table(self, name: str) -> Path:
        return self.dir / "tables" / f"{_checked(name)}.csv"

    # what a cell shows

    def figure(self, shown: Any, name: str, caption: str, thesis: str | None = None) -> Figure:
        """Save a Figure, Axes or Display as ``figures/<name>.svg`` and ``.png`` (2x), close and return it for
        display; ``thesis``: the item that it stands for, ``'Fig 4.8'``, becomes the anchor ``#fig-4-8``."""
        made = Figure.render(shown, _checked(name), caption, thesis)
        for suffix, content in {"svg": made.svg, "png": made.png}.items():
            write_whole(self.dir / "figures" / f"{name}.{suffix}", content)
        return made

    def table(
        self,
        table: pd.DataFrame,
        name: str,
        caption: str,
        thesis: str | None = None,
        rows: int = 100,
        digits: int = 3,
    ) -> Table:
        """Save ``tables/<name>.csv`` in full precision and return a sortable table for display."""
        path = self.save_table(table, name)
        pictures = self._thumbnails(table.head(rows))
        return Table(name, caption, thesis, table, path.read_bytes(), rows, digits, pictures)

    def _thumbnails(self, table: pd.DataFrame) -> dict[str, str]:
        """Return figure name -> small picture, for the names in a column ``thumbnail``."""
        names = table["thumbnail"].dropna().unique() if "thumbnail" in table else ()
        paths = {name: self.path("figures", f"{name}.png") for name in names}
        return {name: thumbnail(path, (160, 120)) for name, path in paths.items() if path.exists()}

    def headline(self, items: Sequence[Sequence[Any]]) -> Headline:
        """Return the opening numbers: ``(label, value, low, high, note)``, the last three optional."""
        return Headline(items)

    def banner(self, text: str | None, kind: str = "warning") -> Banner:
        """Return a notice for the top of the report; without text it shows nothing."""
        return Banner(text or "", kind)

    def text(self, markdown: str | Sequence[str]) -> Text:
        """Return a conclusion in words (Markdown), from numbers computed in this run; several make a list."""
        return Text(markdown if isinstance(markdown, str) else "\n".join(f"- {one}" for one in markdown))


def _show_in_notebook(run: Run) -> None:
    """Show the run and bring in the style sheet of what follows, where there is a notebook to show it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is not None:
        ipython.display.display(run)


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ValueError(
            f"Expected a name of letters, digits, '_', '-' and '.', without folders. Received {name!r}."
        )
    return name
