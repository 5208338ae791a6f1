"""The result of reading the image of a cell."""

import base64
import html
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from karyo_lib.iscn import Karyotype
from karyo_lib.read.find import FoundPage
from karyo_lib.resources import NOTICE


@dataclass(frozen=True)
class Reading:
    """What was read from the image of a cell.

    Attributes
    ----------
    kind : {'karyogram', 'metaphase', 'unreadable'}
    decision : {'cleared for number', 'abnormal', 'refer'}
        Of the number of chromosomes; structure is told apart. 'abnormal': in number, and surely so.
    karyotype : Karyotype or None
        The most probable chromosomes of the cell; None where the image cannot be read.
    chromosomes : pandas.DataFrame
        One row an object: box ``x0, y0, x1, y1`` (pixels), ``row``, ``slot`` (-1 in a metaphase);
        ``chromosome`` (class; '' where it is no chromosome), ``probability`` of that class given the whole
        cell, ``alone`` and ``alone_probability`` (best class from its looks alone), ``none_probability``,
        ``printed`` (the class that its slot is labelled as, or stands for by its order; '' where none is),
        ``upside_down``, ``doubtful`` and ``readable`` (bool), ``segments`` (tuple of
        `karyo_lib.iscn.Segment`; empty where none was read), ``certainty`` (how sure the finder is that it is
        a chromosome), ``hidden`` (share that crosses others), ``score`` (log-odds that it is structurally
        changed), ``normal`` (log-probability of the normal chromosome that it shows best).
    structure : pandas.DataFrame
        One row a structural change that is marked, the surest first: ``chromosome`` (class), ``iscn`` (as in
        'del(5)(q13q33)'), ``kind`` (one of `karyo_lib.iscn.GROUPS`), ``score``, ``objects`` (tuple of the
        positions in ``chromosomes`` that it was seen in).
    arrangement : str
        Formula of the cell as it was laid out, by printed names or the order of slots; '' where neither says.
    formula_probability, p_abnormal, p_count, p_structural : float
        Probability of the formula; of any abnormality; of an abnormal count; of a structural change. Where no
        change is marked, the last one is no measurement but hardly more than `ReaderSettings.p_structural`,
        what was believed before the image was seen; `p_abnormal` holds it.
    candidates : pandas.DataFrame
        ``formula, probability, n``, the most probable first.
    refer_reason : str
        Why a specialist must look; '' where nothing speaks for it.
    found : FoundPage
    page : ndarray of uint8, shape (H, W), or None
        What was read, where the reading is to be looked at.
    half_seen : float or None
        Megabases of deletions and duplications of which the reader marks half.

    Examples
    --------
    >>> import karyo_lib as karyo
    >>> reading = karyo.read_image(karyo.draw_karyogram("45,X", style="digital", size=None).image)
    >>> (reading.kind, reading.formula, reading.group)
    ('karyogram', '45,X', 'sex-chromosome')
    >>> print(reading)
    45,X (probability ...), abnormal with probability ...
    """

    kind: str
    decision: str
    karyotype: Karyotype | None
    chromosomes: pd.DataFrame
    structure: pd.DataFrame
    arrangement: str
    formula_probability: float
    p_abnormal: float
    p_count: float
    p_structural: float
    candidates: pd.DataFrame
    refer_reason: str
    found: FoundPage
    page: np.ndarray | None = field(default=None, repr=False)
    half_seen: float | None = None

    def __repr__(self) -> str:
        return f"Reading({self.formula!r}, kind={self.kind!r}, decision={self.decision!r})"

    def __str__(self) -> str:
        told = f"{self.formula} (probability {self.formula_probability:.2f}), abnormal with probability "
        lines = [f"{told}{self.p_abnormal:.2f}" if self.karyotype else "Not readable"]
        unsure = (
            "not sure enough to be cleared" if self.kind == "karyogram" else "a metaphase is never cleared"
        )
        refer = f"Refer: {self.refer_reason or unsure}"
        lines += [self.decision.capitalize()] * (self.decision != "refer")
        lines += [f"Changes: {', '.join(self.changes)}"] * bool(self.changes)
        lines += [f"Bands: {self.sight}"] * bool(self.karyotype)
        lines += [refer] * (self.decision == "refer" or bool(self.refer_reason))
        return "\n".join([*lines, NOTICE])

    def _repr_html_(self) -> str:
        from karyo_lib.read.evidence import picture_of

        told = "".join(f"<p>{html.escape(line)}</p>" for line in str(self).split("\n"))
        if self.page is None:
            return told
        picture = base64.b64encode(picture_of(self)).decode("ascii")
        alt = html.escape(f"Page read as {self.formula}, boxes and names over its chromosomes")
        return f'<img alt="{alt}" style="max-width:100%" src="data:image/png;base64,{picture}">{told}'

    @property
    def formula(self) -> str:
        """Count formula of the karyotype, '47,XY,+21'; '?' where the image cannot be read."""
        return self.karyotype.count_formula if self.karyotype else "?"

    @property
    def group(self) -> str:
        """One of `GROUPS`, where the number is normal by the surest structural change; or 'unreadable'."""
        if self.karyotype is None:
            return "unreadable"
        by_number = self.karyotype.group
        return self.structure["kind"].iloc[0] if by_number == "normal" and len(self.structure) else by_number

    @property
    def sight(self) -> str:
        """How much of a structural change would have been seen, in words."""
        named = self.chromosomes["chromosome"] != ""
        told = f"{int(self.chromosomes['readable'].sum())} of {int(named.sum())} chromosomes readable"
        if not self.half_seen:
            return told
        return (
            f"{told}; of deletions and duplications of {self.half_seen:g} Mb about half are seen, of "
            "translocations and inversions few"
        )

    @property
    def changes(self) -> tuple[str, ...]:
        """The structural changes that are marked, in ISCN, the surest first."""
        return tuple(self.structure["iscn"])

    @property
    def told_changes(self) -> tuple[str, ...]:
        """`changes` for people: what laboratories report as normal is named so."""
        kinds = zip(self.structure["iscn"], self.structure["kind"], strict=True)
        return tuple(f"{iscn} (normal variant)" if kind == "variant" else iscn for iscn, kind in kinds)


#: Columns of `Reading.structure`.
STRUCTURE_COLUMNS = ["chromosome", "iscn", "kind", "score", "objects"]
#: Columns of `Reading.chromosomes` beside those of the finder, with what stands there where nothing is known.
OBJECT_COLUMNS = {
    "chromosome": "", "probability": 0.0, "alone": "", "alone_probability": 0.0, "none_probability": 0.0,
    "printed": "", "upside_down": False, "doubtful": True, "readable": False, "segments": (),
    "certainty": 0.0, "score": np.nan, "normal": np.nan,
}  # fmt: skip


def summary(reading: Reading) -> dict:
    return {
        "kind": reading.kind,
        "decision": reading.decision,
        "found": len(reading.found),
        "formula": reading.formula,
        "formula_probability": reading.formula_probability,
        "arrangement": reading.arrangement,
        "group": reading.group,
        "p_abnormal": reading.p_abnormal,
        "p_count": reading.p_count,
        "p_structural": reading.p_structural,
        "changes": "; ".join(reading.changes),
        "refer_reason": reading.refer_reason,
    }


def unreadable(found: FoundPage, reason: str) -> Reading:
    """The reading of an image from which no karyotype can be told: objects without names, even odds."""
    n = len(found)
    columns = {
        name: pd.Series([value] * n, dtype=np.array(value).dtype if value != () else object)
        for name, value in OBJECT_COLUMNS.items()
    }
    return Reading(
        kind="unreadable",
        decision="refer",
        karyotype=None,
        chromosomes=found.boxes.assign(**columns),
        structure=pd.DataFrame(columns=STRUCTURE_COLUMNS),
        arrangement="",
        formula_probability=0.0,
        p_abnormal=0.5,
        p_count=0.5,
        p_structural=0.0,
        candidates=pd.DataFrame({"formula": [], "probability": [], "n": []}),
        refer_reason=reason,
        found=found,
    )
