"""The engines that run a frozen base: equal features, one at a time, and a switch."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from karyo_lib.networks import backend
from karyo_lib.networks.backend import backend_facts, inference_engine, keras
from karyo_lib.networks.features import FeatureCache, compute_features
from karyo_lib.networks.inference import prepare_forward
from karyo_lib.networks.weights import load_base, resolve_weights

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 90, 90), dtype=np.uint8)
SIDE = (80, 80, 3)
CUTS = {"VGG16": "block5_pool", "InceptionV3": "mixed10"}
LAYERS = keras.layers


def features(base, monkeypatch, engine, images=IMAGES, cache=None):
    monkeypatch.setenv("KARYO_ENGINE", engine)
    source = resolve_weights(base, explicit="random")
    return compute_features(base, source, images, CUTS[base], cache, progress=False, input_shape=SIDE)


@pytest.fixture(autouse=True)
def _openvino():
    pytest.importorskip("openvino", reason="OpenVINO is not installed: pip install 'karyo[fast]'")


@pytest.mark.parametrize("base", CUTS)
def test_engines_give_equal_features(base, monkeypatch):
    ours, theirs = (features(base, monkeypatch, engine) for engine in ("openvino", "keras"))
    assert theirs.std() > 0
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


def test_features_are_equal_to_the_bit_between_runs_and_in_any_company(monkeypatch):
    whole = features("VGG16", monkeypatch, "openvino")
    np.testing.assert_array_equal(features("VGG16", monkeypatch, "openvino"), whole)
    np.testing.assert_array_equal(features("VGG16", monkeypatch, "openvino", IMAGES[3:1:-1]), whole[3:1:-1])


def test_engines_do_not_share_entries_of_the_cache(monkeypatch, tmp_path):
    cache = FeatureCache(tmp_path)
    for engine in ("openvino", "keras"):
        features("VGG16", monkeypatch, engine, cache=cache)
    assert len(list(tmp_path.iterdir())) == 2


def forward(*layers, side=7, channels=3):
    inlet = keras.Input((side, side + 1, channels))
    out = inlet
    for layer in layers:
        out = layer(out)
    return keras.Model(inlet, {"out": out})


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(
    "make",
    [
        lambda padding: LAYERS.Conv2D(4, (3, 2), strides=2, padding=padding, activation="relu"),
        lambda padding: LAYERS.Conv2D(4, 2, dilation_rate=2, padding=padding, use_bias=False),
        lambda padding: LAYERS.AveragePooling2D(3, strides=1, padding=padding),
        lambda padding: LAYERS.AveragePooling2D(2, strides=2, padding=padding),
        lambda padding: LAYERS.MaxPooling2D((2, 3), strides=2, padding=padding),
    ],
)
def test_every_layer_means_the_same_in_both_engines(make, padding, monkeypatch):
    model = forward(make(padding))
    rng = np.random.default_rng(1)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    x = rng.normal(size=(3, 7, 8, 3)).astype("float32")
    found = {}
    for engine in ("openvino", "keras"):
        monkeypatch.setenv("KARYO_ENGINE", engine)
        found[engine] = prepare_forward(model).predict(x)["out"]
    np.testing.assert_allclose(found["openvino"], found["keras"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "layer",
    [
        LAYERS.DepthwiseConv2D(3),
        LAYERS.Conv2D(3, 3, groups=3),
        LAYERS.Conv2D(3, 3, activation="gelu"),
        LAYERS.Activation("selu"),
    ],
)
def test_a_layer_that_bases_do_not_have_is_named(layer, monkeypatch):
    monkeypatch.setenv("KARYO_ENGINE", "openvino")
    with pytest.raises(ValueError, match=r"Expected .*Received .*" + layer.name):
        prepare_forward(forward(layer))


def test_threads_may_ask_at_the_same_time(monkeypatch):
    monkeypatch.setenv("KARYO_ENGINE", "openvino")
    base = load_base(resolve_weights("VGG16", explicit="random"), (32, 32, 3))
    ready = prepare_forward(keras.Model(base.input, {"out": base.get_layer("block3_pool").output}))
    x = np.random.default_rng(2).normal(size=(8, 6, 32, 32, 3)).astype("float32")
    alone = [ready.predict(some)["out"] for some in x]
    with ThreadPoolExecutor(4) as pool:
        for together, expected in zip(pool.map(ready.predict, x), alone, strict=True):
            np.testing.assert_array_equal(together["out"], expected)


def test_a_worker_keeps_to_its_share_of_the_processors(monkeypatch):
    monkeypatch.setenv("KARYO_ENGINE", "openvino")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    ready = prepare_forward(forward(LAYERS.MaxPooling2D()))
    assert ready._compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_the_switch(monkeypatch):
    monkeypatch.delenv("KARYO_ENGINE", raising=False)
    monkeypatch.setattr(backend, "device_name", lambda: "CPU (x86_64, 2 cores)")
    assert inference_engine() == "openvino"
    assert backend_facts()["inference"].startswith("openvino 2")
    monkeypatch.setattr(backend, "device_name", lambda: "GPU (some card)")
    assert inference_engine() == "keras"
    monkeypatch.setenv("KARYO_ENGINE", "keras")
    assert backend_facts()["inference"] == "keras"
    monkeypatch.setenv("KARYO_ENGINE", "onnx")
    with pytest.raises(ValueError, match=r"KARYO_ENGINE to be auto, openvino or keras\. Received 'onnx'"):
        inference_engine()
    monkeypatch.setenv("KARYO_ENGINE", "openvino")
    monkeypatch.setattr(backend.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"Received an installation without it: pip install"):
        inference_engine()
    monkeypatch.delenv("KARYO_ENGINE")
    assert inference_engine() == "keras"


def test_nothing_is_reported_to_the_makers_of_the_engine():
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    program = (
        "import sys, karyo_lib.networks.openvino_forward; assert sys.modules['openvino_telemetry'] is None;"
        "from openvino.tools.ovc import telemetry_utils; print(telemetry_utils.tm.__name__)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["openvino.tools.ovc.telemetry_stub"]
