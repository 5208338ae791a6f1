import numpy as np
import pytest
from mapie.risk_control import BinaryClassificationController, negative_predictive_value
from scipy import stats
from scipy.special import expit

from karyo_lib.judge import check_promise, choose_threshold, compute_smallest_n

ALPHA, DELTA = 0.05, 0.10


def cases(n, rng, shift=0.0):
    """Scores whose abnormal share rises from near 0 to near 1; ``shift`` lowers those of the abnormal."""
    x = rng.normal(0, 2.5, n)
    y = (rng.random(n) < expit(x - 1)).astype(int)
    return expit(x - shift * y), y


@pytest.fixture(scope="module")
def population():
    return cases(200_000, np.random.default_rng(99))


def true_miss_rate(population, threshold, risk):
    score, y = population
    cleared = score < threshold
    return y[cleared].mean() if risk == "cleared" else cleared[y == 1].mean()


def test_smallest_n_equals_the_search():
    for alpha, delta, misses in [(0.05, 0.1, 0), (0.05, 0.1, 3), (0.01, 0.05, 1), (0.2, 0.2, 5)]:
        n = misses + 1
        while stats.binom.cdf(misses, n, alpha) > delta:
            n += 1
        assert compute_smallest_n(alpha, delta, misses) == n
    assert compute_smallest_n(0.05, 0.1) == 45


@pytest.mark.parametrize(("risk", "n"), [("cleared", 300), ("abnormal", 150)])
def test_the_promise_is_kept_over_many_draws_and_a_naive_threshold_breaks_it(population, risk, n):
    rng = np.random.default_rng(1)
    draws, broken, naive_broken, chosen = 250, 0, 0, 0
    for _ in range(draws):
        score, y = cases(n, rng)
        promise = choose_threshold(score, y, alpha=ALPHA, delta=DELTA, risk=risk)
        if promise.threshold is not None:
            chosen += 1
            broken += true_miss_rate(population, promise.threshold, risk) > ALPHA
        naive = max(
            t for t in np.sort(score)[1:]
            if (y[score < t].mean() if risk == "cleared" else np.mean(score[y == 1] < t)) <= ALPHA
        )  # fmt: skip
        naive_broken += true_miss_rate(population, naive, risk) > ALPHA
    assert chosen > 0.5 * draws
    assert broken <= stats.binom.ppf(0.999, draws, DELTA)
    assert naive_broken > 2 * DELTA * draws


def test_the_promise_is_not_idle(population):
    score, y = cases(2000, np.random.default_rng(2))
    for risk in ("cleared", "abnormal"):
        promise = choose_threshold(score, y, alpha=ALPHA, delta=DELTA, risk=risk)
        assert 0.5 * ALPHA < true_miss_rate(population, promise.threshold, risk) <= ALPHA * 1.05
        assert promise.yield_share > 0.2


def test_the_numbers_in_a_promise_by_hand():
    score = np.arange(100) / 100
    y = (np.arange(100) >= 60).astype(int)
    promise = choose_threshold(score, y, alpha=ALPHA, delta=DELTA)
    assert (promise.n_cleared, promise.misses) == (45, 0)  # the next candidate, 77, would hold 17 misses
    assert promise.threshold == pytest.approx(0.45)
    assert promise.bound == pytest.approx(1 - DELTA ** (1 / 45))
    assert promise.bound <= ALPHA
    assert promise.yield_share == pytest.approx(45 / 60)
    assert promise.clear([0.44, 0.45]).tolist() == [True, False]
    assert "100 calibration cases, 40 of them abnormal" in promise.sentence
    assert "at most 5 % among the cases cleared with probability 90 % over" in promise.sentence


def test_all_may_be_cleared_where_all_is_normal():
    promise = choose_threshold(np.linspace(0, 1, 50), np.zeros(50, int))
    assert promise.clear([0.0, 1.0]).all()
    assert promise.bound <= 0.05


@pytest.mark.parametrize("risk", ["cleared", "abnormal"])
def test_too_few_cases_promise_nothing_and_say_how_many_are_needed(risk):
    score, y = np.linspace(0, 1, 24), (np.arange(24) > 12).astype(int)
    promise = choose_threshold(score, y, risk=risk)
    assert promise.threshold is None
    assert not promise.clear(score).any()
    assert "No threshold can promise" in promise.sentence
    assert "at least 45" in promise.sentence
    assert f"n = {24 if risk == 'cleared' else 11}" in promise.sentence


def test_a_useless_score_promises_nothing():
    rng = np.random.default_rng(4)
    promise = choose_threshold(rng.random(200), (rng.random(200) < 0.4).astype(int))
    assert promise.threshold is None
    assert "too many abnormal cases" in promise.sentence


def test_p_values_agree_with_mapie():
    score, y = cases(2000, np.random.default_rng(5))
    thresholds = np.array([0.1, 0.2, 0.4])
    controller = BinaryClassificationController(
        lambda x: np.column_stack([1 - x, x]), negative_predictive_value, 1 - ALPHA, 1 - DELTA,
        best_predict_param_choice="recall", list_predict_params=thresholds, fwer_method="bonferroni",
    )  # fmt: skip
    controller.calibrate(score, y)
    for t, theirs in zip(thresholds, controller.p_values.ravel(), strict=True):
        misses, n = y[score < t].sum(), (score < t).sum()
        # 1 - npv times n is rounded up, so a miss too many is counted where the product is not exact
        exact, one_more = stats.binom.cdf([misses, misses + 1], n, ALPHA)
        assert theirs == pytest.approx(exact) or theirs == pytest.approx(one_more)


def test_patients_count_once():
    score, y = cases(500, np.random.default_rng(6))
    copies = choose_threshold(np.repeat(score, 4), np.repeat(y, 4), groups=np.repeat(np.arange(500), 4))
    assert copies.n == 500
    assert copies.n_cleared > 0
    assert copies == choose_threshold(score, y)


def test_shift_breaks_the_promise_and_the_check_says_so():
    rng = np.random.default_rng(7)
    promise = choose_threshold(*cases(1500, rng))
    same = check_promise(promise, *cases(3000, rng))
    assert same.verdict in ("kept", "not decided")
    shifted = check_promise(promise, *cases(3000, rng, shift=3))
    assert shifted.verdict == "broken"
    assert shifted.low > promise.alpha
    none = check_promise(choose_threshold(np.zeros(3), np.zeros(3, int)), np.zeros(3), np.zeros(3, int))
    assert none.verdict == "nothing cleared"


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"alpha": 0.0}, "alpha=0.0"), ({"delta": 1.0}, "delta=1.0"), ({"risk": "all"}, "Received 'all'")],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold([0.1, 0.2], np.array([0, 1]), **settings)
