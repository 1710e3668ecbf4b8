"""The command line as a whole: error messages, Ctrl-C, pipes, lazy imports, help.

`python tests/cli/test_cli.py --regenerate` writes error_messages.json again; check the difference before committing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from camlucida.cli import main
from camlucida.data import toybox

SNAPSHOT = Path(__file__).with_name("error_messages.json")
COMMAND = [sys.executable, "-m", "camlucida"]
PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


def explained(*arguments: str) -> tuple[str, ...]:
    return ("explain", *arguments, "--model", "toybox")


MISTAKES: dict[str, tuple[str, ...]] = {
    "command": ("explian", "pets.png"),
    "option": (*explained("pets.png"), "--laier", "layer4"),
    "no image given": ("explain",),
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
    "model source": ("explain", "pets.png", "--model", "paddle:ResNet50"),
    "toybox model": ("explain", "pets.png", "--model", "toybox:vg"),
    "checkpoint": ("explain", "pets.png", "--model", "text.png", "--arch", "toybox"),
    "checkpoint missing": ("explain", "pets.png", "--model", "run.pth", "--arch", "toybox"),
    "factory": ("explain", "pets.png", "--model", "python:mine:net"),
    "labels": (*explained("pets.png"), "--labels", "names.txt"),
    "image missing": explained("pest.png"),
    "image unreadable": explained("text.png"),
    "folder without images": explained("empty"),
    "address": explained("https://example.org/cat.png"),
    "output": (*explained("pets.png", "text.png"), "-o", "both.png"),
    "output below a file": (*explained("pets.png"), "-o", "text.png/out"),
    "glob without matches": explained("*.jpg"),
    "demo seed": ("demo", "--seed", "-1"),
    "demo output": ("demo", "-o", "text.png"),
    "layers size": ("layers", "toybox", "--size", "0"),
    "layers model": ("layers", "resnt18"),
    "layers of a small input": ("layers", "toybox", "--size", "1"),
    "app model": ("app", "--model", "toybo", "--port", "0"),
    "app port": ("app", "--port", "70000"),
    "app run": ("app", "--run", "nowhere", "--port", "0"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_error_messages_match_the_snapshot(mistake: str, run: Callable[..., Any]) -> None:
    Path("empty").mkdir()
    code, out, err = run(*MISTAKES[mistake])
    assert code == 2
    assert "Traceback" not in err
    assert not out.strip()
    stored = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert plain(err, Path.cwd()) == stored.get(mistake), f"If the new text is intended: python {__file__} --regenerate"


def test_snapshot_has_exactly_the_error_cases() -> None:
    assert list(json.loads(SNAPSHOT.read_text(encoding="utf-8"))) == list(MISTAKES)


def plain(text: str, folder: Path) -> str:
    """Return the text that a user reads, without cyclopts' frame and the temporary folder."""
    for path in (str(folder), str(folder.resolve())):
        text = text.replace(path, "HERE")
    lines = (line.strip("│╭╰╮╯─ ") for line in text.splitlines())
    return " ".join(line for line in lines if line not in ("", "Error"))


# --- stopping, pipes, and what is imported


def test_ctrl_c(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("camlucida.attribution.explain_many.explain_requests", stopped)
    code, _, err = run(*explained("pets.png"))
    assert code == 130 == 128 + signal.SIGINT
    assert "stopped" in err


def test_broken_pipe(tmp_path: Path) -> None:
    """`camlucida layers … | head -1`: no traceback, although more output is to be written."""
    for command in (["layers", "toybox:vit"], ["--help"]):
        with subprocess.Popen([*COMMAND, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as p:
            assert p.stdout is not None
            assert p.stderr is not None
            p.stdout.close()
            err = p.stderr.read().decode()
        assert err == ""
        assert p.returncode in ((0, 1) if command == ["--help"] else (0,))  # cyclopts prints the help


def test_terminal_without_unicode(tmp_path: Path) -> None:
    PETS.save(tmp_path / "pets.png")
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
def test_help(run: Callable[..., Any], command: tuple[str, ...]) -> None:
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


def test_version(run: Callable[..., Any]) -> None:
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

    from conftest import add_images  # type: ignore[import-not-found]  # tests/cli, the folder of this script

    text = {}
    os.environ.update(CAMLUCIDA_OFFLINE="1", TORCH_HOME="torch-home", COLUMNS="80")
    for mistake, arguments in MISTAKES.items():
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            add_images(Path(folder))
            Path("empty").mkdir()
            err = io.StringIO()
            with contextlib.redirect_stderr(err), contextlib.suppress(SystemExit):
                main(list(arguments))
            text[mistake] = plain(err.getvalue(), Path(folder))
            os.chdir("/")
    SNAPSHOT.write_text(json.dumps(text, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--regenerate"]:
    _regenerate()
