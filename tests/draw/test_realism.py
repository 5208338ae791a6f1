"""Drawn chromosomes against real ones, and against their own band tables."""

import numpy as np

from karyo_lib.draw import draw_chromosome
from karyo_lib.draw.chromosome import stain_profile
from karyo_lib.draw.material import PROFILE_POINTS, compute_realism, mean_profile
from karyo_lib.files.bank import ChromosomeBank


def test_profiles_of_drawn_chromosomes_follow_the_stain():
    for name in ("1", "9", "X"):
        profile, count = mean_profile((draw_chromosome(name, seed=i) for i in range(8)), name)
        assert count == 8
        edges, darkness = stain_profile(name, 550)
        places = (np.arange(PROFILE_POINTS) + 0.5) / PROFILE_POINTS * edges[-1]
        steps = darkness.mean(1)[np.searchsorted(edges[1:], places)]
        smooth = np.convolve(np.pad(steps, 5, mode="edge"), np.ones(11) / 11, mode="valid")
        assert np.corrcoef(profile[4:-4], smooth[4:-4])[0, 1] > 0.8


def test_drawn_profiles_agree_with_real_ones(bank_dir):
    bank = ChromosomeBank(bank_dir)
    cells = bank.cells.drop_duplicates("case")["cell"].iloc[::25]
    table = compute_realism(bank, cells=cells, drawn=12, style="classic", progress=False)
    assert len(table) == 24
    # The whole bank gives 20 and more classes of 0.7; these few cells are noisier.
    assert (table["correlation"] > 0.6).sum() >= 17
    assert table["correlation"].mean() > 0.68
    assert (table["real"] >= 1).all()
    assert (table["drawn"] == 12).all()
