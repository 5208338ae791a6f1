"""A metaphase and the karyogram made of it: Figures 3.1 and 3.2 of the thesis."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from karyo_lib.draw.metaphase import draw_metaphase
from karyo_lib.read.image import read_image
from karyo_lib.read.reader import Reader
from karyo_lib.read.reading import Reading
from karyo_lib.read.sorting import lay_out


@dataclass(frozen=True)
class MetaphaseDisplay:
    """A spread as it is under the microscope, and its chromosomes in order."""

    image: np.ndarray  # uint8, shape (H, W)
    karyogram: np.ndarray  # uint8, shape (h, w)
    reading: Reading

    @classmethod
    def from_image(
        cls,
        image: np.ndarray | None = None,
        reader: Reader | None = None,
        style: str = "digital",
        seed: int = 2020,
    ) -> "MetaphaseDisplay":
        """Read a spread and lay it out.

        ``image`` (uint8, shape (H, W)): a real spread; one of 46,XY is drawn without; ``reader``: the one
        that comes with karyo by default; ``style``: lab style of the karyogram; ``seed``: of the drawing.
        """
        if image is None:
            image = draw_metaphase("46,XY", seed=seed, size=(900, 720)).image
        reading = read_image(image, reader)
        return cls(image, lay_out(reading, style).image, reading)

    def plot(self, figure: Figure | None = None) -> Figure:
        """Draw both side by side."""
        figure = figure or Figure(figsize=(12, 4.6), layout="constrained")
        axes = figure.subplots(1, 2)
        for ax, picture, title in zip(
            axes,
            (self.image, self.karyogram),
            ("Metaphase", f"Karyogram, {self.reading.formula}"),
            strict=True,
        ):
            ax.imshow(picture, cmap="gray", vmin=0, vmax=255)
            ax.set_title(title)
            ax.axis("off")
        return figure
