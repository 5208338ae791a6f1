"""The rows of the table: which jobs are compared, and what is hoped for."""

from importlib.util import find_spec

from benchmarks import aucmedi_side, rates, training
from benchmarks.material import Sizes
from benchmarks.measure import Job, Row


def make_rows(sizes: Sizes) -> list[Row]:
    """Return all rows."""
    used = sizes.train + sizes.validation
    epoch = used / sizes.sample  # an epoch of all images, by that of the sample
    condition_note = f"extrapolated from 1 of {sizes.epochs} epochs on {sizes.sample} of {used} images"
    features_note = f"features extrapolated from {sizes.sample} images"
    sampled = min(sizes.sample, sizes.test)
    pass_note = f"extrapolated from 1 of {sizes.passes} passes over {sampled} of {sizes.test} images"
    search_note = f"extrapolated from 1 epoch on {sizes.sample} of {used} images"
    rows = [
        Row(
            "condition",
            f"Frozen VGG16, {sizes.epochs} epochs, {sizes.images} images",
            20.0,
            (
                training.CachedCondition(note=features_note, sizes=sizes),
                training.PlainCondition("model.fit", sizes.epochs * epoch, condition_note, sizes),
            ),
            training.SameResult(sizes=sizes),
        ),
        Row(
            "passes",
            f"{sizes.passes} Monte Carlo passes, {sizes.test} images",
            60.0,
            (
                training.SampledPasses(note=features_note, sizes=sizes),
                training.LoopedPass(
                    "loop over model(x, training=True)", sizes.passes * sizes.test / sampled, pass_note, sizes
                ),
            ),
        ),
    ]
    for trainable, aim in (("last-block", 3.0), ("last-two-blocks", 1.5)):
        rows.append(
            Row(
                trainable,
                f"VGG16, {trainable.replace('-', ' ')}: an epoch of {sizes.sample} images",
                aim,
                (
                    training.CachedEpoch(
                        sizes=sizes, trainable=trainable, note="features at the cut not counted"
                    ),
                    training.PlainCondition("model.fit", sizes=sizes, trainable=trainable),
                ),
                training.SameResult(sizes=sizes, trainable=trainable),
                1e-3,  # Adam amplifies rounding
            )
        )
    rows.append(
        Row(
            "all",
            f"InceptionV3 trained in full: an epoch of {sizes.sample} images",
            None,
            (training.PlainCondition(sizes=sizes, base="InceptionV3", trainable="all"),),
        )
    )
    rows += [_features_row(base, sizes) for base in ("VGG16", "InceptionV3")]
    rows += [
        Row(
            "precision",
            f"16 bits: VGG16 features of {sizes.sample} images",
            None,
            (rates.Features(sizes=sizes), rates.MixedFeatures("mixed bfloat16", sizes=sizes)),
            rates.PrecisionResult(sizes=sizes),
            0.05,  # of a probability
        ),
        Row(
            "search",
            f"{sizes.trials} trials of {sizes.search_epochs} epochs",
            20.0,
            (
                training.CachedSearch(
                    note=f"{sizes.trials_measured} of {sizes.trials} trials; {features_note}",
                    sizes=sizes,
                ),
                training.PlainCondition(
                    "each trial through the base",
                    sizes.trials * sizes.search_epochs * epoch,
                    search_note,
                    sizes,
                ),
            ),
        ),
        Row(
            "drawing",
            f"Drawing {sizes.drawn} pages, 2 workers",
            1.8,
            (rates.Drawing(sizes=sizes, workers=2), rates.Drawing("1 worker", sizes=sizes)),
        ),
        Row(
            "screening",
            f"Screening {sizes.pages} files, {sizes.passes} passes each",
            0.8,
            (rates.Screening(sizes=sizes), rates.BareForward("forward pass alone", sizes=sizes)),
        ),
        aucmedi_side.make_row(sizes),
    ]
    return rows


def _features_row(base: str, sizes: Sizes) -> Row:
    jobs: list[Job] = [
        rates.Features(sizes=sizes, base=base),
        rates.KerasPredict("Keras predict", sizes=sizes, base=base),
        rates.MatrixProduct("matrix product of as many operations", sizes=sizes, base=base),
    ]
    missing = []
    for job, packages in (
        (rates.BareOpenVINO("OpenVINO", sizes=sizes, base=base), ("openvino",)),
        (rates.ONNXRuntime("ONNX Runtime", sizes=sizes, base=base), ("onnxruntime", "tf2onnx", "onnx")),
    ):
        absent = [name for name in packages if find_spec(name) is None]
        if absent:
            missing.append(f"{job.side}: {', '.join(absent)} not installed")
        else:
            jobs.append(job)
    return Row(
        f"features-{base.lower()}",
        f"{base} features of {sizes.sample} images",
        0.8,
        tuple(jobs),
        missing="; ".join(missing),
    )
