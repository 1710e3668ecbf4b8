"""TorchScript networks: scripted, traced and frozen; they are not modified, and their files access no other file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import MethodError, ModelError
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD

from .opaque import SIZE, network, photo

METHODS = ("gradient", "input_x_gradient", "integrated_gradients", "rise(n=60)", "smooth_grad(n=4)")
SETTINGS: dict[str, Any] = {"size": SIZE, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}


@pytest.fixture(autouse=True)
def _deprecated() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def scripted(kind: str) -> Any:
    net = network()
    script = torch.jit.script(net) if kind != "traced" else torch.jit.trace(net, torch.zeros(1, 3, SIZE, SIZE))
    return torch.jit.freeze(script) if kind == "frozen" else script


@pytest.mark.parametrize("kind", ["frozen", "scripted", "traced"])
@pytest.mark.parametrize("method", METHODS)
def test_maps_are_those_of_the_network(kind: str, method: str) -> None:
    found = cl.explain(cl.wrap(scripted(kind), size=SIZE), photo(), method=method)
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method=method)
    assert (found.raw - known.raw).abs().max() <= 1e-4 * known.raw.abs().max()


@pytest.mark.parametrize("suffix", [".pt", ".torchscript"])
def test_files_are_recognised_by_their_content(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{suffix}"
    torch.jit.save(scripted("scripted"), path)
    model = cl.load(path, **SETTINGS)
    known = cl.explain(cl.wrap(network(), size=SIZE), photo(), method="gradient")
    found = cl.explain(model, photo(), method="gradient")
    assert (found.raw - known.raw).abs().max() <= 1e-4 * known.raw.abs().max()
    assert cl.load(path, **SETTINGS).weights_hash == model.weights_hash
    with pytest.raises(ModelError, match=r"TorchScript archive .*Without arch= \(--arch\), it is explained as it is"):
        cl.load(path, arch="small")


def test_layer_methods_say_what_they_need() -> None:
    with pytest.raises(
        MethodError, match="the model is a TorchScript network, which has no layers that can be accessed"
    ) as e:
        cl.explain(cl.wrap(scripted("scripted"), size=SIZE), photo(), method="grad_cam")
    assert "integrated_gradients" in str(e.value)
    assert "and no gradient" not in str(e.value)


def test_the_network_is_not_modified() -> None:
    script = scripted("scripted")
    before = {name: value.clone() for name, value in script.state_dict().items()}
    cl.explain(cl.wrap(script, size=SIZE), photo(), method="gradient")
    assert all(torch.equal(value, before[name]) for name, value in script.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in script.parameters())
    script.train()
    with pytest.raises(ModelError, match="the TorchScript network is in train mode"):
        cl.explain(cl.wrap(script, size=SIZE), photo(), method="gradient")
    assert script.training


def test_the_identity_follows_weights_and_constants() -> None:
    script = scripted("scripted")
    model = cl.wrap(script, size=SIZE)
    first = model.weights_hash
    with torch.no_grad():
        next(script.parameters()).add_(1)
    assert model.weights_hash != first
    other = network()
    with torch.no_grad():
        other[4].bias.add_(1)
    frozen = torch.jit.freeze(torch.jit.script(other))
    assert not list(frozen.parameters())
    assert cl.wrap(frozen, size=SIZE).weights_hash != cl.wrap(scripted("frozen"), size=SIZE).weights_hash


class Writes(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        torch.save(images, "written-by-torchscript.bin")
        return images.mean((2, 3))


def test_files_whose_code_accesses_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch, "save", torch.serialization.save)  # ultralytics replaces it, once it is imported
    torch.jit.save(torch.jit.script(Writes()), tmp_path / "net.pt")
    with pytest.raises(ModelError, match=r"net.pt was not loaded: its code names 'save', an operator of TorchScript"):
        cl.load(tmp_path / "net.pt")
    assert not (tmp_path / "written-by-torchscript.bin").exists()


def test_damaged_archives_are_described(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/code/x.py", "not code")
    with pytest.raises(ModelError, match=r"net.pt is a TorchScript archive that PyTorch .* cannot load"):
        cl.load(tmp_path / "net.pt")
