from string import Formatter

import numpy as np
import pandas as pd
import pytest

from karyo_lib.judge import compute_split_facts, fill_checklist
from karyo_lib.judge.words import load_checklist


def study(n=60, leaky=True, by_source=False):
    rng = np.random.default_rng(0)
    ids = [f"k{i}" for i in range(n)]
    label = np.where(np.arange(n) % 3 == 0, "abnormal", "normal")
    index = pd.DataFrame(
        {
            "image_id": ids,
            "label": label,
            "patient_id": [f"p{i // 2}" for i in range(n)],
            "source": np.where(label == "abnormal", "internet", "laboratory") if by_source else "drawn",
            "sha256": [f"digest {i}" for i in range(n)],
            "style": rng.choice(["a", "b", "c"], n),
        }
    )
    part = np.repeat(["train", "val", "test"], [36, 10, 14])
    rows = []
    for protocol in ("thesis", "grouped"):
        for copy in range(3):
            for i, image_id in enumerate(ids):
                if protocol == "grouped" and part[i] != "train" and copy:
                    continue  # originals alone are judged
                where = rng.choice(part) if protocol == "thesis" and leaky else part[i]
                rows.append(("augmented", protocol, 0, f"{image_id}-{copy}", image_id, label[i], where))
    columns = ["data", "protocol", "repeat", "image_id", "parent_id", "label", "part"]
    return index, pd.DataFrame(rows, columns=columns)


def test_split_facts_by_hand():
    facts = compute_split_facts(*study())
    assert (facts["n_images"], facts["n_patients"], facts["sources"]) == (60, 30, "drawn")
    assert (facts["n_train"], facts["n_val"], facts["n_test"]) == (108, 10, 14)
    assert facts["n_test_abnormal"] == 4
    assert facts["abnormal_share"] == pytest.approx(4 / 14)
    assert facts["leaky_share_grouped"] == 0
    assert facts["leaky_share_thesis"] > 0.5
    assert facts["shared_patients_grouped"] == 0
    assert facts["shared_patients_thesis"] > 5
    assert facts["duplicates_grouped"] == 0
    assert not facts["source_tells_label"]


def test_a_confounded_source_and_a_duplicate_are_seen():
    index, splits = study(by_source=True)
    index.loc[59, "sha256"] = index.loc[0, "sha256"]  # a test karyogram that is in training too
    facts = compute_split_facts(index, splits)
    assert facts["source_label_v"] == pytest.approx(1, abs=0.01)
    assert facts["source_tells_label"]
    assert facts["duplicates_grouped"] == 1
    answers = fill_checklist("leakage", {**facts, "annotations_tell_label": False}).set_index("item")
    assert answers.loc["L2", "status"] == "not met"
    assert "1.0" in answers.loc["L2", "answer"]
    assert answers.loc["L1.4", "status"] == "not met"
    assert answers.loc["L1.4", "answer"].startswith("1 karyograms")


def test_styles_drawn_at_random_are_called_no_proven_shortcut():
    alarms = 0
    for seed in range(40):
        index, splits = study()
        index["style"] = np.random.default_rng(seed).integers(0, 8, len(index)).astype(str)
        alarms += "is no chance" in compute_split_facts(index, splits)["shortcut"]
    assert alarms <= 3


def test_a_style_that_tells_the_label_by_chance_is_not_met():
    index, splits = study(n=12)
    index["style"] = ["a", "b", "b", "a", "b", "b", "b", "b", "b", "b", "b", "b"]  # 2 of 4 abnormal ones
    facts = compute_split_facts(index, splits) | {"annotations_tell_label": False}
    assert facts["style_label_v"] > 0.3
    row = fill_checklist("leakage", facts).set_index("item").loc["L2"]
    assert row["status"] == "not met"
    assert "V of style is above 0.1, which on so few may be chance" in row["answer"]


def test_a_number_of_nought_is_known_and_a_false_fact_does_not_hold():
    facts = {"auc_grouped": 0.5, "auc_grouped_low": 0.0, "auc_grouped_high": 1.0, "headline_condition": "A"}
    answers = fill_checklist("reporting", facts).set_index(["checklist", "item"])
    assert answers.loc[("CLAIM", "36"), "answer"] == "A, split by patient: AUC 0.50 [0.00, 1.00]."
    assert answers.loc[("CLAIM", "36"), "status"] == "met"
    few = fill_checklist("reporting", facts | {"auc_grouped_low": np.nan}).set_index(["checklist", "item"])
    assert "cannot be told from so few" in few.loc[("CLAIM", "36"), "answer"]
    hidden = fill_checklist("reporting", {"no_identifiers": False}).set_index(["checklist", "item"])
    assert hidden.loc[("CLAIM", "12"), "status"] == "not met"


def test_leakage_sheet_is_met_only_where_facts_hold():
    facts = compute_split_facts(*study()) | {"annotations_tell_label": False, "search_blind": True}
    answers = fill_checklist("leakage", facts).set_index("item")
    assert answers["status"].to_dict() == {
        "L1.1": "not met", "L1.2": "met", "L1.3": "met", "L1.4": "met", "L2": "met",
        "L3.1": "not met", "L3.2": "met", "L3.3": "not met",
    }  # fmt: skip
    assert "0% of its test images" in answers.loc["L1.2", "answer"]
    assert "29% of the test images are abnormal" in answers.loc["L3.3", "answer"]
    assert fill_checklist("leakage", facts | {"test_untouched": True})["status"][0] == "met"


def test_a_leaky_split_is_never_met():
    index, splits = study()
    leaky = splits[splits["protocol"] == "thesis"].assign(protocol="grouped")
    answers = fill_checklist("leakage", compute_split_facts(index, leaky)).set_index("item")
    assert answers.loc[["L1.2", "L3.2"], "status"].tolist() == ["not met", "not met"]


def test_without_facts_nothing_that_needs_one_is_met():
    for name in ("leakage", "reporting"):
        rows, answers = load_checklist(name), fill_checklist(name, {})
        asks = rows["needs"].ne("") | rows["answer"].str.contains("{", regex=False)
        assert (answers.loc[asks, "status"] == "not met").all()
        assert (answers["answer"] != "").all()
        assert not answers["answer"].str.contains(r"[{}]").any()


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_unknown_values_do_not_count_as_known(missing):
    answers = fill_checklist("reporting", {"seed": missing}).set_index(["checklist", "item"])
    assert answers.loc[("CLAIM", "10"), "status"] == "not met"
    known = fill_checklist("reporting", {"seed": 2020}).set_index(["checklist", "item"])
    assert known.loc[("CLAIM", "10"), "status"] == "met"
    assert "seed 2020" in known.loc[("CLAIM", "10"), "answer"]


def test_all_42_items_of_claim_are_asked_once_and_every_row_can_be_filled():
    rows = load_checklist("reporting")
    assert rows.loc[rows["checklist"] == "CLAIM", "item"].tolist() == [str(i) for i in range(1, 43)]
    assert not rows.duplicated(["checklist", "item"]).any()
    asked = {need.removeprefix("!") for need in " ".join(rows["needs"]).split()}
    asked |= {field for _, field, _, _ in Formatter().parse(" ".join(rows["answer"])) if field}
    facts = dict.fromkeys(asked, 0.5) | {"shared_patients_grouped": 0}
    assert (fill_checklist("reporting", facts)["status"] == "met").all()
