"""The commands ``karyo reader train``, ``adapt``, ``score`` and ``compare``."""

from functools import partial
from pathlib import Path

import typer
from typer import Argument, Option

from karyo_lib.store import locked, write_whole

_BANK = Option(None, metavar="DIR", help="Real chromosomes: a folder with `chromosomes.zip` and `cells.csv`.")
_OUTPUT = Option(..., "--output", "-o", metavar="DIR", help="Folder to write the reader into.")
_START = Option(None, "--reader", metavar="DIR", help="Reader to use; karyo's own if not given.")


def train(
    output: Path = _OUTPUT,
    bank: Path | None = _BANK,
    spreads: Path | None = Option(
        None,
        metavar="DIR",
        help="Real metaphases with boxes: a folder with `cells.zip`, `cells.csv` and `boxes.csv.gz`.",
    ),
    drawings: bool = Option(False, "--drawings", help="Train what decodes chromosomes on drawings alone."),
    minutes: float = Option(20, min=0.1, help="Of training, on this machine."),
    seed: int = Option(2, min=0, help="Of the training."),
) -> None:
    """Fine-tune karyo's reader on a bank of real chromosomes, or train what decodes chromosomes anew.

    With `--bank` patients are split by their name: 68 % train, 12 % set temperature and scores, 20 % are left
    for `karyo reader score`. With `--spreads` the decoder learns from the start, from chromosomes that lie
    alone on the spreads (of eight cases in ten) and from drawn ones, as karyo's own did: minutes on a
    graphics card, an hour and more without. With `--drawings` it learns from drawn ones alone; what finds
    chromosomes stays karyo's own, which saw spreads.

    Examples:

    * `karyo reader train --bank chromosomes -o my_reader`

    * `karyo reader train --drawings --minutes 60 -o drawn`
    """
    from karyo_lib.files.bank import ChromosomeBank
    from karyo_lib.read.train.learn import train_anew, train_on_bank

    if (bank is not None) + (spreads is not None) + drawings != 1:
        raise ValueError("Expected one of --bank, --spreads and --drawings. Received several or none.")
    _check_output(output)
    with locked(output):
        if bank is not None:
            reader = train_on_bank(ChromosomeBank(bank), minutes, seed, tell=typer.echo)
        else:
            reader = train_anew(spreads, minutes, seed, tell=typer.echo)
        reader.save(output)
    typer.echo(f"{output}: use it with `--reader {output}`, as in `karyo read page.png --reader {output}`")


def adapt(
    output: Path = _OUTPUT,
    pages: Path = Option(..., metavar="DIR", help="Your own sorted karyograms, any number of folders deep."),
    reader: Path | None = _START,
    minutes: float = Option(10, min=0.1, help="Of training, on this machine."),
    seed: int = Option(2, min=0, help="Of the training, and of the pages kept aside."),
) -> None:
    """Learn a lab's looks from its own sorted karyograms; no labels are needed, nothing leaves the machine.

    Slots and printed names say what each chromosome is. A quarter of the pages is kept aside, to say whether
    it helped. Thresholds with a promise do not outlive a change of the reader: the new one clears nothing.

    Example: `karyo reader adapt --pages my_karyograms -o my_reader`
    """
    from tqdm.auto import tqdm

    from karyo_lib.files.images import UnusableImage, read_image
    from karyo_lib.files.index import list_images
    from karyo_lib.read.reader import Reader
    from karyo_lib.read.train.learn import adapt as learn_looks

    _check_output(output)
    files = list_images(pages)

    def images():
        for file in tqdm(files, "Reading sorted pages", unit="page"):
            try:
                yield read_image(pages / file)
            except UnusableImage as error:
                typer.echo(f"{file}: left out, {error}")

    with locked(output):
        adapted = learn_looks(Reader.load(reader), images(), minutes, seed, tell=typer.echo)
        adapted.reader.save(output)
    typer.echo(adapted.sentence)
    typer.echo(f"{output}: use it with `--reader {output}`, as in `karyo read page.png --reader {output}`")


def score(
    output: Path = Option(..., "--output", "-o", metavar="DIR", help="Folder to write the tables into."),
    reader: Path | None = _START,
    pages_dir: Path | None = Option(
        None, metavar="DIR", help="Images with a table index.csv: file, truth[, confidence]."
    ),
    bank: Path | None = _BANK,
    spreads: Path | None = Option(
        None, metavar="DIR", help="Real metaphases with boxes, as for `karyo reader train`."
    ),
    pages: int = Option(10, min=1, help="Pages of each lab style."),
    part: str = Option("test", help="Patients of the bank: train, val or test."),
    side: int = Option(0, min=0, help="Side of the pages in pixels; 0 for each style's native size."),
    seed: int = Option(1, min=0, help="Of the pages."),
) -> None:
    """Measure a reader on images whose truth is known.

    With `--pages-dir` real images: rows whose confidence is 'unsure' do not count; errors.html shows what was
    read wrongly or referred. With `--bank` pages composed of real chromosomes, half of them with a wrong
    number, the bank's aneuploid cells one by one, and the chromosomes of its normal cells as they were cut
    out. With `--spreads` the metaphases of its test cases. Without any, drawn pages.

    Example: `karyo reader score --pages-dir my_labelled_pages -o scores`
    """
    import pandas as pd
    from tqdm.auto import tqdm

    from karyo_lib.draw import STYLES
    from karyo_lib.files.bank import ChromosomeBank
    from karyo_lib.read.reader import Reader
    from karyo_lib.read.train import score as scoring
    from karyo_lib.read.train.score import aneuploid_trials, compose_trials, draw_trials, normal_cells

    if sum(map(bool, (bank, pages_dir, spreads))) > 1:
        raise ValueError(
            "Expected --bank, --pages-dir or --spreads. Received several: measure one after the other."
        )
    chosen, size = Reader.load(reader), (side, side) if side else None
    if spreads:
        _score_spreads(chosen, spreads, output)
        return
    tables = {}
    bar = partial(tqdm, unit="page")
    output.mkdir(parents=True, exist_ok=True)
    if pages_dir:
        tables["pages"], pictures = scoring.score_folder(chosen, scoring.read_truths(pages_dir), pages_dir)
        scoring.write_errors(tables["pages"], pictures, output / "errors.html")
    elif bank is None:
        drawn = bar(draw_trials(pages, seed, size), "Reading drawn pages", pages * len(STYLES))
        tables["pages"] = scoring.score_pages(chosen, drawn)
    else:
        opened = ChromosomeBank(bank)
        composed = compose_trials(opened, pages, seed, size, part=part)
        composed = bar(composed, "Reading composed pages", pages * len(STYLES))
        tables["pages"] = scoring.score_pages(chosen, composed)
        aneuploid = int((opened.cells["label"] == "abnormal").sum())
        real = bar(aneuploid_trials(opened, size), "Reading aneuploid cells", aneuploid)
        tables["aneuploid"] = scoring.score_pages(chosen, real)
        cells, named = scoring.score_cells(chosen, opened, normal_cells(opened, part)["cell"])
        tables["cells"] = cells
        typer.echo(
            f"{int(cells['n'].sum())} chromosomes of {len(cells)} cells as cut out: {named['alone']:.1%} "
            f"named right alone, {named['assigned']:.1%} with the cell's counts; no error in "
            f"{int((cells['right'] == 1).sum())} cells"
        )
    groups = {"all": tables["pages"]} | ({} if pages_dir else dict(list(tables["pages"].groupby("style"))))
    tables["summary"] = pd.concat([scoring.summarise(own).assign(of=of) for of, own in groups.items()])
    for name, table in tables.items():
        write_whole(output / f"{name}.csv", table.to_csv(index=False))
    told = tables["summary"].query("of == 'all'")[["measure", "shown"]]
    typer.echo(told.to_string(index=False, header=False))


def compare(
    old: str = Argument(..., metavar="OLD", help="Reader's folder; `karyo` for karyo's own."),
    new: str = Argument(..., metavar="NEW", help="Reader's folder."),
    pages_dir: Path = Option(
        ..., metavar="DIR", help="Labelled pages: `index.csv` with file, truth, and case (patient)."
    ),
    part: str = Option(
        "test", help="**test**: patients that `--bank` keeps aside; **all**, where none was trained on."
    ),
    output: Path | None = Option(
        None, "--output", "-o", metavar="FILE", help="Table of the pages to write (CSV)."
    ),
) -> None:
    """Say on held-out reviewed cells whether a new reader is better than an old one.

    Both read the same pages. The new one is called better only where the whole 95 % interval of the
    difference, over patients, lies above zero. `karyo export` writes such pages.

    Example: `karyo reader compare karyo my_reader --pages-dir signed`
    """
    from tqdm.auto import tqdm

    from karyo_lib.files.images import read_image
    from karyo_lib.read.reader import Reader
    from karyo_lib.read.train.score import compare_readers, read_truths

    pages = read_truths(pages_dir, part)
    first, second = (Reader.load(None if name == "karyo" else name) for name in (old, new))
    images = (read_image(pages_dir / file) for file in pages["file"])
    versus = compare_readers(first, second, pages, tqdm(images, "Reading", len(pages), unit="page"))
    if output:
        write_whole(output, versus.pages.to_csv(index=False))
    typer.echo(str(versus))


def _score_spreads(reader, folder: Path, output: Path) -> None:
    from tqdm.auto import tqdm

    from karyo_lib.read.train.score_spreads import real_spreads, score_spreads, summarise_spreads

    table = score_spreads(reader, tqdm(real_spreads(folder), "Reading metaphases", unit="cell"))
    write_whole(output / "spreads.csv", table.to_csv(index=False))
    for name, value in summarise_spreads(table).items():
        typer.echo(f"{name:10} {value:.4g}")


def _check_output(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise ValueError(f"Expected a folder to write to. Received the file {output.name!r}.")


COMMANDS = (train, adapt, score, compare)
