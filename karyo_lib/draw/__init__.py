"""Karyogram pages with their truth: drawn from band tables, or composed from real chromosomes."""

from karyo_lib.draw.compose import compose_karyogram
from karyo_lib.draw.karyogram import draw_chromosome, draw_karyogram
from karyo_lib.draw.labs import STYLES
from karyo_lib.draw.metaphase import draw_metaphase
from karyo_lib.draw.page import Page
from karyo_lib.draw.styles import LabStyle

__all__ = [
    "STYLES",
    "LabStyle",
    "Page",
    "compose_karyogram",
    "draw_chromosome",
    "draw_karyogram",
    "draw_metaphase",
]
