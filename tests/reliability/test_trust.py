"""The verdict on toybox scenes with known ground truth, from Python and from the command line.

The rates are those of `benchmarks/trust_calibration.py`, with fewer scenes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.cli import main
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.errors import DataError, MethodError, TargetError
from camlucida.evaluation.model_input import prepare_input
from camlucida.models.toybox_networks import build
from camlucida.reliability import Trust, trust_each
from camlucida.reliability.position_test import blur_images, position_test

SEED = 9000
GOOD = 0
"""A scene whose map is correct."""


def scene(number: int, **options: Any) -> toybox.Scene:
    return toybox.scene((SEED, number), **options)


@pytest.fixture(scope="module")
def good() -> Trust:
    drawing = scene(GOOD).draw()
    return cl.trust("toybox", drawing.image, region=drawing.masks[0])


def test_a_good_map(good: Trust) -> None:
    assert good.verdict.level == "supported"
    assert good.position_test is not None
    assert good.position_test.p <= 0.05
    assert good.region is not None
    assert good.region.inside > 1.5 * good.region.area


@pytest.mark.slow
def test_uninformative_maps_pass_at_the_nominal_rate() -> None:
    """P(p <= .05) is at most 14/288 for the group; 9 or more of 60 maps then have a probability of 1/400."""
    model, hits = cl.load("toybox"), 0
    for i in range(60):
        white = torch.randn((1, 1, 96, 96), generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        model_input = prepare_input(model, Item(scene(i).picture(), f"scene {i}"), None)
        result = position_test(model_input, blur_images(white, 12.0, "circular")[0, 0])
        assert result is not None
        hits += result.p <= 0.05
    assert hits <= 8


@pytest.mark.slow
def test_grad_cam_on_plain_scenes() -> None:
    """The power is at least 80 %; 12 or fewer of 20 scenes then have a probability of 1/30. The scenes are fixed."""
    results = [t for _, t in trust_each("toybox", [scene(i).picture() for i in range(20)]) if isinstance(t, Trust)]
    assert sum(t.position_test is not None and t.position_test.p <= 0.05 for t in results) >= 13
    assert not any(t.verdict.level == "not supported" for t in results)
    assert not any(t.confidence.guessing for t in results)


def test_empty_scenes_give_low_confidence() -> None:
    for i in range(10):
        t = cl.trust("toybox", scene(i, variant="empty").picture(), n_windows=16)
        assert t.verdict.level != "supported"
        assert t.confidence.guessing


@pytest.mark.parametrize("kind", ["resnet", "vgg", "vit"])
def test_random_weights_are_not_supported(kind: str) -> None:
    torch.manual_seed(1)
    model = replace(cl.load("toybox"), network=build(kind).eval())
    for i in range(3):
        assert cl.trust(model, scene(i).picture(), n_windows=16).verdict.level != "supported"


def test_clever_hans_is_only_weakly_supported() -> None:
    for i in range(6):
        drawing = scene(i, kinds=["boat"], variant="watermark").draw()
        t = cl.trust("toybox:cleverhans", drawing.image, region=drawing.masks[0], n_windows=16)
        assert t.verdict.level == "weakly supported"
        assert t.border_test.decides or (t.region is not None and t.region.misses)


def test_class_blind_map_is_detected() -> None:
    t = cl.trust("toybox", scene(1).picture(), method="eigen_cam", n_windows=16)
    assert "not class-sensitive" in str(t.verdict)


def test_the_same_seed_gives_the_same_numbers(good: Trust) -> None:
    drawing = scene(GOOD).draw()
    again = cl.trust("toybox", drawing.image, region=drawing.masks[0])
    assert again.record() == good.record()


def test_trust_of_an_explanation() -> None:
    image = scene(1).picture()
    e = cl.explain("toybox", image, target="cat", method="hires_cam", layer="layer2")
    from_value = cl.trust("toybox", e, n_windows=16)
    arguments = cl.trust("toybox", image, target="cat", method="hires_cam", layer=e.layer, n_windows=16)
    assert from_value.target == "cat"
    torch.testing.assert_close(from_value.map, arguments.map)
    torch.testing.assert_close(from_value.position_test.statistics, arguments.position_test.statistics)  # type: ignore[union-attr]
    with pytest.raises(TargetError, match="tests the map of a class"):
        cl.trust("toybox", cl.explain("toybox", image, target="cat rather than dog"))


def test_a_region_on_a_cropped_photograph() -> None:
    """The network input contains the middle of a wide image; fractions refer to that part."""
    photo = Image.new("RGB", (192, 96), "grey")
    photo.paste(scene(1).picture(), (48, 0))
    region = np.zeros((96, 192), dtype=bool)
    region[:, :96] = True
    t = cl.trust("toybox", photo, region=region, n_windows=16)
    assert t.region is not None
    assert t.region.area == pytest.approx(0.5, abs=0.02)
    with pytest.raises(DataError, match=r"the region has shape \(192, 96\), the image \(96, 192\)"):
        cl.trust("toybox", photo, region=region.T, n_windows=16)


@pytest.mark.parametrize("target", [99, -1, [1, 2], "horse"])
def test_invalid_target(target: Any) -> None:
    with pytest.raises(TargetError):
        cl.trust("toybox", scene(1).picture(), target=target)


def test_invalid_number_of_windows() -> None:
    with pytest.raises(MethodError, match="36 or 16"):
        cl.trust("toybox", scene(1).picture(), n_windows=64)


def test_verdict_on_a_constant_map(tmp_path: Path) -> None:
    class Constant(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            is_noise = (x.abs().amax() > 3).to(x)  # the scores of a scene do not depend on it, those of noise do
            return self.conv(x).mean((2, 3)) * is_noise + torch.arange(4.0)

    t = cl.trust(cl.wrap(Constant(), size=32), scene(1).picture(), layer="conv")
    assert str(t.verdict) == "cannot tell: the map is constant"
    assert t.position_test is None
    assert t.classes == ()
    assert all(path.exists() for path in t.save(tmp_path / "t.png") + t.save(tmp_path / "t.json"))
    assert "cannot tell" in str(t)


def test_text_and_files(good: Trust, tmp_path: Path) -> None:
    (panel,) = good.save(tmp_path / "deep" / "panel.png")
    (record,) = good.save(tmp_path / "deep" / "panel.json")
    with Image.open(panel) as rendered:
        assert rendered.width == 2064
    numbers = json.loads(record.read_text())
    assert numbers["level"] == "supported"
    assert len(numbers["position_test"]["statistics"]) == 288
    assert len(numbers["classes"]) == len(numbers["noise"]) == len(numbers["shifts"]) == 4
    assert str(good).splitlines()[0].endswith(": supported")
    assert good._repr_png_()[:4] == b"\x89PNG"


def test_progress_callback() -> None:
    calls: list[tuple[int, int]] = []
    cl.trust("toybox", scene(1).picture(), n_windows=16, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (49, 49)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_stable_map_correlations(good: Trust) -> None:
    """The maps of shifted copies are shifted back; otherwise the correlation of a small map is far lower."""
    assert min(similarity.correlation for similarity in good.shifts) > 0.9
    assert min(similarity.correlation for similarity in good.noise) > 0.9


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    scene(1).picture().save(tmp_path / "one.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            main(["trust", *arguments, "--model", "toybox", "--windows", "16", "-o", "out"])
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out + err

    return call


def test_command_on_one_image(run: Callable[..., Any]) -> None:
    code, text = run("one.png")
    assert code == 0
    assert "confidence of the prediction" in text
    assert "Map: " in text
    assert Path("out/one-trust.png").exists()
    assert json.loads(Path("out/one-trust.json").read_text())["source"] == "one.png"


def test_command_on_a_folder_reports_broken_files(run: Callable[..., Any]) -> None:
    Path("two.png").write_text("no image")
    scene(2, variant="empty").picture().save("three.png")
    code, text = run(".")
    assert code == 1
    assert "two.png: cannot read" in text
    with Path("out/results.csv").open() as stream:
        rows = {Path(row["image"]).name: row for row in csv.DictReader(stream)}
    assert set(rows) == {"one.png", "two.png", "three.png"}
    assert rows["two.png"]["error"].startswith("ImageError")
    assert rows["two.png"]["verdict"] == ""
    assert rows["three.png"]["verdict"] == "not supported"
    assert float(rows["one.png"]["p"]) <= 1
    code, text = run("two.png")
    assert code == 2
