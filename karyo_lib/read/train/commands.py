"""The commands ``karyo reader train``, ``score`` and ``compare``."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

Bank = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Real chromosomes: a folder with `chromosomes.zip` and `cells.csv`."),
]


def train(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write the reader into.")
    ],
    bank: Bank = None,
    seed: Annotated[int, typer.Option(min=0, help="Of every drawing and training.")] = 2,
) -> None:
    """Train a reader: on drawings alone, or from karyo's own on a bank of real chromosomes.

    Patients of the bank are split by their name: 68 % train, 12 % set temperature and scores, 20 % are left
    for `karyo reader score`. About 20 minutes on 2 cores.

    Example: `karyo reader train --bank chromosomes -o my_reader`
    """
    from karyo_lib.files.bank import ChromosomeBank
    from karyo_lib.read.train.learn import BANK, DRAWN, train_on_bank, train_on_drawings
    from karyo_lib.store import locked

    if output.exists() and not output.is_dir():
        raise ValueError(f"Expected a folder to write to. Received the file {output.name!r}.")
    with locked(output):
        if bank is None:
            reader = train_on_drawings(DRAWN.seeded(seed), tell=typer.echo)
        else:
            reader = train_on_bank(ChromosomeBank(bank), BANK.seeded(seed), tell=typer.echo)
        reader.save(output)
    typer.echo(f"{output}: use it with `karyo train --method reading --reader {output}`")


def score(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder to write the tables into.")
    ],
    reader: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Reader to measure; karyo's own if not given.")
    ] = None,
    bank: Bank = None,
    pages: Annotated[int, typer.Option(min=1, help="Pages of each lab style.")] = 10,
    part: Annotated[str, typer.Option(help="Patients of the bank: train, val or test.")] = "test",
    side: Annotated[
        int, typer.Option(min=0, help="Side of the pages in pixels; 0 for each style's native size.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the pages.")] = 1,
) -> None:
    """Measure a reader on pages whose truth is known, half of them with a wrong number of chromosomes.

    Drawn pages without `--bank`; pages of real chromosomes with it, the bank's aneuploid cells one by one,
    and the chromosomes of its normal cells as they were cut out, with no page around them. A page takes one
    to two seconds.

    Example: `karyo reader score --bank chromosomes --reader my_reader -o scores`
    """
    from tqdm.auto import tqdm

    from karyo_lib.draw import STYLES
    from karyo_lib.files.bank import ChromosomeBank
    from karyo_lib.read.reader import Reader
    from karyo_lib.read.train.score import score_cells, score_pages, summarise_pages
    from karyo_lib.read.train.training import strips_of_bank
    from karyo_lib.read.train.trials import aneuploid_trials, compose_trials, draw_trials, normal_cells
    from karyo_lib.store import writing

    chosen, size = Reader.load(reader), (side, side) if side else None
    tables = {}
    bar = partial(tqdm, unit="page")
    if bank is None:
        drawn = bar(draw_trials(pages, seed, size), "Reading drawn pages", pages * len(STYLES))
        tables["pages"] = score_pages(chosen, drawn)
    else:
        opened = ChromosomeBank(bank)
        composed = compose_trials(opened, pages, seed, size, part=part)
        tables["pages"] = score_pages(chosen, bar(composed, "Reading composed pages", pages * len(STYLES)))
        aneuploid = int((opened.cells["label"] == "abnormal").sum())
        real = bar(aneuploid_trials(opened, size), "Reading aneuploid cells", aneuploid)
        tables["aneuploid"] = score_pages(chosen, real)
        cells, named = score_cells(chosen, strips_of_bank(opened, normal_cells(opened, part)["cell"]))
        tables["cells"] = cells
        typer.echo(
            f"{int(cells['n'].sum())} chromosomes of {len(cells)} cells as cut out: {named['alone']:.1%} "
            f"named right alone, {named['assigned']:.1%} with the cell's counts; no error in "
            f"{int((cells['right'] == 1).sum())} cells"
        )
    tables["summary"] = summarise_pages(tables["pages"])
    output.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        with writing(output / f"{name}.csv") as file:
            table.to_csv(file, index=name == "summary")
    typer.echo(tables["summary"].round(3).to_string())


def compare(
    old: Annotated[str, typer.Argument(metavar="OLD", help="Reader's folder; `karyo` for karyo's own.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Reader's folder.")],
    pages_dir: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Labelled pages: `index.csv` with file, truth, and case (patient)."),
    ],
    part: Annotated[
        str,
        typer.Option(
            help="**test**: patients that `--bank` keeps aside; **all**, where none was trained on."
        ),
    ] = "test",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Table of the pages to write (CSV).")
    ] = None,
) -> None:
    """Say on held-out reviewed cells whether a new reader is better than an old one.

    Both read the same pages. The new one is called better only where the whole 95 % interval of the
    difference, over patients, lies above zero. `karyo export` writes such pages.

    Example: `karyo reader compare karyo my_reader --pages-dir signed`
    """
    from tqdm.auto import tqdm

    from karyo_lib.read.reader import Reader
    from karyo_lib.read.train.versus import compare_readers, list_held_out, open_pages
    from karyo_lib.store import writing

    pages = list_held_out(pages_dir, part)
    first, second = (Reader.load(None if name == "karyo" else name) for name in (old, new))
    images = tqdm(open_pages(pages_dir, pages), "Reading", len(pages), unit="page")
    versus = compare_readers(first, second, pages, images)
    if output:
        with writing(output) as part_:
            versus.pages.to_csv(part_, index=False)
    typer.echo(str(versus))


COMMANDS = (train, score, compare)
