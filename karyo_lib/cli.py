"""The command ``karyo``."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer import Argument, Option

from karyo_lib import __version__
from karyo_lib.read.commands import COMMANDS as READ
from karyo_lib.read.train.commands import COMMANDS as READING
from karyo_lib.screening.commands import COMMANDS as SCREENING
from karyo_lib.settings import parse_settings
from karyo_lib.store import CannotWriteError, write_whole, writing

app = typer.Typer(
    name="karyo",
    help="Reads karyograms: normal or abnormal, how sure, and when a specialist must look.\n\n"
    "A research tool, not a medical device.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def _told_plainly(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn an error into one message; KARYO_DEBUG=1 shows where it arose."""

    @wraps(command)
    def told(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            _errors.print(
                "Stopped. What is finished is kept; the same command goes on from there.", style="yellow"
            )
            raise typer.Exit(130) from None
        except (ValueError, TypeError, OSError) as error:
            if os.environ.get("KARYO_DEBUG", "0") != "0":
                raise
            _errors.print(_describe_error(error), style="red", markup=False)
            raise typer.Exit(1) from None

    return told


def _describe_error(error: Exception) -> str:
    if isinstance(error, CannotWriteError):
        return error.strerror
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.strerror}: {str(error.filename)!r}. Expected a file or folder that karyo may use."
    return str(error)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"karyo {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: bool = Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


@app.command()
@_told_plainly
def run(
    profile: str = Option(
        "quick",
        metavar="NAME",
        help="**smoke** shows that it works, **quick** shortens fine-tuning, **thesis** does everything.",
    ),
    data: str = Option(
        "", metavar="DIR", help="Your own karyograms: folders `normal/` and `abnormal/`, or a `metadata.csv`."
    ),
    bank: str = Option("", metavar="DIR", help="Real chromosomes to lay karyograms out from."),
    only: list[str] | None = Option(
        None, metavar="NAME", help="One notebook, by name or number; may be given more than once."
    ),
    out: str = Option("", metavar="DIR", help="Run folder; `reports/<profile>` if not given."),
    seed: int = Option(2020, min=0, help="Of every draw, split and training."),
    weights: str = Option(
        "", metavar="PATH", help="ImageNet weights, a file or folder; or the word `random`."
    ),
    clean: bool = Option(
        False, "--clean", help="Find arrows, boxes, titles and labels and paint them over before all else."
    ),
    setting: list[str] | None = Option(
        None,
        "--set",
        metavar="NAME=VALUE",
        help="One setting in place of the profile's, such as `passes=50`; may be given more than once.",
    ),
    fresh: bool = Option(
        False,
        "--fresh/--resume",
        help="Do everything again, or go on: notebooks whose inputs are unchanged are kept.",
    ),
    scheduler: str = Option(
        "",
        metavar="ADDRESS",
        help="Dask scheduler, `tcp://host:port`: drawing, fits and search on many machines.",
    ),
    device: str = Option("auto", help="**auto**, **cpu**, or **gpu** (an error if there is none)."),
    mixed_precision: bool = Option(
        False, "--mixed-precision", help="16-bit arithmetic, where the device has it."
    ),
) -> None:
    """Run the seven notebooks and write one HTML report each.

    Examples:

    * `karyo run` : drawn karyograms, less than half an hour on 2 cores

    * `karyo run --profile smoke --out reports/look` : does it work here?

    * `karyo run --data my_karyograms --out reports/mine` : your own images

    * `karyo run --only 04 --only 05 --fresh` : two of the notebooks, again

    * `karyo run --data my_karyograms --clean --set repeats=5` : without print on the pages, five splits
    """
    from karyo_lib.study.report.execute import run_study
    from karyo_lib.study.runs import Run

    _choose_machines(scheduler, device, mixed_precision)
    changes = parse_settings(setting or ()) | ({"clean": True} if clean else {})
    opened = Run.open(profile, run_dir=out, seed=seed, data=data, bank=bank, weights=weights, **changes)
    records = run_study(opened, only=only or (), fresh=fresh)
    bad = [name for name, record in records.items() if record["status"] != "done"]
    if bad:
        _errors.print(f"Not finished: {', '.join(bad)}. The index says why.", style="red")
    typer.echo(f"{opened.dir / 'index.html'}")
    if bad:
        raise typer.Exit(1)


def _choose_machines(scheduler: str, device: str, mixed_precision: bool) -> None:
    """Say in the environment, which the notebooks inherit, where and how to compute."""
    if device not in ("auto", "cpu", "gpu"):
        raise ValueError(f"Expected a device, auto, cpu or gpu. Received {device!r}.")
    os.environ["KARYO_DEVICE"] = device
    if mixed_precision:
        os.environ["KARYO_PRECISION"] = "mixed_bfloat16"
    if scheduler:
        from karyo_lib.machines import SCHEDULER, connect

        connect(scheduler).close()  # before the first notebook starts
        os.environ[SCHEDULER] = scheduler


@app.command()
@_told_plainly
def draw(
    formula: str = Argument(
        ..., metavar="FORMULA", help='Karyotype in ISCN, in quotes: "46,XX,t(9;22)(q34;q11.2)".'
    ),
    output: Path = Option(..., "--output", "-o", metavar="FILE", help="Image to write; PNG, JPEG, TIFF."),
    level: int = Option(550, help="Bands: 400, 550 or 850."),
    style: str = Option("classic", help="Lab style; an unknown one lists all."),
    seed: int = Option(0, min=0, help="Of bends, lengths, stain and noise."),
    size: int = Option(0, min=0, help="Side of the page in pixels; 0 for the style's native size."),
    annotations: bool | None = Option(
        None, help="Arrows, boxes and titles on what is abnormal; the style decides if not given."
    ),
    cell_line: int = Option(1, min=1, help="Of a mosaic such as 47,XY,+21[15]/46,XY[5]: which cell line."),
    truth: Path | None = Option(
        None, metavar="FILE", help="Table to write (CSV): box, name and place of each chromosome."
    ),
) -> None:
    """Draw the karyogram of a formula.

    Example: `karyo draw "46,XX,t(9;22)(q34;q11.2)" --level 550 --style classic --seed 3 -o page.png`
    """
    from PIL import Image

    from karyo_lib.draw import draw_karyogram
    from karyo_lib.iscn import parse_karyotype
    from karyo_lib.iscn.notation import read_cell_lines

    if Image.registered_extensions().get(output.suffix.lower()) not in Image.SAVE:
        raise ValueError(
            "Expected an image file name that ends in .png, .jpg, .tif, .bmp or .webp. "
            f"Received {output.name!r}."
        )
    lines = len(read_cell_lines(formula))
    if cell_line > lines:
        raise ValueError(f"Expected a cell line from 1 to {lines}. Received {cell_line}.")
    if lines > 1:
        typer.echo(
            f"A karyogram shows one cell. Drawn is cell line {cell_line} of {lines}; see --cell-line.",
            err=True,
        )
    karyotype = parse_karyotype(formula, level, cell_line - 1)
    for note in karyotype.notes:
        typer.echo(note, err=True)
    page = draw_karyogram(
        karyotype.formula,
        style=style,
        seed=seed,
        size=(size, size) if size else None,
        level=level,
        annotate=annotations,
    )
    with writing(output) as part:
        Image.fromarray(page.image).save(part)
    if truth:
        write_whole(truth, page.truth.to_csv(index=False))
    height, width = page.image.shape
    typer.echo(f"{output}: {page.formula}, {len(page.truth)} chromosomes, {width} x {height} px")


for _command in (*READ, *SCREENING):
    app.command()(_told_plainly(_command))
_reader = typer.Typer(
    name="reader",
    help="Trains and measures the reader of chromosomes.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
for _command in READING:
    _reader.command()(_told_plainly(_command))
app.add_typer(_reader)


def main() -> None:
    for stream in (sys.stdout, sys.stderr):  # a Latin-1 terminal has no frames and arrows
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if sys.argv[1:2] == ["read"] and find_spec("openvino") and os.environ.get("KARYO_ENGINE") != "keras":
        # Nothing is trained: without TensorFlow it starts 5 s sooner and takes 450 MB less.
        os.environ.setdefault("KERAS_BACKEND", "openvino")
    sys.exit(app())


if __name__ == "__main__":
    main()
