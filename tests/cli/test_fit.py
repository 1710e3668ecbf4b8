"""--fit and --size: which part of an image the network sees, on every command, in records and in trained models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import camlucida as cl
from camlucida.cli import main
from camlucida.cli.option_values import input_size
from camlucida.data import toybox
from camlucida.errors import ModelError

PANORAMA = (400, 60)
"""Width and height: as elongated as a panorama of 4000 x 600 pixels."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    scene = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
    scene.resize(PANORAMA).save("panorama.png")
    for kind in ("cat", "dog"):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(2):
            toybox.scene(number, kinds=[kind], size=96).picture().save(tmp_path / "photos" / kind / f"{number}.png")
    return tmp_path


def command(*words: str) -> int:
    try:
        return main(list(words))
    except SystemExit as stop:
        return int(stop.code or 0)


def unseen(file: str) -> float:
    """Return the fraction of the image that the network did not see."""
    stored = np.load(file)
    return float(np.isnan(stored["heatmap"]).mean())


@pytest.mark.parametrize(
    ("fit", "fraction"), [("crop", 1 - 60 / 400), ("squash", 0.0), ("letterbox", 0.0)], ids=lambda value: str(value)
)
def test_a_panorama(fit: str, fraction: float) -> None:
    """The default shows the square in the middle, 15 % of a panorama; squash and letterbox show all of it."""
    explanation = cl.explain(cl.load("toybox", fit=fit, resize=64, size=64), "panorama.png")
    assert np.isnan(explanation.heatmap).mean() == pytest.approx(fraction, abs=0.01)
    assert command("explain", "panorama.png", "--model", "toybox", "--fit", fit, "--maps", "-o", "out") == 0
    (file,) = Path("out").glob("*.npz")
    assert unseen(str(file)) == pytest.approx(fraction, abs=0.02)


def test_a_wide_input(capsys: pytest.CaptureFixture[str]) -> None:
    """A network without fixed positions takes a wide input, on which a panorama is seen whole and undistorted."""
    model = cl.load("toybox", size=(60, 400))
    explanation = cl.explain(model, "panorama.png")
    assert explanation.geometry.scale == (1.0, 1.0)
    assert not np.isnan(explanation.heatmap).any()
    assert command("layers", "toybox", "--size", "60x400") == 0
    assert "3×60×400 input" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "size"), [("448", 448), ("224x1024", (224, 1024)), (" 60 × 400 ", (60, 400))])
def test_sizes(text: str, size: object) -> None:
    assert input_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "12x0", "big", "-5", "1x2x3", "4.5", "9999999"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ModelError, match=r"--size .*must be a number of pixels, 448, or HEIGHTxWIDTH"):
        input_size(text)


def test_a_trained_model_keeps_them() -> None:
    line = ["train", "photos", "--epochs", "1", "--val", "0.5", "-o", "run", "--size", "32x48", "--fit", "letterbox"]
    assert command(*line) == 0
    card = json.loads(Path("run/model.json").read_text(encoding="utf-8"))["preprocessing"]
    assert (card["size"], card["fit"]) == ([32, 48], "letterbox")
    how = cl.load("run").preprocessing
    assert (how.size, how.fit) == ((32, 48), "letterbox")
    assert cl.load("run", fit="squash").preprocessing.fit == "squash"
    assert command(*line[:-1], "squash") != 0  # another training: the folder is refused
    assert command(*line) == 0


@pytest.mark.parametrize("words", [["evaluate", "photos", "--metrics", "entropy"], ["mistakes", "photos"]])
def test_a_run_is_not_resumed_with_another_fit(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    line = [*words, "--model", "toybox", "-o", "out", "--fit"]
    assert command(*line, "letterbox") == 0
    assert command(*line, "letterbox") == 0
    capsys.readouterr()
    assert command(*line, "squash") != 0
    assert "preprocessing" in capsys.readouterr().err


def test_a_report_opens_the_model_as_it_was() -> None:
    line = ["evaluate", "photos", "--model", "toybox", "--metrics", "entropy", "-o", "out"]
    assert command(*line, "--fit", "letterbox", "--size", "48") == 0
    source = json.loads(Path("out/run.json").read_text(encoding="utf-8"))
    assert "letterbox" in json.dumps(source)
    assert command("report", "out", "-o", "report.html") == 0
    assert Path("report.html").stat().st_size > 1000


def test_the_image_that_the_network_sees() -> None:
    """Letterbox: the grey level of the bars is that of `fill`, and the image lies in the middle."""
    how = cl.load("toybox", fit="letterbox").preprocessing
    view, geometry = how.resize_and_place(Image.open("panorama.png").convert("RGB"))
    assert geometry.visible_box == (0, 0, *PANORAMA)
    grey = np.asarray(view)
    assert (grey[0] == round(255 * how.fill)).all()
    assert (grey[-1] == round(255 * how.fill)).all()
    assert not (grey[len(grey) // 2] == round(255 * how.fill)).all()
