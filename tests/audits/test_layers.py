"""Several methods and layers: every stored map is that of `attribute` at its layer, under the name of `evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import camlucida as cl
from camlucida.audits.store import array_file_name
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import LayerError, MethodError
from camlucida.evaluation import evaluate

N = 3
METHODS = ["gradient", "fuse_mean(grad_cam)", "grad_cam", "hires_cam", "layer_cam @ layer2"]
LAYERS = ["layer3", "layer4"]


@pytest.fixture(scope="module")
def model() -> cl.Model:
    return cl.load("toybox")


@pytest.fixture(scope="module")
def audited(model: cl.Model, tmp_path_factory: pytest.TempPathFactory) -> cl.Audit:
    folder = tmp_path_factory.mktemp("audit")
    return cl.audit(model, scenes(), folder, methods=METHODS, layer=LAYERS, batch_size=2, chunk_images=2)


def scenes() -> ToyboxDataset:
    return ToyboxDataset(Toybox(N))


def inputs(model: cl.Model) -> torch.Tensor:
    return torch.stack([model.preprocessing(scenes()[i].image)[0] for i in range(N)])  # type: ignore[arg-type]


def test_names_are_those_of_evaluate(model: cl.Model, audited: cl.Audit, tmp_path: Path) -> None:
    measured = evaluate(model, scenes(), methods=METHODS, layer=LAYERS, metrics=["entropy"], limit=1, out=tmp_path)
    assert audited.store.method_names == tuple(measured.methods)
    assert audited.store.method_names[2:4] == ("grad_cam @ layer3", "grad_cam @ layer4")
    assert "grad_cam @ layer3.entropy" in audited.table.column_names
    assert [entry["layer"] for entry in audited.plan["methods"][2:4]] == LAYERS
    assert audited.store.array_file(0, "grad_cam @ layer3").name == "part-00000.grad_cam@layer3.npy"


@pytest.mark.parametrize(
    ("name", "method", "layer"),
    [
        ("gradient", "gradient", None),
        ("fuse_mean(grad_cam)", "fuse_mean(grad_cam)", None),
        ("grad_cam @ layer3", "grad_cam", "layer3"),
        ("grad_cam@layer4", "grad_cam", "layer4"),
        ("hires_cam @ layer3", "hires_cam", "layer3"),
        ("layer_cam @ layer2", "layer_cam", "layer2"),
    ],
)
def test_maps_equal_those_of_attribute(
    model: cl.Model, audited: cl.Audit, name: str, method: str, layer: str | None
) -> None:
    classes = torch.tensor([row["competing_index"] for row in audited.rows])
    maps = cl.attribute(model, inputs(model), target=classes, method=method, layer=layer, signed=True)
    scale = maps.flatten(1).abs().amax(1)
    stored = torch.from_numpy(audited.maps(name, "competing")).float()
    assert stored.shape == maps.shape
    assert float((stored - maps / scale[:, None, None]).abs().max()) < 2e-3
    if name in audited.store.method_names:
        prefix = "" if name == audited.store.method_names[0] else f"{name}."
        assert audited.column(f"{prefix}competing_scale") == pytest.approx(scale.numpy(), rel=1e-4)


def test_channels_are_those_of_the_first_layer(model: cl.Model, audited: cl.Audit) -> None:
    kept: list[torch.Tensor] = []
    handle = dict(model.network.named_modules())["layer3"].register_forward_hook(lambda *args: kept.append(args[2]))
    with torch.no_grad():
        model.network.eval()(inputs(model))
    handle.remove()
    means = kept[0].mean((2, 3))
    assert float((torch.from_numpy(audited.features()).float() - means).abs().max()) < 2e-3 * float(means.abs().max())
    assert audited.channel_relevance().shape == means.shape
    assert audited.plan["layer"] == "layer3"


def test_channels_without_a_plain_method(model: cl.Model, tmp_path: Path) -> None:
    fused = cl.audit(model, scenes(), tmp_path / "fused", methods=["fuse_max(grad_cam)"])
    plain = cl.audit(model, scenes(), tmp_path / "plain", batch_size=fused.plan["batch_size"])
    assert torch.equal(torch.from_numpy(fused.features()), torch.from_numpy(plain.features()))
    assert torch.equal(
        torch.from_numpy(fused.channel_relevance("true")), torch.from_numpy(plain.channel_relevance("true"))
    )


def test_layers_whose_names_are_no_file_names(tmp_path: Path) -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("block/1:<a>", nn.Conv2d(3, 4, 3))
            self.add_module("block/2", nn.Conv2d(4, 4, 3))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = images
            for module in self.children():
                scores = module(scores).relu()
            return scores.mean((2, 3))

    torch.manual_seed(0)
    model = cl.wrap(Named().eval(), size=24)
    layers = ["block/1:<a>", "block/2"]
    result = cl.audit(model, scenes(), tmp_path, methods=[f"grad_cam @ {layer}" for layer in layers])
    assert not [row["error"] for row in result.rows if row["error"]]
    assert result.maps("grad_cam @ block/1:<a>").shape == (N, 22, 22)
    assert result.maps("grad_cam @ block/2").shape == (N, 20, 20)
    assert "/" not in array_file_name("grad_cam @ block/2")


def test_wrong_methods_and_layers(model: cl.Model, tmp_path: Path) -> None:
    wrong: list[tuple[type[Exception], dict[str, Any]]] = [
        (LayerError, {"layer": "layer*"}),
        (LayerError, {"layer": []}),
        (LayerError, {"layer": ["layer4", None]}),
        (MethodError, {"methods": []}),
        (MethodError, {"methods": "grad_cam"}),
        (MethodError, {"methods": ["grad_cam", "gradcamm"]}),
        (MethodError, {"methods": ["attention_rollout"]}),
    ]
    for error, options in wrong:
        with pytest.raises(error):
            cl.audit(model, scenes(), tmp_path / "audit", **options)
        assert not (tmp_path / "audit").exists(), options
