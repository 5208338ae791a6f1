import matplotlib
import pytest
from matplotlib.text import Text

from karyo_lib.study.displays.style import COLUMN_WIDTH

matplotlib.use("Agg")
SMALLEST = 7  # pt, in a figure set at the width of the thesis's text column


@pytest.fixture(autouse=True)
def _every_figure_is_legible():
    yield
    plt = matplotlib.pyplot
    figures = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    for figure in figures:
        scale = min(1, COLUMN_WIDTH / figure.get_figwidth())
        sizes = [text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()]
        assert round(scale * min(sizes, default=SMALLEST), 2) >= SMALLEST
