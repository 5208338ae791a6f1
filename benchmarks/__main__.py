"""``python -m benchmarks``: measures karyo against other ways, in turns, and writes ``reports/bench/``."""

from typing import Annotated

import typer

from benchmarks.run import run_bench


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One row; may be given more than once, the others are kept."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few small images: shows that everything works.")
    ] = False,
    out: Annotated[str, typer.Option(metavar="DIR", help="Folder; `reports/bench` if not given.")] = "",
) -> None:
    """Measure karyo against other ways of doing the same, in turns, and write `reports/bench/`.

    Example: `make bench ARGS="--only condition --only passes"`
    """
    try:
        table = run_bench(out, quick, only or ())
    except ValueError as error:
        typer.echo(error, err=True)
        raise typer.Exit(2) from None
    typer.echo(table.drop(columns=["what", "note"]).to_string(index=False, float_format="{:.3g}".format))


if __name__ == "__main__":
    typer.run(bench)
