"""The figure from printed to what is left: every number drawn, every loss told."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from karyo_lib.study.displays.dots import StoryDisplay

STEPS = {"printed": "printed", "thesis": "the thesis's way", "grouped": "held together", "apart": "apart"}


@pytest.fixture
def table():
    rows = [
        ("a", "printed", 0.99, None, None),
        ("a", "thesis", 0.87, 0.84, 0.89),
        ("a", "grouped", 0.77, 0.6, 0.94),
        ("a", "apart", 0.52, 0.4, 0.64),
    ]
    return pd.DataFrame(rows, columns=["condition", "step", "value", "low", "high"])


def test_every_step_is_drawn_and_every_part_told(table):
    worth = pd.DataFrame({"part": ["leak", "source", "truth"], "value": [0.1, 0.25, 0.02]})
    worth = worth.assign(low=worth["value"] - 0.1, high=worth["value"] + 0.1)
    display = StoryDisplay.from_tables(table, worth, STEPS, {"a": "VGG16"})
    points, _, (bars,) = display.bars_["a"]
    assert points.get_ydata().tolist() == [0.99, 0.87, 0.77, 0.52]
    assert [round(float(segment[1, 1]), 2) for segment in bars.get_segments()] == [0.99, 0.89, 0.94, 0.64]
    assert display.texts_["source"].get_text() == "source\n0.25\n[0.15, 0.35]"
    assert display.texts_["leak"].get_position()[0] == 1.5  # between the thesis's way and held together
    assert "VGG16, apart: 0.52 [0.40, 0.64]." in display.alt_
    plt.close(display.figure_)


def test_steps_that_were_not_measured_leave_no_room(table):
    worth = pd.DataFrame({"part": ["leak"], "value": [0.1], "low": [0.0], "high": [0.2]})
    display = StoryDisplay.from_tables(table[table["step"] != "apart"], worth, STEPS, {})
    assert [tick.get_text() for tick in display.ax_.get_xticklabels()] == [
        "printed", "the thesis's\nway", "held together"
    ]  # fmt: skip
    plt.close(display.figure_)
