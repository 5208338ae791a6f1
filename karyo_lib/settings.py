"""Settings of a run: three profiles of frozen values, each of which can be overridden by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any


class SettingsError(ValueError):
    """A profile, parameter or value that does not exist; the message lists those that do."""


@dataclass(frozen=True)
class Profile:
    """How much of the study a run does. The defaults are the thesis's own figures (sections 3.1 to 3.4)."""

    name: str
    normal: int = 105  # karyograms in the alpha-dataset
    abnormal: int = 41
    augmented_normal: int = 376  # after augmentation, originals included
    augmented_abnormal: int = 316
    image_size: int = 416  # px, side of a stored karyogram
    level: int = 550  # bands: 400, 550 or 850
    sources: str = "thesis"  # of the karyograms: the thesis's two, or 'balanced', one for both labels
    annotated_share: float = 0.5  # of the internet's abnormal karyograms that have arrow, box and title
    groups: str = "all"  # abnormalities drawn: 'all' of the catalogue or 'numerical'
    epochs_head: int = 30  # base frozen
    epochs_last_block: int = 30
    epochs_last_two_blocks: int = 30
    epochs_full: int = 30
    patience: int = 8  # epochs without a better validation AUC after which a fine-tuning ends
    learning_rate: float = 1e-3
    batch_size: int = 16
    search_trials: int = 40
    search_epochs: int = 15
    search_points_at_once: int = 1  # points proposed in one go, for a cluster; decides which are tried
    passes: int = 100  # Monte Carlo dropout
    referral_threshold: float = 80.0  # percent of agreeing votes below which a specialist reads
    repeats: int = 10  # random splits on which the networks are trained
    luck_repeats: int = 10  # random splits on which the linear probe is measured
    shortcut_pages: int = 146  # karyograms of each set in which something beside them tells the label
    largest_input: int = 416  # px, side of the largest network input that is tried
    newer_bases: tuple[str, ...] = ()  # further bases that are tried, by their names in Keras
    bootstrap: int = 2000  # resamples behind an interval
    conditions: tuple[str, ...] = ()  # keys of the conditions to train; empty: all seven
    members: int = 5  # of the ensemble of a condition with a frozen base
    altered_copies: int = 4  # of an image, in test-time augmentation
    finetuned_members: int = 1  # of the ensemble of a fine-tuned condition; each costs a training of its own
    clean: bool = False  # print, arrows and boxes found and painted over before anything is learnt

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def changes(self) -> dict[str, Any]:
        """Return the values that differ from those of the profile of this name, by name."""
        own = PROFILES[self.name].as_dict()
        return {name: value for name, value in self.as_dict().items() if value != own[name]}


_CHOICES = {"level": (400, 550, 850), "groups": ("all", "numerical"), "sources": ("thesis", "balanced")}
_SHARES = ("annotated_share",)
#: Fewer than ten of a label leave a part of a split without it.
_LEAST = {"normal": 10, "abnormal": 10, "image_size": 150, "luck_repeats": 2, "shortcut_pages": 12}
_LEAST |= {"largest_input": 150}


def _check(name: str, value: Any) -> None:
    kind = _TYPES[name]
    wanted = {"int": int, "float": (int, float), "str": str, "bool": bool}.get(kind, tuple)
    least, choices = _LEAST.get(name, 1), _CHOICES.get(name, (value,))
    expected = ""
    if wanted is tuple and not (isinstance(value, tuple) and all(isinstance(item, str) for item in value)):
        expected = "to be a tuple of names"
    elif isinstance(value, bool) != (kind == "bool") or not isinstance(value, wanted):
        expected = f"to be of type {kind}"
    elif value not in choices:
        expected = f"to be one of {', '.join(map(str, choices))}"
    elif kind == "int" and value < least:
        expected = f"to be at least {least}"
    elif name in _SHARES and not 0 <= value <= 1:
        expected = "from 0 to 1"
    elif kind == "float" and name not in _SHARES and not value > 0:
        expected = "to be above 0"
    if expected:
        raise SettingsError(f"Expected {name} {expected}. Received {value!r}.")


_TYPES = {field.name: str(field.type) for field in fields(Profile)}

PROFILES: dict[str, Profile] = {
    # A few dozen karyograms: shows that everything works, says nothing about performance.
    "smoke": Profile(
        "smoke", normal=12, abnormal=10, augmented_normal=24, augmented_abnormal=20, epochs_head=4,
        epochs_last_block=1, epochs_last_two_blocks=1, epochs_full=1, search_trials=3, search_epochs=2,
        passes=10, repeats=1, luck_repeats=2, shortcut_pages=12, largest_input=150, bootstrap=200, members=2,
        altered_copies=2,
    ),
    # Everything whole except the fine-tuning, which is short.
    "quick": Profile(
        "quick", epochs_last_block=2, epochs_last_two_blocks=2, epochs_full=2, search_trials=10, repeats=1,
        shortcut_pages=40, largest_input=300, altered_copies=2,
    ),
    # All of it.
    "thesis": Profile("thesis", newer_bases=("ResNet50V2", "EfficientNetV2B0", "ConvNeXtTiny")),
}  # fmt: skip


def suggest(received: str, valid: tuple[str, ...]) -> str:
    """Return ' Did you mean ...?' when a valid name is close to the one received, else an empty string."""
    close = difflib.get_close_matches(received, valid, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def load_settings(profile: str = "quick", **overrides: Any) -> Profile:
    """The settings of a profile, with single values replaced."""
    if profile not in PROFILES:
        valid = tuple(PROFILES)
        raise SettingsError(
            f"Expected a profile, one of {', '.join(valid)}. "
            f"Received {profile!r}.{suggest(str(profile), valid)}"
        )
    valid = tuple(field.name for field in fields(Profile) if field.name != "name")
    for name in overrides:
        if name not in valid:
            raise SettingsError(
                f"Expected a parameter of a run, one of {', '.join(valid)}. "
                f"Received {name!r}.{suggest(name, valid)}"
            )
    lists = {name: tuple(value) for name, value in overrides.items() if isinstance(value, list)}
    return replace(PROFILES[profile], **(overrides | lists))


def parse_settings(words: Iterable[str]) -> dict[str, Any]:
    """Settings by name from words such as ``'passes=50'`` or ``'conditions=a,b'``."""
    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise SettingsError(f"Expected a setting as NAME=VALUE, such as passes=50. Received {word!r}.")
        kind = _TYPES.get(name, "")
        try:
            found[name] = _PARSERS[kind](text) if kind else text  # a wrong name is told by load_settings
        except (ValueError, KeyError):
            raise SettingsError(f"Expected {name} to be of type {kind}. Received {text!r}.") from None
    return found


_PARSERS: dict[str, Callable[[str], Any]] = {
    "int": int,
    "float": float,
    "str": str,
    "bool": {"true": True, "false": False}.__getitem__,
    "tuple[str, ...]": lambda text: tuple(part for part in text.split(",") if part),
}
