"""What the decoder that comes with karyo reads of drawn chromosomes: reading inverts drawing, in shares.

When it was trained 73 % of the changed ones were seen; in 50 % all classes were right.
"""

import numpy as np
import pandas as pd
import pytest

from karyo_lib.draw import draw_karyogram
from karyo_lib.iscn.bands import CHROMOSOMES
from karyo_lib.iscn.catalogue import NUMERICAL, load_catalogue
from karyo_lib.iscn.describe import describe
from karyo_lib.iscn.karyotype import parse_karyotype
from karyo_lib.read.decode import Decoder
from karyo_lib.shape.scaling import scale_strips

_PAGES = 8


@pytest.fixture(scope="module")
def read():
    """Chromosomes of drawn cells with a structural change of 20 Mb and more of the catalogue, decoded."""
    catalogue = load_catalogue()
    simple = ~catalogue["group"].isin(NUMERICAL) & ~catalogue["formula"].str.contains(
        r"mos |/|r\(|mar|dmin|,\+"
    )
    formulae = catalogue[simple & (catalogue["size_mb"] >= 20)].sample(_PAGES, random_state=0)["formula"]
    decoder, rows = Decoder.load(), []
    for number, formula in enumerate(formulae):
        made = {c.name: c.segments for c in parse_karyotype(formula).chromosomes if c.abnormal}
        page = draw_karyogram(formula, style="classic", seed=number, size=(1100, 860), annotate=False)
        images, masks = [], []
        for k, row in enumerate(page.truth.itertuples(), start=1):
            where = slice(int(row.y0), int(row.y1) + 1), slice(int(row.x0), int(row.x1) + 1)
            masks.append(page.labels[where] == k)
            images.append(np.where(masks[-1], page.image[where], 255).astype(np.uint8))
        decoded = decoder.decode(scale_strips(images, masks))
        for k, row in enumerate(page.truth.itertuples()):
            true = made.get(row.name) if row.abnormal else None
            rows.append(
                {
                    "changed": true is not None,
                    "slot": row.slot,
                    "name": CHROMOSOMES[decoded.log_proba[k].argmax()],
                    "seen": describe(decoded.segments[k]).group != "normal",
                    "upright": decoded.p_upside_down[k] < 0.5,
                    "turned": row.polarity < 0,
                    "classes": true is not None
                    and {s.chromosome for s in true} == {s.chromosome for s in decoded.segments[k]},
                }
            )
    return pd.DataFrame(rows)


def test_drawn_normal_chromosomes_are_read_as_what_they_are(read):
    normal = read[~read["changed"]]
    assert (normal["name"] == normal["slot"]).mean() > 0.99
    assert (normal["upright"] != normal["turned"]).mean() > 0.99
    assert normal["seen"].mean() < 0.01


def test_drawn_changes_of_20_mb_and_more_are_mostly_seen(read):
    changed = read[read["changed"]]
    assert changed["seen"].mean() > 0.5
    assert changed["classes"].mean() > 0.25
