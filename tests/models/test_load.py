"""Every specification of a model loads, and every typing error leads to a helpful message."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import MissingExtra, ModelError
from camlucida.models.toybox_weights import CLASSIFIERS, load_network


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(textwrap.dedent(text))


# --- toybox


@pytest.mark.parametrize("spec", ["toybox", "toybox:", *(f"toybox:{name}" for name in CLASSIFIERS)])
def test_the_built_in_networks(spec: str) -> None:
    model = cl.load(spec)
    network, notes = load_network(spec.partition(":")[2] or "resnet")
    assert_close(model.network.state_dict(), network.state_dict(), rtol=0, atol=0)
    assert model.labels == toybox.CLASSES
    assert model.preprocessing.size == (96, 96)
    assert list(model.preprocessing.mean) == json.loads(notes["mean"])
    assert list(model.preprocessing.std) == json.loads(notes["std"])
    assert model.spec == model.name == spec
    assert not model.network.training


def test_loading_twice_gives_two_networks() -> None:
    assert cl.load("toybox").network is not cl.load("toybox").network


@pytest.mark.parametrize("spec", ["toybox", "toybox:vit", "resnet18", "torchvision:alexnet", "squeezenet1_1"])
def test_without_pretraining_nothing_is_fetched(spec: str) -> None:
    model = cl.load(spec, pretrained=False)
    assert not model.network.training
    assert len(model.labels) in (10, 1000)
    trained = load_network("vit" if spec.endswith("vit") else "resnet")[0].state_dict()
    assert not any(
        torch.equal(p, trained[k]) for k, p in model.network.named_parameters() if k in trained and p.ndim == 4
    )


def test_hash_says_which_weights() -> None:
    one, other = cl.load("toybox"), cl.load("toybox")
    assert one.weights_hash == other.weights_hash
    assert len(one.weights_hash) == 16
    with torch.no_grad():
        next(other.network.parameters())[0] += 1e-3
    again = cl.wrap(other.network)
    assert again.weights_hash != one.weights_hash


# --- python:


FACTORIES = """
    import torch
    from torch import nn
    import camlucida as cl

    def net():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))

    def wrapped():
        return cl.wrap(net(), size=32, labels=["yes", "no"], name="mine")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = net()

        def forward(self, x):
            return self.body(x)

    READY = net()
    NUMBER = 3

    def wrong():
        return {"weights": 1}

    def broken():
        raise ZeroDivisionError("no")

    def needs(a):
        return a
"""


@pytest.mark.parametrize("where", ["package.nets", "package/nets.py"])
@pytest.mark.parametrize("name", ["net", "Net", "READY", "wrapped"])
def test_a_users_own_function(where: str, name: str) -> None:
    write("package/__init__.py", "")
    write("package/nets.py", FACTORIES)
    try:
        model = cl.load(f"python:{where}:{name}")
    finally:
        for module in [m for m in sys.modules if m.partition(".")[0] == "package"]:
            del sys.modules[module]
    assert model.network(torch.zeros(1, 3, 32, 32)).shape == (1, 2)
    assert model.spec == f"python:{where}:{name}"
    if name == "wrapped":
        assert model.labels == ("yes", "no")
        assert model.preprocessing.size == (32, 32)
    assert str(Path.cwd()) not in sys.path


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("python:nets.py:wrong", r"nets.py:wrong returned dict: wrap needs a torch.nn.Module, not dict\."),
        ("python:nets.py:NUMBER", "nets.py:NUMBER returned int: wrap needs a torch.nn.Module"),
        ("python:nets.py:broken", r"nets.py:broken\(\) raised ZeroDivisionError: no\."),
        ("python:nets.py:needs", r"nets.py:needs\(\) raised TypeError: .*missing 1 required"),
        ("python:nets.py:nett", r"nets.py has no 'nett'\. Did you mean 'net'"),
        ("python:nest.py:net", r"the file nest.py does not exist"),
        ("python:no_such_package.nets:net", "cannot import no_such_package.nets: .* Searched in"),
        ("python:bad.py:net", "importing bad.py raised SyntaxError"),
        ("python:imports.py:net", "cannot import imports.py: No module named 'not_installed'"),
        ("python:nets.py", "python:nets.py needs a module and a function: python:package.module:factory"),
        ("python:", "needs a module and a function"),
    ],
)
def test_what_can_be_wrong_with_it(spec: str, sentence: str) -> None:
    write("nets.py", FACTORIES)
    write("bad.py", "def net(:\n")
    write("imports.py", "import not_installed\n")
    with pytest.raises(ModelError, match=sentence):
        cl.load(spec)
    assert str(Path.cwd()) not in sys.path


def test_a_factory_of_a_function_that_scores_images() -> None:
    write("scores.py", "def make():\n    return lambda images: images.mean((2, 3))\n")
    model = cl.load("python:scores.py:make", mean=(0, 0, 0), std=(1, 1, 1))
    assert model.network(torch.ones(2, 3, 8, 8)).tolist() == [[1.0] * 3] * 2
    assert cl.explain(model, Image.new("RGB", (40, 30), "red")).method == "occlusion"


# --- timm


def test_timm_from_a_folder(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    from timm.models import save_for_hf

    names = ["ant", "bee", "cow"]
    network = timm.create_model("test_resnet", num_classes=3).eval()
    save_for_hf(network, tmp_path / "saved", model_config={"label_names": names})
    model = cl.load(f"timm:local-dir:{tmp_path}/saved")
    x = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert_close(model.network(x), network(x), rtol=0, atol=0)
    assert model.labels == tuple(names)
    assert model.preprocessing.size == (160, 160)
    with pytest.raises(
        ModelError, match=rf"'saved' is a folder. If timm saved it, use timm:local-dir:{tmp_path}/saved\."
    ):
        cl.load("saved")
    described = {"label_names": names, "label_descriptions": {"bee": "a bee"}}
    save_for_hf(network, tmp_path / "described", model_config=described)
    assert cl.load(f"timm:local-dir:{tmp_path}/described").labels == ("ant", "a bee", "cow")


def test_timm_names_without_weights() -> None:
    pytest.importorskip("timm")
    model = cl.load("timm:test_resnet", pretrained=False)
    assert len(model.labels) == model.network.num_classes == 1000
    assert not model.network.training


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("timm:resnet18.a1_in1k", r"^timm:resnet18.a1_in1k needs its pretrained weights \(timm/resnet18.a1_in1k\), "
         r"which are not on this machine, and huggingface.co cannot be reached\. .*--arch timm:.*local-dir:/path"),
        ("timm:hf-hub:someone/something", r"\(someone/something\), which are not on this machine"),
        ("timm:hf-hub:someone/something@v2", r"\(someone/something\), which are not on this machine"),
        ("timm:resnt18", r"timm has no model 'resnt18'. Did you mean 'resnet18'"),
        ("timm:resnet18.a1_in2k", r"no pretrained weights 'resnet18.a1_in2k'. Did you mean 'a1_in1k'.* Known: a1_in1k"),
        ("timm:test_resnet.no", r"no pretrained weights"),
        ("timm:hf-hub:no/such/name", r"'no/such/name' is not a name on huggingface.co, which has the form owner/name"),
        ("timm:local-dir:/no/where", r"timm:local-dir:/no/where cannot be loaded: .*/no/where"),
        ("timm:", r"timm has no model ''"),
    ],
)  # fmt: skip
def test_timm_slips_and_offline_are_one_sentence_at_once(spec: str, sentence: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ModelError, match=sentence) as caught:
        cl.load(spec)  # the hub itself would retry for 25 s; the fixture fails the test if a socket was opened
    assert "\n" not in str(caught.value)


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra, match=r"timm:resnet18 needs the package timm. .*pip install 'camlucida\[timm\]'"):
        cl.load("timm:resnet18")


# --- slips


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        (
            "resnet5",
            r"^unknown model 'resnet5'\. Did you mean 'resnet50' or 'resnet152' or 'resnet34'\? `camlucida models`",
        ),
        ("RESNET5", r"^unknown model 'RESNET5'"),
        ("toybx", r"Did you mean 'toybox'\?"),
        (
            "toybox:vg",
            r"Unknown built-in network 'vg'. Did you mean 'vgg'\? Known: resnet, vgg, vit, cleverhans, permuted, segm",
        ),
        ("toybox:detectr", r"Did you mean 'detector'\? .* captioner\."),
        ("torchvison:resnet18", r"unknown source of models 'torchvison'. Did you mean 'torchvision'\? Known: "),
        (
            "torchvision:resnt18",
            r"torchvision has no classifier, detector or segmentation network 'resnt18'. Did you mean 'resnet18'",
        ),
        ("torchvision:fcn_resnet51", r"torchvision has no classifier, detector or segmentation network 'fcn_resnet51'"),
        ("resnet18@V9", r"resnet18 has no weights 'V9'; torchvision has IMAGENET1K_V1\."),
        ("run.pth", r"the file 'run.pth' does not exist in /"),
        ("runs/best", r"the file 'runs/best' does not exist in"),
        ("some", r"'some' is a folder. Pass the checkpoint file in it\."),
        ("./some", r"'./some' is a folder. Pass the checkpoint file in it\."),
        ("", r"unknown model ''\."),
        ("~nobody/run.pth", r"the file '~nobody/run.pth' does not exist"),
        ("zero\0byte", r"unknown model 'zero\\x00byte'"),
        ("x" * 5000, r"^unknown model 'x{200}'"),
        ("convnext_tiny.fb_in22k", r"Did you mean 'timm:convnext_tiny.fb_in22k'\?"),
    ],
)
def test_slips_get_the_nearest_name(spec: str, sentence: str) -> None:
    if "timm" in sentence:
        pytest.importorskip("timm")
    Path("some").mkdir()
    with pytest.raises(ModelError, match=sentence) as caught:
        cl.load(spec)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("spec", [3, None, nn.Identity(), ["resnet18"]])
def test_what_is_no_name(spec: Any) -> None:
    with pytest.raises(ModelError, match=rf"load needs a name or a file, not {type(spec).__name__}\."):
        cl.load(spec)


def test_an_architecture_belongs_to_a_file() -> None:
    with pytest.raises(ModelError, match=r"--arch resnet18 is only for checkpoint files, and 'resnet50' is not one"):
        cl.load("resnet50", arch="resnet18")
    torch.save(cl.load("toybox").network.state_dict(), "run.pth")
    with pytest.raises(ModelError, match=r"unknown model 'toybx'. Did you mean 'toybox'"):
        cl.load("run.pth", arch="toybx")


# --- labels and numbers on top


def test_labels_from_a_file_a_list_or_json() -> None:
    write("names.txt", "one\n  two  \n\nthree\n")
    Path("bom.txt").write_bytes("\ufeffone\r\ntwo\r\nthree".encode())
    write("names.json", '["one", "two", "three"]')
    for labels in ("names.txt", Path("names.txt"), "bom.txt", "names.json", ["one", "two", "three"]):
        assert cl.load("toybox", labels=labels).labels == ("one", "two", "three")


def test_labels_that_cannot_be_read() -> None:
    write("bad.json", '["one", ')
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    for name, sentence in (("no.txt", "No such file"), ("bad.json", "starts like a JSON list"), ("latin.txt", "utf-8")):
        with pytest.raises(ModelError, match=rf"{name}.*{sentence}"):
            cl.load("toybox", labels=name)


def test_numbers_on_top_of_the_weights_own() -> None:
    how = cl.load("toybox", mean=[0, 0, 0], size=64).preprocessing
    assert how.mean == (0.0, 0.0, 0.0)
    assert how.size == (64, 64)
    assert how.std == cl.load("toybox").preprocessing.std


def test_a_file_named_like_a_model_is_a_file() -> None:
    write("resnet18", "just text")
    with pytest.raises(ModelError, match="resnet18 is not a readable checkpoint: it is text"):
        cl.load("resnet18", arch="toybox")
    assert os.path.exists("resnet18")
