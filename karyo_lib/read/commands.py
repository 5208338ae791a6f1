"""The command ``karyo read``."""

from pathlib import Path

import typer
from typer import Argument, Option


def read(
    image: Path = Argument(..., metavar="IMAGE", help="A karyogram, or a metaphase."),
    output: Path | None = Option(
        None,
        "--output",
        "-o",
        metavar="OUT",
        help="Folder for reading.json, reading.png and, of a metaphase, karyogram.png and karyogram.pdf.",
    ),
    reader: Path | None = Option(None, metavar="DIR", help="Reader to use; karyo's own if not given."),
    style: str = Option("digital", help="Lab style of the karyogram of a metaphase."),
    bank: Path | None = Option(
        None, metavar="DIR", help="Bank to which the chromosomes are added as a cell."
    ),
    patient: str = Option("", help="Of that cell; by default the cell's own name, that of the file."),
) -> None:
    """Read one image: which chromosomes it shows, what is abnormal, how sure, and when to refer.

    Example: `karyo read page.png -o out`
    """
    from karyo_lib.read.image import read_image, write_reading
    from karyo_lib.read.reader import Reader

    if style != "digital":
        from karyo_lib.draw import STYLES  # who names no style waits for none

        if style not in STYLES:
            expected = f"Expected a style, one of {', '.join(STYLES)}. Received {style!r}."
            raise typer.BadParameter(expected, param_hint="--style")
    if image.is_dir():
        raise typer.BadParameter(
            f"Expected one image. Received the folder {image.name!r}: `karyo screen --method reading` reads "
            "a folder of cells, `karyo case` the cells of a patient.",
            param_hint="IMAGE",
        )
    if image.is_file():
        typer.echo(f"Reading {image.name} ...", err=True)
    reading = read_image(image, Reader.load(reader) if reader else None)
    typer.echo(str(reading))
    if output:
        write_reading(reading, output, style)
        pictures = ["karyogram.png", "karyogram.pdf"] * (reading.kind == "metaphase")
        typer.echo(f"{output}: {', '.join(['reading.json', 'reading.png', *pictures])}")
    if bank:
        from karyo_lib.read.sorting import add_to_bank

        add_to_bank(reading, bank, image.stem, patient or image.stem)
        typer.echo(f"{bank}: {(reading.chromosomes['chromosome'] != '').sum()} chromosomes of {image.stem}")


COMMANDS = (read,)
