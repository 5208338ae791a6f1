"""The command ``karyo read``."""

from pathlib import Path
from typing import Annotated

import typer


def read(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A karyogram, or a metaphase.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="OUT", help="Folder for reading.json and reading.png."),
    ] = None,
    reader: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Reader to use; karyo's own if not given.")
    ] = None,
) -> None:
    """Read one image: which chromosomes it shows, what is abnormal, how sure, and when to refer.

    Example: `karyo read page.png -o out`
    """
    from karyo_lib.read.image import read_image, write_reading
    from karyo_lib.read.reader import Reader

    reading = read_image(image, Reader.load(reader) if reader else None)
    typer.echo(str(reading))
    if output:
        write_reading(reading, output)
        typer.echo(f"{output / 'reading.png'}")


COMMANDS = (read,)
