"""The notebooks in order, each run through papermill in a kernel of its own, its progress told."""

import logging
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import nbformat
import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill import inspect_notebook
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from traitlets import Instance, default
from traitlets.config import Config

from karyo_lib.settings import SettingsError, suggest

# tqdm in a terminal or as a widget: '  Epoch:  40%|####  | 12/30 [00:10<00:15,  1.2it/s]'
_TQDM = re.compile(r"(?P<n>\d+)/(?P<total>\d+)\s*\[(?P<spent>[\d:]+)<(?P<left>[\d:?]+)")
_TQDM_NAME = re.compile(r"([^\r\n|%]*?):?\s*\d+%")
_KERAS = re.compile(r"Epoch (?P<n>\d+)/(?P<total>\d+)")
_QUIET = 20.0  # seconds between plain lines within a notebook

# Share of a run's time, where this folder has no record of an earlier run to go by.
SHARES = {"01": 6, "02": 3, "03": 10, "04": 12, "05": 60, "06": 6, "07": 3}
# A Unix socket's path ends at 104 characters, the kernel's file name takes the rest.
_LONGEST_SOCKET_FOLDER = 40
_DIED = (
    "The Python process of this notebook ended without a word, most often for lack of memory. Close other "
    "programs or choose a smaller profile, then run the same command again: it resumes here."
)


@dataclass(frozen=True)
class Notebook:
    name: str  # file name without suffix, ``'04_transfer'``
    path: Path
    title: str  # its first heading
    # Earlier notebooks whose files it reads, by ``run.require("tables/splits.csv", made_by="02_augment")``.
    needs: tuple[str, ...]
    parameters: tuple[str, ...]  # names assigned in its parameters cell
    cells: int


def find_notebooks(folder: Path) -> tuple[Notebook, ...]:
    """Return the notebooks of *folder* whose names begin with two digits, in that order."""
    paths = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not paths:
        raise SettingsError(
            f"Expected notebooks named 01_..., 02_... in the folder {folder.name!r}. Received none: "
            "run karyo from a checkout of its repository."
        )
    found: dict[str, Notebook] = {}
    for path in paths:
        found[path.stem] = _read(path, found)
    return tuple(found.values())


def _read(path: Path, earlier: dict[str, Notebook]) -> Notebook:
    content = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in content.cells if cell.cell_type == "code")
    prose = "\n".join(cell.source for cell in content.cells if cell.cell_type == "markdown")
    heading = re.search(r"^# +(.+)$", prose, re.MULTILINE)
    named = {name for name in earlier if re.search(rf"[\"']{re.escape(name)}[\"']", code)}
    needed = named.union(*(earlier[name].needs for name in named))
    return Notebook(
        name=path.stem,
        path=path,
        title=heading[1].strip() if heading else path.stem,
        needs=tuple(name for name in earlier if name in needed),
        parameters=tuple(inspect_notebook(path)),
        cells=len(content.cells),
    )


def check_parameters(notebook: Notebook, given: dict[str, Any]) -> None:
    """Raise unless the notebook declares every parameter given; papermill alone would only warn."""
    for name in given:
        if name not in notebook.parameters:
            raise SettingsError(
                f"Expected a parameter of {notebook.name}, one of {', '.join(notebook.parameters)}. "
                f"Received {name!r}.{suggest(name, notebook.parameters)}"
            )


def choose(notebooks: tuple[Notebook, ...], only: Iterable[str]) -> tuple[Notebook, ...]:
    """Return the notebooks named in *only*, by full name or by number (``'04'``); all if it is empty."""
    names = tuple(notebook.name for notebook in notebooks)
    chosen = set()
    for wanted in only:
        wanted = wanted.removesuffix(".ipynb")
        found = [name for name in names if wanted in (name, name[:2], name[:2].lstrip("0"))]
        if not found:
            raise SettingsError(
                f"Expected a notebook, one of {', '.join(names)}. "
                f"Received {wanted!r}.{suggest(wanted, names)}"
            )
        chosen.update(found)
    return tuple(notebook for notebook in notebooks if notebook.name in chosen) if chosen else notebooks


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

    def __enter__(self) -> "Monitor":
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


class _OwnSpecs(KernelSpecManager):
    """ipykernel's own kernel: one installed elsewhere is another interpreter's, also if named python3."""

    @default("kernel_dirs")
    def _no_folder(self) -> list[str]:
        return []


class OwnKernelManager(AsyncKernelManager):
    """Starts kernels of this interpreter, whatever JUPYTER_PATH says."""

    @default("kernel_spec_manager")
    def _own_specs(self) -> KernelSpecManager:
        return _OwnSpecs(parent=self)


class _Client(PapermillNotebookClient):
    monitor = Instance(Monitor)

    def process_message(self, msg: dict[str, Any], *where: Any) -> NotebookNode | None:
        self.monitor.heard(msg)
        try:
            return super().process_message(msg, *where)
        finally:
            # nbclient answers an output widget by sending on a shadow of the shell socket, which can use up
            # the edge-triggered sign that the cell's reply has come in; it would be waited for for ever.
            self.kc.shell_channel.socket.get(zmq.EVENTS)


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **settings: Any
    ) -> NotebookNode:
        settings["seen"].append(nb_man.nb)  # as far as it comes
        client = _Client(
            nb_man, kernel_name=kernel_name, kernel_manager_class=OwnKernelManager, timeout=None,
            monitor=settings["monitor"], config=settings["config"],
            on_cell_start=lambda cell, cell_index: settings["monitor"].at_cell(cell_index + 1),
        )  # fmt: skip
        return client.execute(stdout=settings["log"], stderr=settings["log"])


papermill_engines.register("karyo", _Engine)


@contextmanager
def _connection() -> Iterator[Config]:
    """Let kernel and client talk through sockets in a private folder rather than through network ports."""
    folder = tempfile.mkdtemp(prefix="karyo-")
    try:
        if len(folder) > _LONGEST_SOCKET_FOLDER:
            yield Config()
        else:
            manager = {"transport": "ipc", "connection_file": str(Path(folder) / "kernel.json")}
            yield Config(KernelManager=manager)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def execute(
    notebook: Notebook, parameters: dict[str, Any], monitor: Monitor, log: Path
) -> tuple[NotebookNode, str]:
    """Run a notebook in a fresh kernel, in its own folder; ``log`` takes what the kernel itself prints.
    Returns it with outputs up to a failing cell, and what went wrong in one line ('' if nothing did)."""
    seen, error = [], ""
    with _connection() as config, log.open("wb") as stream:
        try:
            execute_notebook(
                notebook.path, None, parameters, engine_name="karyo", kernel_name="python3",
                progress_bar=False, cwd=notebook.path.parent,
                monitor=monitor, log=stream, config=config, seen=seen,
            )  # fmt: skip
        except PapermillExecutionError as failure:
            error = f"{failure.ename}: {failure.evalue}"
        except DeadKernelError:
            error = _DIED
        except KeyboardInterrupt:
            # The cell that was running is abandoned; that its kernel is gone is no news to report at exit.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise
    return remove_error_markers(seen[0]), error
