"""P4, P7, P13, P14: networks with weights set by hand equal their definition, and their maps are known exactly."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.data.datasets import Dataset, Item
from camlucida.evaluation.baselines import CONTROLS
from camlucida.evaluation.benchmarks import BENCHMARKS, analytic, designed, open_benchmark
from camlucida.evaluation.benchmarks.designed import CAM_WEIGHTS, COLOURS_RGB
from camlucida.evaluation.benchmarks.networks import CELL_PX, GRID_CELLS
from camlucida.evaluation.metric_inputs import MethodExplainer, MetricInputs
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.maps import upsample
from camlucida.methods import find
from camlucida.metrics import find as find_metric
from camlucida.models.model import Model

COUNT = 6


def explainer(name: str, layer: str | None = None) -> MethodExplainer:
    method = find(name)
    return MethodExplainer((method, method.with_options({})), layer)


def maps(model: Model, data: Dataset, method: str, layer: str | None = None) -> list[tuple[Item, ModelInput, Tensor]]:
    results = []
    for i in range(len(data)):
        model_input = prepare_input(model, data[i], data[i].label, target="true")
        map_ = explainer(method, layer).maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0]
        results.append((data[i], model_input, map_))
    return results


def pixels(item: Item) -> np.ndarray:
    return np.asarray(item.image)


@pytest.mark.parametrize("name", [name for name, entry in BENCHMARKS.items() if not entry.needs_model])
def test_the_network_predicts_the_true_class(name: str) -> None:
    model, data = open_benchmark(name, count=COUNT)
    assert len(data) == COUNT
    for i in range(COUNT):
        item = data[i]
        model_input = prepare_input(model, item, item.label)
        if item.label is not None:
            assert model_input.target == item.label, item.name
        assert np.array_equal(pixels(item), pixels(data[i])), "the same image each time"


def test_red_counts_red_pixels() -> None:
    model, data = designed.red(COUNT)
    for method in ("input_x_gradient", "integrated_gradients"):
        for item, model_input, map_ in maps(model, data, method):
            red = torch.from_numpy((pixels(item) == COLOURS_RGB["red"]).all(-1))
            assert_close(model_input.logits[0], red.sum().float(), rtol=1e-6, atol=1e-6)
            assert_close(map_, red.float(), rtol=0, atol=1e-6)
            assert torch.equal(red, torch.from_numpy(item.mask()))


@pytest.mark.parametrize("method", ["cam", "grad_cam", "hires_cam", "layer_cam"])
def test_red_at_the_last_layer(method: str) -> None:
    model, data = designed.red(COUNT)
    for item, _, map_ in maps(model, data, method):
        assert_close(map_ / map_.max(), torch.from_numpy(item.mask()).float(), rtol=0, atol=1e-6)


def test_green_is_positive_and_blue_negative_evidence() -> None:
    model, data = designed.signed(COUNT)
    for method in ("input_x_gradient", "integrated_gradients", "hires_cam"):
        for item, model_input, map_ in maps(model, data, method):
            green, blue = (
                torch.from_numpy((pixels(item) == COLOURS_RGB[c]).all(-1)).float() for c in ("green", "blue")
            )
            assert_close(model_input.logits[0], (green - blue).sum(), rtol=1e-6, atol=1e-6)
            assert_close(map_, green - blue, rtol=0, atol=1e-6)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_cam_is_the_weight_of_the_cells_colour(target: int) -> None:
    model, data = designed.channels(COUNT)
    colours = [COLOURS_RGB[name] for name in ("red", "green", "blue")]
    for i in range(COUNT):
        cells = pixels(data[i])[::CELL_PX, ::CELL_PX]
        weight = sum(
            CAM_WEIGHTS[target][k] * (cells == colour).all(-1).astype(np.float32) for k, colour in enumerate(colours)
        )
        model_input = prepare_input(model, data[i], 0)
        classes = torch.tensor([target])
        cam, hires, grad = (
            explainer(m).maps(model_input, model_input.inputs, classes)[0] for m in ("cam", "hires_cam", "grad_cam")
        )
        expected = torch.from_numpy(np.asarray(weight)).float()
        assert_close(cam, expected, rtol=0, atol=1e-6)
        assert_close(model_input.logits[target], expected.mean(), rtol=0, atol=1e-6)
        for other_map in (hires, grad):  # both divide by the number of cells, as the pooling does
            assert_close(other_map * GRID_CELLS**2, expected, rtol=0, atol=1e-6)


def test_template_responds_to_its_pattern_only() -> None:
    model, data = designed.template(COUNT)
    for item, model_input, map_ in maps(model, data, "cam"):
        assert_close(model_input.logits[0], torch.tensor(1.0), rtol=0, atol=1e-6)
        cell = torch.from_numpy(item.mask()[::CELL_PX, ::CELL_PX]).float()
        assert_close(map_ / map_.max(), cell, rtol=0, atol=1e-6)
    for item, _, map_ in maps(model, data, "gradient"):
        mask = torch.from_numpy(item.mask())
        assert float(map_.abs()[~mask].max()) == 0
        assert float(map_.abs()[mask].min()) > 0, "every pixel of the pattern contributes"


def test_xor_depends_on_its_two_cells_only() -> None:
    model, data = designed.xor(COUNT)
    for i in range(COUNT):
        item = data[i]
        model_input = prepare_input(model, item, 0)
        cells = torch.arange(GRID_CELLS**2)
        inverted = model_input.inputs.repeat(GRID_CELLS**2, 1, 1, 1)
        for cell in cells.tolist():
            row, column = divmod(cell, GRID_CELLS)
            cell_pixels = inverted[
                cell, :, row * CELL_PX : (row + 1) * CELL_PX, column * CELL_PX : (column + 1) * CELL_PX
            ]
            cell_pixels.copy_(1 - cell_pixels)
        predicted = model_input.predict(lambda which, of=inverted: of[which], GRID_CELLS**2).argmax(1)
        relevant = torch.from_numpy(item.mask()[::CELL_PX, ::CELL_PX]).flatten()
        assert torch.equal(predicted == 1, relevant)


def test_no_pixel_of_the_texture_is_yellow() -> None:
    for make in (designed.square, designed.shift):
        model, data = make(COUNT)
        for item, _, map_ in maps(model, data, "hires_cam", "relu"):
            mask = torch.from_numpy(item.mask())
            assert float(map_.abs()[~mask].max()) == 0
            assert_close(map_[mask], map_[mask][:1].expand(int(mask.sum())), rtol=0, atol=0)


def test_the_square_reaches_every_edge() -> None:
    _, data = designed.square(25)
    positions = {tuple(np.argwhere(data[i].mask())[0]) for i in range(25)}
    assert len(positions) == 25
    assert {0, 82} <= {row for row, _ in positions}
    assert int(data[0].mask().sum()) == 30 * 30
    assert data[7].name == "row 1, column 2"


def offsets(data: Dataset, model: Model, align_corners: bool | None = None) -> list[float]:
    """Of the map's centre from the square's; enlarged by cells, or (a bug) by corners."""
    results = []
    for item, model_input, map_ in maps(model, data, "cam"):
        if align_corners is not None:
            size = model_input.inputs.shape[-2:]
            map_ = torch.nn.functional.interpolate(map_[None, None], size, mode="bilinear", align_corners=True)[0, 0]
        metric_inputs = MetricInputs(model_input, explainer("cam"), map_)
        offset = find_metric("centre_offset").metric
        results.append(offset(*metric_inputs.arguments(offset.needs))["centre_offset_x"].value)
        assert item.label == 0
    return results


def test_the_maps_centre_follows_the_square_pixel_by_pixel() -> None:
    model, data = designed.shift(48)
    assert max(map(abs, offsets(data, model))) < 1e-4
    rows = [np.argwhere(data[i].mask())[0, 0] for i in range(48)]
    assert all(later - before == 1 for before, later in pairwise(rows))


def test_aligned_corners_are_detected() -> None:
    model, data = designed.shift(48)
    misaligned = offsets(data, model, align_corners=True)
    assert max(misaligned) - min(misaligned) > 1
    assert max(map(abs, misaligned)) <= (CELL_PX - 1) / 2


def test_linear_is_gradient_times_input() -> None:
    model, data = analytic.linear(3)
    for _, model_input, map_ in maps(model, data, "input_x_gradient"):
        weight = model.network.weight[model_input.target]  # type: ignore[index, union-attr]
        assert_close(map_, (weight * model_input.inputs[0]).sum(0).detach(), rtol=1e-5, atol=1e-7)
        assert_close(map_.sum(), model_input.logits[model_input.target], rtol=1e-4, atol=1e-5)


def test_additive_cells_are_independent() -> None:
    model, data = analytic.additive(2)
    network = model.network
    assert isinstance(network, analytic.Additive)
    x = prepare_input(model, data[0], None).inputs
    terms = network.cell_contributions(x)[0]
    without_one = x.clone()
    without_one[:, :, 4:8, 8:12] = 0
    without_both = without_one.clone()
    without_both[:, :, 20:24, :4] = 0
    drop = (network(x) - network(without_one))[0]
    assert_close(drop, terms[:, 8 + 2], rtol=1e-4, atol=1e-5)
    assert_close((network(x) - network(without_both))[0], terms[:, 8 + 2] + terms[:, 5 * 8], rtol=1e-4, atol=1e-5)


def test_interactions_are_products_of_two_cells() -> None:
    model, data = analytic.interaction(1)
    network = model.network
    assert isinstance(network, analytic.Interacting)
    x = prepare_input(model, data[0], None).inputs
    values = torch.nn.functional.avg_pool2d(x.mean(1, keepdim=True), 4).flatten().double()
    expected = [
        sum(network.pairs[k, c, d].double() * values[c] * values[d] for c in range(64) for d in range(c + 1, 64))
        for k in range(3)
    ]
    assert_close(network(x)[0].double(), torch.stack(expected), rtol=1e-4, atol=1e-5)  # type: ignore[arg-type]
    alone = torch.zeros_like(x)
    alone[:, :, :4, :4] = 1
    assert_close(network(alone), torch.zeros(1, 3))


def test_upsampling_keeps_the_centre_of_a_cell() -> None:
    """P13 requires that bilinear upsampling with half-pixel centres keeps the centre of mass."""
    cell_map = torch.zeros(1, 14, 14)
    cell_map[0, 6, 4] = 1
    upsampled = upsample(cell_map, (112, 112))[0].double()
    positions = torch.arange(112) + 0.5
    assert_close((upsampled.sum(0) * positions).sum() / upsampled.sum(), torch.tensor(4.5 * 8).double())


def test_the_oracle_beats_the_controls_on_every_design() -> None:
    oracle = next(control for control in CONTROLS if control.name == "oracle")
    for name, entry in BENCHMARKS.items():
        if entry.needs_model:
            continue
        model, data = open_benchmark(name, count=1)
        if data[0].mask is None:
            continue
        model_input = prepare_input(model, data[0], 0)
        assert torch.equal(
            oracle.maps(model_input, model_input.inputs, torch.tensor([0]))[0] > 0, torch.from_numpy(data[0].mask())
        )


def test_centre_offset_by_hand_on_a_wide_image() -> None:
    display_map, region = torch.zeros(10, 40), torch.zeros(10, 40, dtype=torch.bool)
    display_map[2, 30], display_map[4, 32] = 1.0, 3.0  # centre of mass: row 3.5, column 31.5
    region[5:9, 10:20] = True  # row 6.5, column 14.5
    metric = find_metric("centre_offset").metric
    results = {name: score.value for name, score in metric(display_map, region).items()}
    assert results["centre_offset_x"] == pytest.approx(17)
    assert results["centre_offset_y"] == pytest.approx(-3)
    assert results["centre_offset"] == pytest.approx((17**2 + 3**2) ** 0.5 / (10**2 + 40**2) ** 0.5)
    assert all(np.isnan(score.value) for score in metric(display_map * 0, region).values())
