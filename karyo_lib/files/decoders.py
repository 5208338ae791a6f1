"""Pixels of DICOM files (nothing else of them: no names, no dates, no identifiers), of TIFF pages that Pillow
does not know (floats of 16 and 64 bits, five channels, large-endian negatives), and of more than 8 bits."""

import io
import logging
from collections.abc import Iterator

import numpy as np
import pydicom
import tifffile
from PIL import Image
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


def to_8_bit(values: np.ndarray) -> tuple[np.ndarray, str]:
    """Scale deep pixels to 0..255 by the range that nearly all of them use, and a note for the user or ''.
    Cameras store 10 to 14 bits in 16: the range is the smallest common bit depth that holds all but 0.05 % of
    the pixels; floats span 0..1 or -1..1; negative whole numbers are shifted to zero; where a quarter of it
    or less is in use, that is stretched."""
    whole = np.issubdtype(values.dtype, np.integer)
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("pixels that are not finite numbers")
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
    anything is decoded. Damaged files can raise nearly any exception."""
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


class UnreadableError(Exception):
    """A DICOM or TIFF file without an image that karyo reads; the message holds no header values."""


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
