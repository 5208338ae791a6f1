"""What screening says of one page; light, so that a worklist is opened without the networks' engine."""

from dataclasses import dataclass

DECISIONS = ("abnormal", "refer", "quarantined", "cleared for number", "cleared")  # most urgent first


@dataclass(frozen=True)
class Result:
    """What screening says of one page."""

    file: str  # name below the screened folder
    page: int  # its number in the file, from 1
    label: str  # 'normal', 'abnormal', or '' where the file could not be read
    probability: float  # calibrated probability of abnormal, 0 to 1; NaN where the file could not be read
    confidence: float  # percent of Monte Carlo passes that agree with the label; NaN without passes
    decision: str  # one of `DECISIONS`; 'cleared for number' (method reading) says nothing of structure
    reason: str
    formula: str = ""  # count formula (method reading)
    formula_probability: float = float("nan")  # of it against all others, 0 to 1; NaN without one
    evidence: str = ""  # what differs (method reading)
    notes: str = ""  # what a user should know of the file
    sha256: str = ""  # of the file; '' where it could not be read
    picture: bytes = b""  # WebP of the page, at its own resolution and small; may be empty
    thumbnail: bytes = b""
    heat: bytes = b""  # PNG of what a network's decision rested on, to be laid over the page; may be empty
    cell: str = ""  # what was read, as JSON (method reading), see `karyo_lib.screening.view`; may be empty
    digest: str = ""  # of the page's pixels: what reviews are kept under; '' where the file could not be read
    cell_evidence: str = ""  # JSON of `karyo_lib.read.case_reading.tell_evidence` (method reading)
