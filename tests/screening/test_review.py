"""Reviews: nothing but a review is taken, served to nobody else, and exported as it was signed."""

import http.client
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from signed_cells import draw_result, write_screening

from karyo_lib.files.bank import ChromosomeBank
from karyo_lib.iscn import CHROMOSOMES, count_formula
from karyo_lib.read.train.learn import strips_of_bank
from karyo_lib.screening.export import cut_out, export_cells, open_cells
from karyo_lib.screening.review import (
    Review,
    ReviewedObject,
    ReviewError,
    format_reviews,
    parse_reviews,
    read_reviews,
    write_review,
)
from karyo_lib.screening.serve import ReviewServer

FEW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
LETTERS = 'aB1 \u00e9<\u67d3"'
NUMBERS = st.integers(-100, 20_000)
OBJECTS = st.builds(
    ReviewedObject,
    st.lists(st.integers(0, 999), min_size=1, max_size=3).map(tuple),
    st.sampled_from(["", *CHROMOSOMES, "mar"]),
    st.booleans(),
    st.lists(
        st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=5).map(
            lambda p: tuple(v for xy in p for v in xy)
        ),
        min_size=1,
        max_size=2,
    ).map(tuple),
)
REVIEWS = st.builds(
    Review,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.sampled_from(["agree", "corrected", "unusable"]),
    st.text(LETTERS, min_size=1, max_size=12).filter(str.strip),
    st.text(LETTERS, max_size=50),
    st.datetimes().map(lambda t: t.replace(year=2000 + t.year % 100).isoformat() + "Z"),
    st.just(""),
    st.lists(OBJECTS, max_size=2).map(tuple),
).map(lambda r: replace(r, formula=count_formula(r.counts) if r.objects else ""))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@FEW
@given(st.lists(REVIEWS, max_size=2))
def test_reviews_come_back_as_they_were_written(reviews):
    assert parse_reviews(format_reviews(reviews)) == reviews


@FEW
@given(st.binary(max_size=200) | JSON.map(lambda v: json.dumps(v).encode()))
def test_anything_else_is_refused(content):
    with pytest.raises(ReviewError):
        parse_reviews(content)


@FEW
@given(REVIEWS, st.data())
def test_a_changed_review_is_refused_or_means_what_it_says(review, data):
    told = json.loads(format_reviews([review]))
    places = [(told, k) for k in told] + [(told["reviews"][0], k) for k in told["reviews"][0]]
    places += [(one, k) for one in told["reviews"][0]["objects"] for k in one]
    where, key = data.draw(st.sampled_from(places))
    how = data.draw(st.sampled_from(["drop", "add", "change"]))
    if how == "drop":
        del where[key]
    elif how == "add":
        where[key + "_"] = where[key]
    else:
        where[key] = data.draw(JSON)
    try:
        read = parse_reviews(json.dumps(told))
    except ReviewError:
        return
    assert how == "change"
    assert json.loads(format_reviews(read)) == told


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"format": "karyo-review", "version": 1, "reviews": [], "reviews": []}',
        '{"format": "karyo-review", "version": true, "reviews": []}',
        '{"format": "karyo-review", "version": 2, "reviews": []}',
        '{"format": "karyo-review", "version": 1, "reviews": [NaN]}',
        '{"format": "karyo-review", "version": 1, "reviews": ' + "[" + "{}," * 10_001 + "{}]}",
        b"\xff\xfe{}",
    ],
)
def test_hostile_files_are_refused(content):
    with pytest.raises(ReviewError, match="Expected"):
        parse_reviews(content)


def test_numbers_beyond_any_picture_are_refused():
    one = ReviewedObject((0,), "1", False, ((0, 0, 5, 0, 5, 5),))
    review = Review("0" * 32, "corrected", "A", "", "2026-01-31T12:00:00Z", "1,?,+1", (one,))
    with pytest.raises(ReviewError, match="formula"):
        parse_reviews(format_reviews([review]))
    good = replace(review, formula=count_formula(review.counts))
    assert parse_reviews(format_reviews([good])) == [good]
    for wrong in (1e999, 1e6, "1e3"):
        text = format_reviews([good]).replace("[0, 0, 5, 0, 5, 5]", json.dumps([0, 0, wrong, 0, 5, 5]))
        with pytest.raises(ReviewError):
            parse_reviews(text.replace("Infinity", "1e999"))


@pytest.fixture(scope="module")
def results():
    return [
        draw_result("46,XY", 1, "misnamed.png", "misnamed"),
        draw_result("47,XX,+21", 2, "right.png"),
        draw_result("46,XX", 3, "open.png"),
    ]


@pytest.fixture
def screened(results, tmp_path):
    patients = {"misnamed.png": "P1", "right.png": "P2"}
    return write_screening(tmp_path / "out", results, patients=patients)


def sign(folder, file: str, status: str = "agree", **classes: str) -> Review:
    """Sign a case, some objects of it by other names: position -> class."""
    cell = next(c for c in open_cells(folder) if c.result.file == file)
    objects = tuple(replace(one, name=classes.get(f"i{i}", one.name)) for i, one in enumerate(cell.objects))
    counts = replace(Review("", "", "", "", "", "", objects)).counts
    review = Review(
        cell.result.digest, status, "AB", "", "2026-11-27T20:00:00Z", count_formula(counts), objects
    )
    write_review(folder, review)
    return review


def test_the_latest_review_counts_and_a_bad_file_is_named(screened, tmp_path):
    review = sign(screened, "right.png")
    later = replace(review, time="2026-11-27T21:00:00Z", initials="CD")
    (screened / "mine.review.json").write_text(format_reviews([later]))
    assert read_reviews(screened)[review.picture].initials == "CD"
    (tmp_path / "bad.review.json").write_text("{}")
    with pytest.raises(ReviewError, match=r"bad\.review\.json"):
        read_reviews(screened, [tmp_path / "bad.review.json"])


def test_signed_cells_are_exported(screened, results, tmp_path):
    wrong = next(i for i, o in enumerate(json.loads(results[0].cell)["objects"]) if o.get("doubtful"))
    sign(screened, "misnamed.png", "corrected", **{f"i{wrong}": "4"})
    sign(screened, "right.png")
    # of a file whose patient the worklist does not name, the table of patients may tell whose cell it is
    (screened / "patients.csv").write_text("patient,cases\npatient 1,1 2\npatient 2,3\n")
    said = export_cells(screened, tmp_path / "signed", bank=tmp_path / "bank")
    assert said == "3 cases: 2 signed, 1 open; 2 usable to learn from"
    cases = pd.read_csv(tmp_path / "signed" / "cases.csv", dtype=str, keep_default_na=False)
    assert cases["status"].tolist() == ["corrected", "agree", "open"]
    assert cases["formula"].tolist() == ["46,XY", "47,XX,+21", "46,XX"]
    assert cases["read_as"][0] == "46,XY,-4,+5"
    assert cases["patient"].tolist() == ["P1", "P2", "patient 2"]
    index = pd.read_csv(tmp_path / "signed" / "index.csv")
    assert index.columns.tolist() == ["file", "truth", "case"]
    assert index["truth"].tolist() == ["46,XY", "47,XX,+21"]
    place = tmp_path / "signed" / cases["folder"][0]
    assert sorted(p.name for p in place.iterdir()) == [
        "cell.json", "chromosomes.csv", "karyogram.pdf", "karyogram.png", "page.png",
    ]  # fmt: skip
    with Image.open(place / "karyogram.png") as image:
        assert image.width > 2000
    assert (place / "karyogram.pdf").read_bytes().startswith(b"%PDF")
    table = pd.read_csv(place / "chromosomes.csv", dtype={"chromosome": str, "read_as": str})
    assert len(table) == 46
    assert table[table["corrected"]][["chromosome", "read_as"]].to_numpy().tolist() == [["4", "5"]]
    told = json.loads((place / "cell.json").read_text())
    assert (told["formula"], told["review"]["initials"]) == ("46,XY", "AB")
    assert str(tmp_path) not in (place / "cell.json").read_text()
    bank = ChromosomeBank(tmp_path / "bank")
    assert bank.cells["case"].tolist() == ["P1", "P2"]
    assert bank.cells["label"].tolist() == ["normal", "abnormal"]
    assert [cutout.chromosome for cutout in bank.cutouts("case00002")].count("21") == 3
    images = {cutout.chromosome: cutout.image for cutout in bank.cutouts("case00001")}
    long, short = images["1"], images["21"]
    assert long.shape[0] > 2 * short.shape[0]
    assert long[0, 0] == 255
    strips = strips_of_bank(bank, bank.cells["cell"])  # what `karyo reader train --bank` learns from
    assert len(strips) == 46 + 47
    assert (strips.classes == CHROMOSOMES.index("21")).sum() == 2 + 3
    first = (tmp_path / "bank" / "chromosomes.zip").read_bytes()
    export_cells(screened, tmp_path / "again", bank=tmp_path / "bank2")
    assert (tmp_path / "bank2" / "chromosomes.zip").read_bytes() == first


def test_unusable_cells_teach_nothing(screened, tmp_path):
    sign(screened, "right.png", "unusable")
    with pytest.raises(ValueError, match="for a bank"):
        export_cells(screened, tmp_path / "signed", bank=tmp_path / "bank")
    with pytest.raises(ValueError, match="karyo screen"):
        export_cells(tmp_path / "signed", tmp_path / "x")


def test_a_chromosome_is_cut_out_upright():
    picture = np.full((60, 60), 200, np.uint8)
    picture[10:50, 28:34] = 90
    picture[10:14, 28:34] = 30  # its upper end
    outline = (27.0, 9.0, 34.0, 9.0, 34.0, 50.0, 27.0, 50.0)
    cut = cut_out(picture, ReviewedObject((0,), "1", False, (outline,)))
    assert cut.shape[0] > 3 * cut.shape[1]
    assert cut[:8].min() == 30
    assert cut[-8:].min() == 90
    turned = cut_out(picture, ReviewedObject((0,), "1", True, (outline,)))
    assert turned[-8:].min() == 30
    lying = picture.T.copy()  # its upper end points left
    across = tuple(v for x, y in np.reshape(outline, (-1, 2)) for v in (y, x))
    upright = cut_out(lying, ReviewedObject((0,), "1", False, (across,)), 90.0)
    assert upright.shape[0] > 3 * upright.shape[1]
    assert upright[:8].min() < 60
    outside = ReviewedObject((0,), "1", False, ((900.0, 900.0, 910.0, 900.0, 910.0, 910.0),))
    assert cut_out(picture, outside).shape == (1, 1)


@contextmanager
def serving(folder):
    with ReviewServer(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def test_reviews_are_written_beside_the_worklist_and_only_with_the_token(results, tmp_path):
    folder = write_screening(tmp_path / "out", results, "beside")
    review = sign(folder, "right.png")
    path = folder / "reviews" / f"{review.picture}.review.json"
    path.unlink()
    text, sent = format_reviews([review]), {"Content_Type": "application/json"}
    with serving(folder) as server:
        assert server.server_address[0] == "127.0.0.1"
        own = f"/{server.token}"
        assert urlsplit(server.address).path == f"{own}/worklist.html"
        status, page = ask(server, f"{own}/worklist.html")
        assert status == 200
        assert page == (folder / "worklist.html").read_bytes()
        picture = f"{own}/pictures/{review.picture}.webp"
        assert ask(server, picture)[1] == results[1].picture
        for stranger in ("/", "/worklist.html", "/x/worklist.html", f"/{server.token[:-1]}/worklist.html"):
            assert ask(server, stranger)[0] == 403, stranger
        for outside in (
            "journal.jsonl",
            "../out/journal.jsonl",
            "pictures/../journal.jsonl",
            "pictures/%2e%2e",
            "",
        ):
            assert ask(server, f"{own}/{outside}")[0] == 404, outside
        assert ask(server, f"{own}/worklist.html", Host="evil.example")[0] == 403
        assert ask(server, f"{own}/reviews", "POST", text, Origin="http://evil.example", **sent)[0] == 403
        assert ask(server, f"{own}/reviews", "POST", text, Content_Type="text/plain")[0] == 415
        assert ask(server, f"{own}/reviews", "POST", "{}", **sent)[0] == 400
        assert ask(server, f"{own}/reviews", "POST", None, Content_Length="99999999999", **sent)[0] == 413
        unknown = format_reviews([replace(review, picture="f" * 32)])
        assert ask(server, f"{own}/reviews", "POST", unknown, **sent)[0] == 400
        assert not list((folder / "reviews").iterdir())
        assert ask(server, f"{own}/reviews", "POST", text, **sent)[0] == 200
        assert parse_reviews(path.read_bytes()) == [review]
        assert parse_reviews(ask(server, f"{own}/reviews")[1]) == [review]


def test_what_is_served_must_be_a_screening(tmp_path):
    with pytest.raises(ValueError, match="karyo screen"):
        ReviewServer(tmp_path)
