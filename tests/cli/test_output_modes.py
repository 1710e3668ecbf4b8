"""The options that all commands share: --json, --quiet, --help with groups and examples, and shell completion."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from camlucida import audit, evaluate
from camlucida.cli.commands import app
from camlucida.cli.examples import EXAMPLES
from camlucida.cli.terminal import Terminal, to_json
from camlucida.data import toybox
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
from camlucida.user_study import make_study

LINES: dict[str, tuple[str, str]] = {
    "explain": ("explain shots --model toybox", "images"),
    "trust": ("trust shots/cat/cat.png --model toybox --windows 16", "images"),
    "activations": ("activations shots --model toybox", "images"),
    "concepts": ("concepts shots --model toybox -k 2", "concepts"),
    "sanity": ("sanity shots --model toybox --seeds 1 --checks random_logit", "verdicts"),
    "study make": ("study make shots --method cam,grad_cam --model toybox --pairs 1", "n_questions"),
    "study results": ("study results study", "ranking"),
    "evaluate": ("evaluate shots --metrics entropy --no-controls --model toybox", "scores"),
    "audit": ("audit shots --findings none --model toybox", "accuracy"),
    "export": ("export audit", "n_images"),
    "query": ("query audited", "n_matches"),
    "report": ("report run --no-images", ""),
    "mistakes": ("mistakes shots --no-maps --model toybox", "accuracy"),
    "embed": ("embed shots --projection pca --model toybox", "n_features"),
    "film": ("film shots --checkpoints toybox --limit 2", "checkpoints"),
    "train": ("train shots --epochs 1 --size 32 --val 0 --batch-size 1", "epochs"),
    "data check": ("data check toybox --limit 6 --images 0", "findings"),
    "demo": ("demo", ""),
    "layers": ("layers toybox --depth 1", "rows"),
    "models": ("models", "methods"),
    "cache": ("cache", "entries"),
    "completion": ("completion bash", "script"),
}
"""A quick line of every command, and a result that its JSON document holds. `app` runs until it is stopped."""

FINDINGS = {"data check": 1}
"""Exit codes other than 0: the data set lacks images of some classes."""


@pytest.fixture
def images(run: Callable[..., Any]) -> None:
    for kind in ("cat", "dog"):
        folder = Path("shots") / kind
        folder.mkdir(parents=True)
        toybox.scene(3, kinds=[kind], size=64).picture().save(folder / f"{kind}.png")


def _prepare(command: str) -> None:
    if command == "report":
        both: Any = {"methods": ["cam"], "metrics": ["entropy"]}
        evaluate("toybox", ToyboxDataset(Toybox(1)), **both, out=Path("run"))
    if command == "export":
        audit("toybox", ToyboxDataset(Toybox(2)), "audit")
    if command == "query":
        audit("toybox", ToyboxDataset(Toybox(2)), Path("audited"))
    if command == "study results":
        study = make_study(Path("study"), "toybox", ["shots/cat/cat.png"], methods=["cam", "grad_cam"])
        for trial in study.trial_order("anna"):
            study.record_answer(trial, "anna", 1)


def commands(of: Any = app, path: tuple[str, ...] = ()) -> Iterator[str]:
    if path and of.default_command is not None:
        yield " ".join(path)
    for name in of:
        if not name.startswith("-"):
            yield from commands(of[name], (*path, name))


def test_every_command_is_covered() -> None:
    assert {*LINES, "app"} == set(commands()) == set(EXAMPLES)


@pytest.mark.parametrize("command", LINES)
def test_json(command: str, run: Callable[..., Any], images: None) -> None:
    _prepare(command)
    line, result = LINES[command]
    code, out, err = run(*line.split(), "--json")
    document = json.loads(out)
    assert document["command"] == command
    assert document["exit_code"] == code == FINDINGS.get(command, 0)
    assert document["failures"] == []
    assert not result or document[result] not in (None, "", 0) or result in ("entries", "findings")
    assert err == ""
    for file in document["files"]:
        assert Path(file).exists()


@pytest.mark.parametrize("command", sorted(set(LINES) - {"completion", "demo"}))
def test_quiet(command: str, run: Callable[..., Any], images: None) -> None:
    _prepare(command)
    code, out, err = run(*LINES[command][0].split(), "--quiet")
    assert (code, out, err) == (FINDINGS.get(command, 0), "", "")


def test_words_in_json(run: Callable[..., Any], images: None) -> None:
    toybox.scene(4, kinds=["cat", "dog"], objects=2).picture().save("pets.png")
    code, out, err = run("explain", "pets.png", "--model", "toybox:captioner", "--words", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert [one["target"] for one in document["images"][0]["maps"]] == [
        f"{word} (word {i})" for i, word in enumerate(["a", "cat", "and", "a", "dog"], 1)
    ]
    code, _, err = run("explain", "pets.png", "--model", "toybox", "--words")
    assert code == 2
    assert "toybox writes none" in " ".join(err.split())


def test_failures_in_json_and_quiet(run: Callable[..., Any], images: None) -> None:
    line = ("explain", "shots/cat/cat.png", "text.png", "--model", "toybox")
    code, out, err = run(*line, "--json")
    document = json.loads(out)
    assert (code, document["exit_code"]) == (1, 1)
    assert [failure["name"] for failure in document["failures"]] == ["text.png"]
    assert [image["image"] for image in document["images"]] == ["shots/cat/cat.png"]
    assert document["images"][0]["predictions"][0].keys() >= {"name", "probability", "logit"}
    assert err == ""
    code, out, err = run(*line, "--quiet", "--overwrite")
    assert (code, out) == (1, "")
    assert err.startswith("text.png: cannot read text.png")


def test_errors_in_json(run: Callable[..., Any]) -> None:
    code, out, err = run("explain", "text.png", "--model", "toybox", "--json")
    assert (code, out) == (2, "")
    assert err.startswith("camlucida: cannot read text.png")


def test_json_has_no_nan_and_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    console = Terminal(mode="json", command="x")
    console.add(value=float("nan"), limit=float("inf"), name="\x1b[2J\u202e", path=Path("a"), pair=(1, 2.5))
    console.finish(1)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    document = json.loads(out)
    assert (document["value"], document["limit"], document["pair"]) == (None, None, [1, 2.5])
    assert (document["name"], document["path"]) == ("\x1b[2J\u202e", "a")
    assert to_json({"a": {1}}) == {"a": [1]}


# --- help


@pytest.mark.parametrize("command", [*LINES, "app"])
def test_help_has_examples_and_groups(command: str, run: Callable[..., Any]) -> None:
    code, out, _ = run(*command.split(), "--help")
    assert code == 0
    assert "Examples:" in out
    for line in EXAMPLES[command]:
        assert line in out  # in one piece
    assert "─ Output ─" in out
    assert "─ Parameters ─" not in out, "an option without a group"
    assert "--json" in out
    assert "--quiet" in out


@pytest.mark.parametrize(("command", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines])
def test_examples_are_valid(command: str, line: str) -> None:
    """Every example parses as this command, whether or not its files exist."""
    words = shlex.split(line.rpartition("| ")[2].partition(" >")[0])
    assert words[0] == "camlucida"
    arguments = ["/dev/stdin" if word == "-" else word for word in words[1:]]
    function, *_ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert (
        f"{function.__module__}.{function.__name__}".removeprefix("camlucida.cli.").split(".")[-1]
        == (command.split()[-1])
    )
    assert len(line) <= 76  # one line in a terminal of 80 columns


# --- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, run: Callable[..., Any], tmp_path: Path) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    for word in ("explain", "--method", "camlucida"):
        assert word in out
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(out)
        checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")
