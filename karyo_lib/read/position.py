"""Evidence from the layout: slots follow the order 1, 2, ... 22, X, Y, and homologues share a slot."""

import numpy as np
import pandas as pd

from karyo_lib.shape.strips import CLASSES

_SEX = 22  # X and Y share one state, since layouts put them into one slot or into two
_REPEAT = 4.0
#: Least share of slots whose own chromosomes agree with the order; below, the layout is taken to be another
#: one.
_AGREEMENT = 0.7


def _slot_likelihood(log_proba: np.ndarray, slot: np.ndarray) -> np.ndarray:
    joint = np.maximum(log_proba, -6.0)
    joint = np.column_stack([joint[:, :_SEX], joint[:, _SEX:].max(1)])
    return np.stack([joint[slot == s].sum(0) for s in range(slot.max() + 1)])


def align_slots(likelihood: np.ndarray) -> np.ndarray:
    """Most likely classes of slots in reading order, never falling; (slots, 23) -> (slots,) int."""
    n, k = likelihood.shape
    score = likelihood[0].copy()
    back = np.zeros((n, k), int)
    for s in range(1, n):
        running = np.maximum.accumulate(np.concatenate([[-np.inf], score[:-1]]))
        before = np.zeros(k, int)
        best = -1
        for c in range(1, k):
            best = c - 1 if best < 0 or score[c - 1] > score[best] else best
            before[c] = best
        stay = score - _REPEAT * (np.arange(k) != _SEX)
        back[s] = np.where(stay >= running, np.arange(k), before)
        score = np.maximum(running, stay) + likelihood[s]
    path = [int(score.argmax())]
    for s in range(n - 1, 0, -1):
        path.append(int(back[s, path[-1]]))
    return np.array(path[::-1])


def position_evidence(boxes: pd.DataFrame, log_proba: np.ndarray, wrong: float = 0.05) -> np.ndarray:
    """Log-prior of each object's class given the slot it stands in.

    Parameters
    ----------
    boxes : pandas.DataFrame
        ``row``, ``slot`` of n objects.
    log_proba : ndarray, shape (n, 24)
        What each object looks like.
    wrong : float
        Probability that an object stands in a slot of another class.

    Returns
    -------
    ndarray of float64, shape (n, 24)
        Zero where the page follows no known order.
    """
    none = np.zeros(log_proba.shape)
    if len(boxes) < 8 or (boxes["slot"] < 0).any():
        return none
    keys = boxes["row"] * 1000 + boxes["slot"]
    slot = np.unique(keys, return_inverse=True)[1]
    likelihood = _slot_likelihood(log_proba, slot)
    # a page in one heap has a slot or a few: nothing can be learned from where things stand
    if len(likelihood) < 12:
        return none
    classes = align_slots(likelihood)
    if (likelihood.argmax(1) == classes).mean() < _AGREEMENT:
        return none
    prior = np.full((len(likelihood), len(CLASSES)), np.log(wrong / (len(CLASSES) - 1)))
    prior[np.arange(len(classes)), classes] = np.log(1 - wrong)
    sex = classes == _SEX
    prior[sex] = np.where(np.arange(len(CLASSES)) >= _SEX, np.log((1 - wrong) / 2), prior[sex])
    prior[sex, _SEX] = np.log((1 - wrong) / 2)
    return prior[slot] - np.log(1 / len(CLASSES))
