"""TensorBoard's event file, read by TensorBoard, and the error without TensorBoard."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import camlucida as cl
from camlucida.errors import MissingExtra
from camlucida.training.tensorboard import event_file

OPTIONS: dict[str, Any] = {"arch": "small", "size": 32, "batch_size": 8}


def scalars(folder: Path) -> dict[tuple[str, int], tuple[float, float]]:
    """(tag, step) -> (time, value) of every event in a folder; an event that is there twice is an error."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder))
    events.Reload()
    points = [(tag, point) for tag in events.Tags()["scalars"] for point in events.Scalars(tag)]
    read = {(tag, point.step): (point.wall_time, point.value) for tag, point in points}
    assert len(read) == len(points)
    return read


def test_scalars_are_read_back_with_their_times(tmp_path: Path) -> None:
    content = event_file([(12.5, 1, {"loss": 0.75, "accuracy": 0.5}), (20.25, 2, {"loss": 0.375})])
    (tmp_path / "events.out.tfevents.0.test").write_bytes(content)
    assert scalars(tmp_path) == {
        ("loss", 1): (12.5, 0.75),
        ("accuracy", 1): (12.5, 0.5),
        ("loss", 2): (20.25, 0.375),
    }


def test_a_resumed_training_has_each_epoch_once(patches: Callable[..., Path], tmp_path: Path) -> None:
    data, run = patches(6, 6, 6), tmp_path / "run"

    def stop(epoch: int, batch: int, batches: int, loss: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cl.train(data, out=run, epochs=3, tensorboard=True, progress=stop, **OPTIONS)
    assert {step for _, step in scalars(run / "tensorboard")} == {1}
    training = cl.train(data, out=run, epochs=3, tensorboard=True, **OPTIONS)
    read = scalars(run / "tensorboard")
    for row in training.rows:
        for tag in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert read[tag, row["epoch"]][1] == pytest.approx(row[tag])
    assert len(read) == 3 * 4  # top-5 is not measured with three classes


def test_without_being_asked_nothing_is_written(
    patches: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    cl.train(patches(4, 4), out=tmp_path / "run", epochs=1, **OPTIONS)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_missing_tensorboard_is_named_before_training(
    patches: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtra, match=r"needs the package tensorboard.*pip install 'camlucida\[tensorboard\]'"):
        cl.train(patches(4, 4), out=tmp_path / "run", epochs=1, tensorboard=True, **OPTIONS)
    assert not (tmp_path / "run").exists()
