"""Whole files or none: written beside their place and moved there when complete."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class NoSpace(OSError):
    """The disk is full. Nothing half-written is left behind, and the run can be resumed."""


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path that becomes *path* if the block succeeds and vanishes if it does not.

    Raises
    ------
    NoSpace
        If the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.name, dir=path.parent)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        os.chmod(part, 0o644)  # mkstemp's files are private; reports are to be shared
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(
                error.errno,
                f"No disk space left for {path.name}. Free some, then run the same command again: "
                "it resumes where it stopped",
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)
