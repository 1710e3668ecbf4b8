"""P3: each output depends on one cell only, so that any attribution outside is wrong, for any weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, ModelError
from camlucida.evaluation.benchmarks import disconnected, open_benchmark
from camlucida.evaluation.benchmarks.disconnected import join_tiles, tiles
from camlucida.evaluation.benchmarks.mosaics import cell_mosaics
from camlucida.evaluation.metric_inputs import MethodExplainer
from camlucida.evaluation.model_input import prepare_input
from camlucida.methods import find
from camlucida.metrics import grid_pointing as _grid_pointing
from camlucida.metrics.grid_pointing import ceiling
from camlucida.models.model import Model

SCENES = ToyboxDataset(Toybox(4, seed=2))


def random_net() -> Model:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 4, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )
    return cl.wrap(network.eval(), size=32)


MODELS = {
    "trained": lambda: cl.load("toybox"),
    "untrained": lambda: cl.load("toybox", pretrained=False),
    "sequential": random_net,
}


def test_tiles_are_cut_row_by_row_and_joined_again() -> None:
    x = torch.arange(2 * 3 * 6 * 9).reshape(2, 3, 6, 9).float()
    cut = tiles(x, 3)
    assert torch.equal(cut[9 + 5], x[1, :, 2:4, 6:9])
    assert torch.equal(join_tiles(cut, 3), x)


@pytest.mark.parametrize("variant", ["full", "part"])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_cells(name: str, variant: str) -> None:
    model = MODELS[name]()
    cut_model = disconnected(model, 2, variant=variant)  # type: ignore[arg-type]
    size = model.preprocessing.size[0]
    x = torch.randn(2, 3, 2 * size, 2 * size)
    outputs = cut_model.network(x)
    alone = torch.cat([model.network(x[:, :, r : r + size, c : c + size]) for r in (0, size) for c in (0, size)], 1)
    assert outputs.shape == alone.shape
    assert len(cut_model.labels) == outputs.shape[1]
    if variant == "full":
        assert_close(outputs, alone)
    else:
        assert not torch.allclose(outputs, alone), "layers before the cut have receptive fields across cells"
    assert not model.network.training
    assert "grid" not in str(model.network), "the network itself is unmodified"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["layer_cam", "hires_cam"])
@pytest.mark.parametrize("variant", ["full", "part"])
def test_layer_maps_are_zero_outside_the_cell(name: str, method: str, variant: str) -> None:
    model = MODELS[name]()
    cut_model = disconnected(model, 2, variant=variant)  # type: ignore[arg-type]
    data = cell_mosaics(model, cut_model, SCENES, 2)
    method_ = find(method)
    explainer = MethodExplainer((method_, method_.with_options({})))
    for i in range(4):
        model_input = prepare_input(cut_model, data[i], data[i].label, target="true")
        map_ = explainer.maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0]
        half = map_.shape[0] // 2
        row, column = divmod(i, 2)
        inside = map_[row * half : (row + 1) * half, column * half : (column + 1) * half]
        assert float(inside.abs().sum()) > 0
        inside.zero_()
        assert not bool(map_.any()), "exactly zero outside"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["gradient", "input_x_gradient", "integrated_gradients"])
def test_input_maps_are_zero_outside_the_cell(name: str, method: str) -> None:
    model = MODELS[name]()
    cut_model = disconnected(model, 2)
    data = cell_mosaics(model, cut_model, SCENES, 2)
    method_ = find(method)
    explainer = MethodExplainer((method_, method_.with_options({})))
    for i in range(4):
        model_input = prepare_input(cut_model, data[i], data[i].label, target="true")
        map_ = explainer.maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0].abs()
        assert model_input.input_region is not None
        assert float(map_[model_input.input_region].sum() / map_.sum()) >= 0.999


def test_grad_cam_highlights_other_cells() -> None:
    """Its weights are pooled over all cells: that is what DiFull is there to show."""
    model = cl.load("toybox")
    cut_model, data = open_benchmark("exact:difull", model, count=4)
    grad_cam = find("grad_cam")
    explainer = MethodExplainer((grad_cam, grad_cam.with_options({})))
    fractions = []
    for i in range(4):
        model_input = prepare_input(cut_model, data[i], data[i].label, target="true")
        map_ = explainer.maps(model_input, model_input.inputs, torch.tensor([model_input.target])).relu()
        scores = _grid_pointing.function(map_[0], map_[0], model_input.input_region[::8, ::8])  # type: ignore[index]
        fractions.append(scores["grid_pointing"])
    assert max(fractions) < 0.95


@pytest.mark.parametrize(("features", "expected"), [(7, 0.9646), (14, 0.9822), (56, 0.9955)])
@pytest.mark.parametrize("n", [2, 3])
def test_the_ceiling_of_a_corner_cell(features: int, expected: float, n: int) -> None:
    region = torch.zeros(n * 224, n * 224, dtype=torch.bool)
    region[:224, :224] = True
    assert ceiling(region, (n * features, n * features)) == pytest.approx(expected, abs=1e-4)


def test_a_perfect_map_at_the_features_scores_its_ceiling() -> None:
    region = torch.zeros(192, 192, dtype=torch.bool)
    region[:96, 96:] = True
    raw = torch.zeros(24, 24)
    raw[:12, 12:] = 1
    upsampled = torch.nn.functional.interpolate(raw[None, None], (192, 192), mode="bilinear")[0, 0]
    scores = _grid_pointing.function(upsampled, raw, region)
    expected = sum(float(upsampled[y, x]) for y in range(96) for x in range(96, 192)) / float(upsampled.sum())
    assert scores["grid_pointing"] == pytest.approx(expected, rel=1e-5)
    assert scores["grid_pointing_of_ceiling"] == pytest.approx(1, rel=1e-6)
    assert _grid_pointing.function(upsampled * 0, raw, region)["grid_pointing"] == 0


def test_outputs_depend_on_the_cell_of_their_item() -> None:
    model = cl.load("toybox")
    cut_model, data = open_benchmark("exact:difull:3", model, count=9)
    for i in range(9):
        item = data[i]
        assert item.mask is not None
        assert item.label is not None
        assert cut_model.labels[item.label].startswith(f"cell {i + 1}: ")
        model_input = prepare_input(cut_model, item, item.label)
        x = model_input.inputs.clone().requires_grad_()
        cut_model.network(x)[0, item.label].backward()
        assert x.grad is not None
        has_gradient = x.grad.abs().sum(1)[0] > 0
        assert not bool((has_gradient & ~torch.from_numpy(item.mask())).any())
        assert bool(has_gradient.any())


def test_unsupported_models_and_names() -> None:
    with pytest.raises(ModelError, match="at a layer with a feature map"):
        disconnected(cl.load("toybox:vit"), 2)
    with pytest.raises(DataError, match="no benchmark 'difule'"):
        open_benchmark("exact:difule", cl.load("toybox"))
    with pytest.raises(DataError, match="2, 3 or 4"):
        open_benchmark("exact:difull:9", cl.load("toybox"))
    with pytest.raises(DataError, match="takes no number of cells, not '2'"):
        open_benchmark("exact:red:2")
    with pytest.raises(DataError, match="needs a model"):
        open_benchmark("exact:mosaic")
