"""Heads of networks from all sources: number of classes, the condition of CAM, and gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from camlucida.errors import ModelError
from camlucida.models import trained_run
from camlucida.models.heads import GapClassifier, last_layer, replace_head
from camlucida.models.load import load
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.toybox_networks import build as toy

SIDE = (64, 64)
LINEAR = {
    "resnet18": "fc",
    "squeezenet1_1": "classifier.1",
    "densenet121": "classifier",
    "mobilenet_v3_small": "classifier.3",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "shufflenet_v2_x0_5": "fc",
    "timm:resnet10t": "fc",
    "timm:convnext_atto": "head.fc",
    "timm:mobilenetv3_small_050": "classifier",
    "timm:tf_efficientnet_b0": "classifier",
}
AVERAGES = ("resnet18", "googlenet", "shufflenet_v2_x0_5", "timm:resnet10t")
"""Whose last layer reads a plain average already."""
POOLED = ("squeezenet1_1", "densenet121", "mobilenet_v3_small", "timm:convnext_atto", "timm:mobilenetv3_small_050")


def network_of(spec: str) -> nn.Module:
    if spec.startswith("timm:"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    return load(spec, pretrained=False).network


def network_input(seed: int = 1) -> torch.Tensor:
    return torch.randn(2, 3, *SIDE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spec", LINEAR)
def test_the_last_layer_is_found_and_nothing_else_changes(spec: str) -> None:
    network = network_of(spec)
    assert last_layer(network) == LINEAR[spec]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    replaced = replace_head(network, 7, "linear", SIDE)
    assert replaced(network_input()).shape == (2, 7)
    assert replaced.train()(network_input()).shape == (2, 7)  # a tensor, also where there were side classifiers
    for key, value in replaced.eval().state_dict().items():
        if not key.startswith(LINEAR[spec]) and "running" not in key and "tracked" not in key:
            assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("spec", AVERAGES)
def test_what_averages_already_keeps_its_shape(spec: str) -> None:
    network = network_of(spec)
    assert replace_head(network, 7, "gap", SIDE) is network


@pytest.mark.parametrize("spec", POOLED)
def test_a_gap_head_reads_the_mean_of_what_the_network_computed_before_it(spec: str) -> None:
    """The features are those of the network as it was; the scores are the mean of CAM's map plus the bias."""
    replaced = replace_head(network_of(spec), 7, "gap", SIDE)
    assert isinstance(replaced, GapClassifier)
    grid = replaced.features(network_input())
    original = network_of(spec)
    if spec.startswith("timm:"):
        assert torch.allclose(grid, original.forward_features(network_input()), atol=1e-5)  # type: ignore[operator]
    elif spec == "densenet121":
        assert torch.allclose(grid, original.features(network_input()).relu(), atol=1e-5)  # type: ignore[operator]
    maps = torch.einsum("kc,bchw->bkhw", replaced.classifier.weight, grid)
    assert torch.allclose(replaced(network_input()), maps.mean((2, 3)) + replaced.classifier.bias, atol=1e-4)


def test_the_last_pooling_of_a_vgg_goes() -> None:
    """Zhou et al. (2016) cut VGG behind its last convolution, for a finer map."""
    replaced = replace_head(toy("vgg"), 4, "gap", (96, 96))
    assert isinstance(replaced, GapClassifier)
    assert isinstance(list(replaced.features.children())[-1], nn.ReLU)
    assert replaced.features(torch.zeros(1, 3, 96, 96)).shape[2:] == (12, 12)


def test_no_grid_is_a_sentence() -> None:
    pytest.importorskip("timm")
    vit = load("timm:vit_tiny_patch16_224", pretrained=False).network
    with pytest.raises(ModelError, match="has no grid of features to average"):
        replace_head(vit, 3, "gap", (224, 224))
    with pytest.raises(ModelError, match="cannot find the end of the features of Sequential"):
        replace_head(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 5)), 3, "gap", SIDE)
    with pytest.raises(ModelError, match="has no linear layer at its end"):
        replace_head(nn.Sequential(nn.Conv2d(3, 4, 3)), 3, "linear", SIDE)


@pytest.mark.parametrize(
    ("arch", "head"), [("small", "linear"), ("squeezenet1_1", "gap"), ("timm:convnext_atto", "gap")]
)
def test_a_run_is_built_again_as_it_was(arch: str, head: trained_run.Head, tmp_path: Path) -> None:
    replaced = replace_head(network_of(arch), 3, head, SIDE)
    how = Preprocessing(SIDE, 72, "crop", (0.4, 0.5, 0.6), (0.2, 0.3, 0.25), "bicubic")
    trained_run.ModelCard(arch, head, ("a", "b", "Zürich, CH"), how).write(tmp_path)
    trained_run.write_weights(replaced, tmp_path / trained_run.WEIGHTS_FILE)
    model = load(tmp_path)
    assert model.labels == ("a", "b", "Zürich, CH")
    assert model.preprocessing == how
    assert torch.equal(model.network(network_input()), replaced.eval()(network_input()))
    assert load(tmp_path / trained_run.WEIGHTS_FILE).weights_hash == model.weights_hash
