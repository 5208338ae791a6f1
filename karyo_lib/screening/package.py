"""A trained model as one file, ``model.karyo``: arrays and text in a zip archive, nothing that could run.

It may come from anyone: reading opens known members only, bounds every size before anything is unpacked,
checks each digest, and rebuilds the network from karyo's own code.
"""

import hashlib
import io
import json
import math
import os
import stat
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from karyo_lib import __version__
from karyo_lib.judge import IsotonicCalibrator, Promise, TemperatureCalibrator
from karyo_lib.read.network_files import READER_FILES, find_reader, read_record
from karyo_lib.screening.card import render_card
from karyo_lib.screening.reference import Reference
from karyo_lib.store import writing

FORMAT = 1
METHODS = ("network", "reading")
CALIBRATIONS = ("temperature", "isotonic", "none")

_MANIFEST = "manifest.json"
# Every member that a package may hold, and the most bytes it may unpack to.
_LIMITS = {
    _MANIFEST: 100_000,
    "model.json": 10_000_000,
    "card.md": 2_000_000,
    "card.html": 4_000_000,
    "weights.npy": 400_000_000,
    "reference.npy": 400_000_000,
    **{f"reader/{name}": 64_000_000 for name in READER_FILES},
}
_NESTED_LIMIT = 256_000_000  # bytes that a reader's arrays may unpack to
_MOST_BYTES = 800_000_000
_EPOCH = (1980, 1, 1, 0, 0, 0)  # so that the same training gives the same file


class PackageError(ValueError):
    """A model file that cannot be used; the message names the file, what is wrong and the remedy."""


@dataclass(frozen=True)
class Calibration:
    """Raw probabilities -> probabilities that mean what they say."""

    kind: str = "none"  # {'temperature', 'isotonic', 'none'}
    temperature: float = 1.0  # the logit is divided by it
    x: tuple[float, ...] = ()  # corners of the isotonic line, rising
    y: tuple[float, ...] = ()
    n: int = 0  # validation karyograms it was fitted on

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", tuple(map(float, self.x)))
        object.__setattr__(self, "y", tuple(map(float, self.y)))
        if self.kind not in CALIBRATIONS:
            raise ValueError(f"Expected a calibration, {', '.join(CALIBRATIONS)}. Received {self.kind!r}.")
        if not 0 < self.temperature < 1e6:
            raise ValueError(f"Expected a temperature above 0. Received {self.temperature!r}.")
        if self.kind == "isotonic":
            x, y = np.array(self.x), np.array(self.y)
            rising = x.size == y.size > 0 and (np.diff(x) >= 0).all() and (np.diff(y) >= 0).all()
            if not rising or not (0 <= y[0] <= y[-1] <= 1):
                raise ValueError("Expected rising corners within 0 and 1. Received others.")

    @classmethod
    def fit(cls, kind: str, p: np.ndarray, y_true: np.ndarray) -> "Calibration":
        """Fit on validation probabilities `p` (N,) and labels `y_true` (N,) of 0 and 1."""
        if kind == "temperature":
            return cls(kind, TemperatureCalibrator().fit(p, y_true).temperature_, n=len(p))
        if kind == "isotonic":
            line = IsotonicCalibrator().fit(p, y_true).regression_
            return cls(kind, 1.0, tuple(line.X_thresholds_), tuple(line.y_thresholds_), n=len(p))
        return cls(kind)

    def transform(self, p: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities, float64, same shape."""
        p = np.asarray(p, dtype=float)
        if self.kind == "temperature":
            calibrator = TemperatureCalibrator()
            calibrator.temperature_ = self.temperature
            return calibrator.transform(p)
        return np.interp(p, self.x, self.y) if self.kind == "isotonic" else p

    def describe(self) -> str:
        """Say what is done."""
        how = {
            "temperature": f"logit divided by a temperature of {self.temperature:.3g}",
            "isotonic": f"isotonic regression through {len(self.x)} corners",
        }
        return f"{how[self.kind]}, fitted on {self.n} validation karyograms" if self.kind in how else "none"


@dataclass(frozen=True)
class Recipe:
    """What the judge of a package is built from."""

    method: str  # {'network', 'reading'}
    page_size: int = 416  # pages are fitted to this side in pixels, proportions kept, before anything else
    passes: int = 100  # Monte Carlo dropout passes behind the confidence; 0: the reader has none
    referral_confidence: float = 80.0  # percent; cases with less are referred
    base: str = "VGG16"  # of the network; see :func:`karyo_lib.networks.models.build_model`
    trainable: str = "head"
    input_shape: tuple[int, int, int] = (150, 150, 3)
    dropout: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        sides = (self.page_size, *self.input_shape[:2])
        checks = {
            "method": self.method in METHODS,
            "page_size and input_shape": all(type(n) is int and 32 <= n <= 4096 for n in sides)
            and len(self.input_shape) == 3
            and self.input_shape[2] == 3,
            "passes": type(self.passes) is int and (self.method == "network") <= self.passes <= 10_000,
            "referral_confidence": 0 <= self.referral_confidence <= 100,
            "base and trainable": isinstance(self.base, str) and isinstance(self.trainable, str),
            "dropout": 0 <= self.dropout < 1,
            "seed": type(self.seed) is int and self.seed >= 0,
        }
        for name, fine in checks.items():
            if not fine:
                raise ValueError(f"Expected a usable {name}. Received {asdict(self)!r}.")


@dataclass(frozen=True, eq=False)
class Package:
    """All that screening needs."""

    recipe: Recipe
    # Float32, shape (n,); all arrays of the network in Keras's order, flattened.
    weights: np.ndarray | None
    calibration: Calibration
    promise: Promise | None  # the operating threshold; without one nothing is cleared
    reference: Reference | None  # what the training karyograms look like
    reader: dict[str, bytes] = field(default_factory=dict)  # files of the reader; empty for a network
    facts: dict[str, Any] = field(default_factory=dict)  # what the model card says
    digest: str = ""  # SHA-256 of the manifest, which holds all other digests; '' if never saved


def shipped_reader(folder: Path | None = None) -> Package:
    """The reader that comes with karyo, or one of your own; what its threshold promises is in the facts."""
    recipe = Recipe("reading", passes=0, referral_confidence=0.0)
    settings = read_record(find_reader(folder), "reader")["settings"]
    facts = {"promise of number": settings["promise"]}
    own = reader_files(folder) if folder else {}
    return Package(recipe, None, Calibration(), None, None, own, facts=facts, digest=digest_reader(folder))


def reader_files(folder: str | os.PathLike | None = None) -> dict[str, bytes]:
    """A reader's files, by default those of the one that comes with karyo."""
    folder = find_reader(folder)
    return {name: (folder / name).read_bytes() for name in READER_FILES}


def digest_reader(folder: str | os.PathLike | None = None) -> str:
    """SHA-256 of `reader_files`."""
    return hashlib.sha256(b"".join(reader_files(folder).values())).hexdigest()


def save_package(package: Package, path: str | os.PathLike) -> str:
    """Write a package, whole or not at all, and return its digest. The same package gives the same bytes."""
    described = {
        "recipe": asdict(package.recipe),
        "calibration": asdict(package.calibration),
        "promise": None if package.promise is None else _without_nan(asdict(package.promise)),
        "reference": None if package.reference is None else package.reference.describe(),
        "facts": package.facts,
    }
    markdown, html = render_card(package.facts)
    members = {
        "model.json": json.dumps(described, indent=1, ensure_ascii=False, allow_nan=False).encode(),
        "card.md": markdown.encode(),
        "card.html": html.encode(),
        **{f"reader/{name}": content for name, content in package.reader.items()},
    }
    if package.weights is not None:
        members["weights.npy"] = _to_npy(package.weights)
    if package.reference is not None:
        members["reference.npy"] = _to_npy(package.reference.embeddings)
    for name, content in members.items():
        if len(content) > _LIMITS[name]:
            raise PackageError(f"Expected {name} of at most {_LIMITS[name]} bytes. Received {len(content)}.")
    manifest = {
        "format": FORMAT,
        "karyo": __version__,
        "members": {name: hashlib.sha256(content).hexdigest() for name, content in members.items()},
    }
    said = json.dumps(manifest, indent=1).encode()
    with writing(path) as part, zipfile.ZipFile(part, "w") as archive:
        for name, content in {_MANIFEST: said, **members}.items():
            packed = zipfile.ZIP_STORED if name.endswith((".npy", ".npz")) else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, packed)
    return hashlib.sha256(said).hexdigest()


def load_package(path: str | os.PathLike) -> Package:
    """Read a package that may come from anyone.

    Raises PackageError if the file is no package, was altered or damaged, was made by a newer karyo, or would
    unpack to more than a package needs.
    """
    path = Path(path)
    try:
        members, digest = _read_members(path)
        return _build(members, digest)
    except PackageError:
        raise
    except OSError as error:
        raise PackageError(
            f"Expected a model file written by 'karyo train'. {path.name!r} cannot be read "
            f"({error.strerror or type(error).__name__})."
        ) from None
    except Exception as error:  # damaged archives and tables raise nearly anything
        raise PackageError(
            f"Expected a model file written by 'karyo train'. {path.name!r} is damaged or none "
            f"({type(error).__name__}: {str(error)[:160]}). Copy or train it again."
        ) from error


def _read_members(path: Path) -> tuple[dict[str, bytes], str]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
        raise PackageError(
            f"Expected a model file of at most {_MOST_BYTES} bytes. Received {path.name!r}, which is none."
        )
    with zipfile.ZipFile(path) as archive:
        listed = archive.infolist()
        names = [info.filename for info in listed]
        strange = sorted(set(names) - set(_LIMITS)) or [n for n in names if names.count(n) > 1]
        if _MANIFEST not in names:
            raise PackageError(
                f"Expected a model file written by 'karyo train'. {path.name!r} has no manifest."
            )
        # The manifest alone decides whether this karyo may look further.
        said = _read_one(archive, archive.getinfo(_MANIFEST), path.name)
        manifest = json.loads(said)
        found, by = manifest["format"], str(manifest.get("karyo", "?"))[:40]
        if type(found) is not int or found < 1:
            raise PackageError(f"Expected a package format from 1 to {FORMAT}. Received {str(found)[:40]!r}.")
        if found > FORMAT:
            raise PackageError(
                f"Expected a package format up to {FORMAT}. Received {found}, written by karyo {by}: "
                f"{path.name!r} needs a newer karyo; update karyo."
            )
        if strange:
            raise PackageError(
                f"Expected only known members in {path.name!r}. Received {str(strange[0])[:80]!r}."
            )
        members = {
            info.filename: _read_one(archive, info, path.name)
            for info in listed
            if info.filename != _MANIFEST
        }
    digests = manifest["members"]
    if set(digests) != set(members):
        raise PackageError(f"Expected the members that the manifest of {path.name!r} names. Received others.")
    for name, content in members.items():
        if hashlib.sha256(content).hexdigest() != digests[name]:
            raise PackageError(
                f"Expected {name} in {path.name!r} to have the digest that the manifest names. It was "
                "altered or damaged: copy or train the model again."
            )
    return members, hashlib.sha256(said).hexdigest()


def _read_one(archive: zipfile.ZipFile, info: zipfile.ZipInfo, file: str) -> bytes:
    limit = _LIMITS[info.filename]
    if info.file_size > limit:
        raise PackageError(
            f"Expected {info.filename} of at most {limit} bytes. Received {info.file_size} in {file!r}."
        )
    if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PackageError(f"Expected {info.filename} in {file!r} stored or deflated. Received otherwise.")
    with archive.open(info) as member:  # never returns more than the size looked at above
        return member.read(limit + 1)


def _build(members: dict[str, bytes], digest: str) -> Package:
    told = json.loads(members["model.json"])
    recipe = Recipe(**told["recipe"])
    reader = {n: members[f"reader/{n}"] for n in READER_FILES if f"reader/{n}" in members}
    if recipe.method == "reading":
        missing = set(READER_FILES) - set(reader)
        if missing:
            raise PackageError(f"Expected the reader's files in the package. Received none of {missing}.")
        for name in READER_FILES:
            if name.endswith(".npz"):
                _check_nested(reader[name], name)
    weights = _from_npy(members["weights.npy"], 1) if recipe.method == "network" else None
    reference = None
    if told["reference"] is not None:
        reference = Reference(embeddings=_from_npy(members["reference.npy"], 2), **told["reference"])
    promise = None
    if (values := told["promise"]) is not None:
        bound = float("nan") if values["bound"] is None else float(values["bound"])
        promise = Promise(**(values | {"bound": bound}))
    if promise is not None and promise.threshold is not None and not math.isfinite(promise.threshold):
        raise ValueError("threshold is not a finite number")
    facts = told["facts"]
    if not isinstance(facts, dict):
        raise TypeError("facts are no table")
    return Package(
        recipe, weights, Calibration(**told["calibration"]), promise, reference, reader, facts, digest
    )


def _to_npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype="<f4"), allow_pickle=False)
    return buffer.getvalue()


def _from_npy(data: bytes, ndim: int) -> np.ndarray:
    """Read finite float32 values of a shape that the bytes really hold; checked before memory is taken."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("array of an unknown version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    count = math.prod(shape)
    if dtype != np.dtype("<f4") or fortran or len(shape) != ndim or 4 * count != len(data) - stream.tell():
        raise ValueError(f"array of shape {shape}, {dtype}: not what is expected here")
    array = np.frombuffer(data, "<f4", offset=stream.tell()).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("array with values that are not finite")
    return array


def _check_nested(data: bytes, name: str) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as nested:
        size = sum(info.file_size for info in nested.infolist())
    if size > _NESTED_LIMIT:
        raise PackageError(
            f"Expected {name} to unpack to at most {_NESTED_LIMIT} bytes. Received {size} bytes."
        )


def _without_nan(values: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}
