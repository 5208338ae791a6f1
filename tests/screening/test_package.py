"""Packages come back as they went in; whatever was altered is refused, and nothing in them runs."""

import io
import json
import os
import pickle
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from screening_stubs import make_package, make_promise

from karyo_lib.screening.package import Calibration, PackageError, Recipe, load_package, save_package

FUZZ = int(os.environ.get("KARYO_FUZZ", "300"))


def _rewrite(path, out, change: dict, keep_digests: bool = False, compress=zipfile.ZIP_DEFLATED):
    """Copy a package with members replaced (None: left out), the manifest's digests following or not."""
    import hashlib

    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members = {**members, **change}
    members = {name: content for name, content in members.items() if content is not None}
    if not keep_digests and "manifest.json" in members and "manifest.json" not in change:
        manifest = json.loads(members["manifest.json"])
        manifest["members"] = {
            n: hashlib.sha256(c).hexdigest() for n, c in members.items() if n != "manifest.json"
        }
        members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(out, "w", compress) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out


def _npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize("threshold", [0.2, None])
@pytest.mark.parametrize("reference", [True, False])
def test_a_package_comes_back_as_it_went_in(tmp_path, threshold, reference):
    package = make_package(threshold, reference)
    if threshold is None:
        package = replace(package, promise=replace(make_promise(None), bound=float("nan")))
    digest = save_package(package, tmp_path / "a.karyo")
    back = load_package(tmp_path / "a.karyo")
    assert back.digest == digest
    assert back.recipe == package.recipe
    assert back.calibration == package.calibration
    assert repr(back.promise) == repr(package.promise)
    np.testing.assert_array_equal(back.weights, package.weights)
    assert (back.reference is None) == (not reference)
    if reference:
        np.testing.assert_array_equal(back.reference.embeddings, package.reference.embeddings)
    with zipfile.ZipFile(tmp_path / "a.karyo") as archive:
        assert b"stub" in archive.read("card.md")


def test_the_same_package_gives_the_same_bytes(tmp_path):
    for name in "ab":
        save_package(make_package(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("member", ["model.json", "card.md", "card.html", "weights.npy"])
def test_an_altered_member_is_refused_by_its_digest(stub_model, tmp_path, member):
    with zipfile.ZipFile(stub_model) as archive:
        content = archive.read(member)
    altered = content[:-1] + bytes([content[-1] ^ 1])
    bad = _rewrite(stub_model, tmp_path / "bad.karyo", {member: altered}, keep_digests=True)
    with pytest.raises(PackageError, match=f"{member}.*digest"):
        load_package(bad)


def test_a_newer_format_is_refused_by_name(stub_model, tmp_path):
    manifest = json.dumps({"format": 2, "karyo": "9.1", "other": {}}).encode()
    bad = _rewrite(stub_model, tmp_path / "new.karyo", {"manifest.json": manifest, "future.bin": b"x"})
    with pytest.raises(PackageError, match=r"up to 1. Received 2, written by karyo 9\.1.*update karyo"):
        load_package(bad)


@pytest.mark.parametrize("name", ["extra.py", "../escape.json", "/etc/cron.d/x", "reader/../../x"])
def test_unknown_members_are_refused(stub_model, tmp_path, name):
    with pytest.raises(PackageError, match="known members"):
        load_package(_rewrite(stub_model, tmp_path / "bad.karyo", {name: b"x"}))


def test_pickled_arrays_never_run(stub_model, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    for content in (_npy(np.array([Bomb()], dtype=object)), pickle.dumps(Bomb())):
        with pytest.raises(PackageError):
            load_package(_rewrite(stub_model, tmp_path / "bad.karyo", {"weights.npy": content}))
    assert not (tmp_path / "ran").exists()


def test_a_header_that_promises_more_than_is_there_takes_no_memory(stub_model, tmp_path):
    content = _npy(np.zeros(4, np.float32)).replace(b"(4,)", b"(4000000000000,)"[:4] + b"")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (4 * 10**12,)}
    )
    for bad in (content[:-8], header.getvalue() + bytes(16)):
        with pytest.raises(PackageError):
            load_package(_rewrite(stub_model, tmp_path / "bad.karyo", {"weights.npy": bad}))


def test_zip_bombs_are_refused_before_they_are_unpacked(stub_model, tmp_path):
    bomb = _rewrite(stub_model, tmp_path / "bomb.karyo", {"model.json": bytes(30_000_000)})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(PackageError, match="at most 10000000 bytes"):
        load_package(bomb)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("recipe", {"method": "pickle"}),
        ("recipe", {"method": "network", "passes": 10**9}),
        ("recipe", {"method": "network", "page_size": 10**6}),
        ("recipe", {"method": "network", "input_shape": [150, 150, 4]}),
        ("recipe", {"method": "network", "surprise": 1}),
        ("calibration", {"kind": "temperature", "temperature": -1}),
        ("calibration", {"kind": "isotonic", "x": [0, 1], "y": [1, 0]}),
        ("promise", {"threshold": 0.1}),
    ],
)
def test_values_out_of_range_are_refused(stub_model, tmp_path, part, value):
    with zipfile.ZipFile(stub_model) as archive:
        told = json.loads(archive.read("model.json"))
    told[part] = value
    with pytest.raises(PackageError):
        load_package(_rewrite(stub_model, tmp_path / "bad.karyo", {"model.json": json.dumps(told).encode()}))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"\x80\x04pickle"])
def test_other_files_are_refused_by_name(tmp_path, content):
    (tmp_path / "other.karyo").write_bytes(content)
    with pytest.raises(PackageError, match=r"other\.karyo.*damaged or none"):
        load_package(tmp_path / "other.karyo")


def test_absent_files_and_folders_are_refused_without_their_path(tmp_path):
    for path in (tmp_path / "absent.karyo", tmp_path):
        with pytest.raises(PackageError) as caught:
            load_package(path)
        assert str(tmp_path.parent) not in str(caught.value)


def test_recipes_name_what_is_wrong():
    with pytest.raises(ValueError, match="usable passes"):
        Recipe("network", passes=0)
    assert Recipe("reading", passes=0).passes == 0


def test_calibrations_keep_what_they_were_fitted_to():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    p = np.clip(0.5 + 0.49 * np.tanh(3 * (y - 0.5) + rng.normal(0, 2, 300)), 0.001, 0.999)
    grid = np.linspace(0.01, 0.99, 50)
    sharp = Calibration.fit("temperature", p, y)
    assert sharp.temperature > 1  # the tanh made it too sure
    np.testing.assert_allclose(sharp.transform(np.array([0.5])), 0.5)
    for kind in ("temperature", "isotonic"):
        out = Calibration.fit(kind, p, y).transform(grid)
        assert (np.diff(out) >= 0).all()
        assert 0 < out[0] < out[-1] < 1
    assert (Calibration.fit("none", p, y).transform(grid) == grid).all()


def test_mutated_packages_are_refused_or_mean_the_same(tmp_path):
    """Flipped, cut, doubled and moved bytes: an error that says so, or the unaltered content."""
    source = tmp_path / "source.karyo"
    digest = save_package(make_package(reference=True), source)
    original = source.read_bytes()
    rng = np.random.default_rng(1)
    found, began = [], time.perf_counter()
    for i in range(FUZZ):
        data = bytearray(original)
        how = i % 5
        at = int(rng.integers(0, len(data)))
        if how == 0:
            for k in rng.integers(0, len(data), int(rng.integers(1, 6))):
                data[k] ^= int(rng.integers(1, 256))
        elif how == 1:
            data = data[:at]
        elif how == 2:
            data[at:at] = rng.integers(0, 256, int(rng.integers(1, 200)), dtype=np.uint8).tobytes()
        elif how == 3:
            end = min(len(data), at + int(rng.integers(1, 100)))
            data[at:end] = bytes(end - at)
        else:  # the directory at the end, which says where and how large everything is
            k = len(data) - 1 - int(rng.integers(0, min(len(data), 600)))
            data[k] ^= int(rng.integers(1, 256))
        path = tmp_path / "mutated.karyo"
        path.write_bytes(bytes(data))
        try:
            found.append(load_package(path).digest)
        except PackageError as error:
            found.append(error)
    refused = [error for error in found if isinstance(error, PackageError)]
    assert len(refused) > FUZZ / 2
    assert not any(str(tmp_path) in str(error) for error in refused)
    assert {d for d in found if isinstance(d, str)} <= {digest}
    assert time.perf_counter() - began < FUZZ * 0.1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mutated.karyo", "source.karyo"]
