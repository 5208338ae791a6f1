"""How like real chromosomes the drawn ones are: band profiles compared, class by class."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from tqdm import tqdm

from karyo_lib.draw.karyogram import draw_chromosome
from karyo_lib.draw.material import straighten_ink, trace_chromosome
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import CHROMOSOMES, load_bands

PROFILE_POINTS = 128
# The first and last few percent of a profile show the rounding of the ends, not bands.
_TRIM = 4
REALISM_COLUMNS = ("chromosome", "correlation", "correlation_whole", "real", "drawn")


def band_profile(image: np.ndarray, chromosome: str) -> np.ndarray:
    """Band profile of a cut-out, bent or not (white background, p arm up): mean ink across the middle half of
    the chromosome at `PROFILE_POINTS` places from pter, standardised to mean 0 and deviation 1."""
    real = trace_chromosome(image, 1.0, 1.0, chromosome, "", load_bands(550))
    straight = straighten_ink(real.ink, real.axis, 0, max(4, 2 * round(real.width / 4)))
    profile = straight.mean(1)
    places = (np.arange(PROFILE_POINTS) + 0.5) / PROFILE_POINTS * len(profile) - 0.5
    profile = np.interp(places, np.arange(len(profile)), profile)
    inner = profile[_TRIM:-_TRIM]
    return (profile - inner.mean()) / max(float(inner.std()), 1e-6)


def mean_profile(images: Iterable[np.ndarray], chromosome: str) -> tuple[np.ndarray, int]:
    """Average the profiles of cut-outs of one class; return the mean and how many there were."""
    profiles = [band_profile(image, chromosome) for image in images]
    if not profiles:
        raise ValueError(f"Expected cut-outs of chromosome {chromosome}. Received none.")
    return np.mean(profiles, axis=0), len(profiles)


def compute_realism(
    bank: ChromosomeBank,
    *,
    cells: Sequence[str] | None = None,
    drawn: int = 60,
    style: str = "mottled",
    progress: bool = True,
) -> pd.DataFrame:
    """Correlate drawn with real band profiles for each of the 24 classes, both found, straightened and
    measured the same way; one real cell of each patient by default. `correlation` is of the mean profiles
    without their ends (3 % each), `correlation_whole` with them; `real` and `drawn` are the numbers averaged.
    """
    cells = bank.cells.drop_duplicates("case")["cell"].tolist() if cells is None else list(cells)
    images: dict[str, list[np.ndarray]] = {name: [] for name in CHROMOSOMES}
    for cell in cells:
        for cutout in bank.cutouts(cell):
            images[cutout.chromosome].append(cutout.image)
    # Pixels per ISCN unit of the bank, so that both are measured at one resolution.
    lengths = [image.shape[0] for image in images["1"]]
    rows, length, inner = [], float(np.median(lengths)), slice(_TRIM, -_TRIM)
    for name in tqdm(images, desc="realism", disable=not progress, leave=False):
        real, real_count = mean_profile(images[name], name)
        pictures = (draw_chromosome(name, style=style, seed=i, length=length) for i in range(drawn))
        mine, drawn_count = mean_profile(pictures, name)
        r = [float(np.corrcoef(real[part], mine[part])[0, 1]) for part in (inner, slice(None))]
        rows.append((name, *r, real_count, drawn_count))
    return pd.DataFrame(rows, columns=list(REALISM_COLUMNS))
