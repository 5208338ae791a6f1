"""Bayesian search for learning rate and batch size (thesis, section 3.2, Figures 3.3 and 3.4).
scikit-optimize proposes the points: ask, train, tell. The objective is the validation loss; the images that
it is measured on later choose the best epoch, too, so that validation figures after a search are optimistic.
"""

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from skopt import Optimizer
from skopt.space import Integer, Real
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from karyo_lib.machines import on_cluster
from karyo_lib.networks.fitting import DivergenceError, Examples, TrainSettings
from karyo_lib.networks.train import get_trainer
from karyo_lib.networks.weights import WeightsSource
from karyo_lib.store import Journal, OtherJournalError

PARAMETERS = ("learning_rate", "batch_size")
COLUMNS = ("trial", *PARAMETERS, "val_loss", "val_accuracy", "status", "seconds", "message")
OK, DIVERGED, OUT_OF_MEMORY, FAILED = "ok", "diverged", "out of memory", "failed"
_GUESSING = float(np.log(2))  # loss of saying 0.5 always

Objective = Callable[[float, int], dict[str, float]]
"""(learning rate, batch size) -> ``val_loss`` and ``val_accuracy``."""


@dataclass(frozen=True)
class SearchSettings:
    trials: int = 40  # number of points tried
    learning_rate: tuple[float, float] = (1e-5, 1e-1)  # range, searched on a logarithmic scale
    batch_size: tuple[int, int] = (8, 512)  # range, searched on a logarithmic scale
    initial_points: int = 6  # trials spread evenly (Latin hypercube) before the surrogate has a say
    points_at_once: int = 1  # proposed in one go, which a cluster runs side by side; decides which are tried
    seed: int = 0  # of the proposals

    def __post_init__(self) -> None:
        for name in ("trials", "initial_points", "points_at_once"):
            if getattr(self, name) < 1:
                raise ValueError(f"Expected {name} of at least 1. Received {getattr(self, name)!r}.")
        for name in PARAMETERS:
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"Expected {name} as a range 0 < low < high. Received {(low, high)!r}.")


@dataclass(frozen=True)
class HeadObjective:
    """Trains the head on cached features and reports the validation loss of the best epoch (lowest loss)."""

    base: str  # base network
    weights: WeightsSource  # its weights
    train: Examples  # features at the base's end, and labels
    validation: Examples
    settings: TrainSettings  # everything but the two values searched for

    def __call__(self, learning_rate: float, batch_size: int) -> dict[str, float]:
        settings = replace(self.settings, learning_rate=learning_rate, batch_size=batch_size)
        trainer = get_trainer(self.base, "head", self.weights, settings)
        history = trainer.fit(self.train, self.validation, settings).history
        if not np.isfinite(history[["loss", "val_loss"]].to_numpy()).all():
            raise DivergenceError(f"The loss was no finite number in epoch {len(history)}.")
        best = history.loc[history["val_loss"].idxmin()]
        return {"val_loss": best["val_loss"], "val_accuracy": best["val_accuracy"]}


def run_search(
    objective: Objective,
    settings: SearchSettings,
    store: str | Path | None = None,
    key: str = "",
    progress: bool = True,
) -> pd.DataFrame:
    """Search by ask and tell; one row a trial, `COLUMNS`. ``store``: a journal of every trial; one of the
    same search (``key`` says what the objective depends on) is gone on with, and more trials may be asked for
    than before. A failed trial has no loss and stands in no figure; the surrogate is told the worst loss so
    far (at least that of guessing) in its place, so that it moves away instead of proposing the point again.
    """
    trials: list[dict] = []
    optimizer = _optimizer(settings)
    bar = tqdm(total=settings.trials, desc="Bayesian search", unit="trial", disable=not progress)
    with bar, _open_journal(store, key, settings) as journal:
        known = list(journal.resume())[1:] if journal else []
        while len(trials) < settings.trials:
            with _calm_surrogate():
                once = settings.points_at_once
                asked = [optimizer.ask()] if once == 1 else optimizer.ask(n_points=once)
            points = [(float(rate), int(size)) for rate, size in asked][: settings.trials - len(trials)]
            taken_over = known[len(trials) : len(trials) + len(points)]
            for done in _try_points(objective, points, taken_over):
                trials.append({"trial": len(trials) + 1, **done})
                if journal and len(trials) > len(known):
                    journal.add(trials[-1])
                losses = [t["val_loss"] for t in trials if t["status"] == OK]
                bar.set_postfix(best=f"{min(losses, default=np.nan):.3f}", refresh=False)
                bar.update()
            latest, worst = trials[-len(points) :], max([_GUESSING, *losses])
            told = [t["val_loss"] if t["status"] == OK else worst for t in latest]
            with _calm_surrogate():
                optimizer.tell([[trial[name] for name in PARAMETERS] for trial in latest], told)
    return pd.DataFrame(trials, columns=list(COLUMNS))


def choose_best(trials: pd.DataFrame) -> pd.Series:
    good = trials[trials["status"] == OK]
    if good.empty:
        reasons = "; ".join(f"{s}: {m}" for s, m in zip(trials["status"], trials["message"], strict=True))
        raise ValueError(f"Expected at least one successful trial. Received none ({reasons[:500]}).")
    return good.loc[good["val_loss"].idxmin()]


def compute_partial_dependence(
    trials: pd.DataFrame, settings: SearchSettings, points: int = 40, samples: int = 250
) -> pd.DataFrame:
    """What the surrogate of the successful trials says about each parameter at ``points`` values, evenly
    spaced on its logarithmic scale, averaged over ``samples`` random values of the other."""
    good = trials[trials["status"] == OK]
    if len(good) < 3:
        raise ValueError(f"Expected at least 3 successful trials. Received {len(good)}.")
    optimizer = _optimizer(replace(settings, initial_points=1))
    with _calm_surrogate():
        tried = good[list(PARAMETERS)].itertuples(index=False)
        optimizer.tell([[float(rate), int(size)] for rate, size in tried], list(good["val_loss"]))
        surrogate, space = optimizer.models[-1], optimizer.space
        others = np.random.default_rng(settings.seed).random((samples, len(PARAMETERS)))
        rows = []
        for column, parameter in enumerate(PARAMETERS):
            for place in np.linspace(0, 1, points):
                inputs = others.copy()
                inputs[:, column] = place
                mean, std = surrogate.predict(inputs, return_std=True)
                value = space.inverse_transform(inputs[:1])[0][column]
                rows.append((parameter, float(value), float(mean.mean()), float(std.mean())))
    return pd.DataFrame(rows, columns=["parameter", "value", "val_loss", "std"])


def _optimizer(settings: SearchSettings) -> Optimizer:
    rate, size = settings.learning_rate, settings.batch_size
    return Optimizer(
        [
            Real(*rate, prior="log-uniform", transform="normalize", name="learning_rate"),
            Integer(*size, prior="log-uniform", base=2, transform="normalize", name="batch_size"),
        ],
        base_estimator="GP",
        n_initial_points=settings.initial_points,
        initial_point_generator="lhs",
        acq_func="EI",
        random_state=settings.seed,
    )


@contextlib.contextmanager
def _open_journal(path: str | Path | None, key: str, settings: SearchSettings) -> Iterator[Journal | None]:
    if path is None:
        yield None
        return
    made_from = {"key": key} | {name: value for name, value in asdict(settings).items() if name != "trials"}
    try:
        journal = Journal(path, made_from)
    except OtherJournalError:  # of another search
        journal = Journal(path, made_from, fresh=True)
    with contextlib.closing(journal):
        yield journal


@contextlib.contextmanager
def _calm_surrogate() -> Iterator[None]:
    # Its matrices are tiny: a second BLAS thread costs many times what it gives where cores are shared. Its
    # warnings are about points proposed twice and length scales at their limits, usual with few trials.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _try_points(
    objective: Objective, points: list[tuple[float, int]], taken_over: list[dict]
) -> Iterator[dict]:
    yield from ({name: done[name] for name in COLUMNS if name != "trial"} for done in taken_over)
    left = points[len(taken_over) :]
    with on_cluster() if len(left) > 1 else contextlib.nullcontext(False) as spread:
        parallel = joblib.Parallel(n_jobs=None if spread else 1, return_as="generator")
        yield from parallel(joblib.delayed(_try_point)(objective, point) for point in left)


def _try_point(objective: Objective, point: tuple[float, int]) -> dict:
    began = time.perf_counter()
    learning_rate, batch_size = point
    status, message, result = OK, "", {}
    try:
        result = objective(learning_rate, batch_size)
        if not np.isfinite(result["val_loss"]):
            status, message = DIVERGED, f"The validation loss is {result['val_loss']}."
    except DivergenceError as error:
        status, message = DIVERGED, str(error)
    except Exception as error:  # a failed trial is a result; the search goes on
        status = OUT_OF_MEMORY if _is_out_of_memory(error) else FAILED
        message = f"{type(error).__name__}: {error}"[:300]
    told = [float(result[name]) if status == OK else np.nan for name in ("val_loss", "val_accuracy")]
    row = (learning_rate, batch_size, *told, status, time.perf_counter() - began, message)
    return dict(zip(COLUMNS[1:], row, strict=True))


def _is_out_of_memory(error: Exception) -> bool:
    said = f"{type(error).__name__} {error}".lower().replace("_", " ")
    words = ("out of memory", "resource exhausted", "resourceexhausted")
    return isinstance(error, MemoryError) or any(word in said for word in words)
