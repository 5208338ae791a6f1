import pandas as pd
import pytest

from karyo_lib.networks.conditions import CONDITIONS
from karyo_lib.resources import data_file
from karyo_lib.study import thesis


def test_seven_conditions_and_their_test_sets():
    conditions, sizes = thesis.load_conditions(), thesis.load_datasets()
    assert len(conditions) == 7
    for _, row in conditions.iterrows():
        assert row[["tp", "fp", "tn", "fn"]].sum() == sizes.loc[row["data"], "test"]
    totals = sizes[["normal", "abnormal"]].sum(axis=1)
    parts = sizes[["train", "val", "test"]].sum(axis=1)
    assert (totals == parts)[["original", "augmented"]].all()


def test_the_published_conditions_are_ours():
    conditions = thesis.load_conditions()
    assert conditions.index.tolist() == [condition.key for condition in CONDITIONS]
    assert conditions["title"].notna().all()


def test_recomputing_by_hand():
    shares = thesis.recompute_from_matrix(tp=57, fp=4, tn=76, fn=2)
    assert shares == {
        "accuracy": (133, 139), "precision": (57, 61), "recall": (57, 59), "specificity": (76, 80),
    }  # fmt: skip


def test_one_printed_figure_does_not_follow_and_five_are_cut_off():
    table = thesis.compare_with_matrices()
    wrong = table[table["agreement"] == "does not follow"]
    assert wrong[["condition", "metric"]].to_numpy().tolist() == [
        ["augmented-vgg16-last-two-blocks", "accuracy"]
    ]
    assert wrong["arithmetic"].tolist() == ["133/139 = 0.9568"]
    assert (table["agreement"] == "truncated").sum() == 5
    assert table.loc[table["metric"] == "auc", "recomputed"].isna().all()
    inside = table.dropna(subset="recomputed")
    assert (inside["low"] <= inside["recomputed"]).all()
    assert (inside["recomputed"] <= inside["high"] + 1e-12).all()


@pytest.mark.parametrize(
    ("printed", "exact", "agreement"),
    [
        (0.97, 135 / 139, "rounded"),
        (0.97, 136 / 139, "truncated"),
        (0.98, 133 / 139, "does not follow"),
        (0.83, 0.835, "rounded"),
        (1.0, 1.0, "rounded"),
        (0.29, 0.2999, "truncated"),
    ],
)
def test_agreement_of_two_decimals(printed, exact, agreement):
    assert thesis._agreement(printed, exact) == agreement


def test_inconsistencies_carry_their_arithmetic():
    found = thesis.find_inconsistencies()
    text = " | ".join(found["arithmetic"])
    assert "56 + 1 + 56 + 3 = 116, but the test set has 139 images" in text
    assert "51/52 = 0.9808: the one case is a false positive" in text
    assert "trisomy 21 is in pair 21; pair 23 is the sex chromosomes" in text
    assert "are 23; 24 is the number of types" in text
    assert "recall 0.556 against 0.778" in text
    assert "last block 136/139 = 0.9784, last two blocks 133/139 = 0.9568" in text
    assert found["kind"].value_counts().to_dict() == {"statement": 10, "rounding": 5, "figure": 1}


def test_a_statement_that_agrees_is_not_listed(monkeypatch):
    mended = thesis.load_conditions()
    mended.loc["augmented-vgg16-frozen", "text_tn"] = 79
    mended.loc["augmented-vgg16-last-two-blocks", "accuracy"] = 0.96
    monkeypatch.setattr(thesis, "load_conditions", lambda: mended)
    found = thesis.find_inconsistencies()
    assert "figure" not in found["kind"].tolist()
    assert not found["arithmetic"].str.contains("116").any()


def test_every_statement_has_a_check_and_every_check_a_statement():
    statements = pd.read_csv(data_file("published", "statements.csv"))["statement"]
    assert sorted(statements) == sorted(thesis._CHECKS)


def test_the_published_score_catches_one_error_of_twelve():
    assert thesis.count_published_referrals() == (1, 12)
    assert (thesis.load_wrong_cases()["predicted"] != thesis.load_wrong_cases()["actual"]).all()


def test_checklist_of_figures_and_tables_is_complete():
    items = thesis.load_items()
    chapter_4 = [f"Fig 4.{i}" for i in range(1, 23)]
    earlier = ["Fig 1.1", "Fig 2.1", "Fig 2.2", *(f"Fig 3.{i}" for i in range(1, 8))]
    assert items["item"].to_list() == [*earlier, *chapter_4, "Table 4.1", "Table 4.2", "Table 5.1"]
    assert items.loc[~items["ours"], "item"].to_list() == ["Fig 2.2"]
    by_name = {item.item: item for item in items.itertuples()}
    assert by_name["Fig 4.8"].anchor == "fig-4-8"
    assert by_name["Table 5.1"].anchor == "table-5-1"
    for key, row in thesis.load_conditions().iterrows():
        assert {by_name[row[kind]].condition for kind in ("curves", "matrix", "roc")} == {key}


def test_published_parameter_counts_add_up():
    models = thesis.load_models()
    assert (models["trainable"] + models["non_trainable"] == models["total"]).all()
