"""Another backend than TensorFlow, the device switch, 16 bits."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from jax_program import compute_all

from karyo_lib.networks import backend
from karyo_lib.networks.backend import backend_facts, device_name, use_mixed_precision

PROGRAM = Path(__file__).with_name("jax_program.py")


@pytest.fixture(scope="module")
def here():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KARYO_ENGINE", "keras")
        yield compute_all()


def test_jax_gives_what_tensorflow_gives(here, tmp_path):
    """The path that a GPU takes, on a CPU: features, training of the head, Monte Carlo passes."""
    if find_spec("jax") is None:
        pytest.skip("JAX is not installed: pip install jax")
    environment = os.environ | {"KARYO_ENGINE": "keras", "KERAS_BACKEND": "jax", "KARYO_DEVICE": "cpu"}
    words = [sys.executable, str(PROGRAM), str(tmp_path / "out.npz")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["backend"] == "jax"
    assert facts["device"].startswith("CPU")
    there = np.load(tmp_path / "out.npz")
    assert here["passes"].std(axis=0).min() > 0
    scale = np.abs(here["features"]).max()
    np.testing.assert_allclose(there["features"], here["features"], atol=1e-5 * scale, rtol=0)
    np.testing.assert_allclose(there["losses"], here["losses"], rtol=1e-3, atol=0)
    np.testing.assert_allclose(there["passes"], here["passes"], atol=1e-3, rtol=0)


def test_sixteen_bits_change_the_features_a_little(here, monkeypatch):
    monkeypatch.delenv("KARYO_ENGINE", raising=False)
    use_mixed_precision()
    try:
        there = compute_all()
        assert backend_facts()["precision"] == "mixed_bfloat16"
        assert backend_facts()["inference"] == "keras"  # OpenVINO is for 32 bits
    finally:
        use_mixed_precision(False)
    scale = np.abs(here["features"]).max()
    assert 0 < np.abs(there["features"] - here["features"]).max() < 0.05 * scale
    # the training loss; that of the validation part follows averages of a few steps on untrained features
    np.testing.assert_allclose(there["losses"][:, 0], here["losses"][:, 0], atol=0.15, rtol=0)


@pytest.mark.skipif(backend.keras.config.backend() != "tensorflow", reason="asks TensorFlow for its cards")
def test_a_graphics_card_that_is_not_there_is_missed(monkeypatch):
    monkeypatch.setattr(backend.tf.config, "list_physical_devices", lambda kind: [])
    monkeypatch.setattr(backend, "_DEVICE", "gpu")
    with pytest.raises(ValueError, match="Expected a graphics card that tensorflow can use"):
        device_name()
    monkeypatch.setattr(backend, "_DEVICE", "auto")
    assert device_name().startswith("CPU")


@pytest.mark.parametrize(
    ("driver", "said"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27",
            "470.82.01, and CUDA 12 needs 525",
        ),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar 5", "karyo[gpu]"),
        (None, "no NVIDIA driver"),
    ],
)
def test_why_there_is_no_card_is_said(monkeypatch, tmp_path, driver, said):
    file = tmp_path / "version"
    if driver:
        file.write_text(driver)
    monkeypatch.setattr(backend, "_DRIVER", file)
    assert said in backend.explain_no_card("tensorflow")
