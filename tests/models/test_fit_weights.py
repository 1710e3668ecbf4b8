"""Weights of a vision transformer of timm that was built for another input size than its architecture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import camlucida as cl
from camlucida.errors import ModelError

timm: Any = pytest.importorskip("timm")
ARCH = "test_vit"
"""The smallest ViT of timm: patches of 16 pixels of an input of 160 × 160."""


def saved(path: Path, size: int | tuple[int, int], n_classes: int = 1000) -> Any:
    torch.manual_seed(0)
    network = timm.create_model(ARCH, pretrained=False, img_size=size, num_classes=n_classes).eval()
    torch.save(network.state_dict(), path)
    return network


@pytest.mark.parametrize("n_classes", [1000, 7])
def test_the_size_that_fits_is_named(n_classes: int, tmp_path: Path) -> None:
    network = saved(tmp_path / "vit.pth", 96, n_classes)
    for wrong in ({}, {"size": 128}):
        with pytest.raises(ModelError, match=r"pos_embed is \(1, 37, 64\).* pass --size 96, or size=96\.$") as caught:
            cl.load(tmp_path / "vit.pth", arch=f"timm:{ARCH}", **wrong)
    size = int(re.findall(r"size=(\d+)", str(caught.value))[0])
    model = cl.load(tmp_path / "vit.pth", arch=f"timm:{ARCH}", size=size)
    assert model.preprocessing.size == (96, 96)
    inputs = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.equal(model.network(inputs), network(inputs))


def test_positions_that_are_no_square_need_the_size(tmp_path: Path) -> None:
    """64 × 96 pixels are 24 positions, and so are 96 × 64: the shapes do not tell."""
    network = saved(tmp_path / "vit.pth", (64, 96))
    with pytest.raises(ModelError, match=r"Its 24 positions are no square: .*--size HEIGHTxWIDTH"):
        cl.load(tmp_path / "vit.pth", arch=f"timm:{ARCH}")
    model = cl.load(tmp_path / "vit.pth", arch=f"timm:{ARCH}", size=(64, 96))
    inputs = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert torch.equal(model.network(inputs), network(inputs))


def test_a_size_that_the_network_refuses_is_a_sentence(tmp_path: Path) -> None:
    saved(tmp_path / "vit.pth", 96)
    with pytest.raises(ModelError, match=r"VisionTransformer does not accept an input of 8 × 8 pixels: "):
        cl.load(tmp_path / "vit.pth", arch=f"timm:{ARCH}", size=8)  # no patch of 16 pixels


def test_weights_that_fit_keep_their_positions(tmp_path: Path) -> None:
    """Those of a file are never interpolated to another size."""
    network = saved(tmp_path / "vit.pth", 160)
    model = cl.load(tmp_path / "vit.pth", arch=f"timm:{ARCH}", size=96)
    assert torch.equal(model.network.pos_embed, network.pos_embed)  # type: ignore[arg-type]
