"""The bench: what it computes from turns, and its quick version end to end."""

import numpy as np
import pandas as pd
import pytest
from sleeper import Sleeper

from benchmarks import aucmedi_side
from benchmarks.compose import compose_profile, compose_scale, describe_table
from benchmarks.growth import describe_growth, tabulate_growth
from benchmarks.material import QUICK, Sizes, make_labels, make_pages, split_examples
from benchmarks.measure import compute_ratios, measure
from benchmarks.rows import make_rows
from benchmarks.run import run_bench, tabulate


def turns(row="condition", **seconds):
    rows = [
        {"row": row, "side": side, "repeat": i, "seconds": value, "measured_seconds": value,
         "peak_mib": 100.0, "load": 1.0, "note": "", "images": 50}
        for side, values in seconds.items()
        for i, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_sides_have_processes_of_their_own_and_take_turns():
    table = measure([Sleeper(), Sleeper("other", times=12)], repeats=2)
    assert table["side"].tolist() == ["karyo", "other"] * 2
    assert table["seconds"].tolist() == [2.0, 6.0] * 2
    peaks = table.groupby("side")["peak_mib"].first()
    assert peaks["other"] - peaks["karyo"] > 16
    ratios = compute_ratios(table)
    assert ratios["ratio"].tolist() == [3.0]


def test_a_ratio_is_the_median_of_neighbouring_turns():
    told = compute_ratios(turns(karyo=[1, 2, 4], plain=[10, 40, 20])).iloc[0]
    assert (told["ratio"], told["q25"], told["q75"]) == (10, 7.5, 15)
    assert (told["karyo"], told["reference"]) == (2, 20)


def test_aims_are_judged_from_the_numbers():
    rows = [row for row in make_rows(Sizes()) if row.name in ("condition", "passes")]
    both = pd.concat([turns(karyo=[1.0], other=[30.0]), turns("passes", karyo=[1.0], other=[30.0])])
    said = describe_table(tabulate(both, rows))
    assert said[0].endswith("hoped for 20: reached.")
    assert said[1].endswith("hoped for 60: not reached.")


def test_results_that_differ_are_called_so():
    rows = [row for row in make_rows(Sizes()) if row.name == "condition"]
    for difference, word in ((1e-6, "same"), (1e-2, "differs")):
        table = tabulate(turns(karyo=[1.0], other=[2.0]).assign(difference=difference), rows)
        assert table["result"].iloc[0].startswith(word)


def test_a_million_karyograms_from_the_rate():
    told = compose_scale(turns("screening", karyo=[5.0, 5.0])).set_index("where")["hours"]
    assert told["this machine"] == pytest.approx(1e6 / 10 / 3600)
    assert told["16 such machines"] == pytest.approx(told["this machine"] / 16)
    assert np.isnan(told["one GPU"])


def test_the_profile_is_the_sum_of_its_parts():
    sizes = Sizes()
    names = ("condition", "last-block", "last-two-blocks", "passes", "search")
    parts = [turns(name, karyo=[10.0], plain=[100.0]) for name in names]
    for name in ("features-vgg16", "features-inceptionv3"):
        parts.append(turns(name, karyo=[1.0]))
        parts.append(turns(name, **{"Keras predict": [2.0]}))
    parts.append(turns("all", karyo=[7.0]))
    table = compose_profile(pd.concat(parts).assign(feature_seconds=4.0), sizes)
    assert len(table) == 8
    full = table.set_index("part").loc["InceptionV3 trained in full, fits"]
    assert full["karyo_s"] == full["plain_s"] == pytest.approx(2 * 30 * 7 * 553 / 64)
    head = table.set_index("part").loc["VGG16 frozen, fits"]
    assert head["karyo_s"] / head["times"] == pytest.approx(6)
    assert compose_profile(pd.concat(parts[:3]), sizes).empty


def test_growth_is_told_from_the_exponents():
    straight = [("head, one epoch", n, n / 100) for n in (100, 1000)]
    bent = [("proposals of the search", n, n**3 / 1e4) for n in (10, 20, 40)]
    table = tabulate_growth(straight + bent)
    assert table["exponent"].dropna().round(2).tolist() == [1, 3, 3]
    said = describe_growth(table)
    assert "Head, one epoch: proportional up to 1,000." in said
    assert "exponent 3.00 up to 20" in said


def test_both_classes_stand_in_both_parts():
    for count in (16, 24, 64, 553):
        for part in split_examples(np.zeros((count, 1))):
            assert set(part.y) == {0, 1}
    assert len({page.tobytes() for page in make_pages(40)}) == 40
    assert make_labels(4).tolist() == [0, 0, 1, 1]


def test_without_its_environment_aucmedi_is_left_out_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.setenv("KARYO_BENCH_AUCMEDI", str(tmp_path / "none"))
    row = aucmedi_side.make_row(QUICK)
    assert [job.side for job in row.jobs] == ["karyo"]
    assert "make bench-aucmedi" in row.missing


def test_rows_that_do_not_exist(tmp_path):
    with pytest.raises(ValueError, match=r"Expected rows among condition, .*Received speed"):
        run_bench(tmp_path, only=["speed"])


def test_the_quick_version_writes_a_page(tmp_path, monkeypatch):
    monkeypatch.setenv("KARYO_BENCH_AUCMEDI", str(tmp_path / "none"))
    table = run_bench(tmp_path / "bench", quick=True, only=["passes"])
    assert table["reference"].tolist() == ["loop over model(x, training=True)"]
    assert (table[["karyo_s", "reference_s", "ratio", "karyo_mib", "reference_mib"]] > 0).all(axis=None)
    page = (tmp_path / "bench" / "index.html").read_text()
    assert "extrapolated from 1 of 4 passes" in page
    assert "Quick version" in page
    assert "AUCMEDI: no environment" in page
    assert str(tmp_path) not in page
    assert (tmp_path / "bench" / "tables" / "ratios.csv").is_file()
