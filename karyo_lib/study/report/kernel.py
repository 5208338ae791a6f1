"""Runs one notebook through papermill, watched message by message."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import zmq
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, NotebookExecutionManager, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import execute_notebook, remove_error_markers
from traitlets import Instance, default
from traitlets.config import Config

from karyo_lib.study.report.order import Notebook
from karyo_lib.study.report.progress import Monitor

ENGINE = "karyo"
_LONGEST_SOCKET_FOLDER = (
    40  # a Unix socket's path ends at 104 characters, the kernel's file name takes the rest
)
_DIED = (
    "The Python process of this notebook ended without a word, most often for lack of memory. Close other "
    "programs or choose a smaller profile, then run the same command again: it resumes here."
)


@dataclass
class Watch:
    """Where the engine reports to while it runs a notebook, and the notebook as far as it has come.

    ``log`` takes what the kernel's process itself prints, which would otherwise break into the display.
    """

    monitor: Monitor
    log: IO[bytes]
    notebook: NotebookNode | None = field(default=None)


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


class _WatchedClient(PapermillNotebookClient):
    watch = Instance(Watch)

    @default("kernel_manager_class")
    def _own_kernels(self) -> type[AsyncKernelManager]:
        return OwnKernelManager

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        self.watch.monitor.heard(msg)
        try:
            return super().process_message(msg, cell, cell_index)
        finally:
            self._look_again()

    def _look_again(self) -> None:
        # nbclient answers an output widget by sending on a shadow of the shell socket, which can use up the
        # edge-triggered sign that the cell's reply has come in; the reply would then be waited for for ever.
        self.kc.shell_channel.socket.get(zmq.EVENTS)


class _WatchedEngine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man: NotebookExecutionManager, kernel_name: str, **settings: Any
    ) -> NotebookNode:
        watch: Watch = settings.pop("watch")
        watch.notebook = nb_man.nb
        settings.pop("input_path", None)
        settings["startup_timeout"] = settings.pop("start_timeout")
        client = _WatchedClient(
            nb_man,
            kernel_name=kernel_name,
            watch=watch,
            timeout=None,
            on_cell_start=lambda cell, cell_index: watch.monitor.at_cell(cell_index + 1),
            **settings,
        )
        return client.execute(stdout=watch.log, stderr=watch.log)


papermill_engines.register(ENGINE, _WatchedEngine)


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
    """Run a notebook in a fresh kernel, in its own folder.

    Returns ``executed``: with outputs, up to the failing cell if one failed; ``error``: what went wrong, in
    one line; empty if nothing did.
    """
    error = ""
    with _connection() as config, log.open("wb") as stream:
        watch = Watch(monitor, stream)
        try:
            execute_notebook(
                notebook.path,
                None,
                parameters,
                engine_name=ENGINE,
                kernel_name="python3",
                progress_bar=False,
                cwd=notebook.path.parent,
                watch=watch,
                config=config,
            )
        except PapermillExecutionError as failure:
            error = f"{failure.ename}: {failure.evalue}"
        except DeadKernelError:
            error = _DIED
        except KeyboardInterrupt:
            # The cell that was running is abandoned; that its kernel is gone is no news to report at exit.
            logging.getLogger("asyncio").setLevel(logging.CRITICAL)
            raise
    return remove_error_markers(watch.notebook), error
