"""Train the detector: ``python -m karyo_lib.read.train.detection --data DIR --out DIR --seconds 330``.

Processes make scenes without end into shared memory; the network sees what is there.
"""

import argparse
import json
import os
import queue
import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from karyo_lib.read.train.canvas import SIZE, STRIDE
from karyo_lib.read.train.pieces import prepare_spread
from karyo_lib.read.train.scene_pool import ScenePool, make_batch
from karyo_lib.shape.boxes import pair_boxes

#: Half side of the window that a mask is learned in, in mask cells; weights of the losses.
_HALF = 40
_WEIGHTS = {"centre": 1.0, "box": 1.0, "class": 0.5, "mask": 2.0}


def detector_losses(y: dict, out: dict, channels: int) -> dict:
    """The losses of a batch: centres, boxes, classes, masks (scalars)."""
    from karyo_lib.networks.backend import keras
    from karyo_lib.read.detector import _PLACE, _REACH, split_controls

    ops = keras.ops
    chosen = y["chosen"]
    row, column, number, label, exact = (chosen[..., i] for i in range(5))
    box, valid = chosen[..., 5:9], chosen[..., 9]
    count = ops.maximum(ops.sum(valid), 1.0)
    size = out["centre"].shape[0]
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
    reach = _REACH * ops.exp(ops.clip(raw, -5, 3))
    wanted = ops.maximum(target, 0.5)
    low, high = ops.minimum(reach, wanted), ops.maximum(reach, wanted)

    def area(d):
        return (d[..., 0] + d[..., 2]) * (d[..., 1] + d[..., 3])

    common = area(low)
    union = area(reach) + area(wanted) - common
    giou = common / union - (area(high) - union) / area(high)
    log_gap = ops.mean(ops.abs(raw - ops.log(wanted / _REACH)), -1)
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
    zero = ops.zeros_like(rows)
    px = ops.reshape(
        (zero[..., :, None] + (window + 0.5)[None, None, None, :]) / _PLACE, (size, -1, points, 1)
    )
    py = ops.reshape(
        (zero[..., None, :] + (window + 0.5)[None, None, :, None]) / _PLACE, (size, -1, points, 1)
    )
    value = ops.concatenate([features, px, py], -1)
    for step, (weight, bias) in enumerate(split_controls(gather("control"), channels)):
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


def evaluate(detector, folder: Path, limit: int | None = None, least: float = 0.3) -> dict[str, float]:
    """Boxes of validation spreads: share found (IoU .5), found with the class right, precision.

    The data's boxes are taken as tight as the ink: lone ones by it, others by 4 pixels.
    """
    import cv2

    code = np.zeros(9)
    with np.load(folder / "spreads.npz") as file:
        data, offsets, boxes, scale = file["data"], file["offsets"], file["boxes"], float(file["scale"])
        cells = np.flatnonzero(~file["training"])[:limit]
    for cell in cells:
        image = cv2.imdecode(data[offsets[cell] : offsets[cell + 1]], cv2.IMREAD_GRAYSCALE)
        rows = boxes[boxes[:, 0] == cell]
        spread = prepare_spread(image, rows[:, 2:] / 4, rows[:, 1], scale)
        high, wide = image.shape
        side = SIZE if max(image.shape) <= SIZE else 1024  # two shapes, so that little is compiled
        high, wide = min(high, side), min(wide, side)
        picture = np.full((side, side), int(np.median(image)), np.uint8)
        picture[:high, :wide] = image[:high, :wide]
        found = detector.detect(picture, least)
        match = pair_boxes(spread.boxes, found.boxes)
        right = [found.log_proba[j].argmax() == spread.labels[i] for i, j in match]
        lone = [spread.exact[i] for i, _ in match]
        code += [
            len(spread.boxes), len(found.boxes), len(match), sum(right),
            spread.exact.sum(), sum(lone), sum(np.array(right, bool) & np.array(lone, bool)),
            len(match) == len(spread.boxes) == len(found.boxes), 1,
        ]  # fmt: skip
    truth, n, hit, right, alone, hit_alone, right_alone, whole, pictures = code
    return {
        "spreads": pictures,
        "found": hit / truth,
        "precision": hit / max(n, 1),
        "named": right / truth,
        "found_lone": hit_alone / alone,
        "named_lone": right_alone / alone,
        "found_others": (hit - hit_alone) / (truth - alone),
        "named_others": (right - right_alone) / (truth - alone),
        "whole_cells": whole / pictures,
    }


def train(
    folder: Path,
    out: Path,
    seconds: float,
    processes: int = 8,
    batch: int = 16,
    rate: float = 1.5e-3,
    places: int = 1600,
    limit: int | None = None,
    spreads: int | None = None,
    steps: int = 100,
) -> dict:
    """Train for a time, save the averaged weights again and again, and evaluate.

    ``folder``, ``out``: packed data; where ``detector.npz``, ``detector.json`` and ``log.jsonl`` are written;
    ``seconds``: from the call to the last step; ``processes``, ``batch``, ``places``: that make scenes;
    scenes a step; scenes kept; ``rate``: highest learning rate; ``limit``: most spreads a process holds;
    ``spreads``: validation spreads that are looked at; ``steps``: steps between two notes.
    """
    begin = time.time()
    out.mkdir(parents=True, exist_ok=True)
    pool = ScenePool(folder, processes, places, limit=limit)
    try:
        return _train(pool, folder, out, begin, seconds, batch, rate, spreads, steps)
    finally:
        pool.close()


def _train(pool, folder, out, begin, seconds, batch, rate, spreads, steps) -> dict:
    import jax
    import jax.numpy as jnp

    from karyo_lib.networks.backend import keras, use_mixed_precision
    from karyo_lib.read.detector import Detector, DetectorSettings, build_detector

    mixed = jax.default_backend() == "gpu"
    use_mixed_precision(mixed)
    if mixed:
        keras.config.set_dtype_policy("mixed_bfloat16")
    settings = DetectorSettings()
    keras.utils.set_random_seed(0)
    network = build_detector(settings, (SIZE, SIZE))
    print(f"{network.count_params()} weights on {jax.devices()}, {time.time() - begin:.0f} s", flush=True)

    def loss(trained, rest, images, y):
        grey = images[..., None].astype("float32") / 255
        outputs, rest = network.stateless_call(trained, rest, grey, training=True)
        parts = detector_losses(y, outputs, settings.mask_channels)
        return sum(_WEIGHTS[name] * parts[name] for name in _WEIGHTS), (rest, parts)

    @partial(jax.jit, donate_argnums=(0,))
    def step(state, images, y, pace, number):
        trained, rest, mean, square, averaged, notes = state
        (_, (rest, parts)), slope = jax.value_and_grad(loss, has_aux=True)(trained, rest, images, y)
        norm = jnp.sqrt(sum(jnp.sum(g**2) for g in slope))
        slope = [jnp.nan_to_num(g) * jnp.minimum(1.0, 5.0 / (norm + 1e-6)) for g in slope]
        mean = [0.9 * m + 0.1 * g for m, g in zip(mean, slope, strict=True)]
        square = [0.99 * s + 0.01 * g**2 for s, g in zip(square, slope, strict=True)]
        first, second = 1 - 0.9**number, 1 - 0.99**number
        trained = [
            w - pace * (m / first / (jnp.sqrt(s / second) + 1e-7) + (0.02 * w if w.ndim > 1 else 0.0))
            for w, m, s in zip(trained, mean, square, strict=True)
        ]
        keep = jnp.minimum(0.998, (1 + number) / (10 + number))
        averaged = [keep * a + (1 - keep) * w for a, w in zip(averaged, trained, strict=True)]
        seen = jnp.stack([*(parts[name] for name in _WEIGHTS), norm])
        notes = 0.98 * notes + 0.02 * jnp.nan_to_num(seen)
        return trained, rest, mean, square, averaged, notes

    waiting: queue.Queue = queue.Queue(6)

    def fill(seed: int) -> None:
        rng = np.random.default_rng(seed)
        while True:
            waiting.put(make_batch(pool, batch, rng))

    for seed in range(2):
        threading.Thread(target=fill, args=(seed,), daemon=True).start()

    def save(state) -> None:
        for variable, value in zip(network.trainable_variables, state[4], strict=True):
            variable.assign(value)
        for variable, value in zip(network.non_trainable_variables, state[1], strict=True):
            variable.assign(value)
        arrays = {f"w{i:03d}": w.astype(np.float16) for i, w in enumerate(network.get_weights())}
        np.savez_compressed(out / "part.npz", **arrays)
        os.replace(out / "part.npz", out / "detector.npz")
        (out / "detector.json").write_text(json.dumps(asdict(settings)), encoding="utf-8")

    trained = [jnp.array(v.value) for v in network.trainable_variables]
    rest = [jnp.array(v.value) for v in network.non_trainable_variables]
    zeros = [jnp.zeros_like(w) for w in trained]
    state = (trained, rest, zeros, [jnp.zeros_like(w) for w in trained], [jnp.array(w) for w in trained],
             jnp.zeros(len(_WEIGHTS) + 1))  # fmt: skip
    number, first, noted = 0, time.time(), time.time()
    while time.time() < begin + seconds:
        images, y = waiting.get()
        now = time.time()
        first = now if number == 1 else first  # after compiling
        done = min(1.0, (now - first) / max(1.0, begin + seconds - first)) if number else 0.0
        pace = rate * min(1.0, 0.02 + 20 * done) * (0.5 + 0.5 * np.cos(np.pi * done)) + 1e-6
        number += 1
        state = step(state, images, y, np.float32(pace), np.float32(number))
        if number % steps == 0 or number == 1:
            values = np.asarray(state[5]) / (1 - 0.98**number)
            note = dict(zip([*_WEIGHTS, "norm"], np.round(values, 4).tolist(), strict=True))
            note |= {
                "step": number,
                "seconds": round(time.time() - begin, 1),
                "scenes": pool.made(),
                "rate": pace,
            }
            print(json.dumps(note), flush=True)
            with open(out / "log.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")
        if time.time() > noted + 60:
            save(state)
            noted = time.time()
    save(state)
    pool.close()
    keras.config.set_dtype_policy("float32")
    detector = Detector.load(out)
    scores = evaluate(detector, folder, spreads) | {"steps": number, "scenes": pool.made()}
    print(json.dumps(scores), flush=True)
    (out / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    return scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=330)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--places", type=int, default=1600)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--spreads", type=int)
    parser.add_argument("--steps", type=int, default=50)
    options = parser.parse_args()
    train(options.data, options.out, **{k: v for k, v in vars(options).items() if k not in ("data", "out")})
