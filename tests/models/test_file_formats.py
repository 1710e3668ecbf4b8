"""Files that are not state dicts are named with a remedy; malicious ones cost neither memory nor time."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import camlucida as cl
from camlucida.errors import CamlucidaError, ModelError
from camlucida.models import fit_weights
from camlucida.models.heads import replace_head
from camlucida.models.small_cnn import SmallCNN
from camlucida.models.trained_run import ModelCard, write_weights


def tiny() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()


def torchscript(path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(tiny(), torch.zeros(1, 3, 8, 8)), path)


def exported(path: Path) -> None:
    """The names of the files in an archive that torch.export.save wrote; see the slow test for a real one."""
    zipped(path, ["ex/models/model.json", "ex/archive_format", "ex/archive_version", "ex/data/weights/weight_0"])


def zipped(path: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"0")


def compressed(open_file: Callable[..., Any]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with open_file(path, "wb") as stream:
            torch.save(tiny().state_dict(), stream)

    return write


def tarred(path: Path) -> None:
    torch.save(tiny().state_dict(), "inner.pth")
    with tarfile.open(path, "w") as archive:
        archive.add("inner.pth")


def image(kind: str) -> Callable[[Path], None]:
    return lambda path: Image.new("RGB", (9, 9)).save(path, kind)


def arrays(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, a=np.zeros(2))


def array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(2))


def onnx(path: Path) -> None:
    """The beginning of what torch.onnx.export writes: the version, then the producer."""
    path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.4.0:\x80\x10" + bytes(200))


def content(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


INDEX = json.dumps({"metadata": {"total_size": 1}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}).encode()
FOREIGN: Mapping[str, tuple[Callable[[Path], None], str]] = {
    "torchscript": (torchscript, r"a TorchScript archive \(torch\.jit\.save\)\. In the program that wrote it: torch"),
    "torch.export": (exported, r"an exported program \(torch\.export, \.pt2\)\. In the program that wrote it"),
    "keras": (
        lambda p: zipped(p, ["metadata.json", "config.json", "model.weights.h5"]),
        r"a Keras model .* Convert it",
    ),
    "keras without weights": (lambda p: zipped(p, ["metadata.json", "config.json"]), r"a Keras model .* Convert it"),
    "torchscript for mobiles": (lambda p: zipped(p, ["m/bytecode.pkl", "m/data.pkl"]), r"a TorchScript archive"),
    "torchscript without constants": (
        lambda p: zipped(p, ["m/data.pkl", "m/code/n.py"]),
        r".*torch\.jit\.load\(file\)",
    ),
    "hdf5": (content(b"\x89HDF\r\n\x1a\n" + bytes(99)), r"an HDF5 file, as Keras writes \(\.h5\)\. Convert it"),
    "tflite": (content(b"\x1c\0\0\0TFL3" + bytes(99)), r"a TensorFlow Lite model\. Convert it"),
    "onnx": (onnx, r"an ONNX model\. Pass the checkpoint that it was exported from"),
    "gguf": (content(b"GGUF\x03\0\0\0" + bytes(99)), r"a GGUF file"),
    "npz": (arrays, r"NumPy arrays \(\.npz\)\. Convert them to tensors"),
    "npy": (array, r"a NumPy array"),
    "lfs": (
        content(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        r"a Git LFS pointer\. .*git lfs pull",
    ),
    "html": (
        content(b"\n<!DOCTYPE html><html>404"),
        r"a web page \(HTML\), perhaps an error message\. Download it again",
    ),
    "html in lower case": (content(b"<html><body>denied"), r"a web page"),
    "index": (content(INDEX), r"the index of a checkpoint in several files \(shards\)\. Join them"),
    "zip": (lambda p: zipped(p, ["weights.pth"]), r"a zip archive\. Unpack it"),
    "tar": (tarred, r"a tar archive\. Unpack it"),
    "gzip": (compressed(gzip.open), r"compressed with gzip\. Unpack it"),
    "xz": (compressed(lzma.open), r"compressed with xz\. Unpack it"),
    "bzip2": (compressed(bz2.open), r"compressed with bzip2\. Unpack it"),
    "png": (image("PNG"), r"an image \(PNG\)"),
    "jpeg": (image("JPEG"), r"an image \(JPEG\)"),
    "pdf": (content(b"%PDF-1.7\n"), r"a PDF document"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".tar", ""])
def test_foreign_formats_are_named(kind: str, suffix: str) -> None:
    write, sentence = FOREIGN[kind]
    write(Path(f"file{suffix}"))
    with pytest.raises(ModelError, match=rf"file{suffix} is not a readable checkpoint: it is {sentence}"):
        cl.load(f"file{suffix}", arch="small")


@pytest.mark.slow
def test_a_real_exported_program() -> None:
    with warnings.catch_warnings(action="ignore"):
        torch.export.save(torch.export.export(tiny(), (torch.zeros(1, 3, 8, 8),)), "file.pt2")
    with pytest.raises(ModelError, match=r"an exported program \(torch\.export"):
        cl.load("file.pt2", arch="small")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("saved_model.pb", "is a TensorFlow SavedModel"), ("model.safetensors.index.json", "several files"),
     ("pytorch_model.bin.index.json", "several files")],
)  # fmt: skip
def test_folders_are_named(name: str, sentence: str) -> None:
    Path("folder").mkdir()
    Path("folder", name).write_bytes(INDEX)
    for spec in ("folder", Path("folder")):
        with pytest.raises(ModelError, match=sentence):
            cl.load(spec)


CONTENTS: Mapping[str, tuple[Callable[[], Any], str]] = {
    "optimizer": (lambda: torch.optim.SGD(tiny().parameters(), 0.1).state_dict(), r"only the state of an optimizer\."),
    "adam": (lambda: adam(), r"only the state of an optimizer\."),
    "torch_ema": (lambda: {"decay": 0.9, "shadow_params": [torch.zeros(2)]}, r"averaged weights without their names"),
    "lora": (lambda: {"base.fc.lora_A.weight": torch.zeros(2, 3), "base.fc.lora_B.weight": torch.zeros(3, 2)},
             r"low-rank adapters \(LoRA\).*merge_and_unload"),
    "integer keys": (lambda: {0: torch.zeros(2), 1: torch.zeros(2)}, r"no weights by name. Found: 0, 1\."),
    "tuples as keys": (lambda: {("a", 1): torch.zeros(2)}, r"no weights by name. Found: \('a', 1\)\."),
    "escape sequences": (lambda: {"\x1b[2J\u202egnp": 1}, r"no weights by name. Found: \\x1b\[2J\\u202egnp\."),
    "names of half a megabyte": (lambda: {"x" * 500_000: 1}, r"no weights by name. Found: x{79}…\."),
}  # fmt: skip


def adam() -> Any:
    network = tiny()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.zeros(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_holds_no_weights_is_named(kind: str) -> None:
    make, sentence = CONTENTS[kind]
    torch.save(make(), "run.pth")
    with pytest.raises(ModelError, match=rf"run\.pth contains {sentence}"):
        cl.load("run.pth", arch="small")


@pytest.mark.parametrize("new", [True, False])
def test_a_whole_network_is_named_with_its_class(new: bool) -> None:
    torch.save({"model": SmallCNN(10)}, "run.pth", _use_new_zipfile_serialization=new)
    with pytest.raises(
        ModelError, match=r"a pickled network \(camlucida\.models\.small_cnn\.SmallCNN\), not its weights"
    ):
        cl.load("run.pth", arch="small")


# --- hostile numbers


def test_a_tensor_that_claims_millions_of_classes() -> None:
    state = SmallCNN(10).state_dict()
    state["classifier.weight"] = torch.zeros(1).expand(50_000_000, 128)
    state["classifier.bias"] = torch.zeros(1).expand(50_000_000)
    torch.save(state, "run.pth")
    assert Path("run.pth").stat().st_size < 2_000_000
    with pytest.raises(ModelError, match=r"classifier\.weight has 25\.6 GB, which are not in the file"):
        cl.load("run.pth", arch="small")


def test_a_tensor_that_claims_more_than_is_stored() -> None:
    """The same for tensors that would fit into memory: 128 MB from a file of a kilobyte."""
    torch.save({"weight": torch.zeros(1).expand(32, 1024, 1024)}, "run.pth")
    with pytest.raises(ModelError, match=r"weight has 0\.1 GB, which are not in the file"):
        cl.load("run.pth", arch="small")


def test_class_limit_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit_weights, "MAX_CLASSES", 12)
    for count in (12, 13):
        torch.save(SmallCNN(count).state_dict(), f"{count}.pth")
    assert cl.load("12.pth", arch="small").network.classifier.out_features == 12  # type: ignore[union-attr]
    with pytest.raises(ModelError, match=r"a last layer for 13 classes cannot be explained: 1 to 12 are supported\."):
        cl.load("13.pth", arch="small")


def test_a_file_with_holes_of_millions_of_classes() -> None:
    """Disks can store zeros without room: 51 GB of half floats that no memory may be taken for."""
    state = SmallCNN(10).state_dict()
    shapes: dict[str, tuple[str, list[int], int]] = {k: ("F32", list(v.shape), 4) for k, v in state.items()}
    shapes["classifier.weight"], shapes["classifier.bias"] = ("F16", [50_000_000, 128], 2), ("F16", [50_000_000], 2)
    header: dict[str, Any] = {}
    offset = 0
    for key, (dtype, shape, width) in shapes.items():
        size = width * int(np.prod(shape, dtype=np.int64))
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    with Path("run.safetensors").open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + offset)
    with pytest.raises(ModelError, match=r"a last layer for 50,000,000 classes cannot be explained"):
        cl.load("run.safetensors", arch="small")


@pytest.mark.parametrize(
    ("notes", "sentence"),
    [
        ({"mean": "nan,0,0"}, "mean must have one finite number per channel"),
        ({"std": "1,inf,1"}, "std must have one finite number per channel"),
        ({"std": "1,0,1"}, "std must be greater than 0"),
        ({"std": "1,-1,1"}, "std must be greater than 0"),
        ({"mean": "1e999,0,0"}, "mean must have one finite number"),
        ({"input_size": "99999999"}, "too large"),
        ({"input_size": "5000"}, r"a side of 5,000 pixels exceeds the limit"),
        ({"input_size": "0"}, "size must be .* 1 or more"),
        ({"input_size": "-3"}, "size must be .* 1 or more"),
        ({"input_size": "9" * 5000}, "cannot be read"),
        ({"crop": "64", "resize": "99999999"}, r"a side of 99,999,999 pixels"),
        ({"crop": "64", "resize": "0"}, "resize must be .* 1 or more"),
        ({"classes": "[" * 100_000}, "starts like a JSON list"),
        ({"classes": "[" + "9" * 5000 + "]"}, "starts like a JSON list"),
        ({"classes": '["a", {"b": "python:os:abort"}]'}, "a class name must be a string, not dict"),
        ({"classes": '["a", null]'}, "a class name must be a string, not NoneType"),
    ],
)
def test_numbers_in_metadata_are_checked(notes: dict[str, str], sentence: str) -> None:
    save_file(SmallCNN(10).state_dict(), "run.safetensors", metadata=notes)
    with pytest.raises(ModelError, match=sentence) as caught:
        cl.load("run.safetensors", arch="small")
    assert len(str(caught.value)) < 600


PREPROCESSING: tuple[dict[str, Any], ...] = (
    {"size": [99999999, 99999999]}, {"size": [5000, 10]}, {"size": [64]}, {"size": "64"}, {"size": [64, None]},
    {"size": [True, 64]}, {"size": [64.5, 64]}, {"mean": [float("nan")] * 3}, {"mean": ["a"] * 3}, {"mean": [0.5]},
    {"std": [0.0] * 3}, {"std": [float("inf")] * 3}, {"resize": -1}, {"resize": "64"}, {"resize": 10**9},
    {"interpolation": "__class__"}, {"interpolation": ["bilinear"]}, {"fit": "python:payload.py:f"}, {"fit": {}},
    {"fill": float("nan")}, {"fill": "x"}, {"unknown": 1},
)  # fmt: skip
FIELDS: tuple[dict[str, Any], ...] = (
    *({"preprocessing": change} for change in PREPROCESSING),
    {"preprocessing": None}, {"preprocessing": []}, {"head": "python:x"}, {"head": []}, {"classes": "abc"},
    {"classes": []}, {"classes": [["a"], {}]}, {"classes": {"a": 1}}, {"classes": None}, {"data": []}, {"training": 3},
    {"results": "x"}, {"versions": None}, {"format": "1"}, {"format": None}, {"format": 99},
)  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    how = cl.load("small", pretrained=False).preprocessing
    ModelCard("small", "linear", ("a", "b", "c"), how).write(folder)
    write_weights(replace_head(SmallCNN(10), 3, "linear", how.size), folder / "model.safetensors")
    return folder


@pytest.fixture
def run(stored: Path) -> Path:
    shutil.copytree(stored, "run")
    assert cl.load("run").labels == ("a", "b", "c")
    return Path("run/model.json")


def test_every_field_of_a_run_is_checked(run: Path) -> None:
    good = json.loads(run.read_text())
    for change in FIELDS:
        part = change.get("preprocessing")
        bad = {**good, **change} if not part else {**good, "preprocessing": {**good["preprocessing"], **part}}
        run.write_text(json.dumps(bad))
        with pytest.raises(ModelError, match=r"model\.json (does not describe a model|was written by a newer)"):
            cl.load("run")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "[" * 100_000, '{"a":' * 100_000, '{"format": ' + "9" * 5000 + "}", "\xff"]
)
def test_a_record_that_is_no_record(run: Path, text: str) -> None:
    run.write_bytes(text.encode("latin-1"))
    with pytest.raises(CamlucidaError, match=r"model\.json does not describe a model"):
        cl.load("run")


WORDS = {"meta": "without content", "truth values": "integers"}


@pytest.mark.parametrize("kind", ["complex", "sparse", "meta", "quantized", "integers", "truth values"])
def test_other_kinds_of_tensors(kind: str) -> None:
    state: dict[str, Any] = dict(SmallCNN(10).state_dict())
    weight = state["classifier.weight"]
    state["classifier.weight"] = {
        "complex": lambda: weight.to(torch.complex64),
        "sparse": lambda: weight.to_sparse(),
        "meta": lambda: weight.to("meta"),
        "quantized": lambda: _quantized(weight),
        "integers": lambda: weight.to(torch.int8),
        "truth values": lambda: weight > 0,
    }[kind]()
    torch.save(state, "run.pth")
    with pytest.raises(ModelError, match=r"classifier\.weight (is|contains) " + WORDS.get(kind, kind)):
        cl.load("run.pth", arch="small")


def _quantized(weight: torch.Tensor) -> torch.Tensor:
    with warnings.catch_warnings(action="ignore"):
        return torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)


def test_damage_at_any_position_is_one_sentence() -> None:
    """Every cut and every flipped byte of a small file: an error of ours, or weights; nothing else."""
    stream = io.BytesIO()
    torch.save({"a": torch.arange(4.0)}, stream)
    save_file({"a": torch.arange(4.0)}, "a.safetensors")
    pickled = pickle.dumps({"a": 1}, protocol=2)
    for whole in (stream.getvalue(), Path("a.safetensors").read_bytes(), pickled):
        step = max(1, len(whole) // 120)
        for position in range(0, len(whole), step):
            for damaged in (
                whole[:position],
                whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :],
            ):
                Path("b.pth").write_bytes(damaged)
                with pytest.raises(ModelError):
                    cl.load("b.pth", arch="small")
