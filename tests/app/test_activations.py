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
from camlucida.render.contact import Tile, contact

PETS = toybox.scene(4, kinds=["cat", "dog"], objects=2, size=96).picture()
BOAT = toybox.scene(2, kinds=["boat"], size=96).picture()


@pytest.fixture(scope="module")
def model() -> Any:
    return cl.load("toybox")


def by_hooks(model: Any, picture: Image.Image, layer: str, target: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Activations (c, h, w) and their gradients, with plain hooks on the network itself."""
    kept = []
    hook = model.network.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o))
    try:
        inputs, _ = model.preprocessing(picture)
        output = model.network.eval()(inputs[None])
    finally:
        hook.remove()
    (slopes,) = torch.autograd.grad(output[0, target], kept[0])
    return kept[0][0].detach(), slopes[0]


def test_the_numbers_are_the_layers(model: Any) -> None:
    found = cl.activations(model, PETS, layer="layer3", target="dog")
    maps, slopes = by_hooks(model, PETS, "layer3", 1)
    assert (found.target, found.layer, found.source) == ("dog", "layer3", "Image")
    assert_close(found.maps, maps)
    assert_close(found.gradients, slopes.mean((1, 2)))
    assert_close(found.contributions, slopes.mean((1, 2)) * maps.mean((1, 2)))
    grad_cam = cl.explain(model, PETS, layer="layer3", target="dog").raw
    assert_close(found.contributions.sum(), grad_cam.mean())


@pytest.mark.parametrize("by", ["contribution", "gradient", "activation", "channel"])
def test_orders(model: Any, by: str) -> None:
    found = cl.activations(model, PETS, layer="layer2", target="cat", by=by)
    assert sorted(found.order) == list(range(len(found)))
    worth = {
        "contribution": found.contributions,
        "gradient": found.gradients,
        "activation": found.maps.mean((1, 2)),
        "channel": -torch.arange(len(found)),
    }[by]
    ordered = worth[list(found.order)]
    assert bool((ordered[:-1] >= ordered[1:]).all())
    assert found.by == by


def test_another_order_is_the_same_as_asking_for_it(model: Any) -> None:
    found = cl.activations(model, PETS, layer="layer2", target="cat")
    for by in ("gradient", "activation", "channel", "contribution"):
        again = found.ordered(by)
        assert (again.by, again.order) == (by, cl.activations(model, PETS, layer="layer2", target="cat", by=by).order)
        assert again.maps is found.maps
    with pytest.raises(MethodError, match="channels are not ordered by 'size'"):
        found.ordered("size")


def test_how_many_channels_hold_half(model: Any) -> None:
    found = cl.activations(model, PETS, layer="layer3", target="dog")
    positive = sorted((v for v in found.contributions.double().tolist() if v > 0), reverse=True)
    for share in (0.25, 0.5, 0.9, 1.0):
        n = found.leading(share)
        assert sum(positive[:n]) >= share * sum(positive) * (1 - 1e-9) > sum(positive[: n - 1])
    assert replace(found, contributions=-found.contributions.abs()).leading() == 0
    assert found.index == 1
    assert cl.activations(model, PETS, layer="layer3", target="cat rather than dog").index is None


def test_it_shows_itself(model: Any) -> None:
    found = cl.activations(model, PETS)
    assert found.target == "cat"
    assert found._repr_png_().startswith(b"\x89PNG")
    assert found.figure(6, density=1.0).height < found.figure(24, density=1.0).height
    assert found.figure(10_000, density=1.0).width == found.figure(24, density=1.0).width
    heat = found.heatmap(3)
    assert heat.shape == (96, 96)
    assert np.nanmax(heat) <= 1
    with pytest.raises(LayerError, match=r"no channel 999 at layer4: it has \d+, from 0 to"):
        found.heatmap(999)
    with pytest.raises(MethodError, match="0 channels are no sheet"):
        found.figure(0)


def test_a_value_that_cannot_be_changed(model: Any) -> None:
    found = cl.activations(model, PETS)
    with pytest.raises(AttributeError):
        found.layer = "layer1"


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


def test_the_network_is_not_touched(model: Any) -> None:
    network = model.network.train()
    cl.activations(model, PETS)
    assert network.training
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks for m in network.modules())
    network.eval()


# --- the pictures of a channel


def test_top_pictures_by_hand(model: Any) -> None:
    scenes = [toybox.scene(seed, size=96).picture() for seed in range(6)]
    found = cl.top_pictures(model, scenes, channel=5, layer="layer4", n=4)
    peaks = [float(by_hooks(model, scene, "layer4", 0)[0][5].max()) for scene in scenes]
    assert [item.strength for item in found.items] == pytest.approx(sorted(peaks, reverse=True)[:4], rel=1e-4)
    assert (found.seen, found.failed, found.channel, found.layer) == (6, (), 5, "layer4")
    assert found.channels == cl.activations(model, PETS, layer="layer4").maps.shape[0]
    assert found._repr_png_().startswith(b"\x89PNG")
    for item in found.items:
        assert item.picture.size == (96, 96)
        assert float(item.map.max()) == item.strength


def test_of_equals_the_first_comes_first(model: Any, tmp_path: Path) -> None:
    paths = [tmp_path / f"{letter}.png" for letter in "badc"]
    for path in paths:
        PETS.save(path)
    found = cl.top_pictures(model, paths, channel=0, n=2)
    assert [item.source for item in found.items] == ["b.png", "a.png"]


def test_a_large_picture_is_kept_small(model: Any) -> None:
    large = PETS.resize((1500, 900))
    (item,) = cl.top_pictures(model, [large], channel=0).items
    assert item.picture.size == (480, 288)
    assert item.geometry.original == (480, 288)
    whole = cl.explain(model, large).geometry
    assert item.geometry.seen == pytest.approx([v * 480 / 1500 for v in whole.seen])


def test_a_broken_picture_is_left_out_a_wrong_channel_is_not(model: Any) -> None:
    told: list[CamlucidaError | None] = []
    found = cl.top_pictures(model, [PETS, b"broken", BOAT], channel=1, tick=lambda image, error: told.append(error))
    assert (found.seen, len(found.failed), len(found.items)) == (2, 1, 2)
    assert isinstance(found.failed[0][1], ImageError)
    assert [error is None for error in told] == [True, False, True]
    with pytest.raises(LayerError, match="no channel 5000 at layer4"):
        cl.top_pictures(model, [PETS], channel=5000)
    with pytest.raises(LayerError, match="no channel -1 at layer4"):
        cl.top_pictures(model, [PETS], channel=-1)
    with pytest.raises(MethodError, match="no picture could be read"):
        cl.top_pictures(model, [b"broken"], channel=1).figure()
    with pytest.raises(MethodError, match="n is a whole number from 1 "):
        cl.top_pictures(model, [PETS], channel=1, n=0)


# --- the sheet


def test_a_sheet_of_one_and_of_many() -> None:
    tile = Tile(PETS, np.zeros((96, 96)), "a label that is much too long for its tile", "caption")
    one, seven = (contact([tile] * n, title="t", density=1.0) for n in (1, 7))
    assert seven.height > one.height
    assert seven.width > one.width
    with pytest.raises(MethodError, match="a contact sheet of nothing"):
        contact([], title="t")
    with pytest.raises(MethodError, match="does not fit a picture of size"):
        contact([Tile(PETS, np.zeros((3, 3)), "a")], title="t")
    with pytest.raises(MethodError, match="no colour map 'fire'"):
        contact([tile], title="t", colormap="fire")


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
    code, out, _ = command(capsys, "photos", "-n", "6", "--by", "activation", "--colormap", "magma")
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
        (("photos/pets.png", "--by", "size"), "channels are not ordered by 'size'"),
        (("photos/pets.png", "--opacity", "3"), "--opacity 3 is not between 0 and 1"),
        (("photos/pets.png", "--layer", "layer9"), "no layer 'layer9'"),
    ],
)
def test_slips(folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str) -> None:
    code, out, err = command(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"camlucida: {said}")
    assert len(err.splitlines()) == 1


@pytest.mark.real
def test_on_a_photograph(real_data: Path) -> None:
    model = cl.load(str(real_data / "weights" / "resnet18_imagenet.safetensors"))
    found = cl.activations(
        model, real_data / "dev" / "images" / "classic" / "cat_dog.jpg", layer="layer4", target="Egyptian cat"
    )
    assert found.maps.shape == (512, 7, 7)
    best = found.maps[found.order[0]]
    assert int(best.argmax()) // 7 >= 3  # the cat lies in the lower half
