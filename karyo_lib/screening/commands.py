"""The commands ``karyo train`` and ``karyo screen``."""

import signal
from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Labelled karyograms: folders `normal/` and `abnormal/`, or a `metadata.csv`."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Model to write, such as `model.karyo`.")
    ],
    method: Annotated[
        str,
        typer.Option(
            help="**network** trains on your karyograms; **reading** calibrates the reader of chromosomes."
        ),
    ] = "network",
    base: Annotated[str, typer.Option(help="VGG16 or InceptionV3.")] = "VGG16",
    trainable: Annotated[
        str, typer.Option(help="head, last-block, last-two-blocks (VGG16) or all (InceptionV3).")
    ] = "head",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 30,
    alpha: Annotated[float, typer.Option(help="Highest share of misses that may be promised.")] = 0.05,
    delta: Annotated[float, typer.Option(help="Probability with which the promise may fail.")] = 0.10,
    risk: Annotated[
        str, typer.Option(help="Count misses among **cleared** cases or among **abnormal** ones.")
    ] = "cleared",
    calibration: Annotated[str, typer.Option(help="temperature, isotonic or none.")] = "temperature",
    seed: Annotated[int, typer.Option(min=0, help="Of every draw, split and training.")] = 2020,
    weights: Annotated[
        str, typer.Option(metavar="PATH", help="ImageNet weights, a file or folder; or the word `random`.")
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Threads that read images.")] = 2,
) -> None:
    """Train a model for screening on your own karyograms.

    Patients are split first: none stands in training and calibration at once. The model file holds weights,
    calibration, operating threshold with its promise, and a model card, which is also written beside it.

    Example: `karyo train --data my_karyograms -o model.karyo`
    """
    from karyo_lib.atomic import writing
    from karyo_lib.features import FeatureCache
    from karyo_lib.screening.card import render_card
    from karyo_lib.screening.package import save_package
    from karyo_lib.screening.packing import PackSettings, train_package

    if output.is_dir():
        raise ValueError(f"Expected a file such as model.karyo. Received the folder {output.name!r}.")
    settings = PackSettings(
        method=method, base=base, trainable=trainable, epochs=epochs, alpha=alpha, delta=delta, risk=risk,
        calibration=calibration, seed=seed, passes=100 if method == "network" else 0,
    )  # fmt: skip
    package = train_package(data, settings, weights=weights or None, cache=FeatureCache(), n_jobs=workers)
    digest = save_package(package, output)
    for suffix, text in zip((".card.md", ".card.html"), render_card(package.facts), strict=True):
        with writing(output.with_suffix(suffix)) as part:
            part.write_text(text, encoding="utf-8")
    if package.facts["warning"]:
        typer.secho(package.facts["warning"], fg="yellow", err=True)
    typer.echo(package.promise.sentence)
    typer.echo(f"{output}: digest {digest[:16]}, card in {output.with_suffix('.card.html').name}")


def screen(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Model file from `karyo train`; or the word `reading`, which needs none."
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with karyograms, at any depth.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="DIR", help="Folder for the worklist."),
    ],
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Screen all again, or go on and keep what is finished.")
    ] = False,
    workers: Annotated[int, typer.Option(min=0, help="Threads that read images; 0 for all processors.")] = 0,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Dask scheduler for many machines: `tcp://host:port`.")
    ] = "",
    clear_below: Annotated[
        float,
        typer.Option(help="Clear below this probability of abnormal, without a promise; 0: the model's own."),
    ] = 0.0,
    patients: Annotated[
        str, typer.Option(help="Patient ids of `metadata.csv`: **none**, **show** or **mask** (a code).")
    ] = "none",
    mask_names: Annotated[
        bool, typer.Option("--mask-names", help="Numbers for file names; `names.csv` says which is which.")
    ] = False,
    pictures: Annotated[int, typer.Option(min=0, help="Cases with a picture in worklist.html.")] = 1000,
) -> None:
    """Screen a folder of karyograms: cleared, abnormal, or for a specialist, in a worklist.

    A file that cannot be read is quarantined with the reason; whatever is unlike the training karyograms is
    referred. Share `worklist.csv` and `worklist.html`; `journal.jsonl` holds all names as they are.

    Examples:

    * `karyo screen model.karyo new_karyograms -o out`

    * `karyo screen reading new_karyograms -o out`
    """
    from karyo_lib.screening.folder import ScreenOptions, screen_folder

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)  # a scheduler's stop leaves a worklist too
    options = ScreenOptions(
        fresh=fresh, workers=workers or None, scheduler=scheduler, clear_below=clear_below or None,
        patients=patients, mask_names=mask_names, pictures=pictures,
    )  # fmt: skip
    typer.echo(str(screen_folder(model, folder, output, options)))


COMMANDS = (train, screen)
