"""Reading untrusted images: every kind of bad file, known pixels, and mutated bytes."""

import os
import sys

import numpy as np
import pytest
import tifffile
from bad_images import EXPECTED, draw_page, encode, encode_dicom, write_bad_images
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from karyo_lib.files import images
from karyo_lib.files.images import STRETCHED, UnusableImage, load_image, load_pages, read_image


@pytest.fixture(scope="module")
def bad_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    write_bad_images(folder)
    return folder


@pytest.mark.parametrize("name", [name for name, reason in EXPECTED.items() if reason])
def test_unusable_files_are_refused_with_the_reason(bad_folder, name):
    with pytest.raises(UnusableImage) as caught:
        read_image(bad_folder / name)
    assert EXPECTED[name] in caught.value.reason
    assert caught.value.name == name
    assert str(bad_folder) not in str(caught.value)


@pytest.mark.parametrize("name", [name for name, reason in EXPECTED.items() if not reason])
def test_odd_but_usable_files_are_read_as_grey(bad_folder, name):
    pixels = read_image(bad_folder / name)
    assert pixels.dtype == np.uint8
    assert sorted(pixels.shape) == [200, 240]
    # All of these show a dark-on-white page, whatever they are stored as.
    assert np.median(pixels) > 240
    assert np.percentile(pixels, 2) < 140


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_formats_keep_every_pixel(tmp_path, format):
    page = draw_page(1)
    (tmp_path / "page").write_bytes(encode(Image.fromarray(page), format, lossless=True))
    np.testing.assert_array_equal(read_image(tmp_path / "page"), page)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_deep_tiff_is_scaled_by_the_depth_in_use(tmp_path, bits):
    page = draw_page(2)
    deep = np.rint(page / 255 * (2**bits - 1)).astype(np.uint16)
    (tmp_path / "deep.tif").write_bytes(encode(Image.fromarray(deep), "TIFF"))
    np.testing.assert_allclose(read_image(tmp_path / "deep.tif").astype(int), page, atol=1)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_white_is_zero_tiff(tmp_path, dtype, white):
    page = draw_page(3)
    negative = np.rint((255 - page.astype(float)) / 255 * white).astype(dtype)
    black_is_zero = bytes.fromhex("0601 0300 01000000 0100")  # tag 262, one short, value 1
    data = encode(Image.fromarray(negative), "TIFF")
    assert data.count(black_is_zero) == 1
    (tmp_path / "negative.tif").write_bytes(data.replace(black_is_zero, black_is_zero[:8] + b"\0\0"))
    np.testing.assert_allclose(read_image(tmp_path / "negative.tif").astype(int), page, atol=1)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_dicom_pixels(tmp_path, photometric, bits):
    page = draw_page(4)
    stored = 255 - page if photometric == "MONOCHROME1" else page
    stored = np.rint(stored / 255 * (2**bits - 1))
    (tmp_path / "page.dcm").write_bytes(encode_dicom(stored, bits=bits, photometric=photometric))
    loaded = load_image(tmp_path / "page.dcm")
    np.testing.assert_allclose(loaded.pixels.astype(int), page, atol=1)
    assert loaded.notes == ()


def _cubic(page):
    """Resampled with a filter that overshoots at edges."""
    large = Image.fromarray(page.astype(np.float32) / 255).resize((480, 400), Image.Resampling.BICUBIC)
    return np.asarray(large)


# What is stored, with these options, of a page with values 0..255, and how close it must be read.
DEEP = {
    "f16": (lambda page: (page / 255).astype(np.float16), {}, 1),
    "f64": (lambda page: page / 255, {}, 0),
    "-1..1": (lambda page: (page / 127.5 - 1).astype(np.float32), {}, 0),
    "f32 0..255": (lambda page: page.astype(np.float32), {}, 0),
    "f32 negative": (lambda page: 1 - (page / 255).astype(np.float32), {"photometric": "miniswhite"}, 0),
    "f32 colour": (lambda page: np.dstack([(page / 255).astype(np.float32)] * 3), {"photometric": "rgb"}, 0),
    "u32": (lambda page: page.astype(np.uint32) * (2**32 // 256), {}, 1),
    "u32 small": (lambda page: page.astype(np.uint32), {}, 0),
    "i16": (lambda page: page.astype(np.int16) * 16, {}, 2),
    "big-endian negative": (
        lambda page: (255 - page.astype(np.uint16)) * 257,
        {"photometric": "miniswhite", "byteorder": ">"},
        0,
    ),
    "five channels": (
        lambda page: np.stack([page] * 5), {"photometric": "minisblack", "planarconfig": "separate"}, 0
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEEP)
def test_deep_and_float_tiff(tmp_path, kind):
    page = draw_page(5)
    store, options, apart = DEEP[kind]
    byteorder = options.pop("byteorder", "<")
    tifffile.imwrite(tmp_path / "page.tif", store(page), byteorder=byteorder, **options)
    np.testing.assert_allclose(read_image(tmp_path / "page.tif").astype(int), page, atol=apart)


def test_hot_pixels_overshoot_and_narrow_ranges(tmp_path):
    page = draw_page(6)
    hot = page.astype(np.uint16) * 16
    hot[0, 0] = 65535
    narrow = 30_000 + page.astype(np.uint16) * 16
    for name, stored in {"hot": hot, "narrow": narrow, "cubic": _cubic(page)}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stored)
    np.testing.assert_allclose(read_image(tmp_path / "hot.tif").astype(int)[1:], page[1:], atol=2)
    read = load_image(tmp_path / "narrow.tif")
    assert read.notes == (STRETCHED,)
    ink = np.abs(page.astype(int) - np.median(page)) > 24
    assert np.median(read.pixels[ink]) < 140 < 240 < np.median(read.pixels)
    large = Image.fromarray(page).resize((480, 400), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(read_image(tmp_path / "cubic.tif").astype(int), np.asarray(large), atol=1)


def test_a_deep_page_without_ink_is_blank(tmp_path):
    noise = np.random.default_rng(0).integers(60_000, 60_200, (200, 240)).astype(np.uint16)
    for name, stored in {"noise": noise, "flat": np.full((200, 240), 60_000, np.uint16)}.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", stored)
        with pytest.raises(UnusableImage, match="blank page"):
            read_image(tmp_path / f"{name}.tif")


def test_what_tiff_is_not_read_says_so(tmp_path):
    tifffile.imwrite(tmp_path / "f16.tif", np.zeros((200, 240), np.float16), compression="zlib")
    with pytest.raises(UnusableImage, match=r"16 bits.*save it as 8-bit grey"):
        read_image(tmp_path / "f16.tif")
    not_finite = np.full((200, 240), np.nan, np.float16)
    tifffile.imwrite(tmp_path / "nan.tif", not_finite)
    with pytest.raises(UnusableImage, match="not finite"):
        read_image(tmp_path / "nan.tif")


@pytest.mark.parametrize("thumb_first", [True, False])
def test_thumbnails_and_pyramids_are_no_pages(tmp_path, thumb_first):
    page = draw_page(7)
    small = np.asarray(Image.fromarray(page).resize((120, 100)))
    with tifffile.TiffWriter(tmp_path / "page.tif") as file:
        for pixels, subfiletype in (
            [(small, 1), (page, 0)] if thumb_first else [(page, 0), (small, 1), (small, 1)]
        ):
            file.write(pixels, subfiletype=subfiletype, metadata=None)
    (read,) = load_pages(tmp_path / "page.tif")
    np.testing.assert_array_equal(read.pixels, page)
    assert not read.several
    assert load_image(tmp_path / "page.tif").notes == ()


def test_previews_behind_a_phones_picture_are_no_pages(tmp_path):
    picture, preview = Image.fromarray(draw_page(8)), Image.fromarray(draw_page(8)).resize((160, 120))
    for name, second in (("preview", preview), ("stereo", picture)):
        picture.save(tmp_path / name, "MPO", save_all=True, append_images=[second])
    assert len(list(load_pages(tmp_path / "preview"))) == 1
    assert len(list(load_pages(tmp_path / "stereo"))) == 2


def test_lab_and_dicom_without_preamble(tmp_path):
    page = draw_page(9)
    a_b = np.zeros_like(page)
    tifffile.imwrite(tmp_path / "lab.tif", np.dstack([page, a_b, a_b]), photometric="cielab")
    np.testing.assert_array_equal(read_image(tmp_path / "lab.tif"), page)
    (tmp_path / "bare.dcm").write_bytes(encode_dicom(page)[132:])
    np.testing.assert_array_equal(read_image(tmp_path / "bare.dcm"), page)


def test_transparent_parts_become_white(tmp_path):
    rgba = np.zeros((200, 240, 4), np.uint8)
    rgba[50:100, 50:100, 3] = 255
    (tmp_path / "page.png").write_bytes(encode(Image.fromarray(rgba), "PNG"))
    pixels = read_image(tmp_path / "page.png")
    assert (pixels[50:100, 50:100] == 0).all()
    assert (np.delete(pixels, slice(50, 100), axis=0) == 255).all()


def test_grey_with_a_transparent_colour(tmp_path):
    page = draw_page(5)
    page[page == 255] = 7  # a background that is only white because it is see-through
    (tmp_path / "page.png").write_bytes(encode(Image.fromarray(page), "PNG", transparency=7))
    assert np.median(read_image(tmp_path / "page.png")) == 255


def test_exif_rotation_is_applied(tmp_path):
    page = draw_page(6)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "page.png").write_bytes(encode(Image.fromarray(page), "PNG", exif=exif))
    np.testing.assert_array_equal(read_image(tmp_path / "page.png"), np.rot90(page, -1))


def test_first_page_of_several(tmp_path):
    first, second = draw_page(7), draw_page(8)
    for format in ("TIFF", "GIF"):
        data = encode(Image.fromarray(first), format, save_all=True, append_images=[Image.fromarray(second)])
        (tmp_path / "pages").write_bytes(data)
        loaded = load_image(tmp_path / "pages")
        np.testing.assert_array_equal(loaded.pixels, first)
        assert "more than one page: the first was read" in loaded.notes


def test_mislabelled_extension_is_noted(bad_folder):
    assert load_image(bad_folder / "jpeg_named.png").notes == ("named .png, read as JPEG",)


def test_limits_are_kept_to_the_pixel(tmp_path, monkeypatch):
    (tmp_path / "page.png").write_bytes(encode(Image.fromarray(draw_page(9)), "PNG"))
    monkeypatch.setattr(images, "MAX_PIXELS", 48_000)
    monkeypatch.setattr(images, "MIN_SIDE", 200)
    assert read_image(tmp_path / "page.png").shape == (200, 240)
    monkeypatch.setattr(images, "MAX_PIXELS", 47_999)
    with pytest.raises(UnusableImage, match="more than the limit of 47999"):
        read_image(tmp_path / "page.png")
    monkeypatch.setattr(images, "MIN_SIDE", 201)
    with pytest.raises(UnusableImage, match="at least 201"):
        read_image(tmp_path / "page.png")


def test_missing_file_names_no_folder(tmp_path):
    with pytest.raises(UnusableImage) as caught:
        read_image(tmp_path / "gone.png")
    assert "No such file" in caught.value.reason
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user")
def test_file_without_read_permission(tmp_path):
    (tmp_path / "page.png").write_bytes(encode(Image.fromarray(draw_page()), "PNG"))
    (tmp_path / "page.png").chmod(0)
    with pytest.raises(UnusableImage, match="Permission denied"):
        read_image(tmp_path / "page.png")


def test_denied_by_the_system(tmp_path, monkeypatch):
    def deny(path, *args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", deny)
    with pytest.raises(UnusableImage, match="Permission denied") as caught:
        read_image(tmp_path / "page.png")
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnusableImage, match="not a regular file"):
        read_image(tmp_path / "pipe.png")


SEEDS = {
    "PNG": encode(Image.fromarray(draw_page()), "PNG"),
    "JPEG": encode(Image.fromarray(draw_page()), "JPEG"),
    "TIFF": encode(Image.fromarray(draw_page()), "TIFF", compression="tiff_lzw"),
    "GIF": encode(Image.fromarray(draw_page()), "GIF"),
    "BMP": encode(Image.fromarray(draw_page()), "BMP"),
    "WEBP": encode(Image.fromarray(draw_page()), "WEBP"),
    "DICOM": encode_dicom(draw_page()),
}


# Pillow and pydicom warn about what they find in damaged files; that is no failure here.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("format", SEEDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.none() | st.integers(1, 3000),
)
def test_mutated_files_give_pixels_or_a_reason(tmp_path, format, changes, cut):
    data = bytearray(SEEDS[format])
    for position, value in changes:
        data[position % len(data)] = value
    (tmp_path / "page").write_bytes(bytes(data[:cut]))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(images, "MAX_PIXELS", 1_000_000)
            pixels = read_image(tmp_path / "page")
    except UnusableImage:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 2
    assert pixels.size <= 1_000_000


def test_real_karyogram(real_karyogram):
    pixels = read_image(real_karyogram)
    assert pixels.shape == (2417, 3084)
    assert pixels.dtype == np.uint8
