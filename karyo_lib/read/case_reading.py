"""Pictures of a patient's cells -> the case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from tqdm.auto import tqdm

from karyo_lib.files.images import FORMATS, UnusableImage, load_pages
from karyo_lib.iscn import LEVELS, NORMAL_GROUPS, KaryotypeError, load_bands
from karyo_lib.iscn.changes import make_change
from karyo_lib.iscn.operations import read_change
from karyo_lib.iscn.segments import UNKNOWN, Segments
from karyo_lib.read.case import compose_case
from karyo_lib.read.case_record import Case, CaseSettings, CellSource
from karyo_lib.read.cell_evidence import CellEvidence
from karyo_lib.read.pooling import NOT_SEEN, find_breaks, recurrent_changes, spread_changes
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading
from karyo_lib.shape.scaling import scale_strips

_SUFFIXES = {suffix for suffixes in FORMATS.values() for suffix in suffixes if suffix} | {".webp"}
#: Share of a cell's chromosomes whose bands must be readable for the cell to count as analysed.
_ANALYSED = 0.9
_MOST_CANDIDATES = 40
#: Scores of a reading are weighed by how well the path fits, about a half of what a path is better by.
_AS_SCORE = 0.5


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
    sources: Sequence[CellSource], reader: Reader, settings: CaseSettings | None = None, name: str = ""
) -> Case:
    """Compose the case of cells that were read.

    Parameters
    ----------
    sources : sequence of CellSource
    reader : Reader
        What read them: its own belief in an abnormal number is taken out of what it says, and every change
        that one cell shows is looked for in the others.
    settings : CaseSettings, optional
    name : str
        Of the patient.

    Returns
    -------
    Case
    """
    readings = [source.reading for source in sources]
    told = [None if reading is None else tell_evidence(reading, reader) for reading in readings]
    cells = gather_cells([source.name for source in sources], told)
    asked = {text: NOT_SEEN for cell in cells for text in cell.changes}
    asked |= dict.fromkeys(recurrent_changes((settings or CaseSettings()).practice), NOT_SEEN)
    cells = [
        cell
        if cell.excluded
        else replace(cell, changes=look_again({**asked, **cell.changes}, source.reading, reader))
        for cell, source in zip(cells, sources, strict=True)
    ]
    cells = [
        replace(cell, excluded=source.reason) if source.reason else cell
        for cell, source in zip(cells, sources, strict=True)
    ]
    return replace(compose_case(cells, settings), name=name, sources=tuple(sources))


def tell_evidence(reading: Reading, reader: Reader) -> dict[str, Any]:
    """What a reading says of its cell, ready for JSON.

    Returns
    -------
    dict
        ``candidates``: list of (formula, probability), the most probable first; ``p_abnormal``: the reader's
        prior of an abnormal number, which is in them; ``changes``: structural changes in ISCN with their
        log-ratios; ``readable``: chromosomes of which every one could be read band by band; ``analysed``:
        whether these are nearly all; ``excluded``: why nothing can be told, or ''.
    """
    table, likely = reading.chromosomes, reading.candidates.head(_MOST_CANDIDATES)
    named = table[table["chromosome"] != ""]
    changes = reading.structure.drop_duplicates("iscn")
    # rows of a chromosome err together: what one in e of the marked normal pages exceeds is one unit
    scores = changes["score"].astype(float) / reader.settings.score_scale
    return {
        "candidates": [[f, float(p)] for f, p in zip(likely["formula"], likely["probability"], strict=True)],
        "p_abnormal": reader.counting.p_abnormal,
        "changes": dict(zip(changes["iscn"], scores.tolist(), strict=True)),
        "readable": [name for name, rows in named.groupby("chromosome") if rows["readable"].all()],
        "analysed": bool(len(named)) and bool(named["readable"].astype(bool).mean() >= _ANALYSED),
        "excluded": "" if reading.karyotype else reading.refer_reason or "not read",
    }


def look_again(changes: Mapping[str, float], reading: Reading, reader: Reader) -> dict[str, float]:
    """Evidence of given changes in a cell, from its own chromosomes of the classes concerned.

    Parameters
    ----------
    changes : mapping of str to float
        Changes in ISCN, each with what is known of it in this cell: its log-ratio where it is marked.
    reading : Reading
    reader : Reader

    Returns
    -------
    dict of str to float
        Those of the changes that can be judged: the log-ratio of each, summed over its derivatives, each at
        the chromosome that it fits best. A mark of the reader's own is not taken back.
    """
    table = reading.chromosomes
    readable = table["readable"].to_numpy(bool)
    makes = {text: _derivatives(text) for text in changes}
    every = [derivative for derivatives in makes.values() for derivative in derivatives]
    classes = {name for text in changes for name in find_breaks(text)[1]}
    rows = np.flatnonzero(table["chromosome"].isin(classes) & readable)
    # sizes are relative to the cell: all of its chromosomes are scaled, those concerned looked at
    strips = scale_strips(reading.found.cutouts, reading.found.masks).take(rows)
    scores = reader.decoder.evidence(strips, every) * _AS_SCORE / reader.settings.score_scale
    found, first = {}, 0
    for text, derivatives in makes.items():
        own = table["chromosome"].iloc[rows].isin(find_breaks(text)[1]).to_numpy()
        part = scores[own, first : first + len(derivatives)]
        first += len(derivatives)
        if derivatives and len(part) >= len(derivatives):
            again = float(part[linear_sum_assignment(part, maximize=True)].sum())
            found[text] = max(changes[text], again)
        elif changes[text] > 0:
            found[text] = changes[text]
    return found


def _derivatives(text: str) -> list[Segments]:
    """The abnormal chromosomes that a change makes, at the finest level; none for a normal variant, and where
    they hold material of unknown origin."""
    try:
        change = make_change(read_change(text, ())[0], load_bands(max(LEVELS)))
    except KaryotypeError:
        return []
    made = [chromosome.segments for chromosome in change.produced if chromosome.rearranged]
    unknown = any(segment.chromosome == UNKNOWN for segments in made for segment in segments)
    return [] if unknown or change.group in NORMAL_GROUPS else made


def gather_cells(names: Sequence[str], told: Sequence[dict[str, Any] | None]) -> list[CellEvidence]:
    """Bring what `tell_evidence` says of the cells of one patient together.

    Parameters
    ----------
    names : sequence of str
        Of the cells.
    told : sequence of dict or None
        None for a picture that could not be opened.

    Returns
    -------
    list of CellEvidence
        One a name; a structural change that some cell shows is evidence in every cell that can be judged.
    """
    nothing = {"candidates": [], "p_abnormal": 0.5, "changes": {}, "readable": [], "excluded": "not read"}
    told = [one or nothing for one in told]
    spread = spread_changes([one["changes"] for one in told], [one["readable"] for one in told])
    return [
        CellEvidence.from_candidates(
            name,
            pd.DataFrame(one["candidates"], columns=["formula", "probability"]),
            one["p_abnormal"],
            changes,
            excluded=one["excluded"],
            analysed=bool(one.get("analysed")),
        )
        for name, one, changes in zip(names, told, spread, strict=True)
    ]
