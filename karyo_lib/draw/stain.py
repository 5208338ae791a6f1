"""How dark each band stains with Giemsa."""

from karyo_lib.iscn.bands import Band

UNKNOWN = "unknown"

# Heterochromatin that the stain class alone does not describe: (chromosome, arm) -> darkness.
_CENTROMERE = {"16": 0.7, "19": 0.9, "1": 0.6}
_VARIABLE = {("1", "q12"): 0.85, ("9", "q12"): 0.1, ("16", "q11.2"): 1.0, ("Y", "q12"): 0.95, ("19", "p12"): 0.6}


def darkness_of(band: Band) -> float:
    """Return how dark a band stains, 0 (pale) to 1 (dark)."""
    if band.stain == "gpos":
        return {25: 0.35, 50: 0.6, 75: 0.8, 100: 1.0}[band.density]
    if band.stain == "acen":
        return _CENTROMERE.get(band.chromosome, 0.45)
    if band.stain == "gvar":
        return _VARIABLE.get((band.chromosome, band.name), 0.5)
    if band.stain == "stalk":
        return 0.1
    return 0.0
