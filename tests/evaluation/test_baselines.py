"""Controls: each equals its definition, depends on the seed, and is the same in any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import torch
from PIL import Image
from torch import nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError, TargetError
from camlucida.evaluation import evaluate
from camlucida.evaluation.baselines import (
    BLUR_SIGMA_FRACTION,
    CONTROLS,
    OtherClass,
    RandomWeights,
    random,
    standard_controls,
)
from camlucida.evaluation.metric_inputs import MethodExplainer
from camlucida.evaluation.model_input import ModelInput, prepare_input
from camlucida.methods import find

MODEL = cl.load("toybox")
SCENES = ToyboxDataset(Toybox(4, seed=5))
ALL = {control.name: control for control in standard_controls()}
METHOD = find("grad_cam")
GRAD_CAM = MethodExplainer((METHOD, METHOD.with_options({})))


def model_input_of(index: int = 0, seed: int = 0) -> ModelInput:
    item = SCENES[index]
    return prepare_input(MODEL, item, item.label, seed=seed)


def control_map(name: str, model_input: ModelInput) -> torch.Tensor:
    return ALL[name].maps(model_input, model_input.inputs, torch.tensor([model_input.target]))[0]


def test_the_standard_controls_and_their_information() -> None:
    information = {name: control.knows for name, control in ALL.items()}  # type: ignore[attr-defined]
    assert information == {
        "oracle": "ground truth",
        "random": "nothing",
        "blurred_random": "nothing",
        "uniform": "nothing",
        "centre": "nothing",
        "sobel": "image",
        "zero": "nothing",
        "fake_cam": "nothing",
        "inverted_oracle": "ground truth",
        "other_class": "another class",
        "random_weights": "image",
    }


def test_the_oracle_is_the_mask_and_its_inverse() -> None:
    model_input, mask = model_input_of(), torch.from_numpy(SCENES[0].mask()).float()
    assert_close(control_map("oracle", model_input), mask)
    assert_close(control_map("inverted_oracle", model_input), 1 - mask)


def test_centre_is_a_gaussian_of_a_quarter_of_the_side() -> None:
    result = control_map("centre", model_input_of()).double()
    positions = np.arange(96) + 0.5
    profile = np.exp(-((positions - 48) ** 2) / (2 * 24**2))
    assert_close(result, torch.from_numpy(np.outer(profile, profile)), rtol=1e-6, atol=1e-6)


def test_sobel_is_scipys() -> None:
    grey = np.asarray(SCENES[0].image, dtype=np.float64).mean(2) / 255
    x, y = (scipy.ndimage.sobel(grey, axis=axis, mode="nearest") / 8 for axis in (1, 0))
    assert_close(
        control_map("sobel", model_input_of()).double(), torch.from_numpy(np.hypot(x, y)), rtol=1e-4, atol=1e-5
    )


def test_blurred_random_is_the_random_map_after_scipys_gaussian() -> None:
    model_input = model_input_of()
    noise = random(model_input, model_input.inputs)[0].double().numpy()
    blurred = scipy.ndimage.gaussian_filter(noise, BLUR_SIGMA_FRACTION * 96, mode="wrap", radius=24)
    expected = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    assert_close(control_map("blurred_random", model_input).double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


def test_fake_cam_zero_and_uniform() -> None:
    model_input = model_input_of()
    fake = control_map("fake_cam", model_input)
    assert fake.sum() == 96 * 96 - 1
    assert fake[0, 0] == 0
    assert bool((control_map("zero", model_input) == 0).all())
    assert bool((control_map("uniform", model_input) == 1).all())


def test_other_class_is_the_methods_map_for_some_other_class() -> None:
    control = OtherClass(GRAD_CAM)
    chosen = set()
    for index in range(4):
        model_input = model_input_of(index)
        result = control.maps(model_input, model_input.inputs, torch.tensor([model_input.target]))
        maps_by_class = GRAD_CAM.maps(model_input, model_input.inputs.expand(10, -1, -1, -1), torch.arange(10))
        hits = [k for k in range(10) if torch.allclose(result[0], maps_by_class[k], rtol=1e-4, atol=1e-6)]
        assert hits
        assert model_input.target not in hits
        chosen.add(hits[0])
    assert len(chosen) > 1, "sampled at random, not always the same"


def test_random_weights_are_initialised_once() -> None:
    control = RandomWeights(GRAD_CAM)
    model_input = model_input_of()
    before = MODEL.weights_hash
    control.maps(model_input, model_input.inputs, torch.tensor([model_input.target]))
    network = control._randomized_model(MODEL, 0).network
    assert network is control._randomized_model(MODEL, 0).network
    assert network is not control._randomized_model(MODEL, 1).network
    own = dict(MODEL.network.named_parameters())
    reinitialised = [name for name, p in network.named_parameters() if p.ndim > 1 and not torch.equal(p, own[name])]
    assert reinitialised == [name for name, p in own.items() if p.ndim > 1]
    assert cl.load("toybox").weights_hash == before


def test_deleted_networks_are_released() -> None:
    control = RandomWeights(GRAD_CAM)
    model = cl.load("toybox")
    control._randomized_model(model, 0)
    assert len(control._networks) == 1
    del model
    assert len(control._networks) == 0


@pytest.mark.parametrize("name", ALL)
def test_the_same_map_alone_and_in_a_batch(name: str) -> None:
    model_input = model_input_of()
    noisy = model_input.inputs + 0.1 * torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([1, 2, 3])
    together = ALL[name].maps(model_input, noisy, classes)
    alone = torch.cat([ALL[name].maps(model_input, noisy[i : i + 1], classes[i : i + 1]) for i in range(3)])
    assert together.shape[0] == 3
    assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["random", "blurred_random"])
def test_random_maps_depend_on_seed_image_and_pixels(name: str) -> None:
    first = control_map(name, model_input_of())
    assert torch.equal(first, control_map(name, model_input_of()))
    assert not torch.equal(first, control_map(name, model_input_of(seed=1)))
    assert not torch.equal(first, control_map(name, model_input_of(1)))
    model_input = model_input_of()
    changed = ALL[name].maps(model_input, model_input.inputs + 1e-3, torch.tensor([model_input.target]))[0]
    assert not torch.equal(first, changed)


def test_a_missing_annotation_gives_a_row_with_a_reason(tmp_path: Path) -> None:
    data = ListDataset("one", [Item(Image.new("RGB", (96, 96)), "black")])
    result = evaluate(
        MODEL, data, methods=["grad_cam"], metrics=["entropy"], controls=standard_controls(), out=tmp_path
    )
    assert {method for _, method, reason in result.failures} == {"oracle", "inverted_oracle"}
    assert all("the position of the object is unknown" in reason for _, _, reason in result.failures)
    assert len(result.column("entropy", "random").values) == 1
    assert result.uninformative == tuple(name for name in ALL if "oracle" not in name)


def test_one_output_has_no_other_class() -> None:
    model = cl.wrap(nn.Sequential(nn.Conv2d(3, 1, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), size=32)
    model_input = prepare_input(model, Item(Image.new("RGB", (32, 32)), "black"), None)
    with pytest.raises(TargetError, match="a single output"):
        OtherClass(GRAD_CAM).maps(model_input, model_input.inputs, torch.tensor([0]))


def test_the_oracle_needs_ground_truth() -> None:
    model_input = prepare_input(MODEL, Item(Image.new("RGB", (96, 96)), "black"), None)
    oracle = next(control for control in CONTROLS if control.name == "oracle")
    with pytest.raises(DataError, match="position of the object is unknown"):
        oracle.maps(model_input, model_input.inputs, torch.tensor([0]))
