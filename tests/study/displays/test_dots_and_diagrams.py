import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba

from karyo_lib.judge import compute_metrics, format_interval
from karyo_lib.study.displays.diagrams import FlowChartDisplay, ImageGridDisplay, StructureDisplay
from karyo_lib.study.displays.dots import DotsDisplay, MetricsForestDisplay
from karyo_lib.study.displays.style import PALETTE, style, wrap_caption
from karyo_lib.study.networks.luck import luck_display
from karyo_lib.study.present import describe_figure


def runs():
    rows = []
    for condition in ("original-vgg16-frozen", "augmented-inceptionv3-frozen"):
        for protocol, mean in (("shuffled-thesis", 0.9), ("grouped", 0.55), ("thesis", 0.94)):
            rows += [(condition, protocol, repeat, mean + 0.01 * repeat) for repeat in range(3)]
    return pd.DataFrame(rows, columns=["condition", "protocol", "repeat", "value"])


def test_leak_shows_every_single_run_its_mean_and_chance():
    shown = luck_display(runs())
    dots = np.ma.vstack([c.get_offsets() for c in shown.ax_.collections])
    hollow = runs()["value"][runs()["protocol"] == "shuffled-thesis"]  # a white dot on each of these
    np.testing.assert_allclose(sorted(dots[:, 0]), sorted([*runs()["value"], *hollow]))
    means = sorted(
        x for line in shown.ax_.lines for x in np.atleast_1d(line.get_xdata()) if line.get_marker() == "|"
    )
    np.testing.assert_allclose(means, [0.56, 0.56, 0.91, 0.91, 0.95, 0.95])
    assert [line.get_xdata()[0] for line in shown.ax_.lines if line.get_linestyle() == "--"] == [0.5]
    names = [text.get_text() for text in shown.figure_.legends[0].get_texts()]
    assert names == [
        "copies split at random (thesis)", "split by patient",
        "copies split at random, labels shuffled", "chance: 0.5",
    ]  # fmt: skip
    places = [(round(x, 2), round(y)) for x, y in dots]  # rows in their order, from the top
    assert ((0.94, 0) in places, (0.94, 1) in places) == (True, True)
    colours = {tuple(colour[:3]) for c in shown.ax_.collections for colour in c.get_facecolors()}
    assert colours == {(1.0, 1.0, 1.0), to_rgba(PALETTE["thesis"])[:3], to_rgba(PALETTE["grouped"])[:3]}


def test_dots_leave_out_what_is_not_there():
    table = pd.DataFrame({"group": ["trisomy", "inversion"], "page": ["150", "416"], "px": [12.0, np.nan]})
    shown = DotsDisplay.from_table(table, row="group", series="page", value="px", label="px", log=True)
    assert shown.alt_ == "px. trisomy, 150: 12."
    assert shown.ax_.get_xscale() == "log"
    assert [tick.get_text() for tick in shown.ax_.get_yticklabels()] == ["trisomy", "inversion"]


def test_forest_draws_values_and_intervals():
    metrics = compute_metrics([0, 0, 0, 1, 1, 1], [0.1, 0.2, 0.7, 0.4, 0.8, 0.9], n_resamples=50)
    shown = MetricsForestDisplay.from_table(metrics)
    line = shown.bars_[""].lines[0]
    np.testing.assert_allclose(np.array(line.get_xdata(), float), metrics["value"])
    segments = shown.bars_[""].lines[2][0].get_segments()
    np.testing.assert_allclose(segments[0][:, 0], metrics.loc[0, ["low", "high"]].to_numpy(dtype=float))
    assert shown.ax_.texts[0].get_text() == format_interval(*metrics.loc[0, ["value", "low", "high"]])


def test_forest_of_two_series_and_an_undefined_value():
    metrics = compute_metrics([0, 0], [0.1, 0.6], n_resamples=10)
    both = pd.concat([metrics.assign(series="thesis"), metrics.assign(series="grouped")])
    shown = MetricsForestDisplay.from_table(both, reference=(0.5, "chance"))
    assert len(shown.bars_["grouped"].lines[0].get_xdata()) == metrics["value"].notna().sum()
    assert len(shown.ax_.get_yticks()) == len(metrics)
    assert not shown.ax_.texts


def blocks():
    rows = [
        ("input", "InputLayer", "150 x 150 x 3", 0, ""),
        ("block5", "3 x Conv2D, MaxPooling2D", "4 x 4 x 512", 7079424, "no"),
        ("dense", "Dense", "256", 131328, "yes"),
    ]
    return pd.DataFrame(rows, columns=["block", "layer_types", "output_shape", "parameters", "trainable"])


def test_structure_colours_what_is_trained():
    shown = StructureDisplay.from_blocks({"VGG16": blocks()})
    frozen, trained = (shown.marks_["VGG16", name].get_facecolor() for name in ("block5", "dense"))
    assert frozen == to_rgba(PALETTE["frozen"])
    assert trained != frozen
    assert shown.marks_["VGG16", "dense"] is shown.boxes_["dense"]
    texts = {what: shown.texts_["block5", what].get_text() for what in ("name", "size", "layers")}
    assert texts == {
        "name": "block5",
        "size": "4 x 4 x 512\n7,079,424 weights",
        "layers": "3 Conv2D, MaxPool",
    }
    assert shown.texts_["input", "size"].get_text() == "150 x 150 x 3"


def test_what_is_trained_is_marked_beside_the_blocks():
    more = blocks().assign(trainable=blocks()["trainable"].replace("no", "yes"))
    shown = StructureDisplay.from_blocks({"frozen": blocks(), "last block": more})
    faces = {key: box.get_facecolor() for key, box in shown.marks_.items()}
    assert faces["frozen", "block5"] == to_rgba(PALETTE["frozen"])
    assert faces["last block", "block5"] == faces["frozen", "dense"] == faces["last block", "dense"]
    assert shown.boxes_["block5"].get_facecolor() == to_rgba("white")


def test_long_layer_lists_stay_in_their_boxes():
    inception = "10 x Conv2D, 10 x BatchNormalization, 10 x Activation, AveragePooling2D, 3 x Concatenate"
    long = blocks().assign(layer_types=inception)
    for structures in ({"": long}, {"frozen": long, "full": long}):
        shown = StructureDisplay.from_blocks(structures)
        shown.figure_.canvas.draw()
        for (block, _), text in shown.texts_.items():
            box = shown.boxes_[block].get_window_extent()
            drawn = text.get_window_extent()
            assert box.x0 <= drawn.x0
            assert drawn.x1 <= box.x1


def test_flow_chart_has_both_ways_and_boxes_stay_inside():
    shown = FlowChartDisplay().plot()
    assert "inspected by a specialist" in shown.texts_["inspection"].get_text()
    assert ("detection", "cleared") in shown.arrows_
    shown.figure_.canvas.draw()
    frame = shown.figure_.bbox
    for text in shown.texts_.values():
        box = text.get_bbox_patch().get_window_extent()
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
    boxes = [text.get_bbox_patch().get_window_extent() for text in shown.texts_.values()]
    overlaps = [a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(overlaps)


def test_grid_shows_images_captions_and_frames():
    images = [np.full((20, 30), value, np.uint8) for value in (0, 100, 255)]
    shown = ImageGridDisplay.from_images(
        images, ["a", "b", "c"], labels=["normal", "abnormal", "referred"], n_columns=2
    )
    drawn = [image for ax in shown.axes_ for image in ax.images]
    assert [image.get_array()[0, 0] for image in drawn] == [0, 100, 255]
    assert all(image.get_clim() == (0, 255) for image in drawn)
    assert [text.get_text() for text in shown.captions_] == ["a", "b", "c"]
    assert shown.axes_[1].spines["left"].get_edgecolor() == to_rgba(PALETTE["abnormal"])
    assert not shown.axes_[3].axison
    with pytest.raises(ValueError, match="Expected 3 captions"):
        ImageGridDisplay(images, ["a"])
    with pytest.raises(ValueError, match="at least one image"):
        ImageGridDisplay([], [])


def test_style_is_put_back_and_colours_keep_their_meaning():
    before = mpl.rcParams["font.size"]
    with style():
        assert mpl.rcParams["axes.titlesize"] == 9
    assert mpl.rcParams["font.size"] == before
    assert (PALETTE["normal"], PALETTE["abnormal"], PALETTE["referred"]) == ("#0072B2", "#D55E00", "#E69F00")


def test_figures_tell_their_numbers_in_words():
    told = (
        "VGG16 frozen, original data, copies split at random (thesis): mean 0.95, 3 values from 0.94 to 0.96."
    )
    assert told in luck_display(runs()).alt_
    grid = ImageGridDisplay.from_images([np.zeros((9, 9), np.uint8)] * 2, ["46,XX\nnormal", "47,XY,+21"])
    assert describe_figure(grid, grid.figure_) == "Image: 46,XX normal. Image: 47,XY,+21."
    with style():
        figure, ax = plt.subplots()
    ax.plot([0, 1], label="test: AUC 0.83")
    ax.set(title="split by patient", xlabel="False alarms", ylabel="Sensitivity")
    ax.legend()
    told = describe_figure(figure, figure)
    assert told == "split by patient: Sensitivity against False alarms (test: AUC 0.83)."
    assert len(describe_figure(type("Shown", (), {"alt_": "word " * 900}), figure)) < 1510


def test_long_captions_break_where_a_formula_may():
    long = "54,XX,+X,+4,+6,+10,+14,+17,+18,+21\nabnormal"
    assert wrap_caption(long, 22) == "54,XX,+X,+4,+6,+10,\n+14,+17,+18,+21\nabnormal"
    assert wrap_caption("46,XX,del(20)(q11.2q13.1)", 22) == "46,XX,del(20)\n(q11.2q13.1)"
    assert wrap_caption("46,XX", 22) == "46,XX"
