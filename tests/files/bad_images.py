"""A data folder with every bad input among good pages; for the tests and for end-to-end runs.

python tests/dataset/bad_images.py FOLDER
"""

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

# What should come out of each file: a part of the quarantine reason, or None where the image is read.
EXPECTED = {
    "zero_byte.png": "zero bytes",
    "truncated.png": "truncated",
    "truncated.jpg": "truncated",
    "truncated.tif": "truncated",
    "text_named.png": "not an image",
    "script_named.jpg": "not an image",
    "jpeg_named.png": None,
    "no_extension": None,
    "deep_16bit.tif": None,
    "deep_12bit_in_16.tif": None,
    "deep_16bit.png": None,
    "float.tif": None,
    "not_finite.tif": "not finite",
    "cmyk.jpg": None,
    "palette_alpha.png": None,
    "alpha.png": None,
    "exif_rotated.jpg": None,
    "pages.tif": None,
    "animated.gif": None,
    "bilevel.tif": None,
    "bomb.png": "more than the limit",
    "giant_bomb.png": "more pixels than are safe",
    "all_white.png": "blank page",
    "all_black.png": "blank page",
    "tiny_20x20.png": "too small",
    "monochrome1.dcm": None,
    "monochrome2_12bit.dcm": None,
    "frames.dcm": None,
    "no_pixels.dcm": "without pixel data",
    "deflated.dcm": "transfer syntax",
    "bomb.dcm": "more than the limit",
    "truncated.dcm": "truncated",
    "postscript.eps": "not an image",
    "photo.webp": "not an image",
    "folder_named.png": "not a regular file",
}


def draw_page(seed: int = 0, size: tuple[int, int] = (240, 200)) -> np.ndarray:
    """A white page with 46 dark bars in four rows: enough ink to pass as a page; uint8 (H, W)."""
    width, height = size
    rng = np.random.default_rng(seed)
    page = np.full((height, width), 255, np.uint8)
    for index in range(46):
        row, column = divmod(index, 12)
        x = 6 + column * (width - 10) // 12
        y = 6 + row * (height - 8) // 4
        length = int(rng.integers(height // 10, height // 5))
        bands = np.repeat(rng.integers(30, 190, length // 4 + 1), 4)[:length]
        page[y : y + length, x : x + width // 30] = bands[:, None]
    return page


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_header_only(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header promises any number of pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(1000))),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def encode_dicom(
    page: np.ndarray,
    bits: int = 8,
    photometric: str = "MONOCHROME2",
    frames: int = 1,
    side: int | None = None,
    pixels: bool = True,
    deflated: bool = False,
) -> bytes:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian if deflated else ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.PatientName = "Secret^Patient"
    dataset.PatientID = "secret-id"
    pages = page if page.ndim == 3 else np.stack([page] * frames)
    dataset.Rows, dataset.Columns = (side, side) if side else page.shape[-2:]
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    if len(pages) > 1:
        dataset.NumberOfFrames = len(pages)
    if pixels:
        data = pages.astype("<u2" if bits > 8 else "u1").tobytes()
        dataset.add_new("PixelData", "OW" if bits > 8 else "OB", data + b"\0" * (len(data) % 2))
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def write_bad_images(folder: Path) -> dict[str, str | None]:
    """Write one file per kind of bad input; returns `EXPECTED`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    pages = iter(draw_page(seed) for seed in range(100, 200))

    def page() -> Image.Image:
        return Image.fromarray(next(pages))

    def deep(white: float, dtype) -> Image.Image:
        return Image.fromarray((next(pages) / 255 * white).astype(dtype))

    exif = Image.Exif()
    exif[0x0112] = 6  # camera held upright
    exif[0x010E] = "Secret Patient"
    alpha = Image.merge("LA", (Image.new("L", (240, 200), 0), Image.fromarray(255 - next(pages))))
    palette = page().convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    blank = Image.new("L", (240, 200), 255)
    files = {
        "zero_byte.png": b"",
        "truncated.png": encode(page(), "PNG")[:-900],
        "truncated.jpg": encode(page(), "JPEG")[:-3000],
        "truncated.tif": encode(page(), "TIFF")[:-9000],
        "text_named.png": b"file_name,label\n",
        "script_named.jpg": b"#!/bin/sh\nexit 1\n",
        "jpeg_named.png": encode(page(), "JPEG"),
        "no_extension": encode(page(), "PNG"),
        "deep_16bit.tif": encode(deep(65535, np.uint16), "TIFF"),
        "deep_12bit_in_16.tif": encode(deep(4095, np.uint16), "TIFF"),
        "deep_16bit.png": encode(deep(65535, np.uint16), "PNG"),
        "float.tif": encode(deep(1, np.float32), "TIFF"),
        "not_finite.tif": encode(Image.fromarray(np.where(next(pages) > 99, np.nan, 1).astype("f4")), "TIFF"),
        "cmyk.jpg": encode(page().convert("RGB").convert("CMYK"), "JPEG"),
        "palette_alpha.png": encode(palette, "PNG", transparency=bytes(range(0, 256, 16))),
        "alpha.png": encode(alpha, "PNG"),
        "exif_rotated.jpg": encode(page(), "JPEG", exif=exif),
        "pages.tif": encode(page(), "TIFF", save_all=True, append_images=[page(), page()]),
        "animated.gif": encode(page(), "GIF", save_all=True, append_images=[page(), page()]),
        "bilevel.tif": encode(page().convert("1"), "TIFF", compression="group4"),
        "bomb.png": png_header_only(9000, 9000),
        "giant_bomb.png": png_header_only(60000, 60000),
        "all_white.png": encode(blank, "PNG"),
        "all_black.png": encode(Image.new("L", (240, 200), 0), "PNG"),
        "tiny_20x20.png": encode(page().resize((20, 20)), "PNG"),
        "monochrome1.dcm": encode_dicom(255 - next(pages), photometric="MONOCHROME1"),
        "monochrome2_12bit.dcm": encode_dicom(next(pages) / 255 * 4095, bits=12),
        "frames.dcm": encode_dicom(next(pages), frames=3),
        "no_pixels.dcm": encode_dicom(next(pages), pixels=False),
        "deflated.dcm": encode_dicom(next(pages), deflated=True),
        "bomb.dcm": encode_dicom(next(pages), side=60000),
        "truncated.dcm": encode_dicom(next(pages))[:-9000],
        "postscript.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 240 200\nshowpage\n",
        "photo.webp": encode(page(), "PPM"),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "folder_named.png").mkdir(exist_ok=True)
    assert set(files) | {"folder_named.png"} == set(EXPECTED)
    return EXPECTED


def write_bad_dataset(folder: Path, n_normal: int = 12, n_abnormal: int = 10) -> None:
    """Write an image folder that works, with every bad input among its files.

    Good pages stand in ``normal/lab a`` and ``abnormal``; the bad files are dealt out to both labels. Also in
    it: one image under both labels (once byte for byte, once re-saved), an exact copy and a dimmed copy
    within one label, links out of the folder, names that need care, and images below neither label.
    """
    folder = Path(folder)
    normal, abnormal = folder / "normal" / "lab a", folder / "abnormal"
    for path in (normal, abnormal, folder / "elsewhere"):
        path.mkdir(parents=True, exist_ok=True)
    for index in range(n_normal + n_abnormal):
        target = normal if index < n_normal else abnormal
        (target / f"page {index:02d}.png").write_bytes(encode(Image.fromarray(draw_page(index)), "PNG"))
    staging = folder / ".staging"
    write_bad_images(staging)
    for index, path in enumerate(sorted(staging.iterdir())):
        path.rename((normal, abnormal)[index % 2] / path.name)
    staging.rmdir()

    both, resaved, copied, dimmed = (Image.fromarray(draw_page(seed)) for seed in range(900, 904))
    (normal / "both.png").write_bytes(encode(both, "PNG"))
    (abnormal / "both.png").write_bytes(encode(both, "PNG"))
    (normal / "resaved.png").write_bytes(encode(resaved, "PNG"))
    (abnormal / "resaved.bmp").write_bytes(encode(resaved, "BMP"))
    (normal / "copied_1.png").write_bytes(encode(copied, "PNG"))
    (normal / "copied_2.png").write_bytes(encode(copied, "PNG"))
    (abnormal / "dimmed_1.png").write_bytes(encode(dimmed, "PNG"))
    (abnormal / "dimmed_2.jpg").write_bytes(encode(dimmed.point(lambda value: value * 0.8), "JPEG"))
    (abnormal / "<b>Zoë & co.png").write_bytes(encode(Image.fromarray(draw_page(904)), "PNG"))
    (folder / "elsewhere" / "unsorted.png").write_bytes(encode(Image.fromarray(draw_page(905)), "PNG"))
    (folder / "README.txt").write_text("Not an image, and not below a label.\n")
    (normal / "Thumbs.db").write_bytes(b"system file")
    outside = folder.parent / f"{folder.name}_outside"
    outside.mkdir(exist_ok=True)
    (outside / "page.png").write_bytes(encode(Image.fromarray(draw_page(906)), "PNG"))
    (normal / "link_out.png").symlink_to(outside / "page.png")
    (abnormal / "linked_folder").symlink_to(outside, target_is_directory=True)


if __name__ == "__main__":
    write_bad_dataset(Path(sys.argv[1]))
