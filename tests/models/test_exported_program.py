"""Exported programs: maps equal those of the network, and a file that would run code is not loaded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import camlucida as cl
from camlucida.errors import MethodError, ModelError
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

from .opaque import SIZE, network, photo

METHODS = ("gradient", "occlusion", "rise(n=60)", "smooth_grad(n=4)")
SETTINGS: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}


def program(batch: int | None = None, *, train: bool = False) -> Any:
    net = network()
    if train:
        net = torch.nn.Sequential(net, torch.nn.Dropout()).train()
    shapes = ({0: torch.export.Dim("batch", min=1, max=64)},) if batch is None else None
    return torch.export.export(net, (torch.zeros(batch or 2, 3, SIZE, SIZE),), dynamic_shapes=shapes)


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_maps_are_those_of_the_network(batch: int | None) -> None:
    model, known = cl.wrap(program(batch)), cl.wrap(network(), size=SIZE)
    assert model.preprocessing.size == (SIZE, SIZE)
    for method in METHODS:
        found, expected = cl.explain(model, photo(), method=method).raw, cl.explain(known, photo(), method=method).raw
        assert (found - expected).abs().max() <= 1e-4 * expected.abs().max(), method


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "net.pt2"
    torch.export.save(program(), path)
    return path


def test_a_file_is_loaded(saved: Path) -> None:
    model = cl.load(saved, **SETTINGS)
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method="gradient").raw
    assert (cl.explain(model, photo(), method="gradient").raw - known).abs().max() <= 1e-4 * known.abs().max()
    assert cl.load(saved, **SETTINGS).weights_hash == model.weights_hash
    with pytest.raises(MethodError, match="the model is an exported program, which has no layers that can be accessed"):
        cl.explain(model, photo(), method="grad_cam")


def changed(source: Path, target: Path, change: Callable[[str, bytes], bytes]) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry, change(entry.filename, old.read(entry)))
    return target


def _in_model(edit: Callable[[Any], None]) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return content
        model = json.loads(content)
        edit(model)
        return json.dumps(model).encode()

    return change


def _call(model: Any) -> None:
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def _guard(model: Any) -> None:
    model["guards_code"] = ["__import__('os').mkdir('made')"]


def _symbolic_size(model: Any) -> Any:
    tensors = model["graph_module"]["graph"]["tensor_values"].values()
    return next(size for tensor in tensors for size in tensor["sizes"] if "as_expr" in size)


def _expression(model: Any) -> None:
    size = _symbolic_size(model)
    size["as_expr"]["expr_str"] = "__import__('os').mkdir('made')"


def _call_in_expression(model: Any) -> None:
    size = _symbolic_size(model)
    size["as_expr"]["expr_str"] = "exec(s0)"


def _pickled(name: str, content: bytes) -> bytes:
    return content.replace(b'"use_pickle": false', b'"use_pickle": true') if name.endswith("config.json") else content


CHANGES = {
    "call": (_in_model(_call), "names the function 'torch.os.system'"),
    "guard": (_in_model(_guard), "contains conditions in Python"),
    "expression": (_in_model(_expression), r"contains the expression \"__import__"),
    "call in an expression": (_in_model(_call_in_expression), r"contains the expression 'exec\(s0\)'"),
    "pickle": (_pickled, "pickles objects"),
}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_files_that_would_run_code_are_refused(
    name: str, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    change, sentence = CHANGES[name]
    with pytest.raises(ModelError, match=f"bad.pt2 was not loaded: it {sentence}"):
        cl.load(changed(saved, tmp_path / "bad.pt2", change))
    assert not (tmp_path / "made").exists()


def test_programs_in_train_mode_are_refused() -> None:
    with pytest.raises(ModelError, match="was exported in train mode"):
        cl.wrap(program(train=True))


def test_damaged_files_are_described(tmp_path: Path) -> None:
    (tmp_path / "net.pt2").write_bytes(b"PK\x03\x04")
    with pytest.raises(ModelError, match=r"net.pt2 is no exported program that PyTorch"):
        cl.load(tmp_path / "net.pt2")
