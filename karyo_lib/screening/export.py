"""Signed cells -> karyograms, formulae, tables, pages to measure a reader on, and a bank to train it on."""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from tqdm.auto import tqdm

from karyo_lib import __version__
from karyo_lib.files.bank import Cutout, pack_cell, write_bank
from karyo_lib.iscn import CHROMOSOMES, count_formula
from karyo_lib.screening.card import NOTICE
from karyo_lib.screening.journal import Entry, Journal, Result
from karyo_lib.screening.review import Review, ReviewedObject, format_reviews, read_reviews
from karyo_lib.screening.worklist import safe_cell, write_csv
from karyo_lib.shape.boxes import BOX, measure_ink
from karyo_lib.store import write_whole, writing

_ROWS = (CHROMOSOMES[:5], CHROMOSOMES[5:12], CHROMOSOMES[12:18], (*CHROMOSOMES[18:], "mar"))
_WIDTH = 2200  # pixels of an exported karyogram
_GAP = 0.05  # between slots and rows, as a share of the longest chromosome


@dataclass(frozen=True)
class SignedCell:
    """A screened picture with what was read on it, and what a specialist made of that."""

    entry: Entry
    result: Result
    patient: str  # as the worklist or the table of patients calls them; else the file's name
    review: Review | None  # None for a case that is open
    objects: tuple[ReviewedObject, ...]  # as signed; as read where the case is open or was not usable

    @property
    def name(self) -> str:
        return f"case{self.entry.number:05}"

    @property
    def status(self) -> str:
        return self.review.status if self.review else "open"

    @property
    def usable(self) -> bool:
        return self.status in ("agree", "corrected") and bool(self.counts)

    @property
    def counts(self) -> dict[str, int]:
        return dict(Counter(one.name for one in self.objects if one.name))

    @property
    def formula(self) -> str:
        return count_formula(self.counts) if self.counts else ""

    @cached_property
    def read(self) -> list[dict]:
        """What the reader said of the objects that it found, see `karyo_lib.screening.view`."""
        return json.loads(self.result.cell)["objects"] if self.result.cell else []

    def read_as(self, one: ReviewedObject) -> dict:
        """What the reader said of the object that this one was made of; {} where there is no such one."""
        return self.read[one.was[0]] if len(one.was) == 1 and one.was[0] < len(self.read) else {}

    def cut_out(self, picture: np.ndarray, one: ReviewedObject) -> np.ndarray:
        return cut_out(picture, one, self.read_as(one).get("angle", 0.0))


def open_cells(folder: Path, reviews: Iterable[Path] = ()) -> Iterator[SignedCell]:
    """Yield the cases of a screening that could be read, one in memory at a time."""
    journal, signed = Journal.finished(folder), read_reviews(folder, reviews)
    patients = _read_patients(folder)
    for entry, result in zip(journal.entries, journal.read(journal.entries), strict=True):
        if not result.digest:
            continue
        review = signed.get(result.digest)
        patient = patients.get(str(entry.number)) or result.file
        cell = SignedCell(entry, result, patient, review, review.objects if review else ())
        if not cell.objects or cell.status == "unusable":
            outlines = (tuple(map(tuple, one["outline"])) for one in cell.read)
            told = enumerate(zip(cell.read, outlines, strict=True))
            as_read = (ReviewedObject((i,), d["class"], d.get("turned", False), o) for i, (d, o) in told)
            cell = replace(cell, objects=tuple(as_read))
        yield cell


def export_cells(folder: Path, out: Path, reviews: Iterable[Path] = (), bank: Path | None = None) -> str:
    """Write ``cases.csv`` (a row a case with its review), a folder a case that holds chromosomes, and of
    those signed as usable ``page.png`` and a row ``file, truth, case`` of ``index.csv``, for `karyo reader
    compare`; to ``bank`` their chromosomes. Returns a line for the terminal. ValueError if the folder is no
    screening's, a review is none, or a bank is asked for and no cell is signed."""
    if bank and not any(cell.usable for cell in open_cells(folder, reviews)):
        raise ValueError("Expected cells signed as agreed or corrected for a bank. Received none.")
    out.mkdir(parents=True, exist_ok=True)
    cases, index, cells = [], [], []
    archive = io.BytesIO()
    total = len(Journal.finished(folder).entries)
    with zipfile.ZipFile(archive, "w") as members:
        for cell in tqdm(open_cells(folder, reviews), "Exporting", total, unit="case"):
            cases.append(_case_row(cell))
            if not cell.counts:
                continue
            picture = cv2.imdecode(np.frombuffer(cell.result.picture, np.uint8), cv2.IMREAD_GRAYSCALE)
            _write_cell(cell, picture, out / cell.name)
            if not cell.usable:
                continue
            with writing(out / cell.name / "page.png") as part:
                Image.fromarray(picture).save(part, "PNG")
            index.append({"file": f"{cell.name}/page.png", "truth": cell.formula, "case": cell.patient})
            if bank and (cutouts := _bank_cutouts(cell, picture)):
                cells.append(pack_cell(members, cutouts, cell.formula))
    _write_table(out / "cases.csv", cases)
    _write_table(out / "index.csv", index)
    if bank:
        write_bank(bank, archive.getvalue(), cells)
    open_ = sum(case["status"] == "open" for case in cases)
    return f"{len(cases)} cases: {len(cases) - open_} signed, {open_} open; {len(index)} usable to learn from"


def cut_out(picture: np.ndarray, one: ReviewedObject, angle: float = 0.0) -> np.ndarray:
    """Cut a chromosome out of a picture, uint8 (H, W), on white; `angle`, clockwise, sets it upright."""
    polygons = [np.reshape(polygon, (-1, 2)) for polygon in one.outline]
    points = np.round(np.concatenate(polygons)).astype(int)
    x0, y0 = np.maximum(points.min(axis=0) - 2, 0)
    x1, y1 = np.minimum(points.max(axis=0) + 3, picture.shape[::-1])
    if x1 - x0 < 1 or y1 - y0 < 1:
        return np.full((1, 1), 255, np.uint8)
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.round(polygon - (x0, y0)).astype(np.int32)], 1)
    cut = np.where(mask > 0, picture[y0:y1, x0:x1], 255).astype(np.uint8)
    if angle:
        cut, mask = _rotate(cut, angle, 255), _rotate(mask, angle, 0)
    if one.turned:
        cut, mask = cut[::-1, ::-1], mask[::-1, ::-1]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return np.full((1, 1), 255, np.uint8)
    return np.ascontiguousarray(cut[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _rotate(image: np.ndarray, angle: float, ground: int) -> np.ndarray:
    height, width = image.shape
    side = int(np.ceil(np.hypot(height, width))) + 2
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -angle, 1.0)  # OpenCV turns counter-clockwise
    turn[:, 2] += side / 2 - width / 2, side / 2 - height / 2
    return cv2.warpAffine(image, turn, (side, side), flags=cv2.INTER_LINEAR, borderValue=ground)


def draw_cell(cell: SignedCell, picture: np.ndarray) -> Figure:
    """Draw the karyogram of a cell on an A4 sheet: its own chromosomes, each in its slot."""
    own = [(one.name, cell.cut_out(picture, one)) for one in cell.objects if one.name]
    gap = max(4, round(_GAP * max(cut.shape[0] for _, cut in own)))
    shown = [[name for name in names if name != "mar" or cell.counts.get("mar")] for names in _ROWS]
    rows = [[(name, [cut for of, cut in own if of == name]) for name in names] for names in shown]
    widths = [[max(3 * gap, sum(cut.shape[1] + 2 for cut in cuts)) for _, cuts in row] for row in rows]
    heights = [max([cut.shape[0] for _, cuts in row for cut in cuts], default=gap) for row in rows]
    width = max(sum(row) + 3 * gap * len(row) for row in widths)
    sheet = np.full((sum(heights) + 4 * gap * len(rows), width), 255, np.uint8)
    figure = Figure(figsize=(11.69, 8.27))
    FigureCanvasAgg(figure)
    ax, top = figure.add_axes((0.03, 0.06, 0.94, 0.86)), 0
    for row, own_widths, height in zip(rows, widths, heights, strict=True):
        foot, free = top + height + gap, (width - sum(own_widths)) / len(row)
        left = free / 2
        for (name, cuts), slot in zip(row, own_widths, strict=True):
            x = round(left + (slot - sum(cut.shape[1] + 2 for cut in cuts)) / 2)
            for cut in cuts:
                sheet[foot - cut.shape[0] : foot, x : x + cut.shape[1]] = cut
                x += cut.shape[1] + 2
            ax.plot([left, left + slot], [foot + gap / 2] * 2, color="black", linewidth=0.6)
            ax.text(left + slot / 2, foot + gap, name, ha="center", va="top", fontsize=9)
            left += slot + free
        top = foot + 3 * gap
    large = max(1, round(_WIDTH / width))  # enlarged once, not at every drawing
    enlarged = cv2.resize(sheet, None, fx=large, fy=large, interpolation=cv2.INTER_LANCZOS4)
    extent = (-0.5, width - 0.5, sheet.shape[0] - 0.5, -0.5)
    ax.imshow(enlarged, cmap="gray", vmin=0, vmax=255, interpolation="none", extent=extent)
    ax.set_axis_off()
    review = cell.review
    signed = f"{cell.status}, {review.initials}, {review.time}" if review else "open: as read, not signed"
    figure.suptitle(f"{cell.formula}   ({cell.name}; {signed})", fontsize=12, parse_math=False)
    figure.supxlabel(f"karyo {__version__}. {NOTICE}", fontsize=8)
    return figure


def _write_cell(cell: SignedCell, picture: np.ndarray, place: Path) -> None:
    figure = draw_cell(cell, picture)
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        with writing(place / f"karyogram.{kind}") as part:
            figure.savefig(part, format=kind, dpi=200, metadata=metadata)
    table = _chromosome_table(cell)
    _write_table(place / "chromosomes.csv", table)
    told = {
        "software": f"karyo {__version__}",
        "notice": NOTICE,
        "formula": cell.formula,
        "read_as": cell.result.formula,
        "status": cell.status,
        "chromosomes": table,
        "review": json.loads(format_reviews([cell.review]))["reviews"][0] if cell.review else None,
    }
    write_whole(place / "cell.json", json.dumps(told, ensure_ascii=False, indent=1))


def _chromosome_table(cell: SignedCell) -> list[dict]:
    seen: Counter[str] = Counter()
    rows = []
    for one in cell.objects:
        seen[one.name] += 1
        polygons = [np.reshape(polygon, (-1, 2)).astype(np.float32) for polygon in one.outline]
        points, read = np.concatenate(polygons), cell.read_as(one)
        corners = [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()]
        rows.append(
            {
                "chromosome": one.name,
                "copy": seen[one.name],
                **dict(zip(BOX, corners, strict=True)),
                "area": round(sum(float(cv2.contourArea(polygon)) for polygon in polygons), 1),
                "upside_down": one.turned,
                "read_as": read.get("class", ""),
                "probability": read.get("p", ""),
                "corrected": read.get("class") != one.name
                or read.get("outline") != [list(p) for p in one.outline],
            }
        )
    return sorted(rows, key=lambda row: (*CHROMOSOMES, "mar", "").index(row["chromosome"]))


def _case_row(cell: SignedCell) -> dict:
    signed = {name: getattr(cell.review, name, "") for name in ("initials", "time", "note")}
    return {
        "case": cell.entry.number,
        "file": cell.result.file,
        "page": cell.result.page,
        "patient": cell.patient,
        "status": cell.status,
        "formula": cell.formula,
        "read_as": cell.result.formula,
        **signed,
        "folder": cell.name if cell.counts else "",
    }


def _bank_cutouts(cell: SignedCell, picture: np.ndarray) -> list[Cutout]:
    """A cell's chromosomes on white paper; a bank has no place for markers."""
    paper = np.clip(255 - 255 * measure_ink(picture), 0, 255).astype(np.uint8)
    copies: Counter[str] = Counter()
    cutouts = []
    for one in cell.objects:
        if one.name in CHROMOSOMES:
            copies[one.name] += 1
            image = cell.cut_out(paper, one)
            cutouts.append(Cutout(one.name, copies[one.name], image, cell.name, safe_cell(cell.patient)))
    return cutouts


def _read_patients(folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for file, patient, cases in (
        ("patients.csv", "patient", "cases"),
        ("worklist.csv", "patient_id", "case"),
    ):
        if (path := Path(folder) / file).is_file():
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
            for name, own in zip(table[patient].str.removeprefix("'"), table[cases], strict=True):
                found |= dict.fromkeys(own.split(), name) if name else {}
    return found


def _write_table(path: Path, rows: list[dict]) -> None:
    write_csv(path, rows[0] if rows else (), rows, encoding="utf-8")
