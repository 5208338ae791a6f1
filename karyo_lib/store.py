"""Files that are whole or not there, folders in which one process is at work, and journals to go on from."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    import msvcrt

    fcntl = None

_FAR = 2**40  # where Windows locks a byte: beyond any content, so that others may read it


class CannotWriteError(OSError):
    """A file cannot be written; ``strerror`` names it and the remedy."""


class NoSpace(CannotWriteError):
    """The disk is full. Nothing half-written is left behind, and the run can be resumed."""


class BusyError(ValueError):
    """Another process is at work on the same results."""


class OtherJournalError(ValueError):
    """A journal holds records that were made from something else."""


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path that becomes *path* if the block succeeds and vanishes if it does not."""
    path, part = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".part-", suffix=path.name[-100:], dir=path.parent)
        os.close(handle)
        part = Path(name)
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
        if error.errno is None or (part and error.filename not in (str(part), part)):
            raise  # not of this file
        raise CannotWriteError(
            error.errno,
            f"Cannot write {path.name!r} into the folder {str(path.parent)!r} ({error.strerror}): "
            "give a place that you may write to",
        ) from error
    finally:
        if part:
            part.unlink(missing_ok=True)


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes, whole or not at all."""
    with writing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def locked(folder: str | Path, work: str | Path | None = None) -> Iterator[None]:
    """Keep other processes out of a folder, until this one leaves the block or ends in whatever way; ``work``
    is what the message names, if not the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+b") as stream:
        _lock(stream, Path(work or folder))
        stream.truncate(0)
        stream.write(str(os.getpid()).encode())
        stream.flush()
        yield


def _lock(stream: IO[bytes], work: Path) -> None:
    try:
        if fcntl:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            stream.seek(_FAR)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise
        stream.seek(0)
        told = stream.read(20)
        process = f" (process {told.decode()})" if told.isdigit() else ""
        raise BusyError(
            f"Expected {work.name!r} to be free. Received one at which another karyo is at work{process}: "
            "wait for it, or choose another."
        ) from None


class Journal:
    """Records on disk as they come: one JSON line each, only ever added to, by one process at a time. A stop
    at any moment loses nothing but a record half written. The first line says what the records depend on."""

    def __init__(self, path: str | Path, made_from: Mapping[str, Any], *, fresh: bool = False):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")  # noqa: SIM115 - closed by close()
        try:
            _lock(self._file, self.path.parent)
            header = json.dumps(dict(made_from), sort_keys=True)
            self._file.seek(0)
            first = self._file.readline()
            if fresh or not first.endswith(b"\n"):
                self._file.truncate(0)
                self._write(header)
            elif first.decode("utf-8", "replace").strip() != header:
                raise OtherJournalError(
                    f"Expected {self.path.name} of the same settings. Received one of others."
                )
        except BaseException:
            self._file.close()
            raise

    def resume(self) -> Iterator[dict[str, Any]]:
        """Yield the header and all records that are whole, then cut off what stands behind them."""
        end = 0
        for _, end, record in read_records(self.path):  # noqa: B007 - end is used behind the loop
            yield record
        self.cut(end)

    def cut(self, end: int) -> None:
        if end < self._file.seek(0, os.SEEK_END):
            self._file.truncate(end)

    def add(self, *records: Mapping[str, Any]) -> list[int]:
        """Add records, in one piece, and return their offsets."""
        return self._write(*(json.dumps(record, ensure_ascii=False) for record in records))

    def _write(self, *lines: str) -> list[int]:
        encoded = [line.encode("utf-8", "replace") + b"\n" for line in lines]
        end = self._file.seek(0, os.SEEK_END)
        self._file.write(b"".join(encoded))
        self._file.flush()
        return [end + sum(map(len, encoded[:place])) for place in range(len(encoded))]

    def close(self) -> None:
        """Make sure that all of it is on the disk, and let others write."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def read_records(path: Path) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield where each record of a journal begins and ends, in bytes, and what it says: from the header to
    the one before a record that is damaged."""
    with open(path, "rb") as file:
        start = 0
        while line := file.readline():
            try:
                record = json.loads(line) if line.endswith(b"\n") else None
            except ValueError:
                return
            if not isinstance(record, dict):
                return
            yield start, start + len(line), record
            start += len(line)
