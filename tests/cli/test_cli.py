"""The command line: every command and option, every slip a sentence, every exit code.

`python tests/cli/test_cli.py --regenerate` writes error_messages.json anew; look at the difference before committing.
"""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from camlucida.cli import main
from camlucida.data import toybox
from camlucida.models.toybox_weights import load_network

SNAPSHOT = Path(__file__).with_name("error_messages.json")
COMMAND = [sys.executable, "-m", "camlucida"]
PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """A command in an empty folder with one picture in it."""
    _furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", "torch-home")
    monkeypatch.setenv("CAMLUCIDA_OFFLINE", "1")

    def call(*arguments: str) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main(list(arguments))
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Result(int(stopped.value.code or 0), out, err)

    return call


def _furnish(folder: Path) -> None:
    PETS.save(folder / "pets.png")
    (folder / "text.png").write_text("no picture")


def explained(*arguments: str) -> tuple[str, ...]:
    return ("explain", *arguments, "--model", "toybox")


def rows(path: str = "camlucida-out/results.csv") -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files(folder: str = "camlucida-out") -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


# --- explain


def test_one_picture(run: Callable[..., Result]) -> None:
    code, out, err = run(*explained("pets.png"))
    assert (code, err) == (0, "")
    assert "pets.png · toybox" in out
    assert "explained: cat (logit " in out
    assert "→ camlucida-out/pets.png" in out
    assert len([line for line in out.splitlines() if "%" in line]) == 5
    with Image.open("camlucida-out/pets.png") as panel:
        assert panel.width > 1000
    assert files() == ["pets.png"]


def test_many_pictures_one_broken(run: Callable[..., Result]) -> None:
    Path("more/deep").mkdir(parents=True)
    PETS.save("more/deep/other.jpg")
    Path("more/notes.txt").write_text("not a picture's name")
    code, out, _ = run(*explained("pets.png", "text.png", "more"))
    assert code == 1
    assert "2 explained, 1 not: camlucida-out/results.csv" in out
    assert "text.png: cannot read text.png: it is no picture that Pillow knows" in out
    assert files() == ["other.png", "pets.png", "results.csv"]
    result = rows()
    assert [row["image"] for row in result] == ["pets.png", "text.png", "more/deep/other.jpg"]
    assert [bool(row["error"]) for row in result] == [False, True, False]
    assert result[1]["error"].startswith("ImageError: cannot read text.png")
    assert result[1]["predicted"] == result[1]["file"] == ""
    assert (
        result[0]["predicted"],
        result[0]["target"],
        result[0]["method"],
        result[0]["layer"],
        result[0]["file"],
    ) == (
        "cat",
        "cat",
        "grad_cam",
        "layer4",
        "camlucida-out/pets.png",
    )
    assert 0 < float(result[0]["probability"]) < 1
    assert float(result[0]["peak"]) > 0


def test_every_line_is_one_line_in_a_pipe(run: Callable[..., Result]) -> None:
    folder = Path("a-rather-long-name-of-a-folder" * 3)
    folder.mkdir()
    PETS.save(folder / "pets.png")
    _, out, _ = run(*explained("pets.png", "text.png", str(folder), "-o", str(folder / "out")))
    assert len(out.splitlines()) == 4


def test_only_broken_pictures(run: Callable[..., Result]) -> None:
    code, out, err = run(*explained("text.png"))
    assert (code, out) == (2, "")
    assert err.startswith("camlucida: cannot read text.png: it is no picture")
    assert len(err.splitlines()) == 1
    Path("empty.png").touch()
    code, out, _ = run(*explained("text.png", "empty.png"))
    assert code == 2
    assert "0 explained, 2 not" in out
    assert [bool(row["error"]) for row in rows()] == [True, True]


def test_input_images_are_not_overwritten(run: Callable[..., Result]) -> None:
    """Neither by that of another folder, nor by an explanation of itself."""
    for folder in ("one", "two"):
        Path(folder).mkdir()
        PETS.save(f"{folder}/pets.png")
    PETS.save("one/pets-1.png")
    run(*explained("one", "two", "pets.png"))
    assert len([name for name in files() if name.endswith(".png")]) == 4
    assert len({row["file"] for row in rows()}) == 4
    before = Path("pets.png").read_bytes()
    code, out, _ = run(*explained("pets.png", "-o", "."))
    assert code == 0
    assert Path("pets.png").read_bytes() == before
    assert "→ pets-explained.png" in out
    run(*explained("one", "-o", "one"))
    assert Path("one/pets.png").read_bytes() == before


def test_output_of_an_earlier_run_is_not_an_input(run: Callable[..., Result]) -> None:
    Path("text.png").unlink()
    run(*explained("."))
    first = files()
    code, out, _ = run(*explained("."))
    assert code == 0
    assert files() == first
    assert "pets.png" in out


@pytest.mark.parametrize(
    "layers", [["--layer", "layer2,layer4"], ["--layer", "layer2", "--layer", "layer4"], ["--layer", "layer[24]"]]
)
def test_lists_by_commas_by_repeating_and_by_globs(run: Callable[..., Result], layers: list[str]) -> None:
    code, out, _ = run(*explained("pets.png", *layers, "--method", "grad_cam, layer_cam", "--target", "dog"))
    assert code == 0
    text = [line for line in out.splitlines() if line.startswith("explained: ")]
    assert [(line.split()[5], line.split()[7]) for line in text] == [
        ("grad_cam", "layer2,"),
        ("grad_cam", "layer4,"),
        ("layer_cam", "layer2,"),
        ("layer_cam", "layer4,"),
    ]
    assert files() == ["pets.png"]


def test_maps_and_panels(run: Callable[..., Result]) -> None:
    code, out, _ = run(*explained("pets.png", "--target", "cat", "--target", "dog", "--maps", "--panels"))
    assert code == 0
    names = [f"grad_cam-layer4-{kind}" for kind in ("cat", "dog")]
    singles = [f"pets.{name}.{suffix}" for name in names for suffix in ("json", "npz")]
    assert files() == sorted([*singles, "pets.png", *(f"pets/{name}.png" for name in names)])
    assert out.count("→ ") == 7
    record = json.loads(Path("camlucida-out/pets.grad_cam-layer4-dog.json").read_text())
    assert (record["target"], record["source"]) == ("dog", "pets.png")
    with np.load("camlucida-out/pets.grad_cam-layer4-dog.npz") as stored:
        assert stored["raw"].shape == (12, 12)
        assert stored["heatmap"].shape == (96, 96)


def test_maps_of_one(run: Callable[..., Result]) -> None:
    run(*explained("pets.png", "--maps", "-o", "here"))
    assert files("here") == ["pets.json", "pets.npz", "pets.png"]


def test_targets_scores_and_options(run: Callable[..., Result]) -> None:
    for target, text in (
        ("cat rather than dog", "cat rather than dog (score "),
        ("not cat", "against cat (score "),
        ("1", "dog (logit "),
        ("top2", "dog (logit "),
    ):
        assert f"explained: {text}" in run(*explained("pets.png", "--target", target)).out
    assert "(probability 0." in run(*explained("pets.png", "--target", "cat", "--score", "probability")).out
    plain = run(*explained("pets.png", "--method", "ablation_cam", "--maps", "-o", "plain"))
    filled = run(*explained("pets.png", "--method", "ablation_cam", "--option", "infill=0.5", "--maps", "-o", "filled"))
    assert (plain.code, filled.code) == (0, 0)
    assert [json.loads(Path(f"{o}/pets.json").read_text())["options"] for o in ("plain", "filled")] == [
        {"infill": 0.0},
        {"infill": 0.5},
    ]


def test_style_options_change_only_the_image(run: Callable[..., Result]) -> None:
    looks = ([], ["--opacity", "0"], ["--opacity", "1"], ["--colormap", "jet"], ["--blend", "uniform"])
    pictures, maps = set(), set()
    for number, look in enumerate(looks):
        assert run(*explained("pets.png", *look, "--maps", "-o", str(number))).code == 0
        pictures.add(Path(f"{number}/pets.png").read_bytes())
        with np.load(f"{number}/pets.npz") as stored:
            maps.add(stored["raw"].tobytes())
    assert (len(pictures), len(maps)) == (len(looks), 1)


def test_a_checkpoint_with_labels(run: Callable[..., Result]) -> None:
    torch.save({"state_dict": load_network("resnet")[0].state_dict()}, "run.pth")
    Path("names.txt").write_text("\n".join(f"thing {i}" for i in range(10)))
    code, out, _ = run(
        "explain", "pets.png", "--model", "run.pth", "--arch", "toybox", "--labels", "names.txt", "--target", "thing 1"
    )
    assert code == 0
    assert "pets.png · run.pth" in out
    assert "explained: thing 1 (" in out


def test_python_factory(run: Callable[..., Result]) -> None:
    Path("mine.py").write_text("import camlucida\n\ndef net():\n    return camlucida.load('toybox:vgg')\n")
    code, out, _ = run("explain", "pets.png", "--model", "python:mine.py:net")
    assert code == 0
    assert "python:mine.py:net" in out


def test_brackets_in_names_are_not_markup(run: Callable[..., Result]) -> None:
    PETS.save("a[red]b[bold].png")
    code, out, _ = run(*explained("a[red]b[bold].png", "text.png", "-o", "out[bold]"))
    assert code == 1
    assert "→ out[bold]/a[red]b[bold].png" in out
    assert "1 not: out[bold]/results.csv" in out
    assert "a[red]b[bold].png · toybox" in run(*explained("a[red]b[bold].png")).out
    assert "x[/y].pth" in run("explain", "pets.png", "--model", "x[/y].pth").err


@pytest.mark.skipif(sys.platform != "linux", reason="names that are no text exist on Linux only")
def test_undecodable_file_names(run: Callable[..., Result]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    PETS.save(name)
    assert run(*explained(name, "--maps")).code == 0
    assert run(*explained(name, "pets.png", "--maps")).code == 0
    assert json.loads(Path(os.fsdecode(b"camlucida-out/caf\xe9.json")).read_text())["source"].startswith("caf")
    assert len(rows()) == 2


# --- layers, models, demo


@pytest.mark.parametrize(
    ("model", "parameters", "default"),
    [("toybox", "375,594", "layer4"), ("toybox:vit", None, "blocks"), ("resnet18", "11,689,512", "layer4")],
)
def test_layers(run: Callable[..., Result], model: str, parameters: str | None, default: str) -> None:
    """Untrained, so nothing is fetched; the counts are torchvision's own."""
    code, out, err = run("layers", model)
    assert (code, err) == (0, "")
    own = load_network("vit")[0] if model == "toybox:vit" else None
    parameters = parameters or f"{sum(p.numel() for p in own.parameters()):,}"  # type: ignore[union-attr]
    assert f"{parameters} parameters ({parameters} trainable)" in out
    assert f"Default (★): {default}" in out
    running = [line.split() for line in out.splitlines() if "★" in line]
    assert running[0][1].startswith(default)


def test_the_running_total_ends_at_the_count(run: Callable[..., Result]) -> None:
    out = run("layers", "resnet18").out
    fc = next(line for line in out.splitlines() if " fc " in line).split()
    assert fc[:5] == ["fc", "Linear", "1000", "513,000", "11,689,512"]
    assert "layer4 " in out
    assert "512×7×7" in out


def test_layers_of_another_size_and_depth(run: Callable[..., Result]) -> None:
    assert "512×4×4" in run("layers", "resnet18", "--size", "128").out
    out = run("layers", "resnet18", "--depth", "1").out
    assert "layer4.0" not in out.partition("parameters (")[0]
    assert "layer4" in out
    for name in ("toybox", "toybox:vgg"):
        code, _, err = run("layers", name, "--size", "1")
        assert code == 2
        assert "cannot run on an input of 3×1×1" in err


def test_models(run: Callable[..., Result]) -> None:
    code, out, _ = run("models")
    assert code == 0
    for name in ("toybox:resnet", "resnet50", "vit_b_16", "timm:…", "grad_cam", "ablation_cam"):
        assert name in out
    result = run("models", "--search", "squeeze").out
    assert "squeezenet1_1" in result
    assert "resnet50" not in result
    assert "Methods" not in result


def test_models_say_what_is_on_this_machine(run: Callable[..., Result]) -> None:
    assert "no, fetched on first use" in run("models", "--search", "resnet18").out
    place = Path("torch-home/hub/checkpoints/resnet18-f37072fd.pth")
    place.parent.mkdir(parents=True)
    place.touch()
    line = next(line for line in run("models", "--search", "resnet18").out.splitlines() if line.startswith("resnet18 "))
    assert line.split()[-1] == "yes"


def test_demo(run: Callable[..., Result]) -> None:
    code, out, err = run("demo", "-o", "shown")
    assert (code, err) == (0, "")
    assert files("shown") == [
        "1-cat.png",
        "2-layers-classes.png",
        "3-methods.png",
        "4-clever-hans.png",
        "5-nothing-to-see.png",
        "6-vgg.png",
        "7-vit.png",
    ]
    for name in files("shown"):
        assert f"→ shown/{name}" in out
        with Image.open(f"shown/{name}") as image:
            assert image.width > 1000


# --- errors


SLIPS: dict[str, tuple[str, ...]] = {
    "command": ("explian", "pets.png"),
    "option": (*explained("pets.png"), "--laier", "layer4"),
    "no picture given": ("explain",),
    "number": (*explained("pets.png"), "--opacity", "half"),
    "opacity": (*explained("pets.png"), "--opacity", "1.5"),
    "opacity nan": (*explained("pets.png"), "--opacity", "nan"),
    "colormap": (*explained("pets.png"), "--colormap", "jett"),
    "blend": (*explained("pets.png"), "--blend", "hot"),
    "class": (*explained("pets.png"), "--target", "catt"),
    "class index": (*explained("pets.png"), "--target", "10"),
    "contrast": (*explained("pets.png"), "--target", "cat rather than dgo"),
    "layer": (*explained("pets.png"), "--layer", "layer5"),
    "layer number": (*explained("pets.png"), "--layer", "9"),
    "method": (*explained("pets.png"), "--method", "gradcamm"),
    "method does not fit": ("explain", "pets.png", "--model", "toybox:vgg", "--method", "cam"),
    "score": (*explained("pets.png"), "--score", "logits"),
    "method option": (*explained("pets.png"), "--option", "infill=1"),
    "method option form": (*explained("pets.png"), "--option", "infill"),
    "method option value": (*explained("pets.png"), "--method", "ablation_cam", "--option", "infill=much"),
    "model": ("explain", "pets.png", "--model", "resnet5"),
    "model offline": ("explain", "pets.png", "--model", "resnet18"),
    "model source": ("explain", "pets.png", "--model", "keras:ResNet50"),
    "toybox model": ("explain", "pets.png", "--model", "toybox:vg"),
    "checkpoint": ("explain", "pets.png", "--model", "text.png", "--arch", "toybox"),
    "checkpoint missing": ("explain", "pets.png", "--model", "run.pth", "--arch", "toybox"),
    "factory": ("explain", "pets.png", "--model", "python:mine:net"),
    "labels": (*explained("pets.png"), "--labels", "names.txt"),
    "picture missing": explained("pest.png"),
    "picture broken": explained("text.png"),
    "folder without pictures": explained("empty"),
    "address": explained("https://example.org/cat.png"),
    "output": (*explained("pets.png"), "-o", "text.png"),
    "demo seed": ("demo", "--seed", "-1"),
    "demo output": ("demo", "-o", "text.png"),
    "layers size": ("layers", "toybox", "--size", "0"),
    "layers model": ("layers", "resnt18"),
    "layers of a small input": ("layers", "toybox", "--size", "1"),
    "app model": ("app", "--model", "toybo", "--port", "0"),
    "app port": ("app", "--port", "70000"),
    "app run": ("app", "--run", "nowhere", "--port", "0"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_error_messages_match_the_snapshot(slip: str, run: Callable[..., Result]) -> None:
    Path("empty").mkdir()
    code, out, err = run(*SLIPS[slip])
    assert code == 2
    assert "Traceback" not in err
    assert not out.strip()
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert plain(err, Path.cwd()) == stored.get(slip), f"If it is meant so: python {__file__} --regenerate"


def test_snapshot_has_exactly_the_error_cases() -> None:
    assert list(json.loads(SNAPSHOT.read_text(encoding="utf-8"))) == list(SLIPS)


def plain(text: str, folder: Path) -> str:
    """Without cyclopts' frame, without the folder of this run: what a person reads."""
    for path in (str(folder), str(folder.resolve())):
        text = text.replace(path, "HERE")
    lines = (line.strip("│╭╰╮╯─ ") for line in text.splitlines())
    return " ".join(line for line in lines if line not in ("", "Error"))


# --- stopping, pipes, and what is imported


def test_ctrl_c(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("camlucida.attribution.explain_request.explain_requests", stopped)
    code, _, err = run(*explained("pets.png"))
    assert code == 130 == 128 + signal.SIGINT
    assert "stopped" in err


def test_broken_pipe(tmp_path: Path) -> None:
    """`camlucida layers … | head -1`: no traceback, whatever is still to be written."""
    for command in (["layers", "toybox:vit"], ["--help"]):
        with subprocess.Popen([*COMMAND, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as p:
            assert p.stdout is not None
            assert p.stderr is not None
            p.stdout.close()
            err = p.stderr.read().decode()
        assert err == ""
        assert p.returncode in (0, 1)


def test_terminal_without_unicode(tmp_path: Path) -> None:
    _furnish(tmp_path)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for command in (explained("pets.png"), explained("pets.png", "--target", "catt")):
        done = subprocess.run([*COMMAND, *command], cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if "catt" in command else 0)


HEAVY = ("torch", "torchvision", "PIL", "timm", "numpy", "matplotlib", "safetensors")


@pytest.mark.parametrize(
    "what",
    [
        "import camlucida",
        "import camlucida; dir(camlucida)",
        "from camlucida.cli import main; main(['--help'])",
        "from camlucida.cli import main; main(['explain', '--help'])",
        "from camlucida.cli import main; main(['explan'])",
    ],
)
def test_lazy_imports(what: str) -> None:
    code = f"import sys\ntry:\n    {what}\nexcept SystemExit: pass\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [(), ("explain",), ("concepts",), ("demo",), ("layers",), ("models",)])
def test_help(run: Callable[..., Result], command: tuple[str, ...]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Usage: camlucida" in out
    if command == ("explain",):
        for option in (
            "--model",
            "--arch",
            "--labels",
            "--target",
            "--layer",
            "--method",
            "--score",
            "--option",
            "--opacity",
            "--colormap",
            "--blend",
            "--maps",
            "--panels",
            "--output",
            "-o",
        ):
            assert option in out
    assert run(*command, "-h").out == out


def test_version(run: Callable[..., Result]) -> None:
    import camlucida

    assert run("--version").out.strip() == camlucida.__version__


def test_the_installed_command() -> None:
    installed = Path(sys.executable).with_name("camlucida")
    done = subprocess.run([installed, "explian"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert 'Did you mean "explain"' in done.stderr


def _regenerate() -> None:
    import contextlib
    import io

    text = {}
    os.environ.update(CAMLUCIDA_OFFLINE="1", TORCH_HOME="torch-home", COLUMNS="80")
    for slip, arguments in SLIPS.items():
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            _furnish(Path(folder))
            Path("empty").mkdir()
            err = io.StringIO()
            with contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
                main(list(arguments))
            text[slip] = plain(err.getvalue(), Path(folder))
            os.chdir("/")
    SNAPSHOT.write_text(json.dumps(text, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--regenerate"]:
    _regenerate()
