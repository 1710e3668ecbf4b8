"""A full or read-only disk is one sentence and exit code 2 in every command; untrusted names are escaped."""

from __future__ import annotations

import csv
import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import camlucida as cl
from camlucida._escaping import printable
from camlucida.cli.commands import app, main
from camlucida.data import toybox
from camlucida.data.datasets import Item, ListDataset
from camlucida.evaluation import evaluate
from camlucida.sanity_checks.verdict import Step
from camlucida.training.run_folder import RunFolder
from camlucida.user_study import answers_csv, make_study, results

WRITE_NOTHING = {"models", "app", "cache", "completion", "--help", "-h", "--version"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, a finished evaluation and a study with an answer, for the commands that start from one."""
    root = tmp_path_factory.mktemp("ready")
    for kind in ("cat", "dog"):
        (root / "photos" / kind).mkdir(parents=True)
        for number in range(2):
            toybox.scene(seed=number, kinds=[kind], size=64).picture().save(root / "photos" / kind / f"{number}.png")
    evaluate("toybox", cl.open_dataset("toybox", count=2), metrics=["entropy"], out=root / "evaluation")
    cl.audit("toybox", cl.open_dataset("toybox", count=2), root / "audit")
    scenes = [str(root / "photos/cat/0.png")]
    study = make_study(root / "study", "toybox", scenes, methods=["grad_cam", "eigen_cam"], pairs=1, ratings=0)
    study.record_answer(1, "ann", 1)
    return root


COMMANDS: dict[str, list[str]] = {
    "explain": ["explain", "{photos}", "--model", "toybox", "-o", "{out}"],
    "activations": ["activations", "{image}", "--model", "toybox", "-o", "{out}"],
    "concepts": ["concepts", "{image}", "--model", "toybox", "-o", "{out}"],
    "evaluate": ["evaluate", "toybox", "--limit", "2", "--metrics", "entropy", "-o", "{out}"],
    "data": ["data", "check", "{photos}", "-o", "{out}"],
    "report": ["report", "{ready}/evaluation", "-o", "{out}/page.html"],
    "train": ["train", "{photos}", "--arch", "small", "--size", "32", "--epochs", "1", "-o", "{out}"],
    "sanity": ["sanity", "{image}", "--model", "toybox", "--checks", "random_logit", "-o", "{out}"],
    "study": ["study", "make", "{image}", "--model", "toybox", "--method", "grad_cam,eigen_cam", "-o", "{out}"],
    "study results": ["study", "results", "{ready}/study", "-o", "{out}/table.csv"],
    "trust": ["trust", "{image}", "--model", "toybox", "--windows", "16", "-o", "{out}"],
    "audit": ["audit", "toybox", "--limit", "2", "--findings", "none", "-o", "{out}"],
    "query": ["query", "{ready}/audit", "--csv", "{out}/rows.csv"],
    "export": ["export", "{ready}/audit", "--no-images", "-o", "{out}/images.csv"],
    "mistakes": ["mistakes", "toybox", "--limit", "2", "--no-maps", "-o", "{out}"],
    "embed": ["embed", "toybox", "--limit", "2", "-o", "{out}"],
    "film": ["film", "{photos}", "--checkpoints", "toybox", "--limit", "1", "-o", "{out}"],
    "demo": ["demo", "-o", "{out}"],
    "layers": ["layers", "toybox", "--csv", "{out}/layers.csv"],
}


def test_every_writing_command_is_covered() -> None:
    known = {name.split()[0] for name in COMMANDS}
    assert known == {str(name) for name in app} - WRITE_NOTHING


@pytest.mark.parametrize("name", COMMANDS)
def test_full_disk_is_a_user_error(
    name: str, ready: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    number = errno.ENOSPC if len(name) % 2 else errno.EROFS

    def full(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    paths = {"photos": ready / "photos", "image": ready / "photos/cat/0.png", "ready": ready, "out": tmp_path / "out"}
    arguments = [argument.format(**paths) for argument in COMMANDS[name]]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit) as left:
        main(arguments)
    text = capsys.readouterr().err.strip()
    assert left.value.code == 2
    assert re.fullmatch(rf"camlucida: cannot write \S+: {os.strerror(number)}\. .*\.", text), text
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device on this system")
def test_unwritable_stdout_is_a_user_error() -> None:
    with open("/dev/full", "wb") as nowhere:
        command = [sys.executable, "-m", "camlucida", "--version"]
        process = subprocess.run(command, stdout=nowhere, stderr=subprocess.PIPE, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr == "camlucida: No space left on device. Make room, or choose another folder.\n"


EVIL = ("=cmd|' /C calc'!A0", "@SUM(A1)", "+1+1", "-1+1")
CURSOR = "\x1b[2J\u202e"


def cells(text: str) -> list[str]:
    return [cell for row in csv.reader(text.splitlines()) for cell in row]


def harmless(text: str) -> None:
    """The evil names are there, and none begins a cell."""
    every = cells(text)
    assert any(evil in cell for cell in every for evil in EVIL)
    number = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?")
    assert not [cell for cell in every if cell[:1] in set("=+-@\t\r") and not number.fullmatch(cell)]


def test_command_tables_hold_no_formulas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files, folders and classes called so, through every command that writes a table."""
    monkeypatch.chdir(tmp_path)
    names = [f"{evil.replace('/', '')}.png" for evil in EVIL]
    for folder in EVIL[1:3]:
        Path(folder).mkdir()
        for number, name in enumerate(names):
            toybox.scene(seed=number, size=64).picture().save(Path(folder) / name)
    Path("labels.txt").write_text("\n".join([*EVIL, *map(str, range(6))]), encoding="utf-8")
    model = ["--model", "toybox", "--labels", "labels.txt"]
    photos = f"./{EVIL[1]}"
    for command in (
        ["explain", "@SUM(A1)", *model, "-o", "explained"],
        ["trust", "@SUM(A1)", *model, "--windows", "16", "-o", "trusted"],
        ["film", photos, "--checkpoints", "toybox", "--target", "predicted", "-o", "filmed"],
        ["sanity", photos, "--model", "toybox", "--checks", "random_logit", "--limit", "2", "-o", "sane"],
    ):
        with pytest.raises(SystemExit) as left:
            main(command)
        assert left.value.code == 0, capsys.readouterr().err
    for table in ("explained/results.csv", "trusted/results.csv", "filmed/film.csv", "sane/sanity.csv"):
        harmless(Path(table).read_text("utf-8"))
    assert "image" in set(Step.__dataclass_fields__)


def test_training_and_study_tables_hold_no_formulas(tmp_path: Path) -> None:
    items = [
        Item(toybox.scene(seed=number, size=48).picture(), f"{EVIL[number % 4]}{number}", number % 2)
        for number in range(12)
    ]
    result = cl.train(ListDataset("evil", [*items, Item(b"no image", "=broken", 0)], EVIL[:2]), out=tmp_path / "run",
                    arch="small", size=32, epochs=1)  # fmt: skip
    for name in ("split.csv", "skipped.csv"):
        text = (tmp_path / "run" / name).read_text("utf-8")
        harmless(text + EVIL[0].join("xx"))
    assert {row["image"] for row in RunFolder(tmp_path / "run").read_table("split.csv")} >= {
        item.name for item in items
    }
    assert [name for name, _ in result.skipped] == ["=broken"]
    Image.new("RGB", (48, 48), "red").save(tmp_path / "=1+1.png")
    study = make_study(
        tmp_path / "study", "toybox", [tmp_path / "=1+1.png"], methods=["grad_cam", "eigen_cam"], ratings=0
    )
    study.record_answer(1, EVIL[0], 1)
    harmless(answers_csv(study))
    assert not [cell for cell in cells(results(study).csv()) if cell[:1] in "=@"]


def test_no_command_prints_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(f"photos{CURSOR}")
    for kind in (f"cat{CURSOR}", f"dog{CURSOR}"):
        (folder / kind).mkdir(parents=True)
        toybox.scene(seed=1, size=64).picture().save(folder / kind / f"good{CURSOR}.png")
        (folder / kind / f"broken{CURSOR}\nall is well.png").write_bytes(b"no image")
    Path("labels.txt").write_text("\n".join(f"class {CURSOR}{number}" for number in range(10)), encoding="utf-8")
    own: list[Any] = ["--model", "toybox", "--labels", "labels.txt"]
    for command in (
        ["explain", str(folder), *own],
        ["trust", str(folder), *own, "--windows", "16"],
        ["evaluate", str(folder), *own, "--metrics", "entropy", "--no-controls", "--report", "page.html"],
        ["mistakes", str(folder), *own],
        ["embed", str(folder), *own],
        ["sanity", str(folder), *own, "--checks", "random_logit"],
        ["data", "check", str(folder)],
        ["film", str(folder), "--checkpoints", "toybox"],
        ["explain", f"nowhere{CURSOR}.png", "--model", "toybox"],
        ["train", str(folder), "--arch", "small", "--size", "32", "--epochs", "1", "-o", "run"],
    ):
        with pytest.raises(SystemExit):
            main(command)
        output_text = capsys.readouterr()
        text = output_text.out + output_text.err
        assert "Traceback" not in text
        assert not [c for c in text if c != "\n" and printable(c) != c], command
        assert r"\x1b[2J\u202e" in re.sub(r"\n", "", text) or command[0] in ("film", "train"), (command, text)
        assert not [line for line in text.splitlines() if line.startswith("all is well")]
    for page in tmp_path.rglob("*.html"):
        written = page.read_text("utf-8")
        assert not [c for c in written if c not in "\n\t" and printable(c) != c], page
        assert r"\x1b[2J\u202e" in written
