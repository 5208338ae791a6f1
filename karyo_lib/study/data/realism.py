"""Notebook 01: how like real chromosomes the drawn ones are, where real ones are at hand."""

import pandas as pd

from karyo_lib.draw.realism import compute_realism
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.study.runs import Run


def measure_realism(run: Run) -> pd.DataFrame:
    """Return the correlation of drawn and real band profiles by chromosome; a note where there is no bank."""
    if not run.bank:
        return pd.DataFrame(
            {"note": ["No bank of real chromosomes was given to this run: name one with --bank."]}
        )
    return compute_realism(ChromosomeBank(run.bank))
