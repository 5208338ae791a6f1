"""One untrusted image file -> grey pixels, or the reason why it cannot be used."""

import hashlib
import io
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pydicom
import tifffile
from PIL import Image, ImageOps, UnidentifiedImageError
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

_BIT_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
_TAILS = 0.05  # percent of the pixels at either end that may lie anywhere: hot ones, overshoot of a filter
_OVERSHOOT = 0.3  # of the range 0..1, by which floats may leave it: sharper resampling overshoots at edges
_NARROW, _FLAT = 1 / 4, 1 / 64  # shares of the range: stretched below the one, an empty page at the other
_SAMPLE = 1_000_000
STRETCHED = "uses a narrow part of its range of grey: stretched"
# Deflated syntaxes are left out on purpose: pydicom would inflate them without a limit before any check.
_WITH_IMAGE_HEADER = frozenset({uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless})
_PLAIN = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless}
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is its reason
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PAGES = 1000
_MOST_CHANNELS = 16
_REDUCED, _MASK = 1, 4  # bits of tag 254
MAX_PIXELS = 40_000_000  # an A4 page scanned at 600 dpi has 35 million
MIN_SIDE = 100  # below it, chromosome 21 is one pixel wide
MAX_BYTES = 256_000_000
MORE_PAGES = "more than one page: the first was read"

# Only these decoders are ever tried, whatever the file says it is.
FORMATS = {
    "PNG": (".png",), "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"), "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"), "GIF": (".gif",), "WEBP": (".webp",), "DICOM": (".dcm", ".dicom", ""),
}  # fmt: skip
_PILLOW_FORMATS = [name for name in FORMATS if name != "DICOM"]
_DEEP_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_MOST_FRAMES = 1000
_INK_CONTRAST = 24  # grey levels between ink and background
_INK_SHARE = 0.001  # a page with less ink than this shows no karyogram


class UnreadableError(Exception):
    """An image that must not, need not or cannot be decoded; the message holds no header values."""


def _to_8_bit(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale deep pixels to 0..255 by the range that nearly all of them use, and a note for the user or ''.
    Cameras store 10 to 14 bits in 16: the range is the smallest common bit depth that holds all but 0.05 % of
    the pixels; floats span 0..1 or -1..1; negative whole numbers are shifted to zero; where a quarter of it
    or less is in use, that is stretched."""
    whole = np.issubdtype(values.dtype, np.integer)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise UnreadableError("pixels that are not finite numbers")
    sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
    low, high = np.percentile(sample, (_TAILS, 100 - _TAILS))
    black, white = _range(low, high, whole, float(values.min()))
    span, note = white - black, ""
    if _FLAT * span <= high - low < _NARROW * span:
        black, white, note = low, high, STRETCHED
    return np.rint((values.clip(black, white) - black) * (255 / (white - black))).astype(np.uint8), note


def _range(low: float, high: float, whole: bool, least: float) -> tuple[float, float]:
    """Black and white of pixels whose values lie between `low` and `high`."""
    if not whole and high <= 1 + _OVERSHOOT:
        if low >= -_OVERSHOOT:
            return 0.0, 1.0
        if low >= -1 - _OVERSHOOT:
            return -1.0, 1.0
    black = min(0.0, low if not whole else least)
    over = 1.0 if whole else 1.05
    ranges = (2.0**bits - 1 for bits in _BIT_DEPTHS)
    needed = next((span for span in ranges if high - black <= over * span), high - black)
    return black, black + max(needed, 1.0)


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes begin as a DICOM file: preamble and ``DICM``, or, without, groups 2 or 8."""
    return data[128:132] == b"DICM" or data.startswith((b"\2\0\0\0UL\4\0", b"\x08\0\5\0", b"\x08\0\x16\0"))


def decode_frames(data: bytes, max_pixels: int) -> Iterator[tuple[np.ndarray, bool, int]]:
    """Decode the frames of a file one by one: values as a viewer would show them (modality and
    value-of-interest transforms applied; DICOM PS3.3, C.11.1 and C.11.2), (H, W) or colour (H, W, 3) uint8;
    whether the smallest is white (MONOCHROME1); and how many frames there are. Sizes are checked before
    anything is decoded. Nothing else of the file is kept: no names, dates, identifiers. Damaged ones can
    raise nearly any exception."""
    header = io.BytesIO(data)
    read_preamble(header, force=True)
    meta = read_dataset(
        header, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, vr, length: tag.group != 2
    )
    bare = uid.ExplicitVRLittleEndian if data[4:6].isalpha() else uid.ImplicitVRLittleEndian  # no preamble
    syntax = meta.get("TransferSyntaxUID") or bare
    if syntax not in _WITH_IMAGE_HEADER | _PLAIN:
        known = syntax.name if getattr(syntax, "keyword", "") else "unknown"
        raise UnreadableError(f"DICOM transfer syntax not read: {known}")
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    dataset.file_meta.TransferSyntaxUID = syntax
    if "PixelData" not in dataset:
        raise UnreadableError("DICOM file without pixel data")
    frames = max(1, int(dataset.get("NumberOfFrames") or 1))
    for index in range(frames):
        sizes = [(int(dataset.Columns), int(dataset.Rows))]
        if syntax in _WITH_IMAGE_HEADER:  # the size inside the frame is the one that the decoder allocates
            frame = get_frame(dataset.PixelData, index, number_of_frames=frames)
            with Image.open(io.BytesIO(frame), formats=["JPEG", "JPEG2000"]) as image:
                sizes.append(image.size)
        for width, height in sizes:
            if width * height > max_pixels:
                raise UnreadableError(f"{width} x {height} pixels, more than the limit of {max_pixels}")
        yield *_as_shown(pixel_array(dataset, index=index), dataset), frames


def _as_shown(values: np.ndarray, dataset: pydicom.Dataset) -> tuple[np.ndarray, bool]:
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
    if values.ndim == 3:
        return (values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)), False
    return apply_voi_lut(apply_modality_lut(values, dataset), dataset), photometric == "MONOCHROME1"


def is_shown(subfile: object, old: object) -> bool:
    """Whether a page is a picture of its own by tags 254 and 255: no thumbnail, pyramid level or mask."""
    number = subfile if isinstance(subfile, int) else 0
    return not number & (_REDUCED | _MASK) and old != 2


def decode_pages(data: bytes, max_pixels: int) -> Iterator[tuple[np.ndarray, bool, int]]:
    """Decode the full-size pages of an uncompressed TIFF file one by one: values (H, W) or colour (H, W, 3),
    whether the smallest is white, and how many pages there are. Sizes are checked before anything is decoded.
    Damaged files can raise nearly any exception."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = [file.pages[n] for n in range(min(len(file.pages), _MOST_PAGES))]
        if not pages:
            raise UnreadableError("damaged or truncated image (a TIFF file without pages)")
        shown = [page for page in pages if is_shown(page.subfiletype, None)] or pages[:1]
        for page in shown:
            height, width, channels = page.imagelength, page.imagewidth, page.samplesperpixel
            if width * height > max_pixels:
                raise UnreadableError(f"{width} x {height} pixels, more than the limit of {max_pixels}")
            if page.compression != 1 or page.imagedepth != 1 or channels > _MOST_CHANNELS:
                how = f"{page.bitspersample} bits, {channels} channels, compression {int(page.compression)}"
                raise UnreadableError(f"TIFF of a kind that is not read ({how}): save it as 8-bit grey")
            values = page.asarray()
            if page.axes == "SYX":
                values = np.moveaxis(values, 0, -1)
            if values.ndim == 3:
                values = values[..., :3] if int(page.photometric) == 2 else values[..., 0]
            if values.ndim not in (2, 3) or values.dtype.kind not in "uif":
                raise UnreadableError(f"TIFF of a kind that is not read (axes {page.axes})")
            yield values, int(page.photometric) == 0, len(shown)


class UnusableImage(ValueError):
    """An image file that cannot be used: its name, without folder, and the reason in words, never a path."""

    def __init__(self, name: str, reason: str):
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name!r}: {self.reason}"


@dataclass(frozen=True, eq=False)
class LoadedImage:
    pixels: np.ndarray  # uint8, shape (H, W), grey
    sha256: str  # digest of the file's bytes
    notes: tuple[str, ...]  # what a user should know: that only the first of several pages was read
    several: bool = False  # whether the file holds more pages than this one


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read PNG, JPEG, BMP, TIFF, GIF, WebP or DICOM, told by its content, as uint8 grey (H, W). Size limits
    are checked before anything is decoded. EXIF rotation is applied, transparent parts become white, colour
    becomes luma (ITU-R 601), deeper pixels are scaled, MONOCHROME1 and WhiteIsZero are inverted;
    of several pages the first is read, not thumbnails or levels of a pyramid."""
    return load_image(path).pixels


def load_image(path: str | os.PathLike) -> LoadedImage:
    """Read an image file as `read_image` does, with the digest of the file and notes for the user."""
    page = next(load_pages(path))
    if isinstance(page, UnusableImage):
        raise page
    return replace(page, notes=(MORE_PAGES, *page.notes)) if page.several else page


def load_pages(path: str | os.PathLike) -> Iterator[LoadedImage | UnusableImage]:
    """Read every page of a file one by one: pages of a TIFF, images of a GIF, frames of a DICOM file; at
    least one. A page that cannot be used is yielded as the error that says why. What stands behind a damaged
    page is not read; pages that are blank or of the wrong size keep nothing from the others."""
    path = Path(path)
    try:
        data = _read_bytes(path)
    except UnusableImage as error:
        yield error
        return
    sha256 = hashlib.sha256(data).hexdigest()
    if is_dicom(data):
        pages = _dicom_pages(data)
    elif _needs_tifffile(data):
        pages = _tiff_pages(data)
    else:
        pages = _pillow_pages(data)
    for number, page in enumerate(_until_damaged(pages), 1):
        if isinstance(page, str):
            behind = " and what stands behind it was not read" if number > 1 else ""
            yield UnusableImage(path.name, page + behind)
            continue
        found, pixels, several, said = page
        if isinstance(pixels, str):
            yield UnusableImage(path.name, pixels)
        elif min(pixels.shape) < MIN_SIDE:
            yield UnusableImage(path.name, _too_small(pixels.shape[1], pixels.shape[0]))
        elif _is_blank(pixels):
            yield UnusableImage(path.name, "blank page: nothing stands out from the background")
        else:
            known = path.suffix.lower() in FORMATS[found]
            note = "" if known else f"named {path.suffix or 'without an extension'}, read as {found}"
            yield LoadedImage(pixels, sha256, tuple(filter(None, (note, said))), several)


# Format, pixels (or why they are not read), whether the file holds more pages than one, and a note.
_Found = tuple[str, np.ndarray | str, bool, str]


def _until_damaged(pages: Iterator[_Found]) -> Iterator[_Found | str]:
    """Yield pages up to the first that cannot be decoded, and of that one what is wrong."""
    try:
        yield from pages
    except UnidentifiedImageError:
        yield f"not an image of a known format (read are {', '.join(FORMATS)})"
    except UnreadableError as error:
        yield str(error)
    except Exception as error:  # decoders raise nearly anything on damaged files
        yield f"damaged or truncated image ({type(error).__name__})"


def _too_small(width: int, height: int) -> str:
    return f"{width} x {height} pixels, too small to show chromosomes (at least {MIN_SIDE} on each side)"


def _read_bytes(path: Path) -> bytes:
    # O_NONBLOCK: a named pipe must not hang the run before it can be refused.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UnusableImage(path.name, "not a regular file")
            if status.st_size == 0:
                raise UnusableImage(path.name, "empty file (zero bytes)")
            if status.st_size > MAX_BYTES:
                raise UnusableImage(path.name, f"{status.st_size} bytes, more than the limit of {MAX_BYTES}")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:  # the error's own text holds the whole path
        reason = f"cannot be opened ({error.strerror or type(error).__name__})"
        raise UnusableImage(path.name, reason) from None


def _dicom_pages(data: bytes) -> Iterator[_Found]:
    for values, inverted, frames in decode_frames(data, MAX_PIXELS):
        colour = values.ndim == 3
        pixels, note = (_luma(values), "") if colour else _to_8_bit(values)
        yield "DICOM", 255 - pixels if inverted else pixels, frames > 1, note


def _needs_tifffile(data: bytes) -> bool:
    if not data.startswith(MAGIC):
        return False
    try:
        with Image.open(io.BytesIO(data), formats=["TIFF"]):
            return False
    except UnidentifiedImageError:
        return True
    except Exception:  # what else is wrong, Pillow says when it reads
        return False


def _tiff_pages(data: bytes) -> Iterator[_Found]:
    try:
        for values, inverted, pages in decode_pages(data, MAX_PIXELS):
            deep = values.dtype != np.uint8
            pixels, note = _to_8_bit(values.reshape(len(values), -1)) if deep else (values, "")
            pixels = pixels.reshape(values.shape)
            pixels = _luma(pixels) if pixels.ndim == 3 else pixels
            yield "TIFF", 255 - pixels if inverted else pixels, pages > 1, note
    except tifffile.TiffFileError:
        raise UnidentifiedImageError from None


def _luma(values: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(np.ascontiguousarray(values)).convert("L"))


def _pillow_pages(data: bytes) -> Iterator[_Found]:
    try:
        image = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableError("more pixels than are safe to decode") from None
    with image:
        found = "JPEG" if image.format == "MPO" else image.format  # MPO: several JPEG images in one file
        numbers = _full_size_frames(image)
        for number in numbers:
            image.seek(number)
            width, height = image.size
            pixels, note = f"{width} x {height} pixels, more than the limit of {MAX_PIXELS}", ""
            if min(width, height) < MIN_SIDE:
                pixels = _too_small(width, height)
            elif width * height <= MAX_PIXELS:
                pixels, note = _to_grey(image)
            yield found, pixels, len(numbers) > 1, note


def _full_size_frames(image: Image.Image) -> range | list[int]:
    """Frames that are pictures of their own: no thumbnail, level of a pyramid, mask or preview."""
    if not getattr(image, "is_animated", False):
        return range(1)
    if image.format not in ("TIFF", "MPO"):
        return range(image.n_frames)
    sizes, shown = {}, []
    for number in range(min(image.n_frames, _MOST_FRAMES)):
        image.seek(number)
        sizes[number] = image.size[0] * image.size[1]
        if image.format == "MPO" or is_shown(image.tag_v2.get(254), image.tag_v2.get(255)):
            shown.append(number)
    if image.format == "MPO":  # phones put a preview or a map of depth behind the picture
        return [number for number in shown if sizes[number] >= sizes[0]]
    return shown or [max(sizes, key=sizes.get)]


def _to_grey(image: Image.Image) -> tuple[np.ndarray, str]:
    tags = getattr(image, "tag_v2", {})
    turned = ImageOps.exif_transpose(image)
    if turned.mode not in _DEEP_MODES:
        return _shallow_to_grey(turned), ""
    values = np.asarray(turned)
    if values.dtype == np.int32 and tags and tags.get(339, (1,))[0] == 1:
        values = values.view(np.uint32)  # Pillow has no unsigned 32 bits
    pixels, note = _to_8_bit(values)
    # Pillow leaves deep WhiteIsZero pages (tag 262) as they are stored.
    return 255 - pixels if tags and tags.get(262) == 0 else pixels, note


def _shallow_to_grey(image: Image.Image) -> np.ndarray:
    if image.mode == "LAB":
        return np.asarray(image.getchannel("L"))
    if image.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        image = page
    if image.mode in {"CMYK", "RGBA"}:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _is_blank(pixels: np.ndarray) -> bool:
    sample = pixels[:: max(1, pixels.shape[0] // 1000), :: max(1, pixels.shape[1] // 1000)]
    levels = cv2.calcHist([np.ascontiguousarray(sample)], [0], None, [256], [0, 256]).ravel()
    median = np.searchsorted(np.cumsum(levels), sample.size / 2)
    return levels[np.abs(np.arange(256) - median) > _INK_CONTRAST].sum() < _INK_SHARE * sample.size
