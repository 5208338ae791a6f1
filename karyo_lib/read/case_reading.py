"""Pictures of a patient's cells -> the case."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
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
_MOST_CANDIDATES = 40


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
    told = [None if source.reading is None else tell_evidence(source.reading) for source in sources]
    cells = gather_cells([source.name for source in sources], told, p_abnormal)
    cells = [
        replace(cell, excluded=source.reason) if source.reason else cell
        for cell, source in zip(cells, sources, strict=True)
    ]
    return replace(compose_case(cells, settings), name=name, sources=tuple(sources))


def tell_evidence(reading: Reading) -> dict[str, Any]:
    """What a reading says of its cell, ready for JSON.

    Returns
    -------
    dict
        ``candidates``: list of (formula, probability), the most probable first; ``changes``: structural
        changes in ISCN with their scores; ``readable``: chromosomes of which every one could be read band by
        band; ``analysed``: whether these are nearly all; ``excluded``: why nothing can be told, or ''.
    """
    table, likely = reading.chromosomes, reading.candidates.head(_MOST_CANDIDATES)
    named = table[table["chromosome"] != ""]
    changes = reading.structure.drop_duplicates("iscn")
    return {
        "candidates": [[f, float(p)] for f, p in zip(likely["formula"], likely["probability"], strict=True)],
        "changes": dict(zip(changes["iscn"], changes["score"].astype(float).tolist(), strict=True)),
        "readable": [name for name, rows in named.groupby("chromosome") if rows["readable"].all()],
        "analysed": bool(len(named)) and bool(named["readable"].astype(bool).mean() >= _ANALYSED),
        "excluded": "" if reading.karyotype else reading.refer_reason or "not read",
    }


def gather_cells(
    names: Sequence[str], told: Sequence[dict[str, Any] | None], p_abnormal: float
) -> list[CellEvidence]:
    """Bring what `tell_evidence` says of the cells of one patient together.

    Parameters
    ----------
    names : sequence of str
        Of the cells.
    told : sequence of dict or None
        None for a picture that could not be opened.
    p_abnormal : float
        The reader's prior of an abnormal number.

    Returns
    -------
    list of CellEvidence
        One a name; a structural change that some cell shows is evidence in every cell that can be judged.
    """
    told = [one or {"candidates": [], "changes": {}, "readable": [], "excluded": "not read"} for one in told]
    spread = spread_changes([one["changes"] for one in told], [one["readable"] for one in told])
    return [
        CellEvidence.from_candidates(
            name,
            pd.DataFrame(one["candidates"], columns=["formula", "probability"]),
            p_abnormal,
            changes,
            excluded=one["excluded"],
            analysed=bool(one.get("analysed")),
        )
        for name, one, changes in zip(names, told, spread, strict=True)
    ]
