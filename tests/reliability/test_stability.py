"""Perturbed images, and the similarity of their maps after the perturbation is undone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.data import toybox
from camlucida.evaluation.baselines import Control
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.position_test import blur_images
from camlucida.reliability.similarity import rank_correlation
from camlucida.reliability.stability import Perturbation, explain_perturbed, perturb, undo_perturbation

PIXEL, BLACK = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)


def smooth_map(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Return smooth noise `(1, 1, H, W)` from 0 to 1."""
    white = torch.rand((1, 1, height, width), generator=torch.Generator().manual_seed(seed))
    blobs = blur_images(white, 5.0, "reflect")
    return (blobs - blobs.min()) / (blobs.max() - blobs.min())


def perturbed_without_noise(image: torch.Tensor, perturbation: Perturbation) -> torch.Tensor:
    return perturb(image, perturbation, PIXEL, BLACK, torch.zeros_like(image))


@pytest.mark.parametrize(
    "perturbation", [Perturbation(angle=17), Perturbation(angle=-45, across=0.1), Perturbation(across=-0.2, down=0.13)]
)
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_perturbation_is_undone(perturbation: Perturbation, size: tuple[int, int]) -> None:
    """Where both contain it, a perturbed map is restored."""
    map_ = smooth_map(*size)[0, 0]
    transformed = perturbed_without_noise(map_[None, None], perturbation)[0, 0]
    restored = undo_perturbation(transformed, perturbation)
    valid = restored.isfinite()
    assert 0.3 < float(valid.double().mean()) < 1
    assert rank_correlation(map_[valid], restored[valid]) > 0.999
    assert float((map_ - restored)[valid].abs().max()) < 0.06  # at the border, interpolation includes mirrored pixels
    assert float((map_ - restored)[valid].abs().mean()) < 0.005
    assert rank_correlation(map_[valid], transformed[valid]) < 0.9  # not restored


@pytest.mark.parametrize("angle", [30.0, -75.0])
def test_rotation_matches_pillow(angle: float) -> None:
    """Counter-clockwise about the middle; compared away from the border, because Pillow does not mirror it."""
    image = smooth_map(60, 60)
    reference = Image.fromarray(image[0, 0].numpy()).rotate(angle, Image.Resampling.BILINEAR)
    actual = perturbed_without_noise(image, Perturbation(angle=angle))[0, 0].numpy()
    inner = (slice(18, 42), slice(18, 42))
    assert np.abs(actual[inner] - np.asarray(reference)[inner]).max() < 0.01


def test_shift_by_whole_pixels() -> None:
    image = torch.rand((1, 3, 40, 80), generator=torch.Generator().manual_seed(1))
    transformed = perturbed_without_noise(image, Perturbation(across=0.1, down=-0.25))
    torch.testing.assert_close(transformed[..., :30, 8:], image[..., 10:, :72], atol=1e-4, rtol=0)


def test_identity_is_bitwise_equal() -> None:
    image = torch.rand((1, 3, 20, 20), generator=torch.Generator().manual_seed(1))
    assert torch.equal(perturbed_without_noise(image, Perturbation()), image)
    assert torch.equal(undo_perturbation(image[0, 0], Perturbation(noise=0.1)), image[0, 0])


def test_noise_and_brightness_units() -> None:
    grey = torch.full((1, 3, 100, 100), 0.5)
    noise = torch.randn(grey.shape, generator=torch.Generator().manual_seed(0))
    spread = (perturb(grey, Perturbation(noise=0.05), PIXEL, BLACK, noise) - 0.5).std()
    assert float(spread) == pytest.approx(0.05, rel=0.03)
    assert float(perturb(grey, Perturbation(light=0.2), PIXEL, BLACK, noise).mean()) == pytest.approx(0.7)
    assert float(perturb(grey, Perturbation(light=0.8), PIXEL, BLACK, noise).max()) == 1.0
    normalised = perturb(grey, Perturbation(light=0.2), 1 / torch.tensor(0.25), torch.tensor(-2.0), noise)
    assert float(normalised.mean()) == pytest.approx(0.5 + 0.2 / 0.25)


@pytest.fixture
def metric_inputs() -> MetricInputs:
    return metric_inputs_of(cl.load("toybox"), toybox.scene((9000, 0)).picture())


@pytest.mark.parametrize("angle", [10.0, 40.0])
def test_equivariant_map_is_stable(metric_inputs: MetricInputs, angle: float) -> None:
    """Blurred brightness follows the image: restored, it is the original map."""

    def brightness(model_input: object, inputs: torch.Tensor) -> torch.Tensor:
        return blur_images(inputs.mean(1, keepdim=True), 2.0, "reflect")[:, 0]

    control = Control("brightness", "the brightness of the image", "the image", brightness)
    raw = control.maps(metric_inputs.model_input, metric_inputs.model_input.inputs, torch.tensor([0]))[0]
    result = explain_perturbed(MetricInputs(metric_inputs.model_input, control, raw), Perturbation(angle=angle))
    assert result.correlation > 0.98
    assert rank_correlation(raw, result.map) < 0.9
    assert 0.7 < result.valid_fraction < 1


def test_identity_gives_the_same_map(metric_inputs: MetricInputs) -> None:
    result = explain_perturbed(metric_inputs, Perturbation())
    assert result.correlation == pytest.approx(1)
    assert result.valid_fraction == 1
    torch.testing.assert_close(result.logits, metric_inputs.model_input.logits)
    torch.testing.assert_close(result.map, metric_inputs.relevance)


def test_half_turn_matches_the_flipped_input(metric_inputs: MetricInputs) -> None:
    result = explain_perturbed(metric_inputs, Perturbation(angle=180))
    upside_down = metric_inputs.model_input.inputs.flip((-2, -1))
    with torch.no_grad():
        expected = metric_inputs.model_input.model.network.eval()(upside_down)[0]
    torch.testing.assert_close(result.logits, expected, atol=1e-3, rtol=1e-3)
    again = dataclasses.replace(metric_inputs.model_input, inputs=upside_down)
    raw = metric_inputs.explainer.maps(again, upside_down, torch.tensor([metric_inputs.model_input.target]))[0]
    torch.testing.assert_close(result.raw, raw, atol=1e-3, rtol=1e-2)
    expected_map = dataclasses.replace(metric_inputs, raw=raw).relevance.flip((-2, -1))
    torch.testing.assert_close(result.unperturbed_map, expected_map, atol=1e-2, rtol=1e-2)


def test_noise_is_seeded(metric_inputs: MetricInputs) -> None:
    first, again = (explain_perturbed(metric_inputs, Perturbation(noise=0.05)).inputs for _ in range(2))
    other = explain_perturbed(
        dataclasses.replace(metric_inputs, model_input=dataclasses.replace(metric_inputs.model_input, seed=1)),
        Perturbation(noise=0.05),
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other.inputs)
