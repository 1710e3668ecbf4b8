"""Training from end to end: it learns, it resumes after being killed, and its folder can be opened."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset
from camlucida.errors import DataError, ModelError
from camlucida.training.state import TrainingState
from camlucida.training.training_data import validation_data

Patches = Callable[..., Path]
QUICK: dict[str, Any] = {"arch": "small", "size": 32, "epochs": 3, "batch_size": 8, "optimizer": "adamw"}


def learn(data: Any, out: Path, **changes: Any) -> cl.Training:
    return cl.train(data, out=out, **{**QUICK, **changes})


def state_of(run: Path, name: str = "last.safetensors") -> bytes:
    return (run / name).read_bytes()


def test_it_learns_and_can_be_opened(patches: Patches, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    result = learn(patches(16, 16, 16), tmp_path / "run", epochs=8, lr=0.01)
    assert torch.equal(torch.get_rng_state(), before)
    assert result.best["val_accuracy"] > 0.8
    assert result.finished
    assert result.rows[-1]["n_images"] == 39
    assert result.rows[-1]["n_val_images"] == 9
    model = cl.load(tmp_path / "run")
    assert model.labels == ("left", "middle", "right")
    assert model.name == "run"
    computed = cl.explain(model, tmp_path / "patches/right/003.png", method="cam")
    assert computed.predictions[0].name == "right"
    about = json.loads((tmp_path / "run/model.json").read_text())
    assert about["arch"] == "small"
    assert about["data"]["train"] == 39
    assert about["training"]["optimizer"] == "adamw"
    assert {"torch", "camlucida"} <= set(about["versions"])
    assert cl.load_image(tmp_path / "run/curves.png").width > 800
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert "checkpoint.pt" not in names
    assert {"metrics.csv", "split.csv", "skipped.csv", "last.safetensors", "model.safetensors"} <= names


def test_best_is_the_row_with_the_highest_validation_accuracy(patches: Patches, tmp_path: Path) -> None:
    result = learn(patches(9, 9, 9), tmp_path / "run", epochs=5, lr=0.02, keep_epochs=True)
    order = sorted(result.rows, key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert result.best == order[-1]
    kept = tmp_path / f"run/epochs/{result.best['epoch']:03d}.safetensors"
    assert kept.read_bytes() == state_of(tmp_path / "run", "model.safetensors")
    assert (tmp_path / "run/epochs/005.safetensors").read_bytes() == state_of(tmp_path / "run")
    first = cl.load(tmp_path / "run/epochs/000.safetensors")
    assert first.name == "epochs/000.safetensors"
    assert first.weights_hash != cl.load(tmp_path / "run").weights_hash


def test_the_numbers_of_an_epoch_are_those_of_the_weights(patches: Patches, tmp_path: Path) -> None:
    """Validation again, image by image, with the model that was written."""
    data = patches(8, 8, 8)
    result = learn(data, tmp_path / "run", epochs=2)
    model = cl.load(tmp_path / "run/last.safetensors")
    rows = [line.split(",") for line in (tmp_path / "run/split.csv").read_text().splitlines()[1:]]
    names = [name for name, part in rows if part == "val"]
    losses, right = [], []
    for name in names:
        x, _ = model.preprocessing(cl.load_image(data / name))
        scores = model.network(x[None]).detach().log_softmax(1)[0]
        label = model.labels.index(name.split("/")[0])
        losses.append(-float(scores[label]))
        right.append(int(scores.argmax()) == label)
    assert result.rows[-1]["val_loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert result.rows[-1]["val_accuracy"] == pytest.approx(np.mean(right))


PROGRAM = """
import sys, torch, camlucida as cl
torch.set_num_threads(1)
cl.train({data!r}, out={out!r}, arch="toybox:vgg", pretrained=False, epochs=3, batch_size=4, lr=0.003,
         momentum=0.9, schedule="cosine", warmup=1, augment=("flip", "crop", "colour"), save_every=0.0,
         progress=lambda epoch, batch, n, loss: (print(epoch - 1, batch, flush=True), sys.stdin.readline()))
"""


def test_killed_and_resumed_gives_the_same_weights(patches: Patches, tmp_path: Path) -> None:
    """With dropout, momentum, batch norm and augmentation; killed three times, in the middle of an epoch."""
    data = patches(14, 14, 14)
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def command(out: Path) -> list[str]:
        return [sys.executable, "-c", PROGRAM.format(data=str(data), out=str(out))]

    def run(out: Path) -> None:
        subprocess.run(command(out), check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    run(whole)
    for epoch, batch in ((0, 3), (1, 2), (2, 5)):
        with subprocess.Popen(command(broken), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            while (line := process.stdout.readline()) != f"{epoch} {batch}\n":
                assert line, "it came to its end before it was killed"
                process.stdin.write("\n")  # it waits for this after every batch, so it cannot run ahead
                process.stdin.flush()
            process.stdin.write("\n")
            process.stdin.flush()
            process.send_signal(signal.SIGKILL)  # while it writes the checkpoint, before, or in the next batch
        state = peek(broken / "checkpoint.pt")
        assert state is not None
        assert (state.epoch, state.batch) in ((epoch, batch - 1), (epoch, batch))
    run(broken)
    for name in ("last.safetensors", "model.safetensors"):
        assert state_of(whole, name) == state_of(broken, name)
    columns = [
        [line.rsplit(",", 1)[0] for line in (run / "metrics.csv").read_text().splitlines()] for run in (whole, broken)
    ]
    assert columns[0] == columns[1]


def peek(file: Path) -> TrainingState | None:
    if not file.is_file():
        return None
    return TrainingState(**torch.load(file, weights_only=True)["state"])


def test_the_same_call_gives_the_same_weights_and_another_seed_others(patches: Patches, tmp_path: Path) -> None:
    data = patches(6, 6, 6)
    for out, seed in (("one", 0), ("two", 0), ("three", 1)):
        torch.manual_seed(len(out))
        learn(data, tmp_path / out, seed=seed)
    assert state_of(tmp_path / "one") == state_of(tmp_path / "two")
    assert state_of(tmp_path / "one") != state_of(tmp_path / "three")


def test_a_second_training_is_the_same_one_or_refused(patches: Patches, tmp_path: Path) -> None:
    data, out = patches(6, 6, 6), tmp_path / "run"
    learn(data, out)
    before = (out / "metrics.csv").stat().st_mtime_ns
    assert len(learn(data, out).rows) == 3
    assert (out / "metrics.csv").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"contains another training: settings\.lr is 0\.01, not 0\.5\. Choose"):
        learn(data, out, lr=0.5)
    with pytest.raises(DataError, match="already contains other files"):
        learn(data, data)


def test_only_the_head_learns_and_frozen_norms_stay(patches: Patches, tmp_path: Path) -> None:
    result = learn(patches(6, 6, 6), tmp_path / "run", arch="toybox", size=96, epochs=1, optimizer="sgd")
    assert result.model.preprocessing.size == (96, 96)
    own, now = cl.load("toybox").network.state_dict(), result.model.network.state_dict()
    changed = {key for key in own if own[key].shape != now[key].shape or not torch.equal(own[key], now[key])}
    assert changed == {"fc.weight", "fc.bias"}


def test_one_step_of_sgd_is_the_textbooks(patches: Patches, tmp_path: Path) -> None:
    """One batch of all images on a frozen backbone: the new head is the old one minus lr times the gradient."""
    data = patches(4, 4)
    options: dict[str, Any] = {"arch": "toybox", "size": 96, "epochs": 1, "optimizer": "sgd", "batch_size": 8}
    learn(data, tmp_path / "run", **options, val=0.0, lr=0.01, keep_epochs=True)
    before, after = (load_file(tmp_path / f"run/epochs/00{i}.safetensors") for i in (0, 1))
    model = cl.load(tmp_path / "run/epochs/000.safetensors")
    kept: list[torch.Tensor] = []
    model.network.avgpool.register_forward_hook(lambda m, i, out: kept.append(out.flatten(1)))  # type: ignore[union-attr]
    files = sorted(data.rglob("*.png"))
    x = torch.stack([model.preprocessing(cl.load_image(file))[0] for file in files])
    probabilities = model.network(x).softmax(1).detach().double()
    expected_label = torch.eye(2)[[0] * 4 + [1] * 4].double()
    gradient = (probabilities - expected_label).T @ kept[0].detach().double() / 8
    expected = before["fc.weight"].double() - 0.01 * gradient
    assert torch.allclose(after["fc.weight"].double(), expected, atol=1e-7)


def test_early_stopping_waits_so_many_epochs(patches: Patches, tmp_path: Path) -> None:
    result = learn(patches(6, 6, 6), tmp_path / "run", epochs=40, lr=0.02, patience=2)
    assert result.finished
    assert len(result.rows) == result.best["epoch"] + 2 < 40


def test_broken_images_are_listed_and_training_continues(patches: Patches, tmp_path: Path) -> None:
    data = patches(6, 6, 6)
    whole = (data / "left/000.png").read_bytes()
    (data / "left/000.png").write_bytes(whole[: len(whole) // 2])
    (data / "middle/001.png").write_bytes(b"")
    (data / "right/002.png").write_text("<html>not found</html>")
    result = learn(data, tmp_path / "run", epochs=2)
    assert {name for name, _ in result.skipped} == {"left/000.png", "middle/001.png", "right/002.png"}
    assert "empty" in dict(result.skipped)["middle/001.png"]
    assert result.rows[-1]["n_images"] + result.rows[-1]["n_val_images"] == 15


def test_bad_data_is_a_sentence_each(patches: Patches, tmp_path: Path) -> None:
    data = patches(5, 5, 1, names=("a", "b", "lonely"))
    result = learn(data, tmp_path / "run", epochs=1)
    assert result.remarks == (
        "one class has only one image, which is used for training and not for validation: 'lonely'",
    )
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    twice = ListDataset("twice", [Item(image, f"{i}", i % 2) for i in range(4)], ("cat", "cat"))
    with pytest.raises(DataError, match="twice has two classes named 'cat'"):
        learn(twice, tmp_path / "x")
    with pytest.raises(DataError, match=r"needs two or more classes, and .* has only 'cat'"):
        learn(ListDataset("one", twice.items, ("cat",)), tmp_path / "x")
    unlabelled = ListDataset("none", [Item(image, f"{i}") for i in range(4)], ("cat", "dog"))
    with pytest.raises(DataError, match="none of the 4 images of none has a label"):
        learn(unlabelled, tmp_path / "x")
    same = ListDataset("same", [Item(image, f"{i}", 1) for i in range(4)], ("cat", "dog"))
    with pytest.raises(DataError, match=r"all training images of same have the class 'dog'"):
        learn(same, tmp_path / "x")
    some = ListDataset("some", [Item(image, f"{i}", i % 2 if i < 8 else None) for i in range(9)], ("Cat", "cat"))
    result = learn(some, tmp_path / "some", epochs=1)
    assert result.skipped == [("8", "it has no label")]
    assert result.remarks == ("the classes 'Cat', 'cat' differ only in case or spaces. Are they the same class?",)
    gone = ListDataset("gone", [Item(tmp_path / f"{i}.png", f"{i}", i % 2) for i in range(4)], ("cat", "dog"))
    with pytest.raises(DataError, match="none of the 2 training images could be read"):
        learn(gone, tmp_path / "gone", val=0.5)
    with pytest.raises(ModelError, match="the loss became nan"):
        learn(data, tmp_path / "wild", lr=1e30, optimizer="sgd")


def test_weights_from_a_file(patches: Patches, tmp_path: Path) -> None:
    backbone = cl.load("toybox:vgg", pretrained=False).network
    save_file(backbone.state_dict(), tmp_path / "mine.safetensors")
    result = learn(
        patches(4, 4), tmp_path / "run", arch="toybox:vgg", weights=tmp_path / "mine.safetensors", size=96, epochs=1
    )
    now = result.model.network.state_dict()
    assert torch.equal(now["features.0.weight"], backbone.state_dict()["features.0.weight"])
    assert json.loads((tmp_path / "run/model.json").read_text())["training"]["initial_weights"] == "mine.safetensors"


def test_offline_the_error_says_what_is_missing(
    patches: Patches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMLUCIDA_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError, match="resnet18 needs its pretrained weights"):
        learn(patches(4, 4), tmp_path / "run", arch="resnet18")
    assert not (tmp_path / "run").exists()


def test_a_gap_head_on_a_vgg_makes_cam_possible(patches: Patches, tmp_path: Path) -> None:
    result = learn(patches(6, 6), tmp_path / "run", arch="toybox:vgg", size=96, head="gap", epochs=1)
    image = tmp_path / "patches/left/000.png"
    cam, grad = (cl.explain(result.model, image, method=name) for name in ("positive(cam)", "grad_cam"))
    assert np.corrcoef(cam.heatmap.ravel(), grad.heatmap.ravel())[0, 1] > 0.9999


def test_validation_images_are_not_trained_on(patches: Patches, tmp_path: Path) -> None:
    data = patches(8, 8)
    learn(data, tmp_path / "run", epochs=1)
    images = validation_data(tmp_path / "run")
    assert images.classes == ("left", "middle")
    assert len(images) == 4
    rows = [line.split(",") for line in (tmp_path / "run/split.csv").read_text().splitlines()[1:]]
    assert {images[i].name for i in range(4)} == {name for name, part in rows if part == "val"}
    shutil.rmtree(data / "left")
    with pytest.raises(DataError, match=r"of the 4 validation images of .* are no longer in"):
        validation_data(tmp_path / "run")


def test_a_run_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ModelError, match=r"has no model.safetensors yet"):
        cl.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"model.json does not describe a model"):
        cl.load(tmp_path)
