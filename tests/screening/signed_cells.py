"""A screened folder whose readings are known: drawn cells, described as if a reader had read them."""

import json
from pathlib import Path
from types import SimpleNamespace

from karyo_lib.draw import draw_karyogram
from karyo_lib.iscn import count_formula
from karyo_lib.screening import view
from karyo_lib.screening.journal import Journal, Names, Result
from karyo_lib.screening.view import THUMBNAIL_SIDE, digest_pixels, encode_picture
from karyo_lib.screening.worklist import About, write_worklist

SCRIPTS = Path(view.__file__).with_name("templates")


def draw_result(formula: str, seed: int, name: str, mistake: str = "", size=(700, 640)) -> Result:
    """The result of a drawn cell; `mistake` is one that a reader might make: 'misnamed' takes a 4 for a 5,
    'merged' both homologues of 12 for one chromosome."""
    page = draw_karyogram(formula, style="classic", seed=seed, size=size, annotate=False)
    found = SimpleNamespace(labels=page.labels, scale=1.0, boxes=page.truth)
    outlines = view._outlines(found, 1.0)
    names = page.truth["chromosome"].tolist()
    objects = [{"outline": o, "class": n, "p": 0.99} for o, n in zip(outlines, names, strict=True)]
    if mistake == "misnamed":
        objects[names.index("4")] |= {"class": "5", "p": 0.6, "doubtful": True}
    if mistake == "merged":
        first, second = (i for i, n in enumerate(names) if n == "12")
        objects[first]["outline"] += objects.pop(second)["outline"]
    counts = {n: 0 for n in names}
    for one in objects:
        counts[one["class"]] += 1
    read = count_formula(counts)
    cell = {"level": 550, "formula": read, "arrangement": "", "objects": objects}
    return Result(
        name, 1, "normal", 0.2, 80.0, "refer", "looks normal", read, 0.7,
        picture=encode_picture(page.image), thumbnail=encode_picture(page.image, THUMBNAIL_SIDE),
        cell=json.dumps(cell), digest=digest_pixels(page.image), sha256="0" * 64,
    )  # fmt: skip


def write_screening(out: Path, results: list[Result], pictures: str = "auto", patients=None) -> Path:
    """An out folder as `karyo screen` writes it."""
    out.mkdir(parents=True, exist_ok=True)
    journal = Journal(out, {"karyo": "test"}, fresh=True)
    for result in results:
        journal.add([result], "1-1")
    about = About("m", "d" * 64, "reading", "grad-cam", "None.", False, "", len(results), len(results))
    names = Names(patients or {}, "show" if patients else "none")
    write_worklist(out, journal.entries, journal.read, names, about, pictures)
    journal.close()
    return out
