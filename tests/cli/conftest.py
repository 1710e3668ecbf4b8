"""A folder with images, in which the commands run, and what they print."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from camlucida.cli import main
from camlucida.data import toybox

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
BOAT = toybox.scene(2, kinds=["boat"], size=96).picture()


class Result(NamedTuple):
    code: int
    out: str
    err: str


def add_images(folder: Path) -> None:
    """Add one image, and one file that only has the name of an image."""
    PETS.save(folder / "pets.png")
    (folder / "text.png").write_text("not an image")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run a command in a folder with the images of `add_images`, offline."""
    add_images(tmp_path)
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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with two images, and one that cannot be read."""
    folder = tmp_path / "photos"
    folder.mkdir()
    PETS.save(folder / "pets.png")
    BOAT.save(folder / "boat.png")
    (folder / "broken.png").write_text("not an image")
    return folder
