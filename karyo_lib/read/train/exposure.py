"""How a scene is photographed: gamma, sharpness, resolution, shading, noise, compression, all at random."""

import cv2
import numpy as np

from karyo_lib.read.train.canvas import SIZE


def photograph(light: np.ndarray, printed: bool, rng: np.random.Generator) -> np.ndarray:
    """Make a picture (uint8) of a scene's transmittance; ``printed`` where it is a page, mostly on white."""
    sure = rng.random
    light = np.clip(light, 0, 1.1)
    if sure() < 0.6:
        light = light ** np.float32(np.exp(rng.normal(0, 0.3)))
    if sure() < (0.35 if printed else 0.1):  # pale bands are lost in the white
        light = np.minimum(light * rng.uniform(1.0, 1.3), max(1.0, float(light.max())))
    if sure() < 0.3:  # seen at a lower resolution
        factor = rng.uniform(0.45, 0.9)
        small = cv2.resize(light, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        light = cv2.resize(small, (SIZE, SIZE), interpolation=int(rng.choice([1, 2])))
    if sure() < 0.5:
        light = cv2.GaussianBlur(light, (0, 0), rng.uniform(0.3, 1.4))
    if sure() < 0.4:
        light = light + rng.uniform(0.3, 2.0) * (
            light - cv2.GaussianBlur(light, (0, 0), rng.uniform(0.8, 2.5))
        )
    white = printed and sure() < 0.6
    paper = 255.0 if white else rng.uniform(150, 255)
    dark = rng.uniform(0, min(120, paper - 60))
    grey = dark + (paper - dark) * light
    if not white and sure() < 0.5:
        knots = rng.normal(0, rng.uniform(2, 14), (4, 4)).astype(np.float32)
        grey = grey + cv2.resize(knots, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    if sure() < 0.5:
        noise = rng.standard_normal((SIZE, SIZE), np.float32) * rng.uniform(0.5, 9)
        if sure() < 0.4:
            noise = 2 * cv2.GaussianBlur(noise, (0, 0), 0.8)
        grey = grey + noise
    image = np.clip(grey, 0, 255).astype(np.uint8)
    if sure() < 0.4:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_GRAYSCALE)
    return image
