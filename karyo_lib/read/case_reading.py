"""Pictures of a patient's cells -> the case."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from karyo_lib.files.images import FORMATS, UnusableImage, load_pages
from karyo_lib.read.case import compose_case
from karyo_lib.read.case_record import Case, CaseSettings, CellSource
from karyo_lib.read.cell_evidence import CellEvidence
from karyo_lib.read.pooling import spread_changes
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading

_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes if suffix} | {".webp"}
#: Share of a cell's chromosomes whose bands must be readable for the cell to count as analysed.
_ANALYSED = 0.9


def read_case(
    paths: str | PathLike | Iterable[str | PathLike],
    reader: Reader | None = None,
    practice: str = "constitutional",
    *,
    settings: CaseSettings | None = None,
    progress: bool = False,
) -> Case:
    """Read the cells of one patient and report them together.

    Parameters
    ----------
    paths : path or iterable of path
        A folder with all pictures below it, or the pictures; every page of a file is a cell.
    reader : Reader, optional
        The one that comes with karyo by default.
    practice : {'constitutional', 'acquired'}
        How the formula is written, and how often a case has more than one cell line.
    settings : CaseSettings, optional
        In place of `practice` alone.
    progress : bool
        Show a bar.

    Returns
    -------
    Case

    Raises
    ------
    ValueError
        If there is no picture.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from karyo_lib.draw import draw_karyogram
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.fromarray(draw_karyogram("46,XX", seed=1).image).save(f"{folder}/cell.png")
    ...     case = read_case(folder)
    >>> [cell.name for cell in case.cells]
    ['cell.png']
    """
    settings = settings or CaseSettings(practice)
    pictures = find_pictures(paths)
    reader = reader or Reader.load()
    cells = read_cells(pictures, reader)
    bar = tqdm(cells, desc="Reading cells", unit="file", disable=not progress)
    return join_cells(list(bar), reader.counting.p_abnormal, settings)


def find_pictures(paths: str | PathLike | Iterable[str | PathLike]) -> list[tuple[str, Path]]:
    """Names and paths of the pictures of a folder, at any depth, or of those given; links are not followed.

    Raises
    ------
    ValueError
        If there is none.
    """
    if isinstance(paths, str | PathLike):
        paths = [paths]
    found: list[tuple[str, Path]] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = ((p.relative_to(path), p) for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
            found += [
                (below.as_posix(), p) for below, p in sorted(inside)
                if p.is_file() and not p.is_symlink() and not any(part[0] == "." for part in below.parts)
            ]  # fmt: skip
        elif path.is_file():
            found.append((path.name, path))
        else:
            raise ValueError(
                f"Expected a picture or a folder of pictures. Received {path.name!r}, which is none."
            )
    if not found:
        given = ", ".join(repr(Path(path).name) for path in paths)
        raise ValueError(f"Expected pictures of cells. Received {given or 'nothing'} without any.")
    return found


def read_cells(pictures: Iterable[tuple[str, Path]], reader: Reader) -> Iterator[CellSource]:
    """Read every page of every picture; what cannot be opened comes with its reason."""
    for name, path in pictures:
        for number, loaded in enumerate(load_pages(path), 1):
            shown = name if number == 1 else f"{name}, page {number}"
            if isinstance(loaded, UnusableImage):
                yield CellSource(shown, reason=loaded.reason)
            else:
                reading = reader.read(loaded.pixels)
                yield CellSource(shown, loaded.pixels, reading, loaded.sha256)


def join_cells(
    sources: Sequence[CellSource], p_abnormal: float, settings: CaseSettings | None = None, name: str = ""
) -> Case:
    """Compose the case of cells that were read.

    Parameters
    ----------
    sources : sequence of CellSource
    p_abnormal : float
        The reader's prior of an abnormal number, which is taken out of what it says.
    settings : CaseSettings, optional
    name : str
        Of the patient.

    Returns
    -------
    Case
    """
    readings = [source.reading for source in sources]
    seen = [_changes(reading) if reading else {} for reading in readings]
    readable = [_readable(reading) if reading else () for reading in readings]
    spread = spread_changes(seen, readable)
    cells = []
    for source, changes in zip(sources, spread, strict=True):
        reading = source.reading
        if reading is None or reading.karyotype is None:
            reason = source.reason or reading.refer_reason
            cells.append(CellEvidence(source.name, np.zeros((0, 24), int), np.zeros(0), {}, reason))
            continue
        cells.append(
            CellEvidence.from_candidates(
                source.name, reading.candidates, p_abnormal, changes, analysed=_analysed(reading)
            )
        )
    case = compose_case(cells, settings)
    return replace(case, name=name, sources=tuple(sources))


def _changes(reading: Reading) -> dict[str, float]:
    """Structural changes that a reading marks, with their scores."""
    rows = reading.structure.drop_duplicates("iscn")
    return dict(zip(rows["iscn"], rows["score"].astype(float), strict=True))


def _readable(reading: Reading) -> list[str]:
    """Chromosomes of which every one could be read band by band."""
    table = reading.chromosomes
    return [name for name, rows in table.groupby("chromosome") if name and rows["readable"].all()]


def _analysed(reading: Reading) -> bool:
    table = reading.chromosomes[reading.chromosomes["chromosome"] != ""]
    return len(table) > 0 and bool(table["readable"].astype(bool).mean() >= _ANALYSED)
