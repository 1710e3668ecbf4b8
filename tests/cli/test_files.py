"""Inputs as globs and on standard input, names of output files, comma lists, and progress without a terminal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from camlucida.cli.images import free_path, input_files, output_stems, split_output
from camlucida.cli.option_values import split_targets
from camlucida.cli.progress import progress_bar
from camlucida.cli.terminal import Terminal
from camlucida.data import toybox
from camlucida.errors import DataError, ImageError

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=64).picture()
TOYBOX = ("--model", "toybox")


def names(folder: str = ".") -> set[str]:
    return {path.name for path in Path(folder).iterdir() if path.is_file()}


def test_globs(run: Callable[..., Any]) -> None:
    for name in ("a/one.png", "a/b/two.png", "a/three.jpg", "a[1].png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        PETS.save(name)
    out = Path("camlucida-out")
    assert [str(path) for path in input_files(["a/*.png"], out)] == ["a/one.png"]
    assert [str(path) for path in input_files(["a/**/*.png"], out)] == ["a/b/two.png", "a/one.png"]
    assert input_files(["a[1].png"], out) == [Path("a[1].png")]  # an existing file is that file
    assert [str(path) for path in input_files(["?"], out)] == ["a/b/two.png", "a/one.png", "a/three.jpg"]  # a folder
    with pytest.raises(ImageError, match=r"no file matches 'a/\*\.gif'"):
        input_files(["a/*.gif"], out)
    code, text, _ = run("explain", "a/t*.jpg", "pets.png", *TOYBOX)
    assert code == 0
    assert "2 explained" in text


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
def test_paths_on_stdin(separator: str, tmp_path: Path) -> None:
    listed = ["one.png", "with space.png", "*.png"] if os.name != "nt" else ["one.png", "with space.png"]
    for name in listed:
        PETS.save(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-m", "camlucida", "explain", "-", *TOYBOX, "--json"],
        input=separator.join([*listed, ""]).encode(),
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert [image["image"] for image in json.loads(done.stdout)["images"]] == listed


def test_empty_stdin(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    code, _, err = run("explain", "-", *TOYBOX)
    assert code == 2
    assert "standard input is empty" in err


# --- names of files


@pytest.mark.parametrize(
    ("line", "written"),
    [
        ("explain pets.png", {"x.png"}),
        ("explain pets.png --maps", {"x.png", "x.npz", "x.json"}),
        ("trust pets.png --windows 16", {"x.png", "x.json"}),
        ("activations pets.png", {"x.png"}),
        ("activations pets.png --channel 1", {"x.png"}),
        ("concepts pets.png -k 2", {"x.png"}),
    ],
)
def test_output_is_a_file(line: str, written: set[str], run: Callable[..., Any]) -> None:
    before = names()
    assert run(*line.split(), *TOYBOX, "-o", "x.png").code == 0
    assert names() - before == written
    with Image.open("x.png") as image:
        image.load()


def test_output_is_a_jpeg_or_a_folder_like_one(run: Callable[..., Any]) -> None:
    Path("folder.png").mkdir()
    assert run("explain", "pets.png", *TOYBOX, "-o", "new/y.jpg").code == 0
    with Image.open("new/y.jpg") as image:
        assert image.format == "JPEG"
    assert run("explain", "pets.png", *TOYBOX, "-o", "folder.png").code == 0
    assert names("folder.png") == {"pets.png"}
    three = [Path("1.png"), Path("2.png"), Path("3.png")]
    assert split_output(Path("out"), three) == (Path("out"), None)
    assert split_output(Path("a/x.webp"), three, is_joint=True) == (Path("a"), "x.webp")
    with pytest.raises(DataError, match=r"x\.png is one file, but there are 3 images"):
        split_output(Path("x.png"), three)


@pytest.mark.parametrize("command", ["explain", "trust", "concepts"])
def test_tiff_is_written_and_other_formats_are_no_folders(command: str, run: Callable[..., Any]) -> None:
    assert run(command, "pets.png", *TOYBOX, "-o", "out.tiff").code == 0
    with Image.open("out.tiff") as image:
        assert (image.format, image.mode) == ("TIFF", "RGB")
    for name in ("out.BMP", "out.eps"):
        code, _, err = run(command, "pets.png", *TOYBOX, "-o", name)
        assert (code, Path(name).exists()) == (2, False)
        assert f"--output {name} cannot be written: give a file with .png, .jpg, .webp" in err
    assert split_output(Path("runs/v1.2"), [Path("1.png")]) == (Path("runs/v1.2"), None)
    assert split_output(Path("x.svg"), [Path("1.png")], also=(".svg",)) == (Path(), "x.svg")
    with pytest.raises(DataError, match=r"x\.svg cannot be written"):
        split_output(Path("x.svg"), [Path("1.png")])


@pytest.mark.parametrize("line", ["explain", "trust", "activations", "activations --channel 1", "concepts", "film"])
def test_an_input_is_never_the_output(line: str, run: Callable[..., Any]) -> None:
    before = Path("pets.png").read_bytes()
    command, *words = line.split()
    model = ("--checkpoints", "toybox") if command == "film" else TOYBOX
    code, _, err = run(command, "pets.png", *words, *model, "-o", "./pets.png", "--overwrite")
    assert code == 2
    assert "pets.png is an input image" in err
    assert Path("pets.png").read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "explain pets.png --maps --model toybox",
        "trust pets.png --windows 16 --model toybox",
        "activations pets.png --model toybox",
        "activations pets.png --channel 1 --model toybox",
        "concepts pets.png -k 2 --maps --model toybox",
        "sanity pets.png --seeds 1 --checks random_logit",
        "film pets.png --checkpoints toybox",
        "data check toybox --limit 3 --images 1",
        "layers toybox --csv out/layers.csv --markdown out/layers.md",
        "demo",
    ],
)
def test_files_are_never_overwritten_silently(line: str, run: Callable[..., Any]) -> None:
    command = [*line.split(), *([] if line.startswith("layers") else ["-o", "out"])]

    def files() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}

    run(*command)
    first = files()
    for path in first:
        Path(path).write_bytes(b"of an earlier run")
    run(*command)
    again = files()
    assert {path for path, content in again.items() if content == b"of an earlier run"} == set(first)
    assert len(again) == 2 * len(first)
    assert all("-2" in path for path in again.keys() - first.keys())
    run(*command, "--overwrite")
    replaced = files()
    assert replaced.keys() == again.keys()
    assert not {path for path, content in replaced.items() if content == b"of an earlier run"}


def test_free_path(tmp_path: Path) -> None:
    path = tmp_path / "a.b.png"
    assert free_path(path, False) == path
    path.touch()
    (tmp_path / "a.b-2.png").symlink_to("nowhere")  # a dangling link is a file that could be replaced
    assert free_path(path, False) == tmp_path / "a.b-3.png"
    assert free_path(path, True) == path
    assert free_path(Path(os.devnull), False) == Path(os.devnull)


def test_stems_do_not_collide(tmp_path: Path) -> None:
    files = [Path("a/cat.png"), Path("a/cat-2.png"), Path("a/dog.png")]
    (tmp_path / "CAT.png").touch()
    (tmp_path / "dog.npz").touch()
    (tmp_path / "dog-2").mkdir()
    stems = output_stems(files, tmp_path, [".png", ".", "/"])
    assert list(stems.values()) == ["cat-3", "cat-2", "dog-3"]
    assert list(output_stems(files, tmp_path).values()) == ["cat-3", "cat-2", "dog"]
    assert list(output_stems(files, tmp_path, overwrite=True).values()) == ["cat", "cat-2", "dog"]


# --- comma lists


@pytest.mark.parametrize(
    ("values", "targets"),
    [
        (["cat,dog"], ["cat", "dog"]),
        (["cat, dog", "1"], ["cat", "dog", "1"]),
        (["crane, bird"], ["crane, bird"]),
        (["Crane, Bird,dog"], ["Crane, Bird", "dog"]),
        (["dog,crane, bird,cat"], ["dog", "crane, bird", "cat"]),
        (["not crane, bird"], ["not crane, bird"]),
        (["crane, bird rather than dog,cat"], ["crane, bird rather than dog", "cat"]),
        (["cat rather than dog,not cat"], ["cat rather than dog", "not cat"]),
        ([""], [""]),
        (["dog at 120,80,cat", "at 1,2"], ["dog at 120,80", "cat", "at 1,2"]),
        (["at 1,2,at 3, 4,class:cat at 5,6"], ["at 1,2", "at 3, 4", "class:cat at 5,6"]),
        (["cat 1,2"], ["cat 1", "2"]),
    ],
)
def test_targets_are_split_at_commas(values: list[str], targets: list[str]) -> None:
    assert split_targets(values, ["cat", "dog", "crane, bird", "crane"]) == targets


def test_several_targets(run: Callable[..., Any]) -> None:
    out = run("explain", "pets.png", *TOYBOX, "--target", "cat,dog rather than cat").out
    assert [line.split(" (")[0] for line in out.splitlines() if line.startswith("explained")] == [
        "explained: cat",
        "explained: dog rather than cat",
    ]


def test_documented_targets_are_classes_of_the_default_model() -> None:
    """The examples of --target for ResNet-50 name classes that it has."""
    from torchvision.models import ResNet50_Weights

    classes = {name.casefold() for name in ResNet50_Weights.DEFAULT.meta["categories"]}
    root = Path(__file__).resolve().parents[2]
    for page in (root / "README.md", root / "docs" / "command-line.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith("camlucida ") and "--target" in line and "--model" not in line:
                words = line.partition("  #")[0].split("--target ")[1:]
                for word in words:
                    target = word.split('"')[1] if word.startswith('"') else word.split()[0]
                    assert {part.casefold() for part in target.split(",")} <= classes | {"true", "predicted"}, line


# --- progress


class _Clock:
    """A clock that advances by 4 s with every reading."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 4
        return self.now


def test_progress_lines_in_a_pipe(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", _Clock())
    with progress_bar(Terminal(), 10) as progress:
        task = progress.add_task("explaining \\[x]", total=10)
        for done in range(1, 11):
            progress.update(task, completed=done)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines == [  # every 12 s: the first multiple of 4 s from 10 s on
        "explaining [x]: 3 of 10 (30%), about 28 s left",
        "explaining [x]: 6 of 10 (60%), about 16 s left",
        "explaining [x]: 9 of 10 (90%), about 4 s left",
    ]


@pytest.mark.parametrize("mode", ["quiet", "json"])
def test_progress_lines_and_modes(
    mode: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camlucida.cli.progress.LINE_INTERVAL_S", 0.0)
    with progress_bar(Terminal(mode=mode), 10) as progress:
        progress.advance(progress.add_task("explaining", total=10))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("explaining: 1 of 10") == (mode == "json")
