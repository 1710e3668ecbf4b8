"""Every valid checkpoint loads; every other file is described, and no code is run."""

from __future__ import annotations

import json
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close
from torchvision import models as zoo

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models.toybox_networks import ToyResNet
from camlucida.models.toybox_weights import load_network

TOYBOX = "toybox:resnet"
IMAGENET = "squeezenet1_1"
"""The smallest of torchvision's with 1000 classes and, as a trap, a convolution for a head."""

INPUT = torch.linspace(-2, 2, 3 * 96 * 96).reshape(1, 3, 96, 96)


def trained() -> nn.Module:
    return load_network("resnet")[0]


def same(loaded: cl.Model, network: nn.Module) -> None:
    with torch.no_grad():
        assert_close(loaded.network(INPUT), network.eval()(INPUT), rtol=0, atol=0)
    assert not loaded.network.training


def shaken(network: nn.Module, seed: int = 3) -> nn.Module:
    """With other numbers everywhere, so that what is loaded can be told from what was there."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand(tensor.shape, generator=generator))
    return network


WRAPPED = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "arch": "resnet"},
    "model_state_dict": lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}},
    "model": lambda state: {"model": state},
    "data parallel": lambda state: {f"module.{k}": v for k, v in state.items()},
    "compiled": lambda state: {f"_orig_mod.{k}": v for k, v in state.items()},
    "lightning": lambda state: {"state_dict": {f"model.{k}": v for k, v in state.items()}, "hyper_parameters": {}},
    "both": lambda state: {"state_dict": {f"module.model.{k}": v for k, v in state.items()}},
    "no counters": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    "half": lambda state: {k: v.half() if v.is_floating_point() and v.ndim == 4 else v for k, v in state.items()},
}


@pytest.mark.parametrize("form", WRAPPED)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
def test_what_training_scripts_write_loads(form: str, suffix: str) -> None:
    network = shaken(trained())
    torch.save(WRAPPED[form](network.state_dict()), f"run{suffix}")
    loaded = cl.load(f"run{suffix}", arch=TOYBOX)
    if form != "half":
        same(loaded, network)
    assert loaded.spec == f"run{suffix}"
    assert loaded.labels[:2] == ("cat", "dog")


def test_the_architecture_may_come_from_anywhere() -> None:
    network = shaken(ToyResNet(classes=4))
    torch.save(network.state_dict(), "run.pth")
    Path("mine.py").write_text(
        "from camlucida.models.toybox_networks import ToyResNet\n\ndef net():\n    return ToyResNet(classes=4)\n"
    )
    same(cl.load("run.pth", arch="python:mine.py:net"), network)
    same(cl.load(Path("run.pth"), arch=TOYBOX), network)


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_newer_pickle_protocol_is_refused_in_words(protocol: int) -> None:
    """torch reads only protocol 2 without running code."""
    torch.save(trained().state_dict(), "run.pth", pickle_protocol=protocol)
    with pytest.raises(ModelError, match=r"run\.pth is pickled in a way that cannot be read safely, .*torch\.save\("):
        cl.load("run.pth", arch=TOYBOX)


# --- safetensors


def test_safetensors_without_a_word_need_the_architecture() -> None:
    network = shaken(trained())
    save_file(network.state_dict(), "run.safetensors")
    same(cl.load("run.safetensors", arch=TOYBOX), network)
    with pytest.raises(ModelError, match=r"run.safetensors contains only weights\. Name its architecture: --arch"):
        cl.load("run.safetensors")


def test_safetensors_say_what_they_are() -> None:
    network = shaken(zoo.squeezenet1_1(num_classes=3))
    notes = {"architecture": f"torchvision.models.{IMAGENET}", "mean": "0.1,0.2,0.3", "std": "[0.4, 0.5, 0.6]"}
    notes |= {"resize": "100", "crop": "80", "classes": json.dumps(["ant", "bee", "cow"])}
    save_file(network.state_dict(), "run.safetensors", metadata=notes)
    loaded = cl.load("run.safetensors")
    same(loaded, network)
    how = loaded.preprocessing
    assert (how.size, how.resize, how.mean, how.std) == ((80, 80), 100, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert loaded.labels == ("ant", "bee", "cow")


@pytest.mark.parametrize(
    ("notes", "sentence"),
    [
        ({"mean": "red"}, "could not convert string to float: 'red'"),
        ({"input_size": "big"}, "invalid literal"),
        ({"classes": "[1, 2"}, "starts like a JSON list"),
        ({"mean": "0.5,0.5", "std": "0.5,0.5"}, "1 or 3"),
    ],
)
def test_invalid_metadata_is_reported(notes: dict[str, str], sentence: str) -> None:
    save_file(trained().state_dict(), "run.safetensors", metadata=notes)
    with pytest.raises(ModelError, match=sentence.replace("[", r"\[")):
        cl.load("run.safetensors", arch=TOYBOX)


def test_an_architecture_in_prose_is_no_architecture() -> None:
    save_file(trained().state_dict(), "run.safetensors", metadata={"architecture": "ResNet-20 (He et al.)"})
    with pytest.raises(ModelError, match="--arch"):
        cl.load("run.safetensors")


# --- the number of classes


@pytest.mark.parametrize("arch", ["squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x0_5", "mnasnet0_5"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_head_gets_as_many_classes_as_the_file(arch: str, suffix: str) -> None:
    network = shaken(zoo.get_model(arch, num_classes=7))
    torch.save(network.state_dict(), "run.pth")
    save_file(network.state_dict(), "run.safetensors")
    loaded = cl.load(f"run{suffix}", arch=arch)
    same(loaded, network)
    assert loaded.labels == ()  # seven of something, but not the first seven of ImageNet


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_thousand_classes_keep_imagenets_names(suffix: str) -> None:
    """Also where the file, sorted by name, does not end with the head."""
    network = zoo.squeezenet1_1()
    torch.save(network.state_dict(), "run.pth")
    save_file(network.state_dict(), "run.safetensors")
    loaded = cl.load(f"run{suffix}", arch=IMAGENET)
    assert loaded.labels[281] == "tabby"
    assert len(loaded.labels) == 1000


def test_an_inception_has_two_heads() -> None:
    network = zoo.googlenet(num_classes=5, init_weights=False)
    torch.save(network.state_dict(), "run.pth")
    loaded = cl.load("run.pth", arch="googlenet")
    assert loaded.network.fc.out_features == loaded.network.aux1.fc2.out_features == 5  # type: ignore[union-attr]


def test_labels_given_by_hand_count() -> None:
    torch.save(ToyResNet(classes=2).state_dict(), "run.pth")
    Path("names.txt").write_text("first\n\n  second \n")
    assert cl.load("run.pth", arch=TOYBOX, labels="names.txt").labels == ("first", "second")


# --- what does not fit


def test_another_architecture_is_one_sentence() -> None:
    torch.save(zoo.squeezenet1_1(num_classes=10).state_dict(), "run.pth")
    with pytest.raises(ModelError) as caught:
        cl.load("run.pth", arch=TOYBOX)
    message = str(caught.value)
    assert message.startswith("run.pth does not fit ToyResNet: it lacks conv1.weight (and ")
    assert "has features.0.weight (and " in message
    assert "\n" not in message
    assert len(message) < 300


def test_another_width_is_one_sentence() -> None:
    torch.save(ToyResNet(widths=(8, 16, 24, 32)).state_dict(), "run.pth")
    with pytest.raises(ModelError, match=r"conv1.weight is \(8, 3, 4, 4\) in the file and \(24, 3, 4, 4\) in the net"):
        cl.load("run.pth", arch=TOYBOX)


def test_missing_and_extra_weights_are_named() -> None:
    state = OrderedDict(trained().state_dict())
    del state["fc.bias"]
    torch.save(state, "less.pth")
    with pytest.raises(ModelError, match=r"it lacks fc.bias\. Check the architecture"):
        cl.load("less.pth", arch=TOYBOX)
    torch.save({**trained().state_dict(), "ema.decay": torch.zeros(1)}, "more.pth")
    with pytest.raises(ModelError, match=r"it has ema.decay, which the network does not"):
        cl.load("more.pth", arch=TOYBOX)


# --- what is no checkpoint


class Runs:
    """Unpickled, it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["torch.save", "inside a state dict", "plain pickle", "old torch.save"])
@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin", ""])
def test_nothing_in_a_file_is_run(form: str, suffix: str, tmp_path: Path) -> None:
    proof, path = tmp_path / "it-ran", tmp_path / f"evil{suffix}"
    evil = Runs(proof)
    if form == "plain pickle":
        path.write_bytes(pickle.dumps({"state_dict": evil}))
    elif form == "inside a state dict":
        torch.save({**trained().state_dict(), "x": evil}, path)
    else:
        torch.save({"state_dict": evil}, path, _use_new_zipfile_serialization=form == "torch.save")
    with pytest.raises(
        ModelError,
        match=r"evil\S* (would run code when it is opened|is pickled in a way .* safely), so it was not opened",
    ):
        cl.load(str(path), arch=TOYBOX)
    assert not proof.exists()
    torch.load(path, weights_only=False) if form != "plain pickle" else pickle.loads(path.read_bytes())
    assert proof.exists(), "the file was harmless, so this test says nothing"


def test_a_whole_pickled_network_is_not_opened() -> None:
    torch.save(trained(), "run.pth")
    with pytest.raises(ModelError, match=r"would run code .* torch.save\(network.state_dict\(\)"):
        cl.load("run.pth", arch=TOYBOX)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "it is empty"),
        (b"weights: none yet\n" * 9, "it is text that begins with 'weights: none yet weights: non'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "it is a Git LFS pointer"),
        (b"<!doctype html><html><head>404</head></html>", "it is a web page (HTML), perhaps an error"),
        (b"\xff\xd7\xff\xe0" * 99, "it is truncated or damaged"),
    ],
)
def test_other_files_say_what_they_are(suffix: str, content: bytes, sentence: str) -> None:
    Path(f"run{suffix}").write_bytes(content)
    with pytest.raises(ModelError, match=re.escape(f"run{suffix} is not a readable checkpoint: {sentence}")):
        cl.load(f"run{suffix}", arch=TOYBOX)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.001, 0.3, 0.99])
def test_half_a_file_is_told(suffix: str, share: float) -> None:
    torch.save(trained().state_dict(), "run.pth")
    save_file(trained().state_dict(), "run.safetensors")
    path = Path(f"run{suffix}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match=f"run{suffix} is not a readable checkpoint: it is truncated or damaged"):
        cl.load(str(path), arch=TOYBOX)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [([1, 2], "a list"), ({"epoch": 3}, "epoch"), ({}, "nothing"), (torch.zeros(2), "a Tensor")],
)
def test_files_without_weights_say_what_is_in_them(content: Any, sentence: str) -> None:
    torch.save(content, "run.pth")
    with pytest.raises(ModelError, match=f"run.pth contains no weights by name. Found: {sentence}"):
        cl.load("run.pth", arch=TOYBOX)
