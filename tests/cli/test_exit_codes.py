"""Exit codes of every command over several inputs: 0 for all, 1 for some of them, 2 for none; and every reason.

A command that takes inputs and has no line here fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from camlucida.cli import main
from camlucida.cli.commands import app
from camlucida.cli.exit_codes import DONE, IN_PART, NOT_DONE, exit_code
from camlucida.cli.model_and_data import ModelOptions, PretrainedModelOptions
from camlucida.cli.terminal import Terminal
from camlucida.data import toybox

ON_IMAGES = {
    "explain": "--model toybox",
    "trust": "--model toybox --windows 16",
    "activations": "--model toybox",
    "activations --channel 1": "--model toybox",
    "concepts": "--model toybox -k 2",
    "sanity": "--model toybox --seeds 1 --checks random_logit",
    "study make": "--method cam,grad_cam --model toybox --pairs 1",
    "evaluate": "--model toybox --metrics entropy",
    "audit": "--model toybox --findings none",
    "mistakes": "--model toybox --no-maps",
    "embed": "--model toybox --projection pca",
    "film": "--checkpoints toybox --limit 10",
    "train": "--epochs 1 --size 32 --val 0 --batch-size 1",
    "data check": "--images 0",
}
"""Commands over several images, and the words that make them quick."""
NOT_ON_IMAGES = {"query", "export", "report", "study results", "app", "demo", "layers", "models"} | {
    "cache",
    "completion",
}


@dataclass
class Result:
    code: int
    text: str


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAMLUCIDA_OFFLINE", "1")

    def call(words: str) -> Result:
        with pytest.raises(SystemExit) as stopped:
            main(words.split())
        out, errors = capsys.readouterr()
        assert "Traceback" not in out + errors
        return Result(int(stopped.value.code or 0), out + errors)

    return call


def _fill(good: int, broken: int, links: int = 0) -> None:
    """Make a folder of two classes with images, files that are none, and links that lead to themselves."""
    for kind in ("cat", "dog"):
        folder = Path("shots") / kind
        folder.mkdir(parents=True)
        for number in range(good):
            toybox.scene(number, kinds=[kind], size=64).picture().save(folder / f"{kind}{number}.png")
        for number in range(broken):
            (folder / f"broken-{kind}{number}.png").write_text("no image")
        for number in range(links):
            (folder / f"loop-{kind}{number}.png").symlink_to(f"loop-{kind}{number}.png")
            (folder / f"gone-{kind}{number}.png").symlink_to("nowhere.png")


def _words(command: str) -> str:
    name, dashes, rest = command.partition(" --")
    return f"{name} shots {dashes.strip()}{rest} {ON_IMAGES[command]}"


@pytest.mark.parametrize(
    "command", ["evaluate shots", "sanity shots", "mistakes shots", "embed shots", "app --data shots"]
)
def test_own_images_need_a_model(command: str, run: Callable[..., Result]) -> None:
    """No network is applied to images that it was not named for."""
    _fill(good=2, broken=0)
    result = run(command)
    assert result.code == NOT_DONE
    assert "--model is missing" in result.text
    assert "--model resnet50" in result.text
    assert not list(Path().rglob("*.parquet"))


@pytest.mark.parametrize(("data", "model"), [("toybox", "toybox"), ("toybox:2", "toybox"), ("exact:mosaic", "toybox")])
def test_built_in_data_come_with_a_model(data: str, model: str) -> None:
    assert ModelOptions().for_data(data).model == model
    assert ModelOptions(model="resnet50").for_data(data).model == "resnet50"


def test_the_default_model_is_printed_unless_one_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert PretrainedModelOptions(model="toybox").or_default(Terminal()).model == "toybox"
    assert capsys.readouterr().out == ""
    assert PretrainedModelOptions().or_default(Terminal()).model == "resnet50"
    assert capsys.readouterr().out == "model: resnet50 (default)\n"
    for mode in ("quiet", "json"):
        assert PretrainedModelOptions().or_default(Terminal(mode=mode)).model == "resnet50"
    assert capsys.readouterr().out == ""


def test_a_folder_named_toybox_is_own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toybox").mkdir()
    assert ModelOptions().for_data("toybox").model is None


def test_every_command_is_covered() -> None:
    known = {command.partition(" --")[0] for command in ON_IMAGES} | NOT_ON_IMAGES
    walked = set()
    for name in app:
        if name.startswith("-"):
            continue
        inner = [n for n in app[name] if not n.startswith("-")]
        walked |= {f"{name} {n}" for n in inner} or {name}
    assert walked == known


@pytest.mark.parametrize("command", ON_IMAGES)
def test_all_inputs_done(command: str, run: Callable[..., Result]) -> None:
    _fill(2, 0)
    result = run(_words(command))
    assert result.code == DONE, result.text


@pytest.mark.parametrize("command", ON_IMAGES)
def test_some_inputs_failed(command: str, run: Callable[..., Result]) -> None:
    _fill(2, 1, links=1)
    (Path("shots") / "again").symlink_to("cat")  # a folder that is met twice
    (Path("shots") / "cat" / "up").symlink_to("..")
    result = run(_words(command))
    assert result.code == IN_PART, result.text
    for name in ("broken-cat0.png", "loop-cat0.png", "gone-cat0.png"):
        assert name in result.text


@pytest.mark.parametrize("command", ON_IMAGES)
def test_all_inputs_failed(command: str, run: Callable[..., Result]) -> None:
    _fill(0, 2)
    result = run(_words(command))
    expected = IN_PART if command == "data check" else NOT_DONE  # the check itself was done
    assert result.code == expected, result.text
    assert "broken-" in result.text


@pytest.mark.parametrize(
    ("n_done", "n_failed", "code"), [(3, 0, DONE), (2, 1, IN_PART), (1, 9, IN_PART), (0, 1, NOT_DONE), (0, 0, NOT_DONE)]
)
def test_the_code(n_done: int, n_failed: int, code: int) -> None:
    assert exit_code(n_done, n_failed) == code


def test_output_is_a_symlink_loop(run: Callable[..., Result]) -> None:
    _fill(1, 0)
    Path("loop").symlink_to("loop")
    result = run("explain shots --model toybox -o loop")
    assert result.code == NOT_DONE
    assert "cannot write loop" in result.text


def test_inapplicable_method_is_a_failure(run: Callable[..., Result]) -> None:
    _fill(1, 0)
    result = run("evaluate shots --model toybox:vgg --method cam,grad_cam --metrics entropy --no-controls")
    assert result.code == IN_PART
    assert "cam" in result.text
