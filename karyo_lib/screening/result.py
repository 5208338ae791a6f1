"""What screening says of one page; light, so that a worklist is opened without the networks' engine."""

from dataclasses import dataclass

DECISIONS = ("abnormal", "refer", "quarantined", "cleared")  # most urgent first


@dataclass(frozen=True)
class Result:
    """What screening says of one page.

    Attributes
    ----------
    file, page : str, int
        Name below the screened folder, and the page's number in the file from 1.
    label : str
        'normal', 'abnormal', or '' where the file could not be read.
    probability : float
        Calibrated probability of abnormal, 0 to 1; NaN where the file could not be read.
    confidence : float
        Percent of the Monte Carlo passes that agree with the label; NaN without passes (method reading).
    decision, reason : str
        'abnormal', 'refer', 'quarantined' or 'cleared', and why.
    formula : str
        Count formula (method reading).
    formula_probability : float
        Of that formula against all others, 0 to 1; NaN without one.
    evidence : str
        What differs (method reading).
    notes : str
        What a user should know of the file.
    sha256 : str
        Of the file; '' where it could not be read.
    picture, thumbnail : bytes
        WebP of the page, at its own resolution and small; may be empty.
    heat : bytes
        PNG of what a network's decision rested on, to be laid over the page; may be empty.
    cell : str
        What was read, as JSON (method reading), see :mod:`karyo_lib.screening.view`; may be empty.
    digest : str
        Of the page's pixels: what reviews are kept under; '' where the file could not be read.
    cell_evidence : str
        What the cell says of its chromosomes, as JSON (method reading), see
        :func:`karyo_lib.read.case_reading.tell_evidence`; may be empty.
    """

    file: str
    page: int
    label: str
    probability: float
    confidence: float
    decision: str
    reason: str
    formula: str = ""
    formula_probability: float = float("nan")
    evidence: str = ""
    notes: str = ""
    sha256: str = ""
    picture: bytes = b""
    thumbnail: bytes = b""
    heat: bytes = b""
    cell: str = ""
    digest: str = ""
    cell_evidence: str = ""
