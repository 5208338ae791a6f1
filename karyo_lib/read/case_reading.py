"""Pictures of a patient's cells -> the case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from karyo_lib.files.images import FORMATS, UnusableImage, load_pages
from karyo_lib.read.case import compose_case
from karyo_lib.read.case_changes import find_readable, show_changes
from karyo_lib.read.case_record import Case, CaseSettings, CellSource
from karyo_lib.read.cell_evidence import CellEvidence
from karyo_lib.read.pooling import spread_changes
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading

_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes if suffix}
#: Share of a cell's chromosomes whose bands must be readable for the cell to count as analysed.
_ANALYSED = 0.9
_MOST_CANDIDATES = 40
#: What is told of a picture that could not be opened.
NOTHING_READ = {"candidates": [], "p_abnormal": 0.5, "changes": {}, "readable": [], "excluded": "not read"}


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
    pictures = find_pictures(paths)
    reader = reader or Reader.load()
    bar = tqdm(read_cells(pictures, reader), desc="Reading cells", unit="file", disable=not progress)
    return join_cells(list(bar), reader, settings or CaseSettings(practice))


def find_pictures(paths: str | PathLike | Iterable[str | PathLike]) -> list[tuple[str, Path]]:
    """Names and paths of a folder's pictures, at any depth, or of those given; ValueError if none."""
    if isinstance(paths, str | PathLike):
        paths = [paths]
    if not isinstance(paths, Iterable):
        raise TypeError(f"Expected pictures of cells, or folders of them. Received {paths!r}.")
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
        raise ValueError(f"Expected pictures of cells, or folders of them. Received {given or 'none'}.")
    return found


def read_cells(pictures: Iterable[tuple[str, Path]], reader: Reader) -> Iterator[CellSource]:
    """Read every page of every picture; what cannot be opened, or was read before, comes with its reason."""
    known: dict[tuple[str, int], str] = {}
    for name, path in pictures:
        for number, loaded in enumerate(load_pages(path), 1):
            shown = name if number == 1 else f"{name}, page {number}"
            if isinstance(loaded, UnusableImage):
                yield CellSource(shown, reason=loaded.reason)
            elif (loaded.sha256, number) in known:
                yield CellSource(shown, reason=f"the same picture as {known[loaded.sha256, number]}")
            else:
                known[loaded.sha256, number] = shown
                reading = reader.read(loaded.pixels)
                yield CellSource(shown, loaded.pixels, reading, loaded.sha256)


def join_cells(
    sources: Sequence[CellSource], reader: Reader, settings: CaseSettings | None = None, name: str = ""
) -> Case:
    """Compose the case of cells that were read. ``reader``: its own belief in an abnormal number is taken out
    of what it says, and every change that one cell shows is looked for in the others."""
    settings, cells = settings or CaseSettings(), []
    shown = show_changes([source.reading for source in sources], reader, settings.practice)
    for source, changes in zip(sources, shown, strict=True):
        told = NOTHING_READ if source.reading is None else _tell_numbers(source.reading, reader)
        told = told | ({"excluded": source.reason} if source.reason else {})
        cells.append(_evidence(source.name, told, changes))
    return replace(compose_case(cells, settings), name=name, sources=tuple(sources))


def tell_evidence(reading: Reading, reader: Reader) -> dict[str, Any]:
    """What a reading says of its cell, ready for JSON: ``candidates`` (formula, probability), ``p_abnormal``
    (the reader's prior, which is in them), ``changes`` (ISCN, with log-ratios), ``readable`` (chromosomes
    read band by band), ``analysed`` (nearly all are), ``excluded`` and ``doubts``: why nothing can be told,
    why a specialist must look; or ''."""
    changes = show_changes([reading], reader)[0]
    return _tell_numbers(reading, reader) | {"changes": changes}


def _tell_numbers(reading: Reading, reader: Reader) -> dict[str, Any]:
    table, likely = reading.chromosomes, reading.candidates.head(_MOST_CANDIDATES)
    named = table[table["chromosome"] != ""]
    return {
        "candidates": [[f, float(p)] for f, p in zip(likely["formula"], likely["probability"], strict=True)],
        "p_abnormal": reader.counting.p_abnormal,
        "readable": find_readable(reading),
        "analysed": bool(len(named)) and bool(named["readable"].astype(bool).mean() >= _ANALYSED),
        "excluded": "" if reading.karyotype else reading.refer_reason or "not read",
        "doubts": reading.refer_reason if reading.karyotype else "",
    }


def gather_cells(names: Sequence[str], told: Sequence[dict[str, Any] | None]) -> list[CellEvidence]:
    """Bring what `tell_evidence` says of a patient's cells (None: could not be opened) together, one a name;
    a structural change that some cell shows is evidence in every cell that can be judged."""
    told = [one or NOTHING_READ for one in told]
    spread = spread_changes([one["changes"] for one in told], [one["readable"] for one in told])
    return [_evidence(*cell) for cell in zip(names, told, spread, strict=True)]


def _evidence(name: str, told: dict[str, Any], changes: Mapping[str, float]) -> CellEvidence:
    return CellEvidence.from_candidates(
        name,
        pd.DataFrame(told["candidates"], columns=["formula", "probability"]),
        told["p_abnormal"],
        changes,
        excluded=told["excluded"],
        analysed=bool(told.get("analysed")),
        doubts=told.get("doubts", ""),
    )
