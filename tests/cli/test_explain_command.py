"""The command `explain`: panels, tables, options and names of files."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from camlucida.data import toybox
from camlucida.models.toybox_weights import load_network

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()


def explained(*arguments: str) -> tuple[str, ...]:
    return ("explain", *arguments, "--model", "toybox")


def rows(path: str = "camlucida-out/results.csv") -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def files(folder: str = "camlucida-out") -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


def test_one_image(run: Callable[..., Any]) -> None:
    code, out, err = run(*explained("pets.png"))
    assert (code, err) == (0, "")
    assert "pets.png · toybox" in out
    assert "explained: cat (logit " in out
    assert "→ camlucida-out/pets.png" in out
    assert len([line for line in out.splitlines() if "%" in line]) == 5
    with Image.open("camlucida-out/pets.png") as panel:
        assert panel.width > 1000
    assert files() == ["pets.png"]


def test_several_images_one_unreadable(run: Callable[..., Any]) -> None:
    Path("more/deep").mkdir(parents=True)
    PETS.save("more/deep/other.jpg")
    Path("more/notes.txt").write_text("not an image's name")
    code, out, _ = run(*explained("pets.png", "text.png", "more"))
    assert code == 1
    assert "2 explained, 1 failed: camlucida-out/results.csv" in out
    assert "text.png: cannot read text.png" in out
    assert files() == ["other.png", "pets.png", "results.csv", "results.run.json"]
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


def test_every_line_is_one_line_in_a_pipe(run: Callable[..., Any]) -> None:
    folder = Path("a-rather-long-name-of-a-folder" * 3)
    folder.mkdir()
    PETS.save(folder / "pets.png")
    _, out, _ = run(*explained("pets.png", "text.png", str(folder), "-o", str(folder / "out")))
    assert len(out.splitlines()) == 4


def test_only_unreadable_images(run: Callable[..., Any]) -> None:
    code, out, err = run(*explained("text.png"))
    assert (code, out) == (2, "")
    assert err.startswith("camlucida: cannot read text.png")
    assert len(err.splitlines()) == 1
    Path("empty.png").touch()
    code, out, _ = run(*explained("text.png", "empty.png"))
    assert code == 2
    assert "0 explained, 2 failed" in out
    assert [bool(row["error"]) for row in rows()] == [True, True]


def test_input_images_are_not_overwritten(run: Callable[..., Any]) -> None:
    """Neither by outputs of other folders, nor by their own."""
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


def test_output_of_an_earlier_run_is_not_an_input(run: Callable[..., Any]) -> None:
    Path("text.png").unlink()
    run(*explained("."))
    assert files() == ["pets.png"]
    PETS.save("more.png")
    code, _, _ = run(*explained("."))
    assert code == 0
    assert files() == ["more.png", "pets-2.png", "pets.png", "results.csv", "results.run.json"]
    assert [row["image"] for row in rows()] == ["more.png", "pets.png"]


@pytest.mark.parametrize(
    "layers", [["--layer", "layer2,layer4"], ["--layer", "layer2", "--layer", "layer4"], ["--layer", "layer[24]"]]
)
def test_layers_as_list_repeated_and_as_glob(run: Callable[..., Any], layers: list[str]) -> None:
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


def test_maps_and_panels(run: Callable[..., Any]) -> None:
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


def test_maps_of_a_single_explanation(run: Callable[..., Any]) -> None:
    run(*explained("pets.png", "--maps", "-o", "here"))
    assert files("here") == ["pets.json", "pets.npz", "pets.png"]


def test_targets_scores_and_options(run: Callable[..., Any]) -> None:
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


def test_style_options_change_only_the_image(run: Callable[..., Any]) -> None:
    looks = ([], ["--opacity", "0"], ["--opacity", "1"], ["--colormap", "jet"], ["--blend", "uniform"])
    panels, maps = set(), set()
    for number, look in enumerate(looks):
        assert run(*explained("pets.png", *look, "--maps", "-o", str(number))).code == 0
        panels.add(Path(f"{number}/pets.png").read_bytes())
        with np.load(f"{number}/pets.npz") as stored:
            maps.add(stored["raw"].tobytes())
    assert (len(panels), len(maps)) == (len(looks), 1)


def test_a_checkpoint_with_labels(run: Callable[..., Any]) -> None:
    torch.save({"state_dict": load_network("resnet")[0].state_dict()}, "run.pth")
    Path("names.txt").write_text("\n".join(f"thing {i}" for i in range(10)))
    code, out, _ = run(
        "explain", "pets.png", "--model", "run.pth", "--arch", "toybox", "--labels", "names.txt", "--target", "thing 1"
    )
    assert code == 0
    assert "pets.png · run.pth" in out
    assert "explained: thing 1 (" in out


def test_python_factory(run: Callable[..., Any]) -> None:
    Path("mine.py").write_text("import camlucida\n\ndef net():\n    return camlucida.load('toybox:vgg')\n")
    code, out, _ = run("explain", "pets.png", "--model", "python:mine.py:net")
    assert code == 0
    assert "python:mine.py:net" in out


def test_brackets_in_names_are_not_markup(run: Callable[..., Any]) -> None:
    PETS.save("a[red]b[bold].png")
    code, out, _ = run(*explained("a[red]b[bold].png", "text.png", "-o", "out[bold]"))
    assert code == 1
    assert "→ out[bold]/a[red]b[bold].png" in out
    assert "1 failed: out[bold]/results.csv" in out
    assert "a[red]b[bold].png · toybox" in run(*explained("a[red]b[bold].png")).out
    assert "x[/y].pth" in run("explain", "pets.png", "--model", "x[/y].pth").err


@pytest.mark.skipif(sys.platform != "linux", reason="undecodable file names exist on Linux only")
def test_undecodable_file_names(run: Callable[..., Any]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    PETS.save(name)
    assert run(*explained(name, "--maps")).code == 0
    assert run(*explained(name, "pets.png", "--maps")).code == 0
    assert json.loads(Path(os.fsdecode(b"camlucida-out/caf\xe9.json")).read_text())["source"].startswith("caf")
    assert len(rows()) == 2
