"""The cost model of audits: closed forms, and the bytes of a real folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from camlucida.audits.cost_model import Rate, array_bytes, estimate, fit_rate, folder_bytes
from camlucida.audits.run import audit
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.errors import DataError

RATE = Rate(start_s=10.0, image_s=0.05, read_bytes=100_000, stored_bytes=5_000, forwards=3)


def test_one_worker_takes_the_start_and_the_images() -> None:
    cost = estimate(RATE, 1_000_000)
    assert cost.hours == pytest.approx((10 + 50_000) / 3600)
    assert cost.worker_hours == pytest.approx(cost.hours)
    assert cost.read_bytes == 1e11
    assert cost.stored_bytes == 5e9
    assert cost.forwards == 3e6
    assert cost.n_files == 3907 * 6


def test_workers_take_whole_chunks() -> None:
    cost = estimate(RATE, 1000, workers=3, chunk_images=256)  # chunks of 256, 256, 256 and 232: one worker takes two
    assert cost.hours == pytest.approx((10 + 512 * 0.05) / 3600)
    assert cost.worker_hours == pytest.approx((30 + 50) / 3600)
    assert estimate(RATE, 100, workers=8).hours == pytest.approx((10 + 5) / 3600)
    assert estimate(RATE, 100, workers=8).worker_hours == pytest.approx((10 + 5) / 3600)


def test_a_line_through_two_runs() -> None:
    assert fit_rate([(250, 22.5), (1000, 60.0)]) == pytest.approx((10.0, 0.05))
    assert fit_rate([(100, 1.0), (200, 3.0)])[0] == 0  # a start is not negative
    for runs in ([], [(100, 1.0)], [(100, 1.0), (150, 2.0)]):
        with pytest.raises(DataError, match="runs of two sizes"):
            fit_rate(runs)


def test_bytes_of_a_folder(tmp_path: Path) -> None:
    result = audit("toybox", ToyboxDataset(Toybox(6)), tmp_path, methods=["grad_cam", "layer_cam"], chunk_images=4)
    shapes = [next(result.store.arrays(name)).shape[1:] for name in ("grad_cam", "channels")]
    arrays = sum(file.stat().st_size for file in (tmp_path / "parts").glob("*.npy"))
    headers = 128 * len(list((tmp_path / "parts").glob("*.npy")))
    assert arrays - headers == 6 * array_bytes(shapes[0][1:], shapes[1][1], n_methods=2)
    (tmp_path / "findings").mkdir()
    before = folder_bytes(result)
    (tmp_path / "findings" / "x.json").write_text("x" * 10_000)
    assert folder_bytes(result) == before
    assert before * 6 > arrays
