"""The one place that knows which engine runs Keras: environment, threads, precision, device. Others import
``keras`` from here, so that the settings are in place before its first import."""

import contextlib
import functools
import importlib
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

# The user's own environment wins; these only replace defaults that are slow or noisy. oneDNN is worth
# 15-40 % of a forward pass on a CPU and is off by default on some of them.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# KARYO_DEVICE: cpu hides graphics cards from every backend, gpu asks for one, auto takes what is there.
_DEVICE = os.environ.get("KARYO_DEVICE") or "auto"
if _DEVICE == "cpu":
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
_DRIVER = Path("/proc/driver/nvidia/version")
LEAST_DRIVER = 525  # of NVIDIA on Linux, for CUDA 12, which TensorFlow and JAX bring along
# JAX takes three quarters of a card at once otherwise; TensorFlow is told below.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


@contextlib.contextmanager
def _quiet_start() -> Iterator[None]:
    # TensorFlow's C++ side reports missing GPUs and enabled options on file descriptor 2 before it reads any
    # log level; in a notebook that would end up in the report. Python exceptions are unaffected.
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


# OpenVINO reports its import to its makers over the network through this package, and does without it where
# it is missing. Nothing leaves the machine.
sys.modules.setdefault("openvino_telemetry", None)

with _quiet_start():
    import keras

    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        # Its advice on retracing is about loops over new models, which karyo avoids where it can.
        tf.get_logger().setLevel("ERROR")
        # Take GPU memory as it is needed; it can only be said before the first operation.
        for _gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(_gpu, True)
    elif keras.config.backend() == "openvino":
        import openvino

        # Keras asks for no precision, and OpenVINO takes 16 bits where the processor has them.
        _float32 = {"INFERENCE_PRECISION_HINT": "f32"}
        openvino.compile_model = functools.partial(openvino.compile_model, config=_float32)

# KARYO_PRECISION: a Keras policy, mixed_bfloat16 or float32, for all models of the process.
if os.environ.get("KARYO_PRECISION"):
    keras.config.set_dtype_policy(os.environ["KARYO_PRECISION"])


def compile_options(batches_at_once: int = 1) -> dict[str, Any]:
    """Keyword arguments of every ``model.compile``. Several steps a call of TensorFlow give the same results
    in less time; XLA is off there: it recompiles for every batch shape, which costs a CPU more than small
    heads gain."""
    if keras.config.backend() == "tensorflow":
        return {"jit_compile": False, "steps_per_execution": batches_at_once}
    return {"jit_compile": "auto"}


def device_name() -> str:
    """Return what the network runs on, for example ``"CPU (x86_64, 2 cores)"`` or ``"GPU (NVIDIA H200)"``."""
    engine = keras.config.backend()
    names = []
    if engine == "tensorflow":
        details = tf.config.experimental.get_device_details
        cards = tf.config.list_physical_devices("GPU")
        names = [details(card).get("device_name", card.name) for card in cards]
    elif engine == "jax":
        import jax

        names = [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    elif engine == "torch":
        import torch

        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if _DEVICE == "gpu" and not names:
        raise ValueError(
            f"Expected a graphics card that {engine} can use, for --device gpu. Received none: "
            f"{explain_no_card(engine)}. Or choose --device auto."
        )
    return f"GPU ({', '.join(names)})" if names else f"CPU ({platform.machine()}, {os.cpu_count()} cores)"


def explain_no_card(engine: str) -> str:
    """Say why an engine finds no graphics card, and what helps."""
    try:
        told = _DRIVER.read_text(encoding="utf-8")
    except OSError:
        return "no NVIDIA driver is running on this machine"
    found = re.search(r"\b(\d{3,})\.\d[\d.]*", told)
    if found and int(found[1]) < LEAST_DRIVER:
        return f"the NVIDIA driver is {found[0]}, and CUDA 12 needs {LEAST_DRIVER} or newer: renew the driver"
    return f"install {engine} with its CUDA packages, pip install 'karyo[gpu]' or make setup GPU=1"


def inference_engine() -> str:
    """What runs a frozen base forward: ``"openvino"`` where it is installed, on a CPU, in float32 (the same
    features in less time), else ``"keras"``; or what ``KARYO_ENGINE`` says."""
    asked = os.environ.get("KARYO_ENGINE") or "auto"
    if asked not in ("auto", "openvino", "keras"):
        raise ValueError(f"Expected KARYO_ENGINE to be auto, openvino or keras. Received {asked!r}.")
    installed = importlib.util.find_spec("openvino") is not None
    if asked == "openvino" and not installed:
        raise ValueError(
            "Expected the package openvino for KARYO_ENGINE=openvino. Received an installation without it: "
            "pip install 'karyo[fast]', or unset KARYO_ENGINE."
        )
    fits = installed and device_name().startswith("CPU") and keras.config.dtype_policy().name == "float32"
    return "openvino" if asked == "openvino" or (asked == "auto" and fits) else "keras"


def backend_facts() -> dict[str, str]:
    """Return what a run's provenance must say about the engine: backend, versions, device, precision."""
    engine = keras.config.backend()
    forward = inference_engine()
    return {
        "backend": engine,
        "inference": f"openvino {metadata.version('openvino')}" if forward == "openvino" else "keras",
        "backend_version": importlib.import_module(engine).__version__,
        "keras_version": keras.__version__,
        "device": device_name(),
        "precision": keras.config.dtype_policy().name,
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"] if engine == "tensorflow" else "not used",
    }


def use_mixed_precision(enabled: bool = True) -> None:
    """Compute in ``mixed_bfloat16`` (no loss scaling needed) on models built from now on, or in float32."""
    keras.config.set_dtype_policy("mixed_bfloat16" if enabled else "float32")
