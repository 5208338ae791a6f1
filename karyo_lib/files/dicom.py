"""Pixels of a DICOM file, and nothing else of it: no names, no dates, no identifiers."""

import io
from collections.abc import Iterator

import numpy as np
import pydicom
from PIL import Image
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset, read_preamble
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, pixel_array

# Deflated syntaxes are left out on purpose: pydicom would inflate them without a limit before any check.
_WITH_IMAGE_HEADER = frozenset({uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless})
_PLAIN = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless}


class UnreadableDicom(Exception):
    """A DICOM file without an image that karyo reads; the message says why and holds no header values."""


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
        raise UnreadableDicom(f"DICOM transfer syntax not read: {known}")
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    dataset.file_meta.TransferSyntaxUID = syntax
    if "PixelData" not in dataset:
        raise UnreadableDicom("DICOM file without pixel data")
    frames = max(1, int(dataset.get("NumberOfFrames") or 1))
    for index in range(frames):
        sizes = [(int(dataset.Columns), int(dataset.Rows))]
        if syntax in _WITH_IMAGE_HEADER:  # the size inside the frame is the one that the decoder allocates
            frame = get_frame(dataset.PixelData, index, number_of_frames=frames)
            with Image.open(io.BytesIO(frame), formats=["JPEG", "JPEG2000"]) as image:
                sizes.append(image.size)
        for width, height in sizes:
            if width * height > max_pixels:
                raise UnreadableDicom(f"{width} x {height} pixels, more than the limit of {max_pixels}")
        yield *_as_shown(pixel_array(dataset, index=index), dataset), frames


def _as_shown(values: np.ndarray, dataset: pydicom.Dataset) -> tuple[np.ndarray, bool]:
    photometric = dataset.PhotometricInterpretation
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
    if values.ndim == 3:
        return (values if values.dtype == np.uint8 else (values >> 8).astype(np.uint8)), False
    return apply_voi_lut(apply_modality_lut(values, dataset), dataset), photometric == "MONOCHROME1"
