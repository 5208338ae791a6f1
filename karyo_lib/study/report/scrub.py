"""Takes this machine's paths out of what a report shows."""

from __future__ import annotations

import os
import re
import site
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from karyo_lib.study.runs import Run, project_dir

_KERNEL_FILE = re.compile(r"[^\s\"'<>(]{0,200}?/ipykernel_\d+/\d+\.py")


def scrubber(run: Run) -> Callable[[str], str]:
    """Return a function that replaces the folders of this machine in a text by what they are to karyo.

    The run folder becomes ``RUN``, what the user gave ``DATA``, ``BANK`` and ``WEIGHTS``, the checkout
    ``KARYO``, installed packages ``PYTHON``, the home folder ``~`` and temporary folders ``TMP``.
    """
    names: dict[str, str] = {}

    def name(path: str | Path | None, word: str) -> None:
        for form in {str(path or ""), str(Path(path).resolve()) if path else ""}:
            if len(form) > 2 and form not in names:
                names[form] = word

    name(run.dir, "RUN")
    name(run.data, "DATA")
    name(run.bank, "BANK")
    name(run.weights if run.weights != "random" else "", "WEIGHTS")
    name(os.environ.get("KARYO_WEIGHTS"), "WEIGHTS")
    for folder in (*site.getsitepackages(), sys.prefix, sys.base_prefix):
        if folder not in ("/usr", "/usr/local"):
            name(folder, "PYTHON")
    name(project_dir(), "KARYO")
    name(Path.home() if str(Path.home()) != "/" else "", "~")
    name(tempfile.gettempdir(), "TMP")
    # The longest first: a checkout in the home folder is a checkout.
    pattern = re.compile("|".join(re.escape(path) for path in sorted(names, key=len, reverse=True)))

    def clean(text: str) -> str:
        text = pattern.sub(lambda found: names[found[0]], text)
        return _KERNEL_FILE.sub("<this notebook>", text) if "ipykernel_" in text else text

    return clean


def scrub(value: Any, clean: Callable[[str], str]) -> Any:
    """Apply *clean* to every text in nested dicts and lists."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: scrub(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(item, clean) for item in value]
    return value
