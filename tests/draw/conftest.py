"""Cut-outs for composing that need no outside material: drawn ones."""

from collections import Counter

import pytest

from karyo_lib.draw import draw_chromosome
from karyo_lib.files.bank import Cutout
from karyo_lib.iscn import parse_karyotype


def drawn_cell(formula: str, cell: str, seed: int, length: float = 119.0) -> list[Cutout]:
    """Cut-outs of a cell, drawn."""
    copies, cutouts = Counter(), []
    for chromosome in parse_karyotype(formula).chromosomes:
        name = chromosome.slot
        copies[name] += 1
        picture = draw_chromosome(name, style="mottled", seed=seed + 100 * copies[name], length=length)
        cutouts.append(Cutout(name, copies[name], picture, cell, f"case of {cell}"))
    return cutouts


@pytest.fixture(scope="session")
def female():
    return drawn_cell("46,XX", "cell-a", seed=1)


@pytest.fixture(scope="session")
def male():
    return drawn_cell("46,XY", "cell-b", seed=2, length=90.0)
