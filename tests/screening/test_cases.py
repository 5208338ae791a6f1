"""Files and pages: what is opened, what is not, and why."""

import io
import os
import time

import numpy as np
import pytest
from bad_images import EXPECTED, encode_dicom, write_bad_images
from PIL import Image
from screening_stubs import draw_bars, make_package

from karyo_lib.files.images import load_pages
from karyo_lib.screening.cases import MOST_PAGES, CaseFile, find_files, list_files, read_pages
from karyo_lib.screening.screener import Screener

FUZZ = int(os.environ.get("KARYO_FUZZ", "300"))


def _encoded(format: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_bars(0)).save(buffer, format, **options)
    return buffer.getvalue()


def _pages(path) -> list:
    return list(read_pages(CaseFile(path.name, path), 200))


def test_files_are_found_at_any_depth_in_one_order(tmp_path):
    for name in ("b.png", "a/deep/er.png", "ünïcode 染色体.png", ".hidden.png", "Thumbs.db", "metadata.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "worklist.html").write_bytes(b"x")
    found = [file.name for file in find_files(tmp_path, leave_out=tmp_path / "out")]
    assert found == ["a/deep/er.png", "b.png", "ünïcode 染色体.png"]


def test_links_that_lead_out_are_not_opened(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        Image.fromarray(draw_bars(0)).save(folder / "page.png")
    (inside / "escape.png").symlink_to(outside / "page.png")
    (inside / "folder").symlink_to(outside)
    (inside / "again.png").symlink_to(inside / "page.png")
    (inside / "loop.png").symlink_to(inside / "loop.png")
    files = {file.name: file for file in find_files(inside)}
    assert "leads out" in files["escape.png"].reason
    assert "not followed" in files["folder"].reason
    assert not files["again.png"].reason
    assert [len(list(read_pages(f, 200))) for f in files.values()] == [1] * 5
    reasons = {name: next(read_pages(f, 200)).reason for name, f in files.items()}
    assert not reasons["page.png"]
    assert not reasons["again.png"]
    assert reasons["loop.png"]


def test_names_that_could_mislead_are_made_safe(tmp_path):
    names = ["a\u202egnp.exe", "tab\there.png", "line\nbreak.png", "line\rbreak.png"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    os.makedirs(os.fsencode(tmp_path) + b"/\xff\xfe.d")
    open(os.fsencode(tmp_path) + b"/\xff\xfe.d/p.png", "wb").close()
    shown = [file.name for file in find_files(tmp_path)]
    assert len(set(shown)) == 5
    for name in shown:
        assert name.encode("utf-8")
        assert not set(name) & set("\u202e\t\n\r\udcff")


def test_paths_given_one_by_one_show_no_folder(tmp_path):
    Image.fromarray(draw_bars(0)).save(tmp_path / "page.png")
    (file,) = list_files([tmp_path / "page.png"])
    assert file.name == "page.png"
    assert list_files(tmp_path) == [file]
    (tmp_path / "page.png").unlink()
    with pytest.raises(ValueError, match="Received a folder without files"):
        list_files(tmp_path)


@pytest.mark.parametrize("deep", [False, True])
def test_each_page_of_a_tiff_is_a_case(tmp_path, deep):
    arrays = [draw_bars(i, dark=40 * i) for i in range(3)]
    pages = [Image.fromarray(a.astype(np.uint16) * 257) if deep else Image.fromarray(a) for a in arrays]
    pages[0].save(tmp_path / "three.tif", save_all=True, append_images=pages[1:])
    read = _pages(tmp_path / "three.tif")
    assert [page.page for page in read] == [1, 2, 3]
    assert not any(page.reason or page.notes for page in read)
    assert len({page.sha256 for page in read}) == 1
    for page, array in zip(read, arrays, strict=True):
        assert np.abs(page.fitted.astype(int) - array).max() <= 1


def test_each_frame_of_a_dicom_file_is_a_case(tmp_path):
    pages = np.stack([draw_bars(i, dark=40 * i) for i in range(3)])
    (tmp_path / "frames.dcm").write_bytes(encode_dicom(pages))
    read = _pages(tmp_path / "frames.dcm")
    assert [page.page for page in read] == [1, 2, 3]
    for page, array in zip(read, pages, strict=True):
        np.testing.assert_array_equal(page.fitted, array)
    # Fewer frames than the file says it holds: nothing is made up, and the file is not cleared in silence.
    (tmp_path / "cut.dcm").write_bytes(encode_dicom(pages)[: -pages[0].size // 2])
    assert all(page.reason for page in _pages(tmp_path / "cut.dcm"))


def test_each_page_is_turned_by_its_own_exif_entry(tmp_path):
    array = draw_bars(3, size=(240, 200))
    upright, turned = Image.fromarray(array), Image.fromarray(np.rot90(array, 1).copy())
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.encoderinfo = {"exif": exif}
    upright.save(tmp_path / "two.tif", save_all=True, append_images=[turned, upright])
    read = [page.pixels for page in load_pages(tmp_path / "two.tif")]
    assert [pixels.shape for pixels in read] == [(200, 240)] * 3
    for pixels in read:
        np.testing.assert_array_equal(pixels, array)


def test_pages_behind_a_damaged_one_are_not_passed_over_in_silence(tmp_path):
    pages = [Image.fromarray(draw_bars(i)) for i in range(3)]
    pages[0].save(tmp_path / "t.tif", save_all=True, append_images=pages[1:], compression="tiff_lzw")
    data = (tmp_path / "t.tif").read_bytes()
    (tmp_path / "t.tif").write_bytes(data[: int(len(data) * 0.6)])
    read = _pages(tmp_path / "t.tif")
    assert read[-1].reason
    assert len(read) == 1 or "not read" in read[-1].reason


def test_a_blank_page_between_others_is_named(tmp_path):
    pages = [Image.fromarray(p) for p in (draw_bars(0), np.full((200, 200), 255, np.uint8), draw_bars(1))]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert [bool(page.reason) for page in _pages(tmp_path / "pages.tif")] == [False, True, False]


def test_too_many_pages_are_said(tmp_path):
    page = Image.fromarray(draw_bars(0, size=(104, 104)))
    page.save(tmp_path / "many.tif", save_all=True, append_images=[page] * (MOST_PAGES + 4))
    read = _pages(tmp_path / "many.tif")
    assert len(read) == MOST_PAGES + 1
    assert "split the file" in read[-1].reason


def test_every_kind_of_bad_file_gets_a_reason(tmp_path, stub):
    write_bad_images(tmp_path / "bad")
    results = {}
    for result in Screener(make_package()).screen(tmp_path / "bad"):
        results.setdefault(result.file, []).append(result)
    for name, reason in EXPECTED.items():
        if reason is None:
            assert results[name][0].decision != "quarantined", name
        elif (tmp_path / "bad" / name).is_file():
            assert results[name][0].decision == "quarantined", name
            assert reason in results[name][0].reason
            assert str(tmp_path) not in results[name][0].reason
    assert [result.page for result in results["frames.dcm"]] == [1, 2, 3]
    assert not any(result.notes for result in results["frames.dcm"])


def test_mutated_images_are_read_or_quarantined(tmp_path, stub):
    """No crash, no hang: each file gives results, and only those that could be read are judged."""
    seeds = {
        "png": _encoded("PNG"),
        "jpg": _encoded("JPEG"),
        "tif": _encoded("TIFF"),
        "z.tif": _encoded("TIFF", compression="tiff_lzw"),
        "bmp": _encoded("BMP"),
        "gif": _encoded("GIF"),
        "pages.tif": _encoded("TIFF", save_all=True, append_images=[Image.fromarray(draw_bars(1))]),
        "dcm": encode_dicom(np.stack([draw_bars(0), draw_bars(1)])),
    }
    rng = np.random.default_rng(2)
    folder = tmp_path / "mutated"
    folder.mkdir()
    for i in range(FUZZ):
        suffix, content = list(seeds.items())[i % len(seeds)]
        data = bytearray(content)
        region = len(data) if i % 2 else min(len(data), 400)  # headers hold the sizes
        for k in rng.integers(0, region, int(rng.integers(1, 12))):
            data[k] = int(rng.integers(0, 256))
        if i % 7 == 0:
            data = data[: int(rng.integers(1, len(data)))]
        (folder / f"{i:04}.{suffix}").write_bytes(bytes(data))
    began = time.perf_counter()
    results = list(Screener(make_package()).screen(folder))
    assert time.perf_counter() - began < 5 + 0.1 * FUZZ
    assert len({result.file for result in results}) == FUZZ
    for result in results:
        assert (result.decision == "quarantined") == (result.label == "")
        assert result.reason or result.decision != "quarantined"
