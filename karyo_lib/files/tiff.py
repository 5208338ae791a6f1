"""TIFF pages that Pillow does not know: floats of 16 and 64 bits, five channels, large-endian negatives."""

import io
import logging
from collections.abc import Iterator

import numpy as np
import tifffile

logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what is wrong with a file is its reason
MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_MOST_PAGES = 1000
_MOST_CHANNELS = 16
_REDUCED, _MASK = 1, 4  # bits of tag 254


class UnreadableTiffError(Exception):
    """A TIFF file without an image that karyo reads; the message says why."""


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
            raise UnreadableTiffError("damaged or truncated image (a TIFF file without pages)")
        shown = [page for page in pages if is_shown(page.subfiletype, None)] or pages[:1]
        for page in shown:
            height, width, channels = page.imagelength, page.imagewidth, page.samplesperpixel
            if width * height > max_pixels:
                raise UnreadableTiffError(f"{width} x {height} pixels, more than the limit of {max_pixels}")
            if page.compression != 1 or page.imagedepth != 1 or channels > _MOST_CHANNELS:
                how = f"{page.bitspersample} bits, {channels} channels, compression {int(page.compression)}"
                raise UnreadableTiffError(f"TIFF of a kind that is not read ({how}): save it as 8-bit grey")
            values = page.asarray()
            if page.axes == "SYX":
                values = np.moveaxis(values, 0, -1)
            if values.ndim == 3:
                values = values[..., :3] if int(page.photometric) == 2 else values[..., 0]
            if values.ndim not in (2, 3) or values.dtype.kind not in "uif":
                raise UnreadableTiffError(f"TIFF of a kind that is not read (axes {page.axes})")
            yield values, int(page.photometric) == 0, len(shown)
