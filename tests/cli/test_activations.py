"""Do the sheets show the layer's own numbers, in the right order, and survive what they are given?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import camlucida as cl
from camlucida.cli import main
from camlucida.data import toybox
from camlucida.errors import CamlucidaError, ImageError, LayerError, MethodError, TargetError
from camlucida.render.contact_sheet import Tile, contact_sheet

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
BOAT = toybox.scene(2, kinds=["boat"], size=96).picture()


@pytest.fixture(scope="module")
def model() -> Any:
    return cl.load("toybox")


def by_hooks(model: Any, image: Image.Image, layer: str, target: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations (c, h, w) and their gradients, with plain hooks on the network itself."""
    kept = []
    hook = model.network.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))
    try:
        inputs, _ = model.preprocessing(image)
        output = model.network.eval()(inputs[None])
    finally:
        hook.remove()
    (slopes,) = torch.autograd.grad(output[0, target], kept[0])
    return kept[0][0].detach(), slopes[0]


def test_the_numbers_are_the_layers(model: Any) -> None:
    result = cl.activations(model, PETS, layer="layer3", target="dog")
    maps, slopes = by_hooks(model, PETS, "layer3", 1)
    assert (result.target, result.layer, result.source) == ("dog", "layer3", "Image")
    assert_close(result.maps, maps)
    assert_close(result.gradients, slopes.mean((1, 2)))
    assert_close(result.contributions, slopes.mean((1, 2)) * maps.mean((1, 2)))
    grad_cam = cl.explain(model, PETS, layer="layer3", target="dog").raw
    assert_close(result.contributions.sum(), grad_cam.mean())


@pytest.mark.parametrize("by", ["contribution", "gradient", "activation", "channel"])
def test_orders(model: Any, by: str) -> None:
    result = cl.activations(model, PETS, layer="layer2", target="cat", by=by)
    assert sorted(result.order) == list(range(len(result)))
    worth = {
        "contribution": result.contributions,
        "gradient": result.gradients,
        "activation": result.maps.mean((1, 2)),
        "channel": -torch.arange(len(result)),
    }[by]
    ordered = worth[list(result.order)]
    assert bool((ordered[:-1] >= ordered[1:]).all())
    assert result.by == by


def test_another_order_is_the_same_as_asking_for_it(model: Any) -> None:
    result = cl.activations(model, PETS, layer="layer2", target="cat")
    for by in ("gradient", "activation", "channel", "contribution"):
        again = result.ordered(by)
        assert (again.by, again.order) == (by, cl.activations(model, PETS, layer="layer2", target="cat", by=by).order)
        assert again.maps is result.maps
    with pytest.raises(MethodError, match="channels are not ordered by 'size'"):
        result.ordered("size")


def test_how_many_channels_hold_half(model: Any) -> None:
    result = cl.activations(model, PETS, layer="layer3", target="dog")
    positive = sorted((v for v in result.contributions.double().tolist() if v > 0), reverse=True)
    for share in (0.25, 0.5, 0.9, 1.0):
        n = result.n_channels_for(share)
        assert sum(positive[:n]) >= share * sum(positive) * (1 - 1e-9) > sum(positive[: n - 1])
    assert replace(result, contributions=-result.contributions.abs()).n_channels_for() == 0
    assert result.index == 1
    assert cl.activations(model, PETS, layer="layer3", target="cat rather than dog").index is None


def test_repr_and_figure(model: Any) -> None:
    result = cl.activations(model, PETS)
    assert result.target == "cat"
    assert result._repr_png_().startswith(b"\x89PNG")
    assert result.figure(6, density=1.0).height < result.figure(24, density=1.0).height
    assert result.figure(10_000, density=1.0).width == result.figure(24, density=1.0).width
    heat = result.heatmap(3)
    assert heat.shape == (96, 96)
    assert np.nanmax(heat) <= 1
    with pytest.raises(LayerError, match=r"no channel 999 at layer4: it has \d+, from 0 to"):
        result.heatmap(999)
    with pytest.raises(MethodError, match="0 channels are no sheet"):
        result.figure(0)


def test_activations_are_immutable(model: Any) -> None:
    result = cl.activations(model, PETS)
    with pytest.raises(AttributeError):
        result.layer = "layer1"


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"by": "weigth"}, MethodError, "channels are not ordered by 'weigth'"),
        ({"by": "gradeint"}, MethodError, "Did you mean 'gradient'"),
        ({"layer": "layer?"}, LayerError, "of one layer, and 'layer\\?' may be several"),
        ({"layer": "layer9"}, LayerError, r"no layer 'layer9'.*\(toybox, Image\)"),
        ({"target": "top3"}, TargetError, "for one target, and 'top3' may be several"),
        ({"target": "unicorn"}, TargetError, "no class 'unicorn'"),
    ],
)
def test_refusals(model: Any, asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cl.activations(model, PETS, **asked)


def test_network_is_unmodified(model: Any) -> None:
    network = model.network.train()
    cl.activations(model, PETS)
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())
    network.eval()


# --- the pictures of a channel


def test_top_images_by_hand(model: Any) -> None:
    scenes = [toybox.scene(seed, size=96).picture() for seed in range(6)]
    result = cl.top_images(model, scenes, channel=5, layer="layer4", n=4)
    peaks = [float(by_hooks(model, scene, "layer4", 0)[0][5].max()) for scene in scenes]
    assert [item.strength for item in result.items] == pytest.approx(sorted(peaks, reverse=True)[:4], rel=1e-4)
    assert (result.n_images, result.failed, result.channel, result.layer) == (6, (), 5, "layer4")
    assert result.channels == cl.activations(model, PETS, layer="layer4").maps.shape[0]
    assert result._repr_png_().startswith(b"\x89PNG")
    for item in result.items:
        assert item.image.size == (96, 96)
        assert float(item.map.max()) == item.strength


def test_ties_are_in_input_order(model: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{letter}.png" for letter in "badc"]
    for path in paths:
        PETS.save(path)
    result = cl.top_images(model, paths, channel=0, n=2)
    assert [item.source for item in result.items] == ["b.png", "a.png"]


def test_large_image_is_stored_as_thumbnail(model: Any) -> None:
    large = PETS.resize((1500, 900))
    (item,) = cl.top_images(model, [large], channel=0).items
    assert item.image.size == (480, 288)
    assert item.geometry.original == (480, 288)
    full = cl.explain(model, large).geometry
    assert item.geometry.visible_box == pytest.approx([v * 480 / 1500 for v in full.visible_box])


def test_unreadable_image_is_skipped_and_bad_channel_raises(model: Any) -> None:
    calls: list[CamlucidaError | None] = []
    result = cl.top_images(model, [PETS, b"broken", BOAT], channel=1, progress=lambda image, error: calls.append(error))
    assert (result.n_images, len(result.failed), len(result.items)) == (2, 1, 2)
    assert isinstance(result.failed[0][1], ImageError)
    assert [error is None for error in calls] == [True, False, True]
    with pytest.raises(LayerError, match="no channel 5000 at layer4"):
        cl.top_images(model, [PETS], channel=5000)
    with pytest.raises(LayerError, match="no channel -1 at layer4"):
        cl.top_images(model, [PETS], channel=-1)
    with pytest.raises(MethodError, match="no picture could be read"):
        cl.top_images(model, [b"broken"], channel=1).figure()
    with pytest.raises(MethodError, match="n is a whole number from 1 "):
        cl.top_images(model, [PETS], channel=1, n=0)


# --- the sheet


def test_a_sheet_of_one_and_of_many() -> None:
    tile = Tile(PETS, np.zeros((96, 96)), "a label that is much too long for its tile", "caption")
    first, seven = (contact_sheet([tile] * n, title="t", density=1.0) for n in (1, 7))
    assert seven.height > first.height
    assert seven.width > first.width
    with pytest.raises(MethodError, match="a contact sheet needs at least one image"):
        contact_sheet([], title="t")
    with pytest.raises(MethodError, match="does not fit an image of size"):
        contact_sheet([Tile(PETS, np.zeros((3, 3)), "a")], title="t")
    with pytest.raises(MethodError, match="no colour map 'fire'"):
        contact_sheet([tile], title="t", colormap="fire")


# --- the command


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "photos").mkdir()
    PETS.save(tmp_path / "photos" / "pets.png")
    BOAT.save(tmp_path / "photos" / "boat.png")
    (tmp_path / "photos" / "broken.png").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stopped:
        main(["activations", *arguments, "--model", "toybox"])
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    return int(stopped.value.code or 0), out, err


def test_one_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(capsys, "photos/pets.png", "--layer", "layer3", "--target", "cat", "-n", "8")
    assert (code, err) == (0, "")
    assert out.startswith("pets.png: layer3, for cat first channels ")
    with Image.open(folder / "camlucida-out" / "pets-activations.png") as sheet:
        assert sheet.width > 1000


def test_a_folder_of_pictures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "photos", "-n", "6", "--sort-by", "activation", "--colormap", "magma")
    assert code == 1
    assert "broken.png: cannot read" in out
    assert sorted(p.name for p in (folder / "camlucida-out").iterdir()) == [
        "boat-activations.png",
        "pets-activations.png",
    ]


def test_the_pictures_of_a_channel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = command(capsys, "photos", "--layer", "layer4", "--channel", "7")
    assert code == 1
    assert "broken.png: cannot read" in out
    assert "2 looked at, 1 not\n→ camlucida-out/layer4-channel-7.png" in out
    assert (folder / "camlucida-out" / "layer4-channel-7.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("photos/broken.png",), "cannot read photos/broken.png"),
        (("photos/broken.png", "--channel", "1"), "cannot read photos/broken.png"),
        (("photos/pets.png", "--channel", "5000"), "no channel 5000 at layer4"),
        (("photos/pets.png", "-n", "0"), "-n 0: a sheet shows one or more"),
        (("photos/pets.png", "--sort-by", "size"), "channels are not ordered by 'size'"),
        (("photos/pets.png", "--opacity", "3"), "--opacity 3 is not between 0 and 1"),
        (("photos/pets.png", "--layer", "layer9"), "no layer 'layer9'"),
    ],
)
def test_command_errors(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = command(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"camlucida: {said}")
    assert len(err.splitlines()) == 1


@pytest.mark.real
def test_on_a_photograph(real_data: Path) -> None:
    model = cl.load(str(real_data / "weights" / "resnet18_imagenet.safetensors"))
    result = cl.activations(
        model, real_data / "dev" / "images" / "classic" / "cat_dog.jpg", layer="layer4", target="Egyptian cat"
    )
    assert result.maps.shape == (512, 7, 7)
    best = result.maps[result.order[0]]
    assert int(best.argmax()) // 7 >= 3  # the cat lies in the lower half
