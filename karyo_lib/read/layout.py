"""What was laid where: slots with printed names, or in the order 1, 2, ... 22, X, Y.

Printed names rise along the rows: print that does not, and titles ('46,XY'), is no name. Without print the
order of slots serves, where what the chromosomes look like follows it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from karyo_lib.iscn.bands import CHROMOSOMES as CLASSES
from karyo_lib.read.find import FoundPage
from karyo_lib.read.printed import GROUP_NAMES, WORDS, find_words, read_words

_SEX = 22  # X and Y share one state, since layouts put them into one slot or into two
_REPEAT = 4.0
#: Least share of slots whose own chromosomes agree with the order; below, it is another layout.
_AGREEMENT = 0.7
#: Costs, in nats, of a name skipped (Y: many pages have none), printed twice (X), and of other print.
_SKIPPED, _NO_Y, _TWICE, _OTHER = 2.0, 0.3, 5.0, 1.2
_X_TWICE = 1.0
_LEAST_OTHER, _OTHER_IN_ROW = 0.02, 4.0
#: Fewer names or group letters on a page than these are chance.
_LEAST_NAMES, _LEAST_LETTERS = 8, 5
#: Sorting slips: share of chromosomes that lie in another slot than their own; where they lie between two.
_SLIP, _BETWEEN = 0.006, 0.15
#: Width and height, in widths of a chromosome, from which ink may be of one, or a whole one, and most height.
_LEAST_INK, WHOLE_INK, _MOST_INK = (0.5, 0.6), (0.6, 1.6), 12.0
#: Height, in heights of the names, below which an object on their line may be print.
_MOST_PRINT = 4.0
#: Evidence, in nats, from which two chromosomes were exchanged.
LEAST_EXCHANGED = 10.0


@dataclass(frozen=True)
class Arrangement:
    source: str  # {'names', 'letters', 'order', ''}: printed classes, letters of groups, order, or nothing
    slots: tuple[str, ...]  # of each object: the name of its slot ('5', 'XY', 'C'); '' where none is known
    log_prior: np.ndarray  # (n, 24), of each class given the slot, against even odds; 0 where none is known


def read_labels(found: FoundPage, image: np.ndarray) -> pd.DataFrame:
    """Printed names of slots in reading order: ``x0, y0, x1, y1`` (pixels), ``row``, ``name`` (one of
    `WORDS`), ``probability``; none where no names rise along the rows."""
    words = find_words(image, found.width, found.labels > 0)
    boxes, log_p = words.boxes, read_words(words)
    for names, least in (((*CLASSES, "XY"), _LEAST_NAMES), (tuple(GROUP_NAMES), _LEAST_LETTERS)):
        kept, other = np.arange(len(boxes)), np.full(len(boxes), _OTHER)
        for _ in range(2):  # once more without what is much larger or smaller than names are
            labels = _rising(boxes.iloc[kept], log_p[kept], names, other[kept])
            if len(labels) < least:
                break
            high = (boxes["y1"] - boxes["y0"]).to_numpy() / (labels["y1"] - labels["y0"]).median()
            kept = np.flatnonzero((high > 0.65) & (high < 1.6))
            rows = labels.groupby("row")["y1"].agg(["median", "size"])
            feet = rows.loc[rows["size"] >= 3, "median"].to_numpy()
            off = np.abs(boxes["y1"].to_numpy()[:, None] - feet).min(1, initial=np.inf)
            other = np.where(off < 0.3 * (labels["y1"] - labels["y0"]).median(), _OTHER_IN_ROW, _OTHER)
        if len(labels) >= least:
            return labels
    return _rising(boxes.iloc[:0], log_p[:0], tuple(GROUP_NAMES), np.zeros(0))


def _rows(middle: np.ndarray, height: float) -> np.ndarray:
    """Rows of things by the height of their middles."""
    order = np.argsort(middle)
    row = np.zeros(len(middle), int)
    row[order] = np.concatenate([[0], np.cumsum(np.diff(middle[order]) > height)])
    return row


def _rising(
    boxes: pd.DataFrame, log_p: np.ndarray, names: tuple[str, ...], other: np.ndarray
) -> pd.DataFrame:
    """The likeliest words that are names, never falling in reading order; others are print, at its cost."""
    columns = ["x0", "y0", "x1", "y1", "row", "name", "probability"]
    if boxes.empty:
        return pd.DataFrame(columns=columns)
    middle = ((boxes["y0"] + boxes["y1"]) / 2).to_numpy()
    row = _rows(middle, 0.7 * float((boxes["y1"] - boxes["y0"]).median()))
    order = np.lexsort((boxes["x0"].to_numpy(), row))
    states = len(names) - ("XY" in names)  # XY stands where X does
    possible = [WORDS.index(name) for name in (*names, "")]
    own = log_softmax(log_p[:, possible], axis=1)
    rest = np.log(np.maximum(np.exp(own[:, -1]), _LEAST_OTHER)) - other
    own = np.logaddexp(own[:, :-1], np.log(0.03 / len(names)))
    as_state = own[:, :states].copy()
    if "XY" in names:
        as_state[:, _SEX] = np.maximum(own[:, _SEX], own[:, -1])
    step = np.full((states + 1, states), np.inf)  # from the last name (0: none yet) to the next
    skipped = np.array([_NO_Y if name == "Y" else _SKIPPED for name in names[:states]])
    for last in range(states + 1):
        for new in range(max(last - 1, 0), states):
            twice = _X_TWICE if names[new] == "X" else _TWICE
            step[last, new] = twice if new == last - 1 else skipped[last:new].sum()
    end = np.array([0.0, *(skipped[last:].sum() for last in range(1, states + 1))])
    rows = []
    for i, state in zip(order, never_falling(as_state[order], step, rest[order], end), strict=True):
        if state >= 0:
            name = names[state]
            name = "XY" if name == "X" and own[i, _SEX] < own[i, -1] else name
            box = boxes.iloc[i][["x0", "y0", "x1", "y1"]].tolist()
            rows.append((*box, row[i], name, float(np.exp(log_p[i, WORDS.index(name)]))))
    return pd.DataFrame(rows, columns=columns)


def never_falling(
    fit: np.ndarray, step: np.ndarray, rest: np.ndarray | float = -np.inf, end: np.ndarray | float = 0.0
) -> np.ndarray:
    """The best states (n,) of things in a row, never falling, -1 for none. ``fit`` (n, k): of each thing with
    each state; ``step`` (k + 1, k): cost from the last state (0: none yet) to the next; ``rest`` (n,): fit of
    having none; ``end`` (k + 1,): cost of ending there."""
    n, states = fit.shape
    score, back, rest = np.r_[0.0, np.full(states, -np.inf)], [], np.broadcast_to(rest, n)
    for i in range(n):
        named = score[:, None] - step
        best = named.argmax(0)
        as_name = named[best, np.arange(states)] + fit[i]
        rests = score + rest[i]
        take = as_name > rests[1:]
        back.append((take, best))
        score = np.concatenate([rests[:1], np.where(take, as_name, rests[1:])])
    state, path = int((score - end).argmax()), np.full(n, -1)
    for i in range(n - 1, -1, -1):
        take, best = back[i]
        if state and take[state - 1]:
            path[i], state = state - 1, int(best[state - 1])
    return path


def arrange(boxes: pd.DataFrame, labels: pd.DataFrame, log_proba: np.ndarray) -> Arrangement:
    """What each object's place says of its class: by print, else by order, which looks (n, 24) tell."""
    if labels.empty or boxes.empty:
        slots, prior = order_evidence(boxes, log_proba)
        return Arrangement("order" if any(slots) else "", slots, prior)
    slots, between = assign_slots(boxes, labels)
    if "Y" not in set(labels["name"]):  # one slot for both
        slots = tuple("XY" if name == "X" else name for name in slots)
    prior = np.zeros(log_proba.shape)
    for i, name in enumerate(slots):
        if name:
            prior[i] = _prior(name, _BETWEEN if between[i] else _SLIP)
    source = "letters" if labels["name"].iloc[0] in GROUP_NAMES else "names"
    return Arrangement(source, slots, prior)


def _prior(name: str, wrong: float) -> np.ndarray:
    """Log-probability of each class in a slot of this name, against even odds."""
    members = GROUP_NAMES.get(name, ("X", "Y") if name == "XY" else (name,))
    inside = np.isin(CLASSES, members)
    share = np.where(inside, (1 - wrong) / inside.sum(), wrong / (~inside).sum())
    return np.log(share * len(CLASSES))


def assign_slots(boxes: pd.DataFrame, labels: pd.DataFrame) -> tuple[tuple[str, ...], np.ndarray]:
    """The name, below or above as most are, that each object stands at ('' for none); whether between two."""
    width = float(boxes["width"].iloc[0])
    x, y0, y1 = ((boxes["x0"] + boxes["x1"]) / 2).to_numpy(), boxes["y0"].to_numpy(), boxes["y1"].to_numpy()
    middle, high = (y0 + y1) / 2, float(np.median(y1 - y0))
    at_x = ((labels["x0"] + labels["x1"]) / 2).to_numpy()
    top, foot = labels["y0"].to_numpy(), labels["y1"].to_numpy()
    near = np.abs(x[:, None] - at_x) < 3 * width
    over = np.where(near & (middle[:, None] < top), top - y1[:, None], np.inf).min(0)
    under = np.where(near & (middle[:, None] > foot), y0[:, None] - foot, np.inf).min(0)
    below = (over <= under).mean() >= 0.5
    rows = labels.groupby("row").agg(y0=("y0", "median"), y1=("y1", "median"))
    slots, between = np.full(len(boxes), "", object), np.zeros(len(boxes), bool)
    way = rows["y0"].to_numpy() - middle[:, None] if below else middle[:, None] - rows["y1"].to_numpy()
    way = np.where(way > 0, way, np.inf)
    gap = (rows["y0"].to_numpy() - y1[:, None]) if below else (y0[:, None] - rows["y1"].to_numpy())
    own = way.argmin(1)
    reached = np.isfinite(way.min(1)) & (gap[np.arange(len(boxes)), own] < 1.2 * high)
    filled = _fill_gaps(labels)
    for number, row in enumerate(rows.index):
        members = np.flatnonzero(reached & (own == number))
        members = members[np.argsort(x[members])]
        names, places = filled[row]
        chosen = _part_row(boxes.iloc[members], names, places, width)
        slots[members] = [names[k] if k >= 0 else "" for k in chosen]
        distance = np.abs(x[members, None] - places) if len(members) else np.zeros((0, len(places)))
        if len(places) > 1 and len(members):
            two = np.sort(distance, axis=1)[:, :2]
            between[members] = two[:, 0] > 0.75 * two[:, 1]
    return tuple(slots), between


def _fill_gaps(labels: pd.DataFrame) -> dict[int, tuple[list[str], np.ndarray]]:
    """Names of each row and where they stand; those not read stand evenly between others of the row, or
    before its first one where other rows begin farther left."""
    order = WORDS[: len(CLASSES)] if labels["name"].iloc[0] not in GROUP_NAMES else tuple(GROUP_NAMES)
    left, last, out = float((labels["x0"] + labels["x1"]).min() / 2), -1, {}
    for row, own in labels.groupby("row"):
        names, places = [], []
        for name, x in zip(own["name"], (own["x0"] + own["x1"]) / 2, strict=True):
            index = order.index("X" if name == "XY" else name)
            lacking = list(order[last + 1 : index])
            if names:
                between = np.linspace(places[-1], x, len(lacking) + 2)[1:-1]
            else:
                space = float(np.diff((own["x0"] + own["x1"]) / 2).min()) if len(own) > 1 else np.inf
                lacking = lacking[max(0, len(lacking) - int((x - left) / space + 0.4)) :]
                between = x - space * np.arange(len(lacking), 0, -1) if lacking else []
            names += [*lacking, name]
            places += [*between, float(x)]
            last = index
        out[row] = names, np.array(places)
    return out


def _part_row(boxes: pd.DataFrame, names: list[str], places: np.ndarray, width: float) -> np.ndarray:
    """Which name of its row each object belongs to, -1 for none, from left to right: names over the middle of
    runs of objects, gaps between slots rather than in them, nothing far from its name."""
    n, m = len(boxes), len(names)
    x0, x1 = boxes["x0"].to_numpy(), boxes["x1"].to_numpy()
    middle = (x0 + x1) / 2
    space = np.diff(places) if m > 1 else np.array([6 * width])
    space = np.minimum(np.append(space, np.inf), np.insert(space, 0, np.inf)) if m > 1 else space
    space = np.clip(space, 1.5 * width, 8 * width)
    gap = (x0[1:] - np.maximum.accumulate(x1)[:-1]) / width if n else np.zeros(0)
    wide = np.concatenate([[0.0], np.cumsum(0.4 * np.maximum(gap - 1.2, 0))])
    # best[i, k]: cost of the first i objects given to the first k names; alone an object costs 4
    best, back = np.full((n + 1, m + 1), np.inf), {}
    best[0] = 0.0
    for i in range(n + 1):
        for k in range(m + 1):
            if i and best[i - 1, k] + 4 < best[i, k]:
                best[i, k], back[i, k] = best[i - 1, k] + 4, (i - 1, k, -1)
            if not k:
                continue
            if best[i, k - 1] <= best[i, k]:
                best[i, k], back[i, k] = best[i, k - 1], (i, k - 1, -2)
            for first in range(max(0, i - 8), i):
                off = (x0[first] + max(x1[first:i])) / 2 - places[k - 1]
                far = np.abs(middle[first:i] - places[k - 1]).max() / space[k - 1]
                close = 0.3 * (first > 0 and gap[first - 1] < 0.4)
                cost = (
                    6 * (off / space[k - 1]) ** 2 + 4 * max(far - 0.6, 0) + wide[i - 1] - wide[first] + close
                )
                if best[first, k - 1] + cost < best[i, k]:
                    best[i, k], back[i, k] = best[first, k - 1] + cost, (first, k - 1, k - 1)
    chosen, at = np.full(n, -1), (n, m)
    while at in back:
        i, k, name = back[at]
        if name >= 0:
            chosen[i : at[0]] = name
        at = (i, k)
    return chosen


def _slot_likelihood(log_proba: np.ndarray, slot: np.ndarray) -> np.ndarray:
    joint = np.maximum(log_proba, -6.0)
    joint = np.column_stack([joint[:, :_SEX], joint[:, _SEX:].max(1)])
    return np.stack([joint[slot == s].sum(0) for s in range(slot.max() + 1)])


def align_slots(likelihood: np.ndarray) -> np.ndarray:
    """Most likely classes of slots in reading order, never falling; (slots, 23) -> (slots,) int."""
    k = likelihood.shape[1]
    step = np.where(np.arange(-1, k)[:, None] > np.arange(k), np.inf, 0.0)
    step[np.arange(1, k + 1), np.arange(k)] = _REPEAT * (np.arange(k) != _SEX)
    return never_falling(likelihood, step)


def order_evidence(
    boxes: pd.DataFrame, log_proba: np.ndarray, wrong: float = 0.05
) -> tuple[tuple[str, ...], np.ndarray]:
    """Each object's class by the order of its slot ('XY' for both sex chromosomes), and its log-prior (n, 24)
    if a share ``wrong`` stand in another's; '' and zeros where the page follows no known order."""
    none = ("",) * len(boxes), np.zeros(log_proba.shape)
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
    names = [(*CLASSES[:_SEX], "XY")[k] for k in classes]
    prior = np.stack([_prior(name, wrong) for name in names])
    return tuple(names[k] for k in slot), prior[slot]


_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth")


def misplaced(table: pd.DataFrame, log_proba: np.ndarray, least: float = LEAST_EXCHANGED) -> list[str]:
    """Chromosomes of two slots that look exchanged, or one too many: 'the second of slot 5 looks like a 4'.
    ``log_proba`` (n, 24): looks; ``least``: nats by which both look more like the other's."""
    classes = np.array(CLASSES, object)
    slots = table["printed"].to_numpy()
    named = np.flatnonzero((table["chromosome"] != "").to_numpy() & np.isin(slots, CLASSES))
    own = np.array([CLASSES.index(slots[i]) for i in named], int)
    gain = log_proba[named] - log_proba[named, own][:, None]  # in favour of each class
    both = gain[:, own] + gain[:, own].T
    both[own[:, None] == own] = -np.inf
    found: dict[int, int] = {}
    for one, other in sorted(zip(*np.nonzero(np.triu(both) > least), strict=True), key=lambda ij: -both[ij]):
        if one not in found and other not in found:
            found |= {one: own[other], other: own[one]}
    for one in np.flatnonzero(np.bincount(own, minlength=len(CLASSES))[own] > 2):
        if one not in found and gain[one].max() > least:
            found[one] = int(gain[one].argmax())
    out = []
    for one in sorted(found):
        row = np.flatnonzero(slots == slots[named[one]])
        place = int((table["x0"].to_numpy()[row] < table["x0"].to_numpy()[named[one]]).sum())
        if place < len(_PLACES):
            out.append(
                f"the {_PLACES[place]} of slot {slots[named[one]]} looks like {_one(classes[found[one]])}"
            )
    return out


def _one(name: str) -> str:
    return f"an {name}" if name in ("8", "11", "18", "X") else f"a {name}"


def left_over(found: FoundPage, labels: pd.DataFrame, least: tuple[float, float] = _LEAST_INK) -> np.ndarray:
    """Boxes (k, 4) of ink of chromosome size and level, taken for none and no name of `read_labels`."""
    rest = found.rejected[found.rejected["kind"].isin(["print", "blob"])]
    boxes, names = (table[["x0", "y0", "x1", "y1"]].to_numpy(float) for table in (rest, labels))
    wide, high = (boxes[:, 2:] - boxes[:, :2]).T / found.width
    common = np.minimum(boxes[:, None, 2:], names[:, 2:]) - np.maximum(boxes[:, None, :2], names[:, :2])
    middle, rows = boxes[:, [1, 3]].mean(1), found.boxes[["y0", "y1"]].to_numpy(float)
    level = ((middle[:, None] > rows[:, 0]) & (middle[:, None] < rows[:, 1])).any(1)
    sized = (high > least[1]) & (high < _MOST_INK) & (wide > least[0])
    return boxes[sized & level & ~(common > 0).all(2).any(1)]


def in_print(boxes: pd.DataFrame, labels: pd.DataFrame) -> np.ndarray:
    """Which objects (n,) stand on a line of printed names, hardly higher than these."""
    high = (labels["y1"] - labels["y0"]).median()
    rows = labels.groupby("row")["y1"].agg(["median", "size"])
    off = boxes["y1"].to_numpy()[:, None] - rows.loc[rows["size"] >= 3, "median"].to_numpy()
    small = (boxes["y1"] - boxes["y0"]).to_numpy() < _MOST_PRINT * high
    return small & (np.abs(off) < 0.3 * high).any(1)
