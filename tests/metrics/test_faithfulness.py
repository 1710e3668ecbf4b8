"""Faithfulness metrics against models with a closed form, and against the authors' code as plain loops."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MetricError
from camlucida.metrics import (
    Metric,
    Score,
    adcc,
    aopc,
    arcc,
    average_drop,
    deletion,
    find,
    infidelity,
    insertion,
    mu_fidelity,
    road,
    saco,
    sensitivity_n,
    single_deletion,
)
from camlucida.metrics.common.infill import rise_kernel
from camlucida.metrics.common.ranking import ranks
from camlucida.tasks import MULTICLASS

SIDE = 28
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
PIXEL = (1 / STD).double()[:, None, None]
BLACK = -MEAN.double()[:, None, None] * PIXEL

FAITHFULNESS = (
    insertion,
    deletion,
    road,
    average_drop,
    adcc,
    arcc,
    single_deletion,
    mu_fidelity,
    sensitivity_n,
    infidelity,
    saco,
    aopc,
)

Model = Callable[[Tensor], Tensor]
"""A function from inputs (n, c, H, W) to class scores (n, k)."""


class FakeInputs:
    """All inputs of a metric for one image, model and map; counts the evaluated inputs."""

    def __init__(
        self, model: Model, relevance: Tensor, inputs: Tensor, *, target: int = 0, batch: int = 1000, seed: int = 0
    ) -> None:
        self.model, self.relevance, self.inputs, self.target = model, relevance, inputs, target
        self.batch, self.seed, self.activation = batch, seed, MULTICLASS
        self.logits = model(inputs[None])[0]
        self.pixel_scale, self.black_level = PIXEL.to(inputs), BLACK.to(inputs)
        self.runs = 0

    def predict(self, variants: Callable[[Tensor], Tensor], count: int) -> Tensor:
        self.runs += count
        return torch.cat([self.model(variants(which)) for which in torch.arange(count).split(self.batch)])

    def explain(self, images: Tensor) -> Tensor:
        return self.relevance + 0.1 * images.mean(1)

    @property
    def random(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def compute(self, metric: Metric, **options: Any) -> dict[str, Score]:
        return metric(*(getattr(self, need) for need in metric.needs), **{**metric.options, **options})

    def value(self, metric: Metric, name: str = "", **options: Any) -> float:
        return self.compute(metric, **options)[name or metric.name].value


def random_tensor(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def linear(weights: Tensor) -> Model:
    """The score of class 0 is a weighted sum of the pixels, that of class 1 is 0."""

    def scores(images: Tensor) -> Tensor:
        first = (images * weights).flatten(1).sum(1)
        return torch.stack([first, torch.zeros_like(first)], dim=1)

    return scores


def cell_sums(images: Tensor, cells: int) -> Tensor:
    side = SIDE // cells
    return images.unflatten(3, (cells, side)).unflatten(2, (cells, side)).sum((1, 3, 5)).flatten(1)


def bumpy(images: Tensor) -> Tensor:
    """Return the scores of a nonlinear model with four classes."""
    weights = random_tensor(4, *images.shape[1:], seed=9).to(images)
    return torch.tanh(images[:, None] * weights).flatten(2).sum(2) / 8


WEIGHTS, INPUTS = random_tensor(3, SIDE, SIDE, seed=1) / 20, random_tensor(3, SIDE, SIDE, seed=2)
GRADIENT_X_INPUT = (WEIGHTS * INPUTS).sum(0)


def perfect() -> FakeInputs:
    """Return the inputs with gradient times input, which is each pixel's exact contribution to a linear model."""
    return FakeInputs(linear(WEIGHTS), GRADIENT_X_INPUT, INPUTS)


# Models with a closed form


def test_the_perfect_map_of_a_linear_model_is_perfect() -> None:
    fake = perfect()
    for metric in (sensitivity_n, single_deletion, mu_fidelity):
        assert fake.value(metric) == pytest.approx(1, abs=1e-12), metric.name
    for scale in ("positive", "any", "none"):
        assert fake.value(infidelity, scale=scale) == pytest.approx(0, abs=1e-20)
        assert fake.value(infidelity, "infidelity_share", scale=scale) == pytest.approx(0, abs=1e-20)
    curve = fake.compute(sensitivity_n)["sensitivity_n"].curve
    assert_close(curve, torch.ones(8, dtype=torch.float64))


def test_the_negated_perfect_map_gets_the_worst_score() -> None:
    fake = FakeInputs(linear(WEIGHTS), -GRADIENT_X_INPUT, INPUTS)
    for metric in (sensitivity_n, single_deletion, mu_fidelity):
        assert fake.value(metric) == pytest.approx(-1, abs=1e-12), metric.name
    assert fake.value(infidelity, "infidelity_share") == 1  # beta is not below 0
    assert fake.value(infidelity, "infidelity_share", scale="any") == pytest.approx(0, abs=1e-20)


def test_infidelity_finds_the_scale_unless_disabled() -> None:
    fake = FakeInputs(linear(WEIGHTS), 7 * GRADIENT_X_INPUT, INPUTS)
    assert fake.value(infidelity) == pytest.approx(0, abs=1e-20)
    unscaled, share = (fake.value(infidelity, name, scale="none") for name in ("infidelity", "infidelity_share"))
    assert share == pytest.approx(36)  # (7 - 1)^2
    assert unscaled > 1


@pytest.mark.parametrize("cells", [4, 7])
def test_an_additive_model_of_cells(cells: int) -> None:
    """The score is a sum over cells of a nonlinear function of each cell, so that the contributions are known."""
    offset = torch.sin(torch.zeros(1)).double()

    def scores(images: Tensor) -> Tensor:
        first = (torch.sin(cell_sums(images, cells)) - offset).sum(1)
        return torch.stack([first, 0 * first], dim=1)

    sums = torch.sin(cell_sums(INPUTS[None], cells))[0].reshape(cells, cells)
    relevance = sums.repeat_interleave(SIDE // cells, 0).repeat_interleave(SIDE // cells, 1)
    fake = FakeInputs(scores, relevance, INPUTS)
    assert fake.value(single_deletion, cells=cells) == pytest.approx(1)
    assert fake.value(mu_fidelity, cells=cells) == pytest.approx(1)
    assert fake.value(sensitivity_n, cells=cells) == pytest.approx(1)


def test_two_interacting_cells() -> None:
    """The score is the product of two cells, so that removing one cell has the same effect as removing both.

    Equal relevance of both cells is therefore not perfectly faithful, by a known amount."""

    def scores(images: Tensor) -> Tensor:
        parts = cell_sums(images, 4)
        return torch.stack([parts[:, 0] * parts[:, 5], 0 * parts[:, 0]], dim=1)

    ones = torch.ones(3, SIDE, SIDE, dtype=torch.float64) / (3 * 49)
    relevance = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    relevance[:7, :7] = relevance[7:14, 7:14] = 0.5 / 49
    fake = FakeInputs(scores, relevance, ones)
    assert fake.value(single_deletion) == pytest.approx(1)
    removed = torch.rand((200, 16), generator=fake.random) < 0.2
    drops = (removed[:, 0] | removed[:, 5]).double()
    sums = removed[:, 0].double() / 2 + removed[:, 5].double() / 2
    expected = scipy.stats.spearmanr(sums, drops).statistic
    assert 0.9 < expected < 1
    assert fake.value(mu_fidelity, cells=4) == pytest.approx(expected, abs=1e-12)


def test_insertion_and_deletion_of_a_step() -> None:
    """The class is recognised if and only if 10 pixels are visible: the curves are steps with known areas."""
    relevance = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    relevance[3, 4:14] = torch.arange(10, 0, -1).double()

    def scores(images: Tensor) -> Tensor:
        visible = (images[:, 0, 3, 4:14] > 0.5).all(1).double() * 1000
        return torch.stack([visible, torch.full_like(visible, 500)], dim=1)

    fake = FakeInputs(scores, relevance, torch.ones(3, SIDE, SIDE, dtype=torch.float64))
    n = SIDE * SIDE
    result = fake.compute(insertion, step=1, infill="zeros")
    assert result["insertion"].value == pytest.approx((n - 10 + 0.5) / n)
    assert result["insertion_logit"].value == pytest.approx(1000 * (n - 10 + 0.5) / n)
    assert_close(result["insertion"].curve, (torch.arange(n + 1) >= 10).double())
    result = fake.compute(deletion, step=1, infill="zeros")
    assert result["deletion"].value == pytest.approx(0.5 / n)
    assert fake.runs == 2 * (n + 1)


def test_logit_curves_of_a_linear_model_are_sums() -> None:
    result = perfect().compute(deletion, step=28, infill="zeros")["deletion_logit"]
    ordered = GRADIENT_X_INPUT.flatten().sort(descending=True).values
    remaining = [ordered[28 * i :].sum() for i in range(29)]
    assert_close(result.curve, torch.stack(remaining))
    assert result.value == pytest.approx(float(np.trapezoid(torch.stack(remaining), dx=1 / 28)))


def test_saco_of_an_additive_model_and_its_negated_map() -> None:
    centred = INPUTS - INPUTS.mean((1, 2), keepdim=True)  # mean colour 0, so that removed pixels become 0
    relevance = (WEIGHTS * centred).sum(0)
    assert FakeInputs(linear(WEIGHTS / 100), relevance, centred).value(saco) == pytest.approx(1)
    assert FakeInputs(linear(WEIGHTS / 100), -relevance, centred).value(saco) == pytest.approx(-1)


def test_saco_equals_algorithm_1() -> None:
    relevance = random_tensor(SIDE, SIDE, seed=5).abs()
    fake = FakeInputs(bumpy, relevance, INPUTS)
    order = relevance.flatten().argsort(descending=True)
    drops, sums = [], []
    for group in order.tensor_split(7):  # 784 pixels: 7 groups of 112
        without_it = INPUTS.flatten(1).clone()
        without_it[:, group] = INPUTS.flatten(1).mean(1, keepdim=True)
        before, after = (bumpy(x.reshape(1, 3, SIDE, SIDE)).softmax(1)[0, 0] for x in (INPUTS, without_it))
        drops.append(float(before - after))
        sums.append(float(relevance.flatten()[group].sum()))
    total, weight = 0.0, 0.0
    for i in range(7):
        for j in range(i + 1, 7):
            difference = sums[i] - sums[j]
            total += difference if drops[i] >= drops[j] else -difference
            weight += abs(difference)
    assert fake.value(saco, groups=7) == pytest.approx(total / weight)


def test_aopc_where_noise_cannot_matter_and_where_it_does() -> None:
    """The class score counts the unmodified regions of the first row."""
    blank = torch.full((3, SIDE, SIDE), 50.0, dtype=torch.float64)  # brighter than any noise

    def scores(images: Tensor) -> Tensor:
        remaining = (images[:, 0, :1] > 49).double().sum((1, 2)) / SIDE
        return torch.stack(
            [remaining.logit(eps=1e-12), 0 * remaining], dim=1
        )  # as probability: the unmodified fraction of the row

    relevance = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    relevance[0] = torch.arange(SIDE, 0, -1).double()
    result = FakeInputs(scores, relevance, blank).compute(aopc, regions=SIDE, at_once=1, draws=2)["aopc"]
    assert result.curve is not None
    assert_close(result.curve, torch.arange(SIDE + 1).double() / SIDE)
    assert result.value == pytest.approx(0.5)


# Against the authors' code as plain loops


def reference_rise(fake: FakeInputs, mode: str, step: int, kernel: np.ndarray[Any, Any]) -> tuple[float, list[float]]:
    """eclique/RISE evaluation.py: one input after the other, pixel by pixel, for a map without ties."""
    image = fake.inputs.numpy().copy()
    blurred = np.stack([scipy.ndimage.correlate(channel, kernel, mode="constant") for channel in image])
    start, finish = (image.copy(), np.zeros_like(image)) if mode == "deletion" else (blurred, image.copy())
    order = np.flip(np.argsort(fake.relevance.numpy().reshape(-1)))
    steps = (len(order) + step - 1) // step
    scores = []
    for i in range(steps + 1):
        logits = fake.model(torch.from_numpy(start)[None])[0].numpy()
        scores.append(float(np.exp(logits[fake.target]) / np.exp(logits).sum()))
        for pixel in order[step * i : step * (i + 1)]:
            y, x = divmod(int(pixel), image.shape[2])
            start[:, y, x] = finish[:, y, x]
    area = (sum(scores) - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)
    return area, scores


@pytest.mark.parametrize("step", [28, 100])
def test_rise_presets_are_the_authors(step: int) -> None:
    fake = FakeInputs(bumpy, random_tensor(SIDE, SIDE, seed=3), INPUTS, target=2)
    for metric, name in ((insertion, "insertion/rise"), (deletion, "deletion/rise")):
        settings = {**find(name).settings, "step": step}
        result = fake.compute(metric, **settings)[metric.name]
        area, curve = reference_rise(fake, metric.name, step, rise_kernel().double().numpy())
        assert_close(result.curve, torch.tensor(curve, dtype=torch.float64))
        assert result.value == pytest.approx(area, rel=1e-12)


def test_rise_presets_are_frozen() -> None:
    for mode, infill in (("insertion", "rise_blur"), ("deletion", "zeros")):
        for name, step in ((f"{mode}/rise", 224), (f"{mode}/rise-fast", 1792)):
            assert find(name).settings == {"step": step, "steps": 28, "infill": infill}


def test_rise_presets_evaluate_225_and_29_steps() -> None:
    inputs = torch.zeros(3, 224, 224)
    for name, n_steps in (("insertion/rise", 225), ("deletion/rise", 225), ("insertion/rise-fast", 29)):
        fake = FakeInputs(lambda x: x[:, :2, 0, 0], torch.rand(224, 224), inputs, batch=8)
        chosen = find(name)
        result = fake.compute(chosen.metric, **chosen.settings)
        assert fake.runs == n_steps
        assert len(result[chosen.metric.name].curve) == n_steps  # type: ignore[arg-type]


# ROAD


def counting_model(n_changed: list[int]) -> Model:
    def scores(images: Tensor) -> Tensor:
        n_changed.extend((images != INPUTS).any(1).flatten(1).sum(1).tolist())
        return images.flatten(2).mean(2)

    return scores


def test_road_removes_the_given_fraction_of_a_sparse_map() -> None:
    relevance = torch.zeros(SIDE, SIDE)
    relevance[:7, :7] = torch.rand(7, 7) + 0.1  # 94 % zeros
    n_changed: list[int] = []
    fake = FakeInputs(counting_model(n_changed), relevance, INPUTS)
    n_changed.clear()
    fake.compute(road)
    counts = [round(p / 10 * SIDE * SIDE) for p in range(1, 10)]
    assert n_changed == counts * 2
    n_changed.clear()
    fake.compute(road, **find("road/rong").settings)
    morf = [round(p * SIDE * SIDE) for p in (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)]
    assert n_changed == morf + [SIDE * SIDE - count for count in morf]  # in LeRF the authors' p is the kept fraction


def test_road_removes_the_top_first_and_the_bottom_first() -> None:
    """The class score is the brightness of one corner, which the map highlights."""
    relevance = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    relevance[:9, :9] = 1
    inputs = torch.zeros(3, SIDE, SIDE, dtype=torch.float64)
    inputs[:, :9, :9] = 3

    def scores(images: Tensor) -> Tensor:
        first = images[:, :, :9, :9].mean((1, 2, 3))
        return torch.stack([first, torch.ones_like(first)], dim=1)

    result = FakeInputs(scores, relevance, inputs).compute(road, noise=0.0)
    p = torch.tensor([3.0, 1.0], dtype=torch.float64).softmax(0)[0]
    assert_close(result["road_lerf"].curve[:8], p.expand(8))  # type: ignore[index]
    assert float(result["road_morf"].curve[1]) == pytest.approx(1 / (1 + math.e), abs=1e-9)  # type: ignore[index]
    assert result["road_gap"].value == pytest.approx(result["road_lerf"].value - result["road_morf"].value)
    assert result["road_morf_accuracy"].value < 0.3
    assert result["road_lerf_accuracy"].value == 1
    negated = FakeInputs(scores, -relevance, inputs).compute(road, noise=0.0)
    assert negated["road_gap"].value == pytest.approx(-result["road_gap"].value, abs=0.01)


def test_road_requires_fractions_below_1() -> None:
    with pytest.raises(MetricError, match=r"between 0 and 1, not \(0.5, 1.0\)"):
        perfect().compute(road, fractions=(0.5, 1.0))


# Average drop, ADCC, ARCC


def reference_drop(model: Model, relevance: Tensor, inputs: Tensor) -> tuple[float, float, float]:
    mask = (relevance - relevance.min()) / (relevance.max() - relevance.min())
    p, o = (float(model(x[None]).softmax(1)[0, 0]) for x in (inputs, inputs * mask))
    return max(0, p - o) / p, float(o > p), max(0, o - p) / (1 - p)


@pytest.mark.parametrize("seed", range(4))
def test_drop_increase_and_gain(seed: int) -> None:
    relevance, inputs = random_tensor(SIDE, SIDE, seed=seed), random_tensor(3, SIDE, SIDE, seed=seed + 50)
    fake = FakeInputs(bumpy, relevance, inputs)
    result = [fake.value(average_drop, name) for name in ("average_drop", "average_increase", "average_gain")]
    assert result == pytest.approx(reference_drop(bumpy, relevance, inputs))


def test_drop_with_the_top_half_kept_and_on_black() -> None:
    relevance = random_tensor(SIDE, SIDE, seed=3)
    fake = FakeInputs(bumpy, relevance, INPUTS)
    top = (relevance >= relevance.flatten().sort(descending=True).values[SIDE * SIDE // 2 - 1]).double()
    assert fake.value(average_drop, **find("drop/scorecam").settings) == pytest.approx(
        reference_drop(bumpy, top, INPUTS)[0]
    )
    p = float(bumpy(INPUTS[None]).softmax(1)[0, 0])
    o = float(bumpy((BLACK + top * (INPUTS - BLACK))[None]).softmax(1)[0, 0])
    result = fake.value(average_drop, mask="top", on="pixels")
    assert result == pytest.approx(max(0, p - o) / p)


def test_fake_cam_has_no_average_drop() -> None:
    map_ = torch.ones(SIDE, SIDE, dtype=torch.float64)
    map_[0, 0] = 0
    assert FakeInputs(bumpy, map_, INPUTS).value(average_drop) < 1e-3


def test_adcc_in_closed_form() -> None:
    """Coherence 1, complexity and drop known: 3 / (1 + 1 / (1 - c) + 1 / (1 - a))."""
    relevance = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    relevance[:, : SIDE // 4] = 1
    fake = FakeInputs(
        linear(torch.full((3, SIDE, SIDE), 1e-3, dtype=torch.float64)), relevance, torch.ones(3, SIDE, SIDE)
    )
    fake.explain = lambda images: fake.relevance[None]  # type: ignore[method-assign]
    total = 3 * SIDE * SIDE * 1e-3
    p, o = (1 / (1 + math.exp(-z)) for z in (total, total / 4))
    expected = 3 / (1 + 1 / (1 - 0.25) + 1 / (o / p))
    result = fake.compute(adcc)
    assert result["adcc"].value == pytest.approx(expected)
    assert result["adcc_coherency"].value == pytest.approx(1)
    assert result["adcc_complexity"].value == pytest.approx(0.25)
    assert fake.runs == 1


def test_adcc_of_a_negated_or_empty_map_is_0() -> None:
    fake = FakeInputs(bumpy, GRADIENT_X_INPUT, INPUTS)
    fake.explain = lambda images: -fake.relevance[None]  # type: ignore[method-assign]
    assert fake.value(adcc) == pytest.approx(0, abs=1e-12)
    fake.explain = lambda images: torch.zeros_like(fake.relevance)[None]  # type: ignore[method-assign]
    assert fake.compute(adcc)["adcc_coherency"].value == 0
    assert fake.value(adcc) == 0


def test_arcc_is_made_of_its_parts() -> None:
    fake = perfect()
    gap = fake.value(road, "road_gap", fractions=(0.2, 0.4, 0.6, 0.8), noise=0.0)
    parts = fake.compute(adcc)
    one, other = parts["adcc_coherency"].value, 1 - parts["adcc_complexity"].value
    assert gap > 0.1
    assert fake.value(arcc, noise=0.0) == pytest.approx(3 / (1 / one + 1 / other + 1 / min(gap, 1)))
    negated = FakeInputs(linear(WEIGHTS), -GRADIENT_X_INPUT, INPUTS)
    assert negated.value(arcc) == 0


# All of them


def test_ranks_break_only_ties_at_random() -> None:
    relevance = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]])
    orders = [ranks(relevance, torch.Generator().manual_seed(seed)) for seed in range(60)]
    assert all(int(o[0, 1]) == 0 and int(o[1, 0]) == 1 for o in orders)
    assert all(sorted(o.flatten().tolist()) == list(range(6)) for o in orders)
    means = torch.stack(orders).double().mean(0)[relevance == 0]
    assert_close(means, torch.full_like(means, 3.5), rtol=0, atol=0.5)
    assert_close(orders[7], ranks(relevance, torch.Generator().manual_seed(7)))


@pytest.mark.parametrize("metric", FAITHFULNESS, ids=lambda metric: metric.name)
@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_unscorable_maps_are_nan(metric: Metric, value: float) -> None:
    relevance = torch.full((SIDE, SIDE), value, dtype=torch.float64)
    result = FakeInputs(bumpy, relevance, INPUTS).compute(metric)
    assert set(result) == set(metric.outputs)
    assert all(math.isnan(score.value) for score in result.values())


SCORE_CONSTANT_MAPS = ("insertion", "deletion", "road", "aopc", "infidelity")
"""Metrics that score constant maps: by a random order, or as the prediction that all pixels contribute equally."""


@pytest.mark.parametrize("metric", FAITHFULNESS, ids=lambda metric: metric.name)
def test_a_constant_map_is_a_random_order_or_nan(metric: Metric) -> None:
    constant = torch.ones(SIDE, SIDE)
    constant[::3, ::2] -= 6e-8  # rounding error of upsampling
    result = FakeInputs(bumpy, constant, INPUTS).compute(metric)
    assert all(math.isnan(score.value) == (metric.name not in SCORE_CONSTANT_MAPS) for score in result.values())


def test_a_constant_map_scores_like_random_maps() -> None:
    constant = [
        FakeInputs(linear(WEIGHTS), torch.ones(SIDE, SIDE), INPUTS, seed=seed).value(deletion, "deletion_logit")
        for seed in range(30)
    ]
    random_scores = [
        FakeInputs(linear(WEIGHTS), random_tensor(SIDE, SIDE, seed=seed), INPUTS).value(deletion, "deletion_logit")
        for seed in range(30)
    ]
    tolerance = 3 * math.hypot(np.std(constant), np.std(random_scores)) / math.sqrt(30)
    assert abs(np.mean(constant) - np.mean(random_scores)) < tolerance


@pytest.mark.parametrize("metric", FAITHFULNESS, ids=lambda metric: metric.name)
def test_batch_size_does_not_matter(metric: Metric) -> None:
    relevance = random_tensor(SIDE, SIDE, seed=4).relu()
    batched, single, odd = (FakeInputs(bumpy, relevance, INPUTS, batch=batch).compute(metric) for batch in (1000, 1, 7))
    for name, score in batched.items():
        for other in (single, odd):
            assert other[name].value == pytest.approx(score.value, rel=1e-12), name


@pytest.mark.parametrize("metric", FAITHFULNESS, ids=lambda metric: metric.name)
def test_precision_hardly_matters(metric: Metric) -> None:
    """Float32 tensors give the same numbers up to rounding."""
    relevance = random_tensor(SIDE, SIDE, seed=4).float()
    inputs = INPUTS.float().double(), INPUTS.float()
    exact, single = (FakeInputs(bumpy, relevance.to(x), x).compute(metric) for x in inputs)
    for name, score in exact.items():
        assert single[name].value == pytest.approx(score.value, rel=1e-3, abs=1e-3), name


FORWARDS = {
    "insertion": 29,
    "deletion": 29,
    "road": 18,
    "average_drop": 1,
    "adcc": 1,
    "arcc": 8,
    "single_deletion": 16,
    "mu_fidelity": 200,
    "sensitivity_n": 160,
    "infidelity": 101,
    "saco": 10,
    "aopc": 26,
}


@pytest.mark.parametrize("metric", FAITHFULNESS, ids=lambda metric: metric.name)
def test_forwards_are_as_the_docstring_says(metric: Metric) -> None:
    fake = FakeInputs(bumpy, random_tensor(SIDE, SIDE, seed=4), INPUTS)
    fake.compute(metric)
    assert fake.runs == FORWARDS[metric.name]
    last = metric.doc.splitlines()[-1]
    assert re.search(rf"^forwards .*\b{fake.runs}\b", last), last


@pytest.mark.parametrize(
    ("metric", "options", "message"),
    [
        (deletion, {"infill": "gausian"}, "Did you mean 'gaussian'"),
        (deletion, {"step": 0}, "at least 1, not 0"),
        (insertion, {"steps": 0}, "at least 1, not 0"),
        (single_deletion, {"cells": 99}, "28 x 28 pixels has no grid of 99 x 99"),
        (mu_fidelity, {"fraction": 1.0}, "fraction between 0 and 1"),
        (sensitivity_n, {"samples": 1}, "2 samples"),
        (infidelity, {"scale": "beta"}, "scale is one of positive, any, none"),
        (saco, {"groups": 1}, "at least 2 groups"),
        (aopc, {"at_once": 0}, "at least 1"),
        (average_drop, {"mask": "hard"}, "mask is 'soft'"),
        (average_drop, {"on": "grey"}, "on is 'input' or 'pixels'"),
    ],
)
def test_invalid_options(metric: Metric, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MetricError, match=message):
        perfect().compute(metric, **options)
