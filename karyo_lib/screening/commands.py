"""The commands that read a case, train, screen and review."""

import shutil
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import typer
from typer import Argument, Option

from karyo_lib.screening import ALPHA, DELTA
from karyo_lib.settings import suggest
from karyo_lib.store import locked, write_whole

_READER = Option(None, metavar="DIR", help="Reader from `karyo reader train`; karyo's own if not given.")


def train(
    data: Path = Option(
        ...,
        metavar="DIR",
        help="Labelled karyograms: folders `normal/` and `abnormal/`, or a `metadata.csv`.",
    ),
    output: Path = Option(
        ..., "--output", "-o", metavar="FILE", help="Model to write, such as `model.karyo`."
    ),
    method: str = Option(
        "network",
        help="**network** trains on your karyograms; **reading** calibrates the reader of chromosomes.",
    ),
    reader: Path | None = _READER,
    base: str = Option("VGG16", help="VGG16 or InceptionV3."),
    trainable: str = Option("head", help="head, last-block, last-two-blocks (VGG16) or all (InceptionV3)."),
    epochs: int = Option(30, min=1, help="Passes over the training images."),
    alpha: float = Option(ALPHA, help="Highest share of misses that may be promised."),
    delta: float = Option(DELTA, help="Probability with which the promise may fail."),
    risk: str = Option("cleared", help="Count misses among **cleared** cases or among **abnormal** ones."),
    calibration: str = Option("temperature", help="temperature, isotonic or none."),
    seed: int = Option(2020, min=0, help="Of every draw, split and training."),
    weights: str = Option(
        "", metavar="PATH", help="ImageNet weights, a file or folder; or the word `random`."
    ),
    workers: int = Option(2, min=1, help="Threads that read images."),
) -> None:
    """Train a model for screening on your own karyograms.

    Patients are split first: none stands in training and calibration at once. The model file holds weights,
    calibration, operating threshold with its promise, and a model card, which is also written beside it.
    Until it is finished a hidden folder beside it holds what was computed, so that the same command goes on
    from there.

    Example: `karyo train --data my_karyograms -o model.karyo`
    """
    from karyo_lib.screening.card import render_card
    from karyo_lib.screening.package import save_package
    from karyo_lib.screening.packing import PackSettings, train_package

    if output.is_dir():
        raise ValueError(f"Expected a file such as model.karyo. Received the folder {output.name!r}.")
    settings = PackSettings(
        method=method, base=base, trainable=trainable, epochs=epochs, alpha=alpha, delta=delta, risk=risk,
        calibration=calibration, seed=seed, passes=100 if method == "network" else 0,
    )  # fmt: skip
    work = output.with_name(f".{output.name}.work")
    with locked(work, output):
        package = train_package(
            data, settings, weights=weights or None, reader=reader, work=work, n_jobs=workers
        )
        digest = save_package(package, output)
        for suffix, text in zip((".card.md", ".card.html"), render_card(package.facts), strict=True):
            write_whole(output.with_suffix(suffix), text)
        shutil.rmtree(work, ignore_errors=True)
    if package.facts["warning"]:
        typer.secho(package.facts["warning"], fg="yellow", err=True)
    typer.echo(package.promise.sentence)
    typer.echo(f"{output}: digest {digest[:16]}, card in {output.with_suffix('.card.html').name}")


def screen(
    output: Path = Option(
        ..., "--output", "-o", metavar="OUT", help="Folder for the worklist; all that is written."
    ),
    model: str = Argument(
        "",
        metavar="MODEL",
        help="Model file from `karyo train`; none with `--method reading`.",
        show_default=False,
    ),
    folder: str = Argument(
        "", metavar="DIR", help="Folder with karyograms, at any depth.", show_default=False
    ),
    method: str = Option(
        "",
        help="**reading**: the reader of chromosomes that comes with karyo, in place of a MODEL; needs "
        "no training, and clears for number alone.",
    ),
    reader: Path | None = Option(
        None, metavar="DIR", help="Reader of your own for `--method reading`; karyo's if not given."
    ),
    fresh: bool = Option(
        False, "--fresh/--resume", help="Screen all again, or go on and keep what is finished."
    ),
    workers: int = Option(0, min=0, help="Threads that read images; 0 for all processors."),
    scheduler: str = Option(
        "", metavar="ADDRESS", help="Dask scheduler for many machines: `tcp://host:port`."
    ),
    clear_below: float = Option(
        0.0, help="Clear below this probability of abnormal, without a promise; 0: the model's own."
    ),
    patients: str = Option(
        "none", help="Patient ids of `metadata.csv`: **none**, **show** or **mask** (a code)."
    ),
    patient_pattern: str = Option(
        "",
        metavar="REGEX",
        help="Whose cell a file is, by its name: the first group. Without, `metadata.csv` or the folder.",
    ),
    practice: str = Option(
        "constitutional", help="Of the patients' formulae: **constitutional** or **acquired**."
    ),
    mask_names: bool = Option(
        False, "--mask-names", help="Numbers for file names; `names.csv` says which is which."
    ),
    heat_map: str = Option(
        "grad-cam",
        help="What a network's decision rested on: **grad-cam**, coarse and quick; or **occlusion**, "
        "which covers each pair in turn and takes some 25 times as long.",
    ),
    pictures: str = Option(
        "auto",
        help="Pictures **inside** worklist.html, in a folder **beside** it, or **none**; **auto**: "
        "inside up to 50 MB.",
    ),
) -> None:
    """Screen a folder of karyograms: cleared, abnormal, or for a specialist, in a worklist.

    PNG, JPEG, BMP, TIFF, GIF, WebP and DICOM; every page of a file is a case. A file that cannot be read is
    quarantined with the reason; whatever is unlike the training karyograms is referred.

    With the reader, where `metadata.csv`, a pattern or folders tell patients apart, the cells of each patient
    are also weighed together: `patients.html` and `patients.csv` have one row a patient.

    OUT holds `worklist.html` to look at, `worklist.csv` for your own system, and `journal.jsonl`, from which
    a stopped screening goes on: it holds all names as they are, so share the other two. Ctrl-C leaves a
    worklist of what is finished.

    Ends with 0 when every file was screened, 130 when stopped, 1 on an error.

    Examples:

    * `karyo screen model.karyo new_karyograms -o worklist`

    * `karyo screen --method reading new_karyograms -o worklist`
    """
    from karyo_lib.screening.folder import ScreenOptions, screen_folder
    from karyo_lib.screening.package import shipped_reader

    if method not in ("", "reading"):
        raise ValueError(
            "Expected --method reading, or a model from 'karyo train', which knows its own method. Received "
            f"--method {method}.{suggest(method, ('reading',))}"
        )
    if method and not folder:  # no MODEL: what was given is the folder
        model, folder = method, model
    if not folder:
        received = f"only {Path(model).name!r}" if model and model != method else "no folder"
        raise ValueError(
            f"Expected a model and a folder, or --method reading and a folder. Received {received}."
        )
    if method and model != "reading":
        raise ValueError(
            "Expected --method reading without a model, or a model alone. Received --method reading and "
            f"{Path(model).name!r}."
        )
    if reader and not method:
        raise ValueError("Expected --reader with --method reading. Received a model alone.")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)  # a scheduler's stop leaves a worklist too
    options = ScreenOptions(
        fresh=fresh, workers=workers or None, scheduler=scheduler, clear_below=clear_below or None,
        patients=patients, patient_pattern=patient_pattern, practice=practice, mask_names=mask_names,
        heat_map=heat_map, pictures=pictures,
    )  # fmt: skip
    screened = screen_folder(shipped_reader(reader) if reader else model, folder, output, options)
    typer.echo(str(screened))
    if not screened.clears:
        typer.secho("Nothing is cleared by this model; the worklist says why.", fg="yellow", err=True)
    typer.echo(str(screened.worklist))


def review(
    folder: Path = Argument(..., metavar="OUT", help="What `karyo screen` wrote."),
    port: int = Option(0, min=0, max=65535, help="Of this computer; 0 for any that is free."),
    browser: bool = Option(True, help="Open the worklist in a browser."),
) -> None:
    """Correct and sign the cells of a worklist; reviews are written into `OUT/reviews`.

    Serves the worklist on 127.0.0.1 alone, to who has the address with its token. Without this command
    `worklist.html` does the same, and saves reviews as a file.
    In JupyterLab `karyo_lib.screening.ReviewWidget("worklist")` shows the same cells.

    Example: `karyo review worklist`
    """
    import webbrowser

    from karyo_lib.screening.serve import ReviewServer

    with ReviewServer(folder, port) as server:
        typer.echo(f"{server.address}\nCtrl-C ends it.")
        if browser:
            webbrowser.open(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def export(
    folder: Path = Argument(..., metavar="OUT", help="What `karyo screen` wrote."),
    output: Path = Option(..., "--output", "-o", metavar="DIR", help="Folder to write into."),
    reviews: list[Path] | None = Option(
        None, metavar="FILE", help="A `.review.json` file elsewhere; may be given more than once."
    ),
    bank: Path | None = Option(
        None, metavar="DIR", help="Write signed cells as a bank for `karyo reader train --bank`."
    ),
) -> None:
    """Write each case's karyogram (PNG, PDF), formula, chromosomes (CSV, JSON) and review.

    `DIR/cases.csv` says what is still open. Signed cells also become pages with their truth, `DIR/index.csv`,
    on which `karyo reader compare OLD NEW --pages-dir DIR` says whether a reader is better. For a bank that
    keeps patients apart, screen with `--patients show` or `mask`.

    Example: `karyo export worklist -o signed --bank my_bank`
    """
    from karyo_lib.screening.export import export_cells

    typer.echo(export_cells(folder, output, reviews or (), bank))


def case(
    pictures: list[Path] = Argument(
        ..., metavar="FOLDER|FILES", help="Pictures of the cells of one patient."
    ),
    output: Path = Option(
        ..., "--output", "-o", metavar="OUT", help="Folder for `case.html` and `case.json`."
    ),
    practice: str = Option(
        "constitutional", help="**constitutional** or **acquired**: how clones are weighed and written."
    ),
    reader: Path | None = _READER,
    name: str = Option("", help="What the report calls the patient; '' for nothing."),
    exclude: float = Option(
        0.10, help="Share of other cells to exclude: how many more cells that takes is told."
    ),
) -> None:
    """Read the cells of one patient together: one formula under ISCN's clone rules, and what is excluded.

    `case.html` prints as one sheet of A4; `case.json` holds the same.

    Example: `karyo case patient_7 -o patient_7_case --practice acquired`
    """
    from karyo_lib.read.case_reading import read_case
    from karyo_lib.read.case_record import CaseSettings
    from karyo_lib.read.reader import Reader
    from karyo_lib.screening.case_report import write_case
    from karyo_lib.screening.package import digest_reader

    settings = CaseSettings(practice, aim=exclude)
    loaded = Reader.load(reader)
    told = replace(read_case(pictures, loaded, settings=settings, progress=True), name=name)
    page = write_case(told, output, digest_reader(reader))
    if not told.formula:
        first = next(cell for cell in told.cells if cell.excluded)
        raise ValueError(
            f"Expected pictures of cells that can be read. Received {len(told.cells)} of which none could "
            f"be, {first.name!r} first: {first.excluded}. {page} says it of each."
        )
    typer.echo(f"{told}\n{page}")


COMMANDS = (case, train, screen, review, export)
