"""Real weights on real photographs: are the predictions and the positions of the maps right?

The folder and its licences: CAMLUCIDA_TEST_DATA, see CONTRIBUTING. All tests here are skipped without it.
"""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import camlucida as cl
from camlucida.errors import ImageError

pytestmark = [pytest.mark.real, pytest.mark.slow]

MOBILENET = """
import timm

def net():
    return timm.create_model("mobilenetv2_100", pad_type="same")
"""

RESNET20 = """
import torch.nn.functional as F
from torch import nn
from safetensors.torch import load_file
import camlucida as cl


class Block(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.more = outside - inside

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(y + x)


class ResNet20(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


def trained():
    network = ResNet20()
    network.load_state_dict(load_file(WEIGHTS))
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    return cl.wrap(network, size=32, labels=names)
"""


@pytest.fixture(scope="session")
def models(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each model, loaded on first use as a user would."""
    folder, weights = tmp_path_factory.mktemp("real"), real_data / "weights"

    @cache
    def model(name: str) -> cl.Model:
        if name == "resnet50":
            path = folder / "resnet50.safetensors"
            path.write_bytes(lzma.decompress((weights / "resnet50_imagenet.safetensors.xz").read_bytes()))
            return cl.load(path)
        if name == "mobilenetv2":
            pytest.importorskip("timm")
            (folder / "mobilenet.py").write_text(MOBILENET)
            file = weights / "mobilenetv2_100_same_imagenet.safetensors"
            return cl.load(file, arch=f"python:{folder}/mobilenet.py:net")
        if name == "resnet20":
            stored = str(weights / "cifar10_resnet20.safetensors")
            (folder / "resnet20.py").write_text(f"WEIGHTS = {stored!r}\n{RESNET20}")
            return cl.load(f"python:{folder}/resnet20.py:trained")
        return cl.load(weights / f"{name}_imagenet.safetensors")

    return model


@pytest.fixture(scope="session")
def manifest(real_data: Path) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = json.loads((real_data / "dev" / "manifest.json").read_text())["images"]
    return images


def argmax_position(e: cl.Explanation) -> tuple[int, int]:
    """x and y of the hottest pixel."""
    y, x = np.unravel_index(np.nanargmax(e.heatmap), e.heatmap.shape)
    return int(x), int(y)


def inside(position: tuple[int, int], boxes: Any, margin: float = 0) -> bool:
    x, y = position
    return any(l - margin <= x < r + margin and t - margin <= y < b + margin for l, t, r, b in boxes)


@pytest.mark.parametrize(
    ("name", "top1", "top5", "located"),
    [("resnet18", 61.3, 89.9, 0.9), ("resnet50", 69.7, 89.1, 0.9), ("squeezenet1_0", 56.3, 84.9, 0.85),
     ("mobilenetv2", 71.4, 94.1, 0.85)],
)  # fmt: skip
def test_photographs(
    name: str, top1: float, top5: float, located: float, models: Any, manifest: list[dict[str, Any]], real_data: Path
) -> None:
    """The accuracy is that in the README of the data; for correct predictions, the maximum lies on the object.

    top1, top5   percent of the 119 photographs; one photograph, 0.84, may come out otherwise by the last digits
    located      minimum fraction of correct predictions whose maximum lies in one of the boxes
    """
    photos = [photo for photo in manifest if photo["kind"] == "imagenet_val"]
    assert len(photos) == 119
    first = fifth = hits = 0
    for photo in photos:
        e = cl.explain(models(name), real_data / "dev" / photo["file"])
        ranked = [p.index in photo["accepted_indices"] for p in e.predictions]
        first, fifth = first + ranked[0], fifth + any(ranked)
        hits += ranked[0] and inside(argmax_position(e), photo["objects"][0]["boxes"])
    assert 100 * first / 119 == pytest.approx(top1, abs=0.9)
    assert 100 * fifth / 119 == pytest.approx(top5, abs=0.9)
    assert hits / first >= located, f"{hits} of {first}"


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_both_the_cat_and_the_dog(name: str, models: Any, manifest: list[dict[str, Any]], real_data: Path) -> None:
    """The image in the README of the Grad-CAM paper: the map of each class lies on its animal."""
    both = next(photo for photo in manifest if photo["file"].endswith("both.png"))
    boxes = {("dog" if "dog" in o["label"] else "cat"): o["boxes"] for o in both["objects"]}
    path = real_data / "dev" / both["file"]
    cat, dog, mastiff = cl.explain(models(name), path, target=["tiger cat", "boxer", "bull mastiff"], layer="layer4")
    assert (cat.index, dog.index, mastiff.index) == (282, 242, 243)
    assert inside(argmax_position(cat), boxes["cat"])
    assert inside(argmax_position(dog), boxes["dog"])
    assert inside(argmax_position(mastiff), boxes["dog"])


def test_third_party_network(models: Any, real_data: Path) -> None:
    """CIFAR's ResNet-20 from a Python file: 81 % accuracy on the small images."""
    paths = sorted((real_data / "dev" / "cifar10").glob("*.jpg"))
    right = 0
    for path, e in cl.explain_each(models("resnet20"), paths):
        assert isinstance(e, cl.Explanation)
        assert e.heatmap.shape == (32, 32)
        assert np.isfinite(e.heatmap).all()
        right += e.predictions[0].name == Path(str(path)).name.partition("_")[0]
    assert len(paths) == 120
    assert 0.73 <= right / len(paths) <= 0.90


def test_unusual_image_files(models: Any, manifest: list[dict[str, Any]], real_data: Path) -> None:
    """Each file has a finite map of the image's size, or an error that names the file; valid images have a map."""
    awkward = [file for file in manifest if file["kind"] == "awkward"]
    assert len(awkward) == 30
    refused = set()
    for file in awkward:
        path = real_data / "dev" / file["file"]
        ((_, e),) = cl.explain_each(models("squeezenet1_0"), [path])
        if isinstance(e, ImageError):
            assert path.name in str(e)
            refused.add(path.name)
            continue
        assert isinstance(e, cl.Explanation)
        assert e.heatmap.shape == e.image.size[::-1]
        left, top, right, bottom = (round(v) for v in e.geometry.visible_box)
        observed = e.heatmap[top + 1 : bottom - 1, left + 1 : right - 1]
        assert np.isfinite(observed).all(), path.name
        assert np.nan_to_num(e.heatmap).max(initial=0) <= 1
        assert np.isfinite(e.score)
    assert refused == {"truncated.jpg", "empty.jpg", "text.jpg", "html_404.png", "huge_20000x20000.png"}


def test_exif_rotation(models: Any, real_data: Path) -> None:
    plain = cl.explain(models("resnet18"), real_data / "dev" / "images" / "classic" / "chelsea.png", target="tabby")
    x, y = argmax_position(plain)
    for turn in (3, 6, 8):
        path = real_data / "dev" / "awkward" / f"exif_orientation{turn}.jpg"
        e = cl.explain(models("resnet18"), path, target="tabby")
        assert e.image.size == plain.image.size
        assert e.predictions[0].index == plain.predictions[0].index
        assert np.hypot(argmax_position(e)[0] - x, argmax_position(e)[1] - y) < 16
