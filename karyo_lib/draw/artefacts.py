"""What optics, printing and scanning do to a page."""

from functools import lru_cache
from types import SimpleNamespace

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont


def add_dust(
    ink: np.ndarray, amount: float, scratches: float, scale: float, rng: np.random.Generator
) -> None:
    """Sprinkle specks and hairs, so many on the mean, on a page of ink (0 paper to 1 black), in place."""
    height, width = ink.shape
    count = rng.poisson(amount)
    places = np.column_stack([rng.uniform(0, width, count), rng.uniform(0, height, count)])
    radii = np.clip(0.45 * scale * rng.lognormal(0, 0.6, count), 0.2, 4.0 * scale)
    strengths = rng.beta(1.2, 3.0, count)
    for (x, y), radius, strength in zip(places, radii, strengths, strict=True):
        # A speck smaller than a pixel is a weaker pixel.
        strength *= min(1.0, (radius / 0.6) ** 2)
        centre = round(float(x) * 16), round(float(y) * 16)  # four binary places
        inner = round(max(radius - 0.4, 0.1) * 16)
        cv2.circle(ink, centre, inner, float(strength), -1, cv2.LINE_8, 4)
    for _ in range(rng.poisson(scratches)):
        start = rng.uniform(0, 1, 2) * (width, height)
        turn = np.cumsum(rng.normal(0, 0.25, 14)) + rng.uniform(0, 6.28)
        steps = rng.uniform(2, 6) * scale
        points = start + np.cumsum(np.column_stack([np.cos(turn), np.sin(turn)]) * steps, axis=0)
        line = np.round(points * 8).astype(np.int32)
        cv2.polylines(ink, [line], False, float(rng.uniform(0.05, 0.35)), 1, cv2.LINE_8, 3)


def expose(
    ink: np.ndarray, settings: SimpleNamespace, scale: float, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Photograph, print and scan a drawing (ink, 0 paper to 1 black) on a page of ``size`` (width, height),
    as large or smaller. ``settings``: settled `Artefacts`; ``scale``: relative to a page of 1200 x 950."""
    sigma = settings.blur * scale
    if sigma > 0.2:
        ink = cv2.GaussianBlur(ink, (0, 0), sigma)
    if settings.sharpen > 0:
        soft = cv2.GaussianBlur(ink, (0, 0), max(1.6 * scale, 0.6))
        ink = np.clip(cv2.addWeighted(ink, 1 + settings.sharpen, soft, -settings.sharpen, 0), 0, 1)
    grey = settings.paper - (settings.paper - settings.ink_black) * ink
    if settings.halftone > 0:
        grey = _halftone(grey, max(settings.halftone * scale, 2.0))
    factor = grey.shape[1] / size[0]
    if factor > 1:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    if settings.uneven > 0:
        light = np.clip(rng.standard_normal((3, 3), dtype=np.float32), -1.5, 1.5)
        grey += settings.uneven * cv2.resize(light, size, interpolation=cv2.INTER_CUBIC)
    # Grain and noise of a larger picture are averaged when it is reduced.
    if settings.grain > 0:
        coarse = rng.standard_normal((int(size[1] / 2.2) + 1, int(size[0] / 2.2) + 1), dtype=np.float32)
        grey += settings.grain / factor * cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    if settings.noise > 0:
        grey += settings.noise / factor * rng.standard_normal(grey.shape, dtype=np.float32)
    if settings.negative:
        grey = 255 - grey
    image = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    if settings.jpeg is None:
        return image
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, settings.jpeg])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)


def _halftone(grey: np.ndarray, period: float) -> np.ndarray:
    """Break grey into dots of a screen turned by 45 degrees, softened as a scanner sees them."""
    turn = 2 * np.pi / (period * np.sqrt(2))
    # cos(x + y) + cos(x - y) = 2 cos(x) cos(y)
    y, x = (np.cos(np.arange(side) * turn).astype(np.float32) for side in grey.shape)
    screen = 0.5 * np.outer(y, x)
    dots = np.clip((grey / 255 - 0.5 + screen * 0.9) * 2.2 + 0.5, 0, 1) * 255
    return 0.45 * dots + 0.55 * grey


@lru_cache(maxsize=512)
def text_mask(text: str, height: int) -> np.ndarray:
    """Return printed text as ink, float32 (H, W), cap height about 0.7 of `height`."""
    font = ImageFont.load_default(size=max(height, 5))
    x0, y0, x1, y1 = font.getbbox(text)
    image = Image.new("L", (int(x1 - x0) + 2, int(y1 - y0) + 2), 0)
    ImageDraw.Draw(image).text((1 - x0, 1 - y0), text, fill=255, font=font)
    mask = np.asarray(image, np.float32) / 255
    mask.setflags(write=False)
    return mask
