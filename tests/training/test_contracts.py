"""Arguments reach every part of a training, and random numbers depend only on the seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset
from camlucida.data.open import open_dataset
from camlucida.errors import DataError
from camlucida.models.preprocessing import Preprocessing
from camlucida.training import loop, run, training_data
from camlucida.training.augmentation import augment_image
from camlucida.training.data_loading import BatchLoader
from camlucida.training.loop import TrainingJob, learning_rate, make_optimizer, run_training
from camlucida.training.run_folder import RunFolder
from camlucida.training.settings import Settings
from camlucida.training.split import split_dataset, stratified_split

SIDE = 8


class Watch:
    """What a training does with a tiny network on ten images of two classes."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> None:
        self.chunks: list[list[list[int]]] = []
        self.keys: list[tuple[int, ...]] = []
        self.augmented: list[tuple[int, ...]] = []
        self.losses: list[tuple[float, int]] = []
        self.losing: list[tuple[Tensor | None, float]] = []
        self.rates: list[float] = []
        self.inputs: list[Tensor] = []
        pixels = np.random.default_rng(5).integers(0, 256, (12, SIDE, SIDE, 3), dtype=np.uint8)
        labels = [int(number % 3 == 0) for number in range(12)]
        items = [Item(pixels[i], f"image {i}", labels[i], split="val" if i > 9 else "train") for i in range(12)]
        data = ListDataset("ten", items, ("a", "b"))
        settings = Settings(**{"batch_size": 4, "epochs": 2, "lr": 0.1, **how})
        parts = split_dataset(data, settings.val, settings.seed)
        preprocessing = Preprocessing((SIDE, SIDE), None, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
        images = BatchLoader(data, parts.labels, preprocessing)
        plain, entropy, augment = BatchLoader.batches, loop.cross_entropy, run.BatchLoader._load_input

        def batches(
            self_: BatchLoader, chunks: Sequence[Sequence[int]], kinds: Sequence[str] = (), key: Sequence[int] = ()
        ) -> Any:
            if key:
                self.chunks.append([list(chunk) for chunk in chunks])
                self.keys.append(tuple(key))
            yield from plain(self_, chunks, kinds, key)

        def cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None, **how: Any) -> Tensor:
            value = entropy(logits, target, weight, **how)
            if "label_smoothing" in how:
                self.losses.append((value.item(), len(target)))
                self.losing.append((weight, how["label_smoothing"]))
            return value

        def step(self_: torch.optim.Optimizer, *rest: Any) -> None:
            self.rates.append(self_.param_groups[0]["lr"])

        def spied(random_image: Tensor, kinds: Sequence[str], key: Sequence[int]) -> Tensor:
            self.augmented.append(tuple(key))
            return random_image

        assert augment is not None
        monkeypatch.setattr(BatchLoader, "batches", batches)
        monkeypatch.setattr(loop, "cross_entropy", cross_entropy)
        monkeypatch.setattr("camlucida.training.data_loading.augment_image", spied)
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 2))
        result = make_optimizer(network, settings)
        monkeypatch.setattr(type(result), "step", step)
        file = tmp_path / f"{len(list(tmp_path.iterdir()))}.pt"
        job = TrainingJob(network, images, parts, 2, settings, torch.device("cpu"), file, 1e9)
        self.train = parts.train
        self.rows = run_training(job, lambda state: None).rows


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Watch]:
    def train_watched(**how: Any) -> Watch:
        with monkeypatch.context() as inner:
            return Watch(tmp_path, inner, **how)

    return train_watched


def test_the_order_is_new_in_every_epoch_and_follows_from_the_seed(watch: Callable[..., Watch]) -> None:
    first, again, other = watch(), watch(), watch(seed=1)
    assert first.chunks == again.chunks
    one, two = ([i for chunk in epoch for i in chunk] for epoch in first.chunks)
    assert sorted(one) == sorted(two) == list(first.train)
    assert one != two
    assert one != sorted(one)
    assert [i for chunk in other.chunks[0] for i in chunk] != one


def test_augmentation_has_a_key_of_seed_epoch_and_image(watch: Callable[..., Watch]) -> None:
    result = watch(augment=("flip",), seed=7)
    assert set(result.augmented) == {(7, epoch, image) for epoch in (0, 1) for image in result.train}
    assert not watch().augmented


def test_the_reported_loss_is_the_mean_over_images(watch: Callable[..., Watch]) -> None:
    result = watch(epochs=1, batch_size=4)  # ten images: batches of 4, 4 and 2
    sizes = [size for _, size in result.losses]
    assert sizes == [4, 4, 2]
    expected = sum(loss * size for loss, size in result.losses) / 10
    assert result.rows[0]["loss"] == pytest.approx(expected)
    assert expected != pytest.approx(np.mean([loss for loss, _ in result.losses]), rel=1e-4)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step"])
def test_every_step_has_the_rate_of_its_schedule(schedule: str, watch: Callable[..., Watch]) -> None:
    result = watch(schedule=schedule, warmup=1.0, epochs=3)
    assert result.rates == [learning_rate(step, 9, 0.1, schedule, 3) for step in range(9)]


def test_settings_of_the_loss_and_the_optimizer_arrive(watch: Callable[..., Watch]) -> None:
    assert {(weight is None, smoothing) for weight, smoothing in watch(label_smoothing=0.25).losing} == {(True, 0.25)}
    weight = watch(class_weights="balanced").losing[0][0]
    assert weight is not None
    assert weight.tolist() == pytest.approx([10 / (2 * 6), 10 / (2 * 4)])
    network = nn.Linear(2, 2)
    for name in ("sgd", "adamw"):
        result = make_optimizer(network, Settings(optimizer=name, lr=0.3, momentum=0.8, weight_decay=0.2))
        group = result.param_groups[0]
        assert (group["lr"], group["weight_decay"]) == (0.3, 0.2)
        assert name == "adamw" or group["momentum"] == 0.8
        assert type(result).__name__.lower() == name


def test_a_drawn_split_follows_from_its_seed() -> None:
    labelled = [(i, i % 3) for i in range(60)]
    assert stratified_split(labelled, 0.3, 0) == stratified_split(labelled, 0.3, 0)
    assert stratified_split(labelled, 0.3, 0)[1] != stratified_split(labelled, 0.3, 1)[1]
    train, val = stratified_split(labelled, 0.3, 0)
    assert not set(train) & set(val)


def test_seed_and_limit_reach_split_and_choice(tmp_path: Path) -> None:
    items = [Item(np.full((16, 16, 3), i, dtype=np.uint8), f"image {i}", i % 2) for i in range(24)]
    data = ListDataset("many", items, ("a", "b"))

    def parts(out: str, **how: Any) -> dict[str, str]:
        cl.train(data, out=tmp_path / out, arch="small", size=32, epochs=1, **how)
        return {row["image"]: row["split"] for row in RunFolder(tmp_path / out).read_table("split.csv")}

    whole = parts("whole")
    assert len(whole) == 24
    assert parts("again") == whole
    assert parts("other", seed=1) != whole
    some = parts("some", limit=8)
    assert len(some) == 8
    assert set(some) != {f"image {i}" for i in range(8)}, "the first ones"
    assert set(parts("others", limit=8, seed=1)) != set(some)
    assert sum(part == "val" for part in parts("half", val=0.5).values()) == 12


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_scenes_to_learn_from_are_never_shown(seed: int) -> None:
    """Those that `train` draws, and those that `evaluate`, `explain` and the page draw by the same seed or another."""
    learned, source = training_data.open_training_data("toybox", None, 12, seed)
    assert source["spec"] == "toybox"
    assert len(learned) == 12

    def pixels(data: Any, count: int) -> set[bytes]:
        return {data[i].image.tobytes() for i in range(count)}

    mine = pixels(learned, 12)
    assert len(mine) == 12
    for other in (0, 1, 7):
        assert not mine & pixels(open_dataset("toybox", count=12, seed=other), 12)
    assert mine == pixels(training_data.open_training_data("toybox", None, 12, seed)[0], 12)
    assert mine != pixels(training_data.open_training_data("toybox", None, 12, seed + 1)[0], 12)


def test_every_setting_decides_which_training_it_is(tmp_path: Path) -> None:
    others: dict[str, Any] = {
        "train": "head", "epochs": 3, "batch_size": 8, "lr": 0.02, "optimizer": "adamw", "momentum": 0.9,
        "weight_decay": 0.1, "schedule": "cosine", "warmup": 1.0, "label_smoothing": 0.1, "class_weights": "balanced",
        "precision": "bf16", "patience": 2, "augment": ("flip",), "val": 0.3, "seed": 1,
    }  # fmt: skip
    settings = Settings()
    assert set(others) == {field.name for field in fields(Settings)}
    folder = RunFolder(tmp_path / "run")
    whole = {"arch": "small", "head": "gap", "data": "0", "start": "1", "size": [8, 8]}
    folder.begin({**whole, "settings": settings.as_json()})
    folder.begin({**whole, "settings": Settings().as_json()})
    for name, value in others.items():
        with pytest.raises(DataError, match=rf"contains another training: settings\.{name} (is|lacks) "):
            folder.begin({**whole, "settings": replace(settings, **{name: value}).as_json()})
    for name in whole:
        with pytest.raises(DataError, match=f"contains another training: {name} is "):
            folder.begin({**whole, "settings": settings.as_json(), name: "other"})


def test_the_plan_of_a_training_has_every_part(tmp_path: Path) -> None:
    items = [Item(np.full((16, 16, 3), i, dtype=np.uint8), f"image {i}", i % 2) for i in range(8)]
    data = ListDataset("few", items, ("a", "b"))
    changes: dict[str, dict[str, Any]] = {
        "head": {"head": "gap"},
        "size": {"size": 48},
        "fit": {"fit": "squash"},
        "settings": {"lr": 0.02},
        "start": {"seed": 1},
    }
    how: dict[str, Any] = {"arch": "small", "size": 32, "epochs": 1, "out": tmp_path / "run"}
    cl.train(data, **how)
    for name, change in changes.items():
        reason = name if name in ("head", "fit") else "(start|settings|size)"
        with pytest.raises(DataError, match=f"contains another training: {reason}"):
            cl.train(data, **{**how, **change})
    with pytest.raises(DataError, match="contains another training: data is"):
        cl.train(ListDataset("few", [*items[:-1], Item(items[0].image, "image 7", 1)], ("a", "b")), **how)


def test_weights_are_kept_after_the_epoch_they_belong_to(tmp_path: Path) -> None:
    items = [Item(np.full((16, 16, 3), 20 * i, dtype=np.uint8), f"image {i}", i % 2) for i in range(8)]
    data = ListDataset("few", items, ("a", "b"))
    cl.train(data, out=tmp_path / "run", arch="small", size=32, epochs=2, keep_epochs=True)
    files = RunFolder(tmp_path / "run").epoch_weights()
    assert [file.stem for file in files] == ["000", "001", "002"]
    assert len({file.read_bytes() for file in files}) == 3
    assert files[-1].read_bytes() == (tmp_path / "run/last.safetensors").read_bytes()


def test_a_crop_lies_within_an_oblong_image() -> None:
    """A ramp down a tall image: what is cut out is a share of its own height, not of its width."""
    tall = torch.linspace(0, 1, 200)[:, None].expand(3, 200, 40)
    heights = []
    for i in range(60):
        cut = augment_image(tall, ("crop",), (i,))
        assert cut.shape == tall.shape
        heights.append(float(cut[0, -1, 0] - cut[0, 0, 0]))
        assert heights[-1] > 0.6
    assert max(heights) > 0.95
