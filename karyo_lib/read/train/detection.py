"""Train the detector: ``python -m karyo_lib.read.train.detection SPREADS OUT``, minutes on a graphics card.

Processes make scenes without end. Karyo's own detector was trained on such scenes, kept in memory and drawn
several times each, by the same losses and the same optimiser; here each scene is seen once.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np

from karyo_lib.networks.backend import compile_options, device_name, keras, use_mixed_precision
from karyo_lib.read.detector import PLACE, REACH, Detector, DetectorSettings, build_detector, split_controls
from karyo_lib.read.train.pieces import SIZE, STRIDE
from karyo_lib.read.train.scenes import batch_of

#: Half side of the window that a mask is learned in, in mask cells; weights of the losses.
_HALF = 40
_WEIGHTS = {"centre": 1.0, "box": 1.0, "class": 0.5, "mask": 2.0}


def detector_losses(y: dict, out: dict) -> dict:
    """The losses of a batch (see `make_batch`): centres, boxes, classes, masks (scalars)."""
    ops, channels = keras.ops, out["mask"].shape[-1]
    chosen = y["chosen"]
    row, column, number, label, exact = (chosen[..., i] for i in range(5))
    box, valid = chosen[..., 5:9], chosen[..., 9]
    count = ops.maximum(ops.sum(valid), 1.0)
    size = ops.shape(out["centre"])[0]
    cells, half = SIZE // 4, SIZE // STRIDE

    # Centres: the focal loss of CenterNet, a Gaussian of 0.8 cells around each.
    line = ops.arange(cells, dtype="float32")
    spread = ops.exp(-((line - y["centres"][..., None]) ** 2) / (2 * 0.8**2))  # (B, M, 2, cells)
    heat = ops.max(spread[:, :, 0, :, None] * spread[:, :, 1, None, :], axis=1)
    logit = out["centre"][..., 0]
    proba = ops.sigmoid(logit)
    sure = ops.cast(heat > 0.999, "float32")
    log_p, log_q = -ops.softplus(-logit), -ops.softplus(logit)
    focal = -sure * (1 - proba) ** 2 * log_p - (1 - sure) * (1 - heat) ** 4 * proba**2 * log_q
    centre = ops.sum(focal) / ops.maximum(ops.sum(sure), 1.0)

    place = ops.cast(row * cells + column, "int32")[..., None]

    def gather(name: str):
        flat = ops.reshape(out[name], (size, cells * cells, -1))
        return ops.take_along_axis(flat, place, axis=1)

    # Boxes: generalised intersection over union, and the distances' logarithms.
    x, y_ = (column + 0.5) * 4, (row + 0.5) * 4
    target = ops.stack([x - box[..., 0], y_ - box[..., 1], box[..., 2] - x, box[..., 3] - y_], -1)
    raw = gather("box")
    reach = REACH * ops.exp(ops.clip(raw, -5, 3))
    wanted = ops.maximum(target, 0.5)
    low, high = ops.minimum(reach, wanted), ops.maximum(reach, wanted)

    def area(d):
        return (d[..., 0] + d[..., 2]) * (d[..., 1] + d[..., 3])

    common = area(low)
    union = area(reach) + area(wanted) - common
    giou = common / union - (area(high) - union) / area(high)
    log_gap = ops.mean(ops.abs(raw - ops.log(wanted / REACH)), -1)
    boxes = ops.sum(valid * (1 - giou + 0.25 * log_gap)) / count

    known = valid * ops.cast(label >= 0, "float32")
    log_class = ops.log_softmax(gather("classes"), -1)
    truth = ops.one_hot(ops.cast(ops.maximum(label, 0), "int32"), 24) * 0.95 + 0.05 / 24
    classes = -ops.sum(known * ops.sum(truth * log_class, -1)) / ops.maximum(ops.sum(known), 1.0)

    # Masks: a window round each object; ink whose owner is unknown says nothing where masks are not exact.
    window = ops.arange(2 * _HALF, dtype="float32") - _HALF
    rows, columns = (row * 2 + 1)[..., None] + window, (column * 2 + 1)[..., None] + window  # (B, K, P)
    within = ops.cast((rows >= 0) & (rows < half), "float32")[..., :, None]
    within = within * ops.cast((columns >= 0) & (columns < half), "float32")[..., None, :]
    flat = ops.clip(rows, 0, half - 1)[..., :, None] * half + ops.clip(columns, 0, half - 1)[..., None, :]
    flat = ops.reshape(ops.cast(flat, "int32"), (size, -1, 1))
    points = (2 * _HALF) ** 2
    features = ops.take_along_axis(ops.reshape(out["mask"], (size, half * half, channels)), flat, axis=1)
    features = ops.reshape(features, (size, -1, points, channels))
    marks = ops.transpose(ops.reshape(y["layers"], (size, 2, half * half)), (0, 2, 1))
    marks = ops.cast(ops.take_along_axis(marks, flat, axis=1), "float32")
    marks = ops.reshape(marks, (size, -1, points, 2))
    places = ops.stack(ops.meshgrid(window + 0.5, window + 0.5), -1) / PLACE  # x, y
    places = ops.broadcast_to(ops.reshape(places, (points, 2)), (*ops.shape(features)[:3], 2))
    value = ops.concatenate([features, places], -1)
    for step, (weight, bias) in enumerate(split_controls(gather("control"), channels, ops.reshape)):
        value = ops.matmul(value, weight) + bias[..., None, :]
        value = ops.relu(value) if step < 2 else value
    value = value[..., 0]
    own = ops.cast(ops.any(marks == number[..., None, None], -1), "float32")
    unknown = ops.cast(marks[..., 0] == 255.0, "float32")
    beyond = (columns * 2 + 1 < box[..., 0:1] - 2) | (columns * 2 + 1 > box[..., 2:3] + 2)
    above = (rows * 2 + 1 < box[..., 1:2] - 2) | (rows * 2 + 1 > box[..., 3:4] + 2)
    outside = ops.cast(ops.reshape(beyond[..., None, :] | above[..., :, None], (size, -1, points)), "float32")
    ignored = (1 - exact)[..., None] * unknown * (1 - own) * (1 - outside)
    weigh = ops.reshape(within, (size, -1, points)) * (1 - ignored)
    entropy = ops.sum(weigh * (ops.softplus(value) - own * value), -1)
    inked = ops.sum(weigh * own, -1)
    share = ops.sigmoid(value) * weigh
    dice = 1 - (2 * ops.sum(share * own, -1) + 1) / (ops.sum(share, -1) + inked + 1)
    enough = valid * ops.cast(inked > 15, "float32")
    masks = ops.sum(valid * entropy / (2 * inked + 100.0) + enough * dice) / count
    return {"centre": centre, "box": boxes, "class": classes, "mask": masks}


class _Learner(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        losses = detector_losses(y, y_pred)
        return sum(weight * losses[name] for name, weight in _WEIGHTS.items())


def train_detector(
    folder: Path,
    steps: int = 10_000,
    processes: int = 8,
    batch: int = 24,
    rate: float = 1.5e-3,
    spreads: int = 150,
    settings: DetectorSettings | None = None,
    seed: int = 0,
) -> Detector:
    """Train a detector on scenes seen once; its weights are averages over the last steps. ``folder``:
    spreads, as for `list_spreads`; ``processes`` make scenes from so many ``spreads`` at a time."""
    keras.utils.set_random_seed(seed)
    use_mixed_precision("CPU" not in device_name())
    detector = Detector(settings)
    network = build_detector(detector.settings, (SIZE, SIZE), _Learner)
    use_mixed_precision(False)
    pace = keras.optimizers.schedules.CosineDecay(
        rate / 10, steps, alpha=0.01, warmup_target=rate, warmup_steps=max(1, steps // 20)
    )
    optimiser = keras.optimizers.AdamW(
        pace, 0.02, beta_2=0.99, global_clipnorm=5.0, use_ema=True, ema_momentum=0.998
    )
    optimiser.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.compile(optimiser, **compile_options())
    work = (joblib.delayed(batch_of)(folder, seed, i, batch, spreads) for i in range(steps))

    def batches() -> Iterator[tuple[np.ndarray, dict]]:
        for images, y in joblib.Parallel(processes, return_as="generator_unordered")(work):
            yield images[..., None].astype(np.float32) / 255, y

    network.fit(batches(), steps_per_epoch=steps, shuffle=False, verbose=2)
    detector.model = build_detector(detector.settings)
    detector.model.set_weights(network.get_weights())
    return detector


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spreads", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=8)
    options = parser.parse_args()
    train_detector(options.spreads, options.steps, options.processes).save(options.out)
