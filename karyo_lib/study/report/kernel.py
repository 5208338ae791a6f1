"""Runs one notebook through papermill in a kernel of its own, watched message by message."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

# A Unix socket's path ends at 104 characters, the kernel's file name takes the rest.
_LONGEST_SOCKET_FOLDER = 40
_DIED = (
    "The Python process of this notebook ended without a word, most often for lack of memory. Close other "
    "programs or choose a smaller profile, then run the same command again: it resumes here."
)


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
