"""A case on one sheet: offline HTML that prints as A4, and JSON as in ``templates/case.schema.json``."""

import base64
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from karyo_lib import __version__
from karyo_lib.iscn import KaryotypeError, parse_karyotype
from karyo_lib.iscn.clones import CELLS_FOR_GAIN, CELLS_FOR_LOSS
from karyo_lib.read.case_record import Case
from karyo_lib.screening.card import NOTICE, environment
from karyo_lib.screening.case_figures import MOST_CELLS, best_source, draw_karyogram_of, draw_line
from karyo_lib.store import write_whole

FORMAT = "karyo-case/1"
ISCN = "ISCN 2024"
_SHOWN_FINDINGS = 6  # on the sheet; the JSON has all
_CELL_KEYS = {"read": "read_as", "finding": "differs", "cells": "measured_on_cells"}
#: Karyotypic sex of GA4GH Phenopackets 2, but for X, which it calls XO.
_SEXES = "XX", "XY", "XXX", "XXY", "XYY", "XXXX", "XXXY", "XXYY"


def describe_case(case: Case, reader_digest: str = "") -> dict[str, Any]:
    """What the report says of a case, ready for JSON; numbers that are not known are None."""
    exclusion, errors = case.exclusion, case.settings.errors
    digests = {source.name: source.sha256 for source in case.sources}
    return {
        "format": FORMAT,
        "notice": NOTICE,
        "software": {"karyo": __version__, "reader_sha256": reader_digest},
        "nomenclature": ISCN,
        "case": case.name,
        "practice": case.settings.practice,
        "karyotype": case.formula,
        "karyotypic_sex": _karyotypic_sex(case),
        "probability": _number(case.probability),
        "p_abnormal": _number(case.p_abnormal),
        "alternatives": [
            {"karyotype": row.formula, "probability": _number(row.probability)}
            for row in case.alternatives.itertuples()
        ],
        "counts": {
            "cells": len(case.cells),
            "counted": case.counted,
            "analysed": sum(cell.analysed for cell in case.cells),
            "excluded": sum(bool(cell.excluded) for cell in case.cells),
        },
        "lines": [
            {
                "karyotype": line.formula,
                "cells": list(line.cells),
                "share": _number(line.share),
                "share_95": [_number(line.low), _number(line.high)],
            }
            for line in case.lines
        ],
        "exclusion": {
            "sentence": str(exclusion),
            "confidence": exclusion.confidence,
            "cells": exclusion.cells,
            "share": _number(exclusion.share),
            "share_without_reading_errors": _number(exclusion.perfect),
            "cells_analysed": exclusion.analysed,
            "share_of_half_the_changes": _number(exclusion.usual),
            "share_of_what_no_cell_shows": _number(exclusion.least),
            "gains_and_losses": [
                {"change": text, "cells": cells, "share": _number(share)}
                for text, cells, share in exclusion.changes
            ],
            "share_found_by_two_cells": _number(exclusion.gains_found),
            "share_found_by_three_cells": _number(exclusion.losses_found),
            "aim": exclusion.aim,
            "further_cells_for_aim": exclusion.more,
        },
        "reading_errors": {_CELL_KEYS.get(key, key): value for key, value in asdict(errors).items()},
        "cells": [
            {_CELL_KEYS.get(key, key): value for key, value in asdict(cell).items()}
            | {"sha256": digests.get(cell.name, "")}
            for cell in case.cells
        ],
        "notes": list(case.notes),
        "limits": list(describe_limits(case)),
    }  # fmt: skip


def describe_limits(case: Case) -> tuple[str, ...]:
    """What a karyotype read from these pictures cannot tell."""
    exclusion, errors = case.exclusion, case.settings.errors
    numbers = (
        f"measured on {errors.cells} cells of known formula"
        if errors.cells
        else "assumed, not measured for these pictures"
    )
    limits = [
        f"Reading errors are {numbers}: a chromosome missed or lost in {100 * errors.lost:.1f} % of cells, "
        f"one too many in {100 * errors.gained:.1f} %, nothing of use in {100 * errors.failed:.1f} %.",
        *[
            f"ISCN's rule ({CELLS_FOR_GAIN} cells with a gain, {CELLS_FOR_LOSS} with a loss) finds a gain in "
            f"{100 * exclusion.gains_found:.0f} % of the cells or more, a loss in "
            f"{100 * exclusion.losses_found:.0f} %, at {100 * exclusion.confidence:.0f} %."
        ]
        * (exclusion.losses_found < 1),  # with few cells it finds neither for sure
        f"Of structural changes of 10 to 40 megabases {100 * errors.change_missed:.0f} % are missed in a "
        "single cell, of translocations and inversions more, and nearly all below 10 megabases or between "
        "bands alike. Uniparental disomy and variants of genes are not seen.",
    ]
    analysed = f"{exclusion.analysed} cells were" if exclusion.analysed else "No cell was"
    limits.append(f"{analysed} analysed band by band; structural changes are not excluded.")
    return tuple(limits)


def render_case(case: Case, reader_digest: str = "") -> tuple[str, str]:
    told = describe_case(case, reader_digest)
    source = best_source(case)
    pictures = [draw_line(case, line) for line in case.lines]
    page = environment().get_template("case.html.j2").render(
        told,
        title=case.name,
        karyogram=_uri(draw_karyogram_of(source)) if source else "",
        karyogram_of=source.name if source else "",
        evidence=[_uri(picture) for picture in pictures],
        most_cells=MOST_CELLS,
        excluded=[cell for cell in told["cells"] if cell["excluded"]],
        single=[cell for cell in told["cells"] if cell["differs"]],
        doubtful=[cell for cell in told["cells"] if cell["doubts"]],
        shown=_SHOWN_FINDINGS,
    )  # fmt: skip
    return page, json.dumps(told, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def write_case(case: Case, out: Path, reader_digest: str = "", stem: str = "case") -> Path:
    """Write ``case.html`` and ``case.json``, each whole or not at all; returns the page's path."""
    page, told = render_case(case, reader_digest)
    for suffix, text in ((".json", told), (".html", page)):
        write_whole(Path(out) / f"{stem}{suffix}", text)
    return Path(out) / f"{stem}.html"


def _karyotypic_sex(case: Case) -> str:
    if len(case.lines) != 1:
        return "OTHER_KARYOTYPE" if case.lines else "UNKNOWN_KARYOTYPE"
    try:
        sex = parse_karyotype(case.lines[0].formula).sex
    except KaryotypeError:
        return "OTHER_KARYOTYPE"
    return "XO" if sex == "X" else sex if sex in _SEXES else "OTHER_KARYOTYPE"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 4)


def _uri(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}" if content else ""
