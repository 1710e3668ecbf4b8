"""Schedules, splits, weights, augmentation and settings against closed forms and other implementations."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from camlucida.data.datasets import Item, ListDataset
from camlucida.errors import DataError
from camlucida.models.torchvision_models import build
from camlucida.training.augmentation import MIN_CROP_AREA, augment_image
from camlucida.training.data_loading import split_into_batches
from camlucida.training.loop import class_weights, learning_rate
from camlucida.training.settings import Settings
from camlucida.training.split import split_dataset, stratified_split
from camlucida.training.unfreezing import block_names, n_trainable_blocks, unfreeze


def rates_of(scheduler: type, steps: int, **options: object) -> list[float]:
    """The same by PyTorch's own schedulers, step by step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    created = scheduler(optimizer, **options)
    result = []
    for _ in range(steps):
        result.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        created.step()
    return result


def test_cosine_is_pytorchs() -> None:
    expected = rates_of(torch.optim.lr_scheduler.CosineAnnealingLR, 12, T_max=12)
    assert [learning_rate(i, 12, 0.3, "cosine") for i in range(12)] == pytest.approx(expected)


def test_steps_are_pytorchs() -> None:
    expected = rates_of(torch.optim.lr_scheduler.StepLR, 12, step_size=4)
    assert [learning_rate(i, 12, 0.3, "step") for i in range(12)] == pytest.approx(expected)


def test_warmup_grows_evenly_and_the_schedule_follows_it() -> None:
    result = [learning_rate(i, 14, 0.4, "cosine", warmup=4) for i in range(14)]
    assert result[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert result[4:] == pytest.approx([learning_rate(i, 10, 0.4, "cosine") for i in range(10)])


@given(st.integers(1, 60), st.integers(1, 20))
def test_batches_hold_every_image_once(count: int, size: int) -> None:
    chunks = split_into_batches(list(range(count)), size)
    assert [i for chunk in chunks for i in chunk] == list(range(count))
    assert size == 1 or count == 1 or min(map(len, chunks)) > 1
    assert max(map(len, chunks)) <= size + 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(0, 5))
def test_a_drawn_split_is_stratified(labels: list[int], seed: int) -> None:
    train, val = stratified_split(list(enumerate(labels)), 0.25, seed)
    assert sorted(train + val) == list(range(len(labels)))
    assert (train, val) == stratified_split(list(enumerate(labels)), 0.25, seed)
    for label, count in Counter(labels).items():
        looked_at = sum(labels[i] == label for i in val)
        assert looked_at == (0 if count == 1 else min(max(round(0.25 * count), 1), count - 1))


def test_the_split_of_the_data_set_comes_first() -> None:
    parts = ["train", "train", "val", "val", "test", "", "train"]
    items = [Item("", f"{i}.png", i % 2, split=part) for i, part in enumerate(parts)]
    result = split_dataset(ListDataset("own", items, ("a", "b")), 0.5, 0)
    assert result.train == (0, 1, 5, 6)
    assert result.val == (2, 3)


def test_class_weights_are_scikit_learns() -> None:
    labels = [0] * 6 + [1] * 3 + [3]

    class Made:
        settings = Settings(class_weights="balanced")
        split = split_dataset(
            ListDataset("x", [Item("", f"{i}", k) for i, k in enumerate(labels)], tuple("abcd")), 0.0, 0
        )
        classes = 4
        device = torch.device("cpu")

    expected = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=np.array(labels))
    result = class_weights(Made)  # type: ignore[arg-type]
    assert result is not None
    assert result[[0, 1, 3]].tolist() == pytest.approx(expected.tolist())


def test_augmentation_follows_from_its_key_alone() -> None:
    image = torch.rand(3, 20, 24, generator=torch.Generator().manual_seed(1))
    kinds = ("flip", "crop", "colour")
    assert torch.equal(augment_image(image, kinds, (0, 1, 2)), augment_image(image, kinds, (0, 1, 2)))
    assert not torch.equal(augment_image(image, kinds, (0, 1, 2)), augment_image(image, kinds, (0, 2, 2)))
    flips = [not torch.equal(augment_image(image, ("flip",), (0, i)), image) for i in range(400)]
    assert 160 < sum(flips) < 240
    assert all(torch.equal(augment_image(image, ("flip",), (0, i)), image.flip(2)) for i in range(400) if flips[i])


def test_a_crop_of_a_ramp_is_a_part_of_the_ramp() -> None:
    ramp = torch.linspace(0, 1, 200).expand(3, 200, 200)
    for i in range(50):
        result = augment_image(ramp, ("crop",), (i,))
        assert result.shape == ramp.shape
        width = float(result[0, 0, -1] - result[0, 0, 0])
        assert math.sqrt(MIN_CROP_AREA / (4 / 3)) - 0.02 < width <= 1.0
        assert bool((result.diff(dim=2) > -1e-6).all())


def test_head_thaws_first_and_everything_last() -> None:
    network = build("resnet18")
    blocks = block_names(network)
    assert blocks[-1] == "fc"
    assert len(blocks) == len(set(blocks))
    shares = []
    for epoch in range(5):
        unfreeze(network, "gradual", epoch, 5)
        shares.append(sum(p.numel() for p in network.parameters() if p.requires_grad))
    assert shares[0] == sum(p.numel() for p in network.fc.parameters())  # type: ignore[union-attr]
    assert shares == sorted(shares)
    assert len(set(shares)) == 5
    assert shares[-1] == sum(p.numel() for p in network.parameters())
    assert [n_trainable_blocks(9, "gradual", e, 5) for e in range(5)] == [1, 3, 5, 7, 9]


def test_what_is_frozen_is_in_eval_mode() -> None:
    network = build("resnet18")
    unfreeze(network, "head", 1, 2)
    assert {name for name, p in network.named_parameters() if p.requires_grad} == {"fc.weight", "fc.bias"}
    assert not network.bn1.training  # type: ignore[union-attr]
    unfreeze(network, "all", 1, 2)
    assert all(module.training for module in network.modules())


def test_settings_say_what_is_wrong() -> None:
    for wrong, message in (
        ({"optimizer": "sdg"}, "optimizer must be one of sgd, adamw, not 'sdg'. Did you mean 'sgd'?"),
        ({"epochs": 0}, "epochs must be 1 or more, not 0."),
        ({"lr": 0.0}, "lr must be greater than 0, not 0."),
        ({"val": 0.95}, "val must be between 0 and 0.9, not 0.95."),
        ({"augment": ("flop",)}, "augment must be one of flip, crop, colour, not 'flop'. Did you mean 'flip'?"),
        ({"train": "gradual", "epochs": 1}, "train='gradual' starts with the head and needs 2 or more epochs"),
    ):
        with pytest.raises(DataError) as error:
            Settings(**wrong)  # type: ignore[arg-type]
        assert message in str(error.value)
