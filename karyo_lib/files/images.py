"""One untrusted image file -> grey pixels, or the reason why it cannot be used."""

import hashlib
import io
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from karyo_lib.files.dicom import UnreadableDicom, decode_frames, is_dicom

MAX_PIXELS = 40_000_000  # an A4 page scanned at 600 dpi has 35 million
MIN_SIDE = 100  # below it, chromosome 21 is one pixel wide
MAX_BYTES = 256_000_000
MORE_PAGES = "more than one page: the first was read"

# Only these decoders are ever tried, whatever the file says it is.
FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
    "DICOM": (".dcm", ".dicom", ""),
}
_PILLOW_FORMATS = [name for name in FORMATS if name != "DICOM"]
_DEEP_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_BIT_DEPTHS = (8, 10, 12, 14, 16, 24, 32)
_INK_CONTRAST = 24  # grey levels between ink and background
_INK_SHARE = 0.001  # a page with less ink than this shows no karyogram


class UnusableImage(ValueError):
    """An image file that cannot be used.

    Attributes
    ----------
    name : str
        File name, without its folder.
    reason : str
        What is wrong, in words for the user; never a path.
    """

    def __init__(self, name: str, reason: str):
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name!r}: {self.reason}"


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """A page of a file that was read.

    Attributes
    ----------
    pixels : numpy.ndarray
        uint8, shape (H, W), grey.
    sha256 : str
        Digest of the file's bytes.
    notes : tuple of str
        What a user should know, for example that only the first of several pages was read.
    several : bool
        Whether the file holds more pages than this one.
    """

    pixels: np.ndarray
    sha256: str
    notes: tuple[str, ...]
    several: bool = False


def read_image(
    path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE
) -> np.ndarray:
    """Read an image file as 8-bit grey.

    The format is found from the content, not from the name: PNG, JPEG, BMP, TIFF, GIF or DICOM. Size limits
    are checked before anything is decoded. EXIF rotation is applied; transparent parts become white; colour
    becomes luma (ITU-R 601); deeper pixels are scaled by the smallest common bit depth that holds their
    largest value; of several pages the first is read; MONOCHROME1 is inverted.

    Parameters
    ----------
    path : str or os.PathLike
    max_pixels : int
        Largest width times height.
    min_side : int
        Smallest width and height in pixels.

    Returns
    -------
    numpy.ndarray
        uint8, shape (H, W), 0 black to 255 white.

    Raises
    ------
    UnusableImage
        If the file cannot be opened, is no image of these formats, is damaged, is too large or too small, or
        shows a blank page.
    """
    return load_image(path, max_pixels=max_pixels, min_side=min_side).pixels


def load_image(
    path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE
) -> LoadedImage:
    """Read an image file as `read_image` does, with the digest of the file and notes for the user."""
    page = next(load_pages(path, max_pixels=max_pixels, min_side=min_side))
    if isinstance(page, UnusableImage):
        raise page
    return replace(page, notes=(MORE_PAGES, *page.notes)) if page.several else page


def load_pages(
    path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS, min_side: int = MIN_SIDE
) -> Iterator[LoadedImage | UnusableImage]:
    """Read every page of a file one by one: pages of a TIFF, images of a GIF, frames of a DICOM file.

    A page that cannot be used is yielded as the error that says why. Whatever stands behind a damaged page
    cannot be trusted and is not read; pages that are blank or of the wrong size keep nothing from the others.

    Parameters
    ----------
    path, max_pixels, min_side
        See `read_image`.

    Yields
    ------
    LoadedImage or UnusableImage
        At least one.
    """
    path = Path(path)
    try:
        data = _read_bytes(path)
    except UnusableImage as error:
        yield error
        return
    sha256 = hashlib.sha256(data).hexdigest()
    pages = _dicom_pages(data, max_pixels) if is_dicom(data) else _pillow_pages(data, max_pixels, min_side)
    for number, page in enumerate(_until_damaged(pages), 1):
        if isinstance(page, str):
            behind = " and what stands behind it was not read" if number > 1 else ""
            yield UnusableImage(path.name, page + behind)
            continue
        found, pixels, several = page
        if isinstance(pixels, str):
            yield UnusableImage(path.name, pixels)
        elif min(pixels.shape) < min_side:
            yield UnusableImage(path.name, _too_small(pixels.shape[1], pixels.shape[0], min_side))
        elif _is_blank(pixels):
            yield UnusableImage(path.name, "blank page: nothing stands out from the background")
        else:
            known = path.suffix.lower() in FORMATS[found]
            note = f"named {path.suffix or 'without an extension'}, read as {found}"
            yield LoadedImage(pixels, sha256, () if known else (note,), several)


# Format, pixels (or why they are not read), and whether the file holds more pages than one.
_Found = tuple[str, np.ndarray | str, bool]


def _until_damaged(pages: Iterator[_Found]) -> Iterator[_Found | str]:
    """Yield pages up to the first that cannot be decoded, and of that one what is wrong."""
    try:
        yield from pages
    except UnidentifiedImageError:
        yield f"not an image of a known format (read are {', '.join(FORMATS)})"
    except _Refused as refused:
        yield str(refused)
    except Exception as error:  # decoders raise nearly anything on damaged files
        yield f"damaged or truncated image ({type(error).__name__})"


class _Refused(Exception):
    """An image that could be decoded but must not or need not be."""


def _too_small(width: int, height: int, min_side: int) -> str:
    return f"{width} x {height} pixels, too small to show chromosomes (at least {min_side} on each side)"


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


def _dicom_pages(data: bytes, max_pixels: int) -> Iterator[_Found]:
    try:
        for values, inverted, frames in decode_frames(data, max_pixels):
            colour = values.ndim == 3
            pixels = np.asarray(Image.fromarray(values).convert("L")) if colour else _to_8_bit(values)
            yield "DICOM", 255 - pixels if inverted else pixels, frames > 1
    except UnreadableDicom as error:
        raise _Refused(str(error)) from error


def _pillow_pages(data: bytes, max_pixels: int, min_side: int) -> Iterator[_Found]:
    try:
        image = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _Refused("more pixels than are safe to decode") from None
    with image:
        found = "JPEG" if image.format == "MPO" else image.format  # MPO: several JPEG images in one file
        several = getattr(image, "is_animated", False)
        for number in itertools.count() if several else (0,):
            try:
                image.seek(number)
            except EOFError:
                return
            width, height = image.size
            if width * height > max_pixels:
                yield found, f"{width} x {height} pixels, more than the limit of {max_pixels}", several
            elif min(width, height) < min_side:
                yield found, _too_small(width, height, min_side), several
            else:
                # Pillow leaves 16-bit WhiteIsZero pages (tag 262) as they are stored.
                deep = found == "TIFF" and image.mode.startswith("I;16")
                pixels = _to_grey(ImageOps.exif_transpose(image))
                yield found, 255 - pixels if deep and image.tag_v2.get(262) == 0 else pixels, several


def _to_grey(image: Image.Image) -> np.ndarray:
    if image.mode in _DEEP_MODES:
        return _to_8_bit(np.asarray(image))
    if image.mode in {"LA", "PA", "RGBA", "La", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image)
        image = page
    if image.mode in {"CMYK", "RGBA"}:
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Scale deep pixels to 0..255 by the bit depth that their largest value needs.

    Cameras store 10 to 14 bits in 16: dividing by 65535 would leave such a page black. Floats within 0..1 are
    taken as shares of white. Negative values are shifted to zero.
    """
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise _Refused("pixels that are not finite numbers")
    low, high = values.min(), values.max()
    if low < 0:
        values, high = values - low, high - low
    if high <= 1:
        white = 1.0
    else:
        white = next((2.0**bits - 1 for bits in _BIT_DEPTHS if high <= 2.0**bits - 1), high)
    return np.rint(values * (255 / white)).astype(np.uint8)


def _is_blank(pixels: np.ndarray) -> bool:
    sample = pixels[:: max(1, pixels.shape[0] // 1000), :: max(1, pixels.shape[1] // 1000)]
    levels = cv2.calcHist([np.ascontiguousarray(sample)], [0], None, [256], [0, 256]).ravel()
    median = np.searchsorted(np.cumsum(levels), sample.size / 2)
    return levels[np.abs(np.arange(256) - median) > _INK_CONTRAST].sum() < _INK_SHARE * sample.size
