"""Notebook 06: how sure the reader is on all pages, and what a further cell of a patient is worth."""

import json
from functools import lru_cache

import joblib
import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold
from tqdm.auto import tqdm

from karyo_lib.draw import compose_karyogram, draw_karyogram
from karyo_lib.draw.page import Page
from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import parse_karyotype, sample_formulae
from karyo_lib.iscn.clones import read_clones, same_line
from karyo_lib.judge import CombinedScore, compute_risk_coverage, compute_scores, format_interval
from karyo_lib.judge.intervals import wilson
from karyo_lib.machines import count_processes, keep_worker
from karyo_lib.networks.conditions import READER
from karyo_lib.read.case import compose_case
from karyo_lib.read.case_reading import gather_cells, tell_evidence
from karyo_lib.study.confidence.judgement import CALIBRATORS
from karyo_lib.study.confidence.samples import PROTOCOL, Comparison, Passes, combine_scores
from karyo_lib.study.displays.classification import RiskCoverageDisplay
from karyo_lib.study.reading.tables import PAGES_A_WORKER, Readings, own_reader
from karyo_lib.study.runs import Run

FOLDS = 5
METHOD = "reading"
#: Patients, half of them normal, and cells of each, by profile.
PATIENTS = {"smoke": (2, 2), "quick": (12, 5), "thesis": (60, 5)}


def score_readings(run: Run, readings: Readings) -> Passes:
    """Score all readings, one answer each; the combined score of a patient is fitted on the others."""
    scores = _scores(run, readings)
    combined = np.empty(len(scores))
    for train, test in _folds(scores, run.seed):
        model = CombinedScore().fit(scores.iloc[train], scores["y_true"].to_numpy()[train])
        combined[test] = model.transform(scores.iloc[test])
    scores = scores.assign(combined=combined, part="test")
    run.save_table(scores, "scores_reading")
    name = {"condition": READER.key, "protocol": PROTOCOL, "repeat": 0}
    return Passes(scores, pd.DataFrame([name | {"seconds": readings.table["seconds"].sum()}]), 1)


def add_reader(run: Run, comparison: Comparison, readings: Readings) -> Comparison:
    """Set the reader beside the methods, on the same validation and test images of each split."""
    scores, tables = _scores(run, readings).set_index("image_id"), []
    for repeat, rows in readings.predictions(run).groupby("repeat"):
        rows = rows[rows["part"] != "train"]
        table = scores.loc[rows["image_id"]].reset_index()
        table = combine_scores(table.assign(part=rows["part"].to_numpy(), repeat=repeat))
        tables.append(table.assign(method=METHOD, title=READER.title))
    answers = {
        "method": METHOD,
        "condition": READER.key,
        "answers": 1,
        "seconds": readings.table["seconds"].sum(),
    }
    return Comparison(
        pd.concat([comparison.scores, *tables], ignore_index=True),
        pd.concat([comparison.answers, pd.DataFrame([answers])], ignore_index=True),
        comparison.panel,
    )


def calibrate_readings(run: Run, readings: Readings) -> pd.DataFrame:
    """Calibrate each karyogram on other patients: ``before, temperature, isotonic`` beside ids and truth."""
    table = readings.table[["image_id", "patient_id", "y_true"]].assign(before=readings.table["p_abnormal"])
    p, y = table["before"].to_numpy(), table["y_true"].to_numpy()
    for name, kind in CALIBRATORS.items():
        out = np.empty(len(table))
        for train, test in _folds(table, run.seed):
            out[test] = kind().fit(p[train], y[train]).transform(p[test])
        table[name] = out
    return table


def describe_referrals(readings: Readings) -> list[str]:
    """Say in words whom the reader refers of itself, and how often it is wrong on the rest."""
    table = readings.table
    wrong = ((table["p_abnormal"] >= 0.5).astype(int) != table["y_true"]).to_numpy()
    referred = (table["refer_reason"] != "").to_numpy()
    if not wrong.any():
        return [f"None of {len(table)} labels is wrong; {referred.mean():.0%} of the pages are referred."]

    def told(chosen: np.ndarray, among: np.ndarray) -> str:
        n, k = int(among.sum()), int((chosen & among).sum())
        if n == 0:
            return "none of none"
        return f"{k} of {n} ({format_interval(k / n, *wilson(k, n))})"

    return [
        f"The reader itself says of {int(referred.sum())} of {len(table)} pages why a specialist must look.",
        f"Of its wrong labels, {told(referred, wrong)} are on these pages.",
        f"Of the labels on the other pages, {told(wrong, ~referred)} are wrong.",
    ]


def _scores(run: Run, readings: Readings) -> pd.DataFrame:
    p = readings.table["p_abnormal"].to_numpy()[None]
    scores = compute_scores(p, referral_threshold=run.settings.referral_threshold)
    known = readings.table[["image_id", "patient_id", "y_true"]]
    return pd.concat([known, scores], axis=1).assign(condition=READER.key, protocol=PROTOCOL, repeat=0)


def _folds(table: pd.DataFrame, seed: int):
    y, patients = table["y_true"].to_numpy(), table["patient_id"].to_numpy()
    patients_of_each = [np.unique(patients[y == label]).size for label in (0, 1)]
    n = max(2, min(FOLDS, *patients_of_each))
    folds = StratifiedGroupKFold(n, shuffle=True, random_state=seed)
    return folds.split(np.zeros(len(y)), y, patients)


def read_patients(run: Run) -> pd.DataFrame:
    """Make and read pages of patients, drawn or composed of different cells of the bank, several with one
    karyotype: a row a cell, ``patient, cell, truth`` (formula), ``evidence`` (JSON of `tell_evidence`)."""
    rng, (n, cells) = np.random.default_rng([run.seed, 24]), PATIENTS[run.settings.name]
    normal = rng.choice(["46,XX", "46,XY"], n - n // 2).tolist()
    formulae = [*normal, *sample_formulae(n // 2, rng)]
    work = [(p, c, formula) for p, formula in enumerate(formulae) for c in range(cells)]
    read = joblib.Parallel(count_processes(len(work), PAGES_A_WORKER), return_as="generator")(
        joblib.delayed(_read_cell)(formula, run.bank, (run.seed, 24, patient, cell))
        for patient, cell, formula in work
    )
    told = list(tqdm(read, "Reading cells of patients", len(work), unit="cell"))
    rows = [
        (f"patient {p + 1}", c + 1, formula, one) for (p, c, formula), one in zip(work, told, strict=True)
    ]
    table = pd.DataFrame(rows, columns=["patient", "cell", "truth", "evidence"])
    run.save_table(table, "cells_of_patients")
    return table


def _read_cell(formula: str, bank: str, seed: tuple[int, ...]) -> str:
    keep_worker()
    reader = own_reader()
    page = _make_page(formula, bank, np.random.default_rng(seed))
    return json.dumps(tell_evidence(reader.read(page.image), reader))


_load_bank = lru_cache(maxsize=1)(ChromosomeBank)


def _make_page(formula: str, folder: str, rng: np.random.Generator) -> Page:
    seed = int(rng.integers(2**31))
    if not folder:
        return draw_karyogram(formula, seed=seed, size=(416, 416))
    bank = _load_bank(folder)
    sex = "XY" if "Y" in parse_karyotype(formula).sex else "XX"
    own = bank.cells.loc[bank.cells["count_formula"] == f"46,{sex}", "cell"].to_numpy()
    men = bank.cells.loc[bank.cells["count_formula"] == "46,XY", "cell"].to_numpy()
    cell = rng.choice(own)
    donor = rng.choice(men[men != cell])  # a man's cell has every class to give
    return compose_karyogram(formula, bank.cutouts(cell), bank.cutouts(donor), seed=seed, size=None)


def compose_cases(cells: pd.DataFrame) -> pd.DataFrame:
    """Report every patient of `read_patients` from one cell, two, and so on; each cell begins once. A row a
    case: ``cells, patient, truth, formula, p_abnormal, y_true, exact`` (numbers and structure)."""
    rows = []
    for patient, own in cells.groupby("patient", sort=False):
        told, truth = [json.loads(text) for text in own["evidence"]], own["truth"].iloc[0]
        for size in range(1, len(own) + 1):
            for first in range(len(own) if size < len(own) else 1):
                chosen = [(first + k) % len(own) for k in range(size)]
                case = compose_case(gather_cells([str(i) for i in chosen], [told[i] for i in chosen]))
                lines = [line.formula for line in read_clones(case.formula)] if case.formula else []
                exact = len(lines) == 1 and (
                    same_line(lines[0], truth)
                    or parse_karyotype(lines[0]).chromosomes == parse_karyotype(truth).chromosomes
                )
                p = 0.5 if np.isnan(case.p_abnormal) else min(1.0, case.p_abnormal)
                rows.append((size, patient, truth, case.formula, p, exact))
    table = pd.DataFrame(rows, columns=["cells", "patient", "truth", "formula", "p_abnormal", "exact"])
    return table.assign(y_true=(~table["truth"].isin(["46,XX", "46,XY"])).astype(int))


def cases_coverage(cases: pd.DataFrame) -> RiskCoverageDisplay:
    """Return error rate against the share of cases kept, from one cell, two and five."""
    curves = {}
    for size in sorted({1, 2, cases["cells"].max()}):
        rows = cases[cases["cells"] == size]
        wrong = (rows["p_abnormal"] >= 0.5).astype(int) != rows["y_true"]
        unsure = -np.abs(rows["p_abnormal"] - 0.5)
        name = f"{size} cell{'s' if size > 1 else ''}"
        curves[name] = compute_risk_coverage(wrong.to_numpy(), unsure.to_numpy())
    return RiskCoverageDisplay(curves, referral=0.2).plot()


def cases_table(cases: pd.DataFrame) -> pd.DataFrame:
    """By number of cells: ``exact, sensitivity, specificity``, Wilson over patients; risk-coverage area."""
    rows = []
    for size, part in cases.groupby("cells"):
        wrong = ((part["p_abnormal"] >= 0.5).astype(int) != part["y_true"]).to_numpy()
        row = {"cells": size, "cases": len(part), "patients": part["patient"].nunique()}
        for name, among, right in (
            ("exact", part["y_true"] >= 0, part["exact"]),
            ("sensitivity", part["y_true"] == 1, part["p_abnormal"] >= 0.5),
            ("specificity", part["y_true"] == 0, part["p_abnormal"] < 0.5),
        ):
            # the cells of a patient are no independent cases: limits are those of so many patients
            n = part.loc[among, "patient"].nunique()
            share = float(right[among].mean()) if n else np.nan
            low, high = wilson(share * n, n) if n else (np.nan, np.nan)
            row |= {name: share, f"{name}_low": low, f"{name}_high": high}
        unsure = -np.abs(part["p_abnormal"] - 0.5).to_numpy()
        rows.append(row | {"area": compute_risk_coverage(wrong, unsure).aurc})
    return pd.DataFrame(rows)


def describe_cases(table: pd.DataFrame) -> list[str]:
    """Say in words what more cells of a patient gain."""
    one, most = table.iloc[0], table.iloc[-1]
    return [
        f"{text}: {one[name]:.0%} from one cell and {most[name]:.0%} [{most[f'{name}_low']:.0%}, "
        f"{most[f'{name}_high']:.0%}] from {most['cells']:.0f}."
        for name, text in (
            ("exact", f"Of {one['patients']:.0f} patients the formula is right"),
            ("sensitivity", "Sensitivity"),
            ("specificity", "Specificity"),
        )
        if np.isfinite(one[name])
    ]
