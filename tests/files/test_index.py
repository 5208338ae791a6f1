"""A user's folder becomes an index table; whatever cannot be used is named with its reason."""

import errno
import os

import numpy as np
import pandas as pd
import pytest
from bad_images import EXPECTED, draw_page, encode, encode_dicom, write_bad_dataset
from PIL import Image

from karyo_lib.files.augment import augment_dataset
from karyo_lib.files.images import read_image
from karyo_lib.files.index import INDEX_COLUMNS, index_folder
from karyo_lib.files.metadata import DatasetError
from karyo_lib.files.pages import fit_page, load_pages, prepare_dataset, write_page
from karyo_lib.files.split import check_no_leak, make_splits
from karyo_lib.screening.journal import Names, read_patients
from karyo_lib.store import NoSpace


def put(path, seed, format="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(Image.fromarray(draw_page(seed)), format))


def index(folder, **options):
    return index_folder(folder, progress=False, **options)


@pytest.fixture
def metadata_folder(tmp_path):
    for seed in range(6):
        put(tmp_path / "images" / f"{seed}.png", seed)

    def write(text, encoding="utf-8"):
        (tmp_path / "metadata.csv").write_bytes(text.encode(encoding))
        return tmp_path

    return write


def reasons(quarantine):
    return dict(zip(quarantine["path"], quarantine["reason"], strict=True))


def test_image_folder(tmp_path):
    put(tmp_path / "Normal" / "lab 1" / "deep" / "a.png", 1)
    put(tmp_path / "train" / "abnormal" / "b.tif", 2, "TIFF")
    (tmp_path / "notes.txt").write_text("not looked at")
    (tmp_path / "Normal" / ".DS_Store").write_bytes(b"x")
    table, quarantine = index(tmp_path)
    assert tuple(table.columns) == (*INDEX_COLUMNS, "notes")
    assert table["path"].to_list() == ["Normal/lab 1/deep/a.png", "train/abnormal/b.tif"]
    assert table["label"].to_list() == ["normal", "abnormal"]
    assert (table["patient_id"] == table["image_id"]).all()
    assert (table["source"] == "own").all()
    assert table["image_id"].str.fullmatch("own-[0-9a-f]{12}").all()
    assert quarantine.empty
    assert list(quarantine.columns) == ["path", "reason"]


def test_every_bad_input_has_an_outcome(tmp_path):
    folder = tmp_path / "data"
    write_bad_dataset(folder)
    table, quarantine = index(folder)
    why = reasons(quarantine)
    by_name = {path.rsplit("/", 1)[-1]: reason for path, reason in why.items()}
    for name, expected in EXPECTED.items():
        if expected and name != "folder_named.png":
            assert expected in by_name[name]
    kept = set(table["path"].str.rsplit("/", n=1).str[-1])
    assert {name for name, expected in EXPECTED.items() if expected is None} <= kept
    assert kept.isdisjoint({"both.png", "resaved.png", "resaved.bmp", "link_out.png", "page.png"})
    assert "one image under both labels" in why["abnormal/both.png"]
    assert "one image under both labels" in why["normal/lab a/both.png"]
    assert "one image under both labels" in why["abnormal/resaved.bmp"]
    assert why["normal/lab a/copied_2.png"] == "same image as normal/lab a/copied_1.png"
    assert "leads out" in why["normal/lab a/link_out.png"]
    assert "not followed" in why["abnormal/linked_folder"]
    assert "not below a folder" in why["elsewhere/unsorted.png"]
    dimmed = table[table["path"].str.contains("dimmed")]
    assert dimmed["patient_id"].nunique() == 1
    assert dimmed["notes"].str.contains("near duplicate").all()
    assert table["patient_id"].nunique() == len(table) - 1
    assert "abnormal/<b>Zoë & co.png" in set(table["path"])
    # Nothing of the machine or of the headers gets into the tables.
    text = table.to_csv() + quarantine.to_csv()
    assert str(tmp_path) not in text
    assert "ecret" not in text


def test_threads_give_the_same_index(tmp_path):
    write_bad_dataset(tmp_path / "data", 4, 4)
    for one, two in zip(index(tmp_path / "data"), index(tmp_path / "data", n_jobs=2), strict=True):
        pd.testing.assert_frame_equal(one, two)


def test_metadata(metadata_folder):
    folder = metadata_folder(
        "\ufefffile_name, Label,iscn,patient_id,source,age\n"
        'images/0.png,normal,"46,XX",p1,lab,31\n'
        'images\\1.png, Abnormal ,"47,XX,+21",p1,web,\n'
        "images/2.png,abnormal,,p2,,8\n"
        "images/3.png,normal,,,,8\n"
    )
    table, quarantine = index(folder)
    assert table["path"].to_list() == [f"images/{i}.png" for i in range(4)]
    assert table["label"].to_list() == ["normal", "abnormal", "abnormal", "normal"]
    assert table["iscn"].to_list() == ["46,XX", "47,XX,+21", "", ""]
    assert table["patient_id"].to_list() == ["p1", "p1", "p2", table["image_id"][3]]
    assert table["source"].to_list() == ["lab", "web", "own", "own"]
    assert reasons(quarantine) == {f"images/{i}.png": "not listed in metadata.csv" for i in (4, 5)}


def test_formulae_that_contradict_their_label_are_noted(metadata_folder):
    folder = metadata_folder(
        "file_name,label,iscn\n"
        'images/0.png,normal,"46,XX"\nimages/1.png,normal,"47,XX,+21"\n'
        'images/2.png,abnormal,"46,XY"\nimages/3.png,abnormal,trisomy\n'
    )
    table, _ = index(folder)
    assert table["label"].to_list() == ["normal", "normal", "abnormal", "abnormal"]
    assert table["notes"].to_list() == [
        "",
        "formula '47,XX,+21' is abnormal, the label is normal",
        "formula '46,XY' is normal, the label is abnormal",
        "formula 'trisomy' is not understood",
    ]


def test_a_folder_full_of_bad_input_goes_all_the_way(tmp_path):
    data, original, grown = (tmp_path / name for name in ("data", "original", "augmented"))
    write_bad_dataset(data)
    table, _ = index(data)
    prepared = prepare_dataset(table, data, original, size=(160, 160), progress=False)
    augmented = augment_dataset(prepared, original, grown, seed=1, progress=False)
    splits = make_splits(prepared, augmented, seed=1)
    check_no_leak(splits)
    assert set(splits["parent_id"]) == set(table["image_id"])
    assert load_pages(augmented, grown).shape == (len(augmented), 160, 160)
    assert not any(b"ecret" in path.read_bytes() for path in (*original.iterdir(), *grown.iterdir()))


def test_metadata_with_semicolons(metadata_folder):
    table, _ = index(metadata_folder("file_name;label\nimages/0.png;normal\nimages/1.png;abnormal\n"))
    assert len(table) == 2


@pytest.mark.parametrize(
    "text",
    [
        "File_Name,Label,Patient ID\nimages/0.png,normal,p1\nimages/1.png,abnormal,p2\n",
        "file_name,label,patient_id\nimages/0.png,normal,p1,\nimages/1.png,abnormal,p2,,\n",
        "file_name,label,patient_id,\nimages/0.png,normal,p1,\nimages/1.png,abnormal,p2,\n",
        "filename,label,patientid\n./images/0.png,normal,p1\n\n.\\images\\1.png,abnormal,p2\n",
        "file_name,label,iscn,patient_id\nimages/0.png,normal,46,XX,p1\nimages/1.png,abnormal,47,XX,+21,p2\n",
        "\nfile_name\tlabel\tpatient_id\nimages/0.png\tnormal\tp1\nimages/1.png\tabnormal\tp2\n",
    ],
)
def test_metadata_of_many_hands_is_read_as_meant(metadata_folder, text):
    folder = metadata_folder(text)
    table, _ = index(folder)
    assert table[["path", "label", "patient_id"]].to_numpy().tolist() == [
        ["images/0.png", "normal", "p1"],
        ["images/1.png", "abnormal", "p2"],
    ]
    assert read_patients(folder) == {"images/0.png": "p1", "images/1.png": "p2"}
    if "iscn" in text:
        assert table["iscn"].to_list() == ["46,XX", "47,XX,+21"]


def test_metadata_in_utf_16(metadata_folder):
    text = "file_name\tlabel\nimages/0.png\tnormal\nimages/1.png\tabnormal\n"
    assert len(index(metadata_folder(text, "utf-16"))[0]) == 2


def test_names_in_another_unicode_form_are_the_same_file(tmp_path):
    composed, parted = "Zo\u00eb.png", "Zoe\u0308.png"
    put(tmp_path / parted, 1)
    put(tmp_path / "b.png", 2)
    (tmp_path / "metadata.csv").write_text(
        f"file_name,label,patient_id\n{composed},normal,p1\nb.png,abnormal,p2\n", encoding="utf-8"
    )
    table, quarantine = index(tmp_path)
    assert sorted(table["path"]) == sorted(["b.png", parted])
    assert quarantine.empty
    assert Names(read_patients(tmp_path), "show").patient(parted) == "p1"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("listed", [True, False])
def test_a_link_to_itself_is_left_out(tmp_path, listed):
    put(tmp_path / "normal" / "a.png", 0)
    put(tmp_path / "abnormal" / "b.png", 1)
    (tmp_path / "normal" / "loop.png").symlink_to(tmp_path / "normal" / "loop.png")
    if listed:
        (tmp_path / "metadata.csv").write_text(
            "file_name,label\nnormal/a.png,normal\nabnormal/b.png,abnormal\nnormal/loop.png,normal\n"
        )
    table, quarantine = index(tmp_path)
    assert len(table) == 2
    assert list(quarantine["path"]) == ["normal/loop.png"]


def test_one_patient_for_all_is_told(tmp_path):
    for n in range(8):
        put(tmp_path / f"{n}.png", n)
    rows = [f"{n}.png,{('normal', 'abnormal')[n % 2]},x" for n in range(8)]
    (tmp_path / "metadata.csv").write_text("\n".join(["file_name,label,patient_id", *rows]))
    table, _ = index(tmp_path)
    with pytest.raises(ValueError, match="the one patient id 'x' for all 8"):
        make_splits(table, table.assign(parent_id=table["image_id"], copy=0), 0)


def test_metadata_rows_that_cannot_be_used(metadata_folder, tmp_path):
    put(tmp_path.parent / "outside.png", 50)
    folder = metadata_folder(
        "file_name,label\n"
        "images/0.png,normal\nimages/0.png,normal\nimages/1.png,abnormal\n"
        "images/2.png,normal\nimages/2.png,abnormal\n"
        "images/3.png,mosaic\nimages/9.png,normal\n"
        f"../outside.png,normal\n{tmp_path.parent}/outside.png,abnormal\n,normal\n"
        f"{'x' * 5000}.png,normal\nimages,normal\n"
    )
    table, quarantine = index(folder)
    assert table["path"].to_list() == ["images/0.png", "images/1.png"]
    why = reasons(quarantine)
    assert why["images/0.png"] == "listed more than once in metadata.csv"
    assert why["images/2.png"] == "one image under both labels: images/2.png"
    assert why["images/3.png"] == "unknown label 'mosaic' (expected normal or abnormal)"
    assert why["images/9.png"] == "listed in metadata.csv, but there is no such file"
    assert "leads out" in why["../outside.png"]
    assert "leads out" in why[f"{tmp_path.parent}/outside.png"]
    assert "no file name" in why[""]
    assert "no possible file name" in why[f"{'x' * 5000}.png"]
    assert "not a regular file" in why["images"]


def test_metadata_through_a_link_out_of_the_folder(metadata_folder, tmp_path):
    put(tmp_path.parent / "linked" / "x.png", 51)
    (tmp_path / "away").symlink_to(tmp_path.parent / "linked")
    folder = metadata_folder(
        "file_name,label\nimages/0.png,normal\nimages/1.png,abnormal\naway/x.png,normal\n"
    )
    table, quarantine = index(folder)
    assert len(table) == 2
    assert "leads out" in reasons(quarantine)["away/x.png"]


def test_links_within_the_folder_are_read(tmp_path):
    put(tmp_path / "store" / "one", 1)
    put(tmp_path / "abnormal" / "b.png", 2)
    (tmp_path / "normal").mkdir()
    (tmp_path / "normal" / "a.png").symlink_to(tmp_path / "store" / "one")
    table, _ = index(tmp_path)
    assert table["path"].to_list() == ["abnormal/b.png", "normal/a.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty file"),
        ("file_name,verdict\nimages/0.png,normal\n", "label missing"),
        ("a,b\n", "file_name and label missing"),
        ("file_name,label\nimages/0.png,normal\n1,2,3,4\n", "4 fields in line 3, the header has 2: '3'"),
        ("file_name,label\n", "Received none"),
        ("file_name,label\nimages/9.png,normal\n", r"Received none.* no such file"),
        ("file_name,label\nimages/0.png,normal\nimages/1.png,normal\n", "2 normal and no abnormal"),
        ("file_name,label\nimages/0.png,abnormal\n", "1 abnormal and no normal"),
    ],
)
def test_metadata_without_a_data_set(metadata_folder, text, message):
    with pytest.raises(DatasetError, match=message):
        index(metadata_folder(text))


def test_metadata_in_another_encoding(metadata_folder):
    with pytest.raises(DatasetError, match="line 2 in another encoding"):
        index(metadata_folder("file_name,label\nimages/é.png,normal\n", "latin-1"))


def test_folders_without_a_data_set(tmp_path):
    with pytest.raises(DatasetError, match="which is none"):
        index(tmp_path / "gone")
    with pytest.raises(DatasetError, match="Received none"):
        index(tmp_path)
    (tmp_path / "normal").mkdir()
    (tmp_path / "abnormal").mkdir()
    with pytest.raises(DatasetError, match="Received none"):
        index(tmp_path)
    put(tmp_path / "normal" / "a.png", 0)
    (tmp_path / "abnormal" / "b.png").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"1 normal and no abnormal.*1 x empty file.*b\.png"):
        index(tmp_path)


def test_file_below_both_labels(tmp_path):
    put(tmp_path / "normal" / "a.png", 0)
    put(tmp_path / "abnormal" / "b.png", 1)
    put(tmp_path / "normal" / "abnormal" / "c.png", 2)
    _, quarantine = index(tmp_path)
    assert reasons(quarantine) == {"normal/abnormal/c.png": "below a folder of each label"}


@pytest.mark.skipif(os.name == "nt", reason="the file system allows text only")
def test_file_name_that_is_not_text(tmp_path):
    put(tmp_path / "normal" / "a.png", 0)
    put(tmp_path / "abnormal" / "b.png", 1)
    with open(os.fsencode(tmp_path / "normal") + b"/\xff.png", "wb") as file:
        file.write(b"x")
    _, quarantine = index(tmp_path)
    assert quarantine["reason"].to_list() == ["file name is not valid UTF-8"]
    quarantine.to_csv(tmp_path / "quarantine.csv")


def test_near_duplicates_join_the_patients_that_they_link(metadata_folder, tmp_path):
    dimmed = Image.fromarray((draw_page(0) * 0.8).astype(np.uint8))
    (tmp_path / "images" / "dim.png").write_bytes(encode(dimmed, "PNG"))
    folder = metadata_folder(
        "file_name,label,patient_id\n"
        "images/0.png,normal,b\nimages/dim.png,abnormal,c\nimages/1.png,abnormal,c\nimages/2.png,normal,a\n"
    )
    table, _ = index(folder)
    patients = table.set_index("path")["patient_id"].to_dict()
    assert patients == {"images/0.png": "b", "images/dim.png": "b", "images/1.png": "b", "images/2.png": "a"}
    notes = table.set_index("path")["notes"]
    assert notes["images/0.png"] == "near duplicate of images/dim.png; a near duplicate has the other label"
    assert notes["images/1.png"] == ""


def test_prepared_pages_are_uniform_and_carry_no_metadata(tmp_path):
    put(tmp_path / "in" / "normal" / "a.png", 0)
    (tmp_path / "in" / "abnormal").mkdir(parents=True)
    (tmp_path / "in" / "abnormal" / "b.dcm").write_bytes(encode_dicom(draw_page(1, (300, 500))))
    table, _ = index(tmp_path / "in")
    prepared = prepare_dataset(table, tmp_path / "in", tmp_path / "out", size=(160, 150), progress=False)
    assert prepared["path"].to_list() == [f"{image_id}.png" for image_id in table["image_id"]]
    assert load_pages(prepared, tmp_path / "out").shape == (2, 150, 160)
    with Image.open(tmp_path / "out" / prepared["path"][0]) as image:
        assert image.info == {}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = prepare_dataset(table, tmp_path / "in", tmp_path / "out", size=(160, 150), progress=False)
    pd.testing.assert_frame_equal(again, prepared)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_load_pages_wants_one_size(tmp_path):
    write_page(tmp_path / "a.png", draw_page(0))
    write_page(tmp_path / "b.png", draw_page(1, (300, 200)))
    table = pd.DataFrame({"path": ["a.png", "b.png"]})
    with pytest.raises(ValueError, match=r"'b\.png', \(300, 200\)"):
        load_pages(table, tmp_path)
    assert len(load_pages(table[:0], tmp_path)) == 0


def test_fit_page_keeps_proportions_and_background():
    page = np.full((200, 100), 240, np.uint8)
    page[80:120, 30:70] = 10  # a square
    fitted = fit_page(page, (150, 150))
    assert fitted.shape == (150, 150)
    dark = np.argwhere(fitted < 120)
    height, width = np.ptp(dark, axis=0) + 1
    assert abs(height - 30) <= 1
    assert abs(width - 30) <= 1
    assert fitted[0, 0] == fitted[-1, -1] == 240
    assert fit_page(page, (100, 200)) is page


def test_a_full_disk_leaves_no_half_written_page(tmp_path, monkeypatch):
    write_page(tmp_path / "first.png", draw_page(0))

    def fail(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(NoSpace, match=r"No disk space left for second\.png"):
        write_page(tmp_path / "second.png", draw_page(1))
    assert [path.name for path in tmp_path.iterdir()] == ["first.png"]


def test_write_page_round_trip(tmp_path):
    page = draw_page(3)
    digest = write_page(tmp_path / "new" / "a.png", page)
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), page)
    (tmp_path / "new" / "a.png").write_bytes(b"damaged")
    assert write_page(tmp_path / "new" / "a.png", page) == digest
    np.testing.assert_array_equal(read_image(tmp_path / "new" / "a.png"), page)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
