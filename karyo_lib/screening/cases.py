"""Files of a folder -> pages ready to be judged; whatever cannot be read comes with its reason instead."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from karyo_lib.files.images import LoadedImage, UnusableImage, load_pages
from karyo_lib.files.metadata import METADATA, walk_folder
from karyo_lib.files.pages import fit_page
from karyo_lib.screening.reference import measure_page
from karyo_lib.screening.view import THUMBNAIL_SIDE, digest_pixels, encode_picture

MOST_PAGES = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class CaseFile:
    name: str  # Path below the screened folder, POSIX, safe to show: control characters are replaced
    path: Path  # where it is; never shown
    reason: str = ""  # why it must not be opened; '' if it may

    def fingerprint(self) -> str:
        """Return what changes when the file does: size, time of change, and time when it came to be there."""
        try:
            status = self.path.stat()
        except OSError:
            return "absent"
        return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"


@dataclass(frozen=True, eq=False)
class Page:
    name: str  # of the file
    page: int  # its number in it, from 1
    # Uint8, shape (size, size), or None; the page fitted to the package's page size; None where unread.
    fitted: np.ndarray | None = None
    shape: tuple[int, int] = (0, 0)  # height and width of the page as it is
    native: np.ndarray | None = None  # uint8, shape (H, W); the page as it is, where asked for
    measures: np.ndarray | None = None  # of `karyo_lib.screening.reference.measure_page`
    picture: bytes = b""  # WebP for the worklist, at the page's own resolution and small
    thumbnail: bytes = b""
    digest: str = ""  # of the page's pixels: what reviews are kept under
    sha256: str = ""  # of the file
    notes: tuple[str, ...] = ()  # what a user should know of the file
    reason: str = ""  # why it could not be read; '' if it could


def find_files(folder: str | os.PathLike, leave_out: Path | None = None) -> list[CaseFile]:
    """All files below a folder by name, none opened; hidden ones, tables of a data set (``metadata.csv``),
    `leave_out`, linked folders, and links that lead outside are passed over. ValueError if none is left."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"Expected a folder with karyograms. Received {str(folder)!r}, which is none.")
    found = [
        CaseFile(_shown(path, folder), path, reason)
        for path, reason in walk_folder(folder, leave_out.resolve() if leave_out else None)
        if path.name.lower() != METADATA
    ]
    if not found:
        raise ValueError(f"Expected karyograms below {str(folder)!r}. Received a folder without files.")
    return _tell_apart(sorted(found, key=lambda file: (file.name, os.fsencode(file.path))))


def list_files(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[CaseFile]:
    """The files of a folder, or the files given, each known by its name alone."""
    if isinstance(paths, str | os.PathLike):
        if Path(paths).is_dir():
            return find_files(paths)
        paths = [paths]
    return _tell_apart([CaseFile(_shown(Path(path), Path(path).parent), Path(path)) for path in paths])


def _tell_apart(files: list[CaseFile]) -> list[CaseFile]:
    """Number names that only differ in what cannot be shown."""
    seen: Counter[str] = Counter()
    apart = []
    for file in files:
        seen[file.name] += 1
        n = seen[file.name]
        apart.append(file if n == 1 else replace(file, name=f"{file.name} ({n})"))
    return apart


def read_pages(file: CaseFile, page_size: int, *, native: bool = False) -> Iterator[Page]:
    """Read a file's pages, fitted to `page_size` (too if `native`); what cannot be read has a reason."""
    if file.reason:
        yield Page(file.name, 1, reason=file.reason)
        return
    for number, loaded in enumerate(load_pages(file.path), 1):
        if number > MOST_PAGES:
            reason = f"more than {MOST_PAGES} pages in one file: the others were not read, split the file"
            yield Page(file.name, number, reason=reason)
            return
        if isinstance(loaded, UnusableImage):
            yield Page(file.name, number, reason=loaded.reason)
        else:
            yield _fit(file.name, number, loaded, page_size, native)


def _fit(name: str, number: int, image: LoadedImage, page_size: int, native: bool) -> Page:
    fitted = fit_page(image.pixels, (page_size, page_size))
    return Page(
        name=name,
        page=number,
        fitted=fitted,
        shape=image.pixels.shape,
        native=image.pixels if native else None,
        measures=measure_page(fitted),
        picture=encode_picture(image.pixels),
        thumbnail=encode_picture(image.pixels, THUMBNAIL_SIDE, 72),
        digest=digest_pixels(image.pixels),
        sha256=image.sha256,
        notes=image.notes,
    )


def _shown(path: Path, folder: Path) -> str:
    """A file's name as text that any page or terminal can show, without where the folder is."""
    try:
        name = path.relative_to(folder).as_posix()
    except ValueError:
        name = path.name
    name = os.fsencode(name).decode("utf-8", "replace")
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", name)
