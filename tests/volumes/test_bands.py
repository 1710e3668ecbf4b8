"""Images of 4, 8 and 12 bands: from files, explained, and displayed in the bands that are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.bands import load_bands
from camlucida.errors import ImageError, ModelError
from camlucida.maps import stretched_bands


def bands(n: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(n).integers(0, 255, size=(12, 16, n)).astype(dtype)


def network(n: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(n, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)).eval()


def model(n: int, **settings: Any) -> cl.Model:
    return cl.wrap(network(n), size=(12, 16), fit="squash", mean=[0.0] * n, std=[1.0] * n, layer="1", **settings)


def write_pages(path: Path, array: NDArray[Any]) -> Path:
    pages = [Image.fromarray(np.ascontiguousarray(array[:, :, i])) for i in range(array.shape[2])]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


@pytest.mark.parametrize("n", [2, 4, 8, 12])
@pytest.mark.parametrize("kind", ["array", "npy", "channels first", "tiff"])
def test_bands_have_the_map_of_their_tensor(n: int, kind: str, tmp_path: Path) -> None:
    array = bands(n)
    source: Any = array
    if kind == "tiff":
        source = write_pages(tmp_path / "bands.tif", array)
    elif kind != "array":
        source = tmp_path / "bands.npy"
        np.save(source, array if kind == "npy" else array.transpose(2, 0, 1))
    e = cl.explain(model(n), source, target=1)
    inputs = torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None] / 65535
    assert_close(e.raw, cl.attribute(network(n), inputs, target=1, layer="1", signed=True)[0], rtol=1e-4, atol=1e-7)


def test_four_bands_of_a_png(tmp_path: Path) -> None:
    array = bands(4, "uint8")
    Image.fromarray(array, "RGBA").save(tmp_path / "bands.png")
    assert np.allclose(load_bands(tmp_path / "bands.png", 4), array / 255)


def by_hand(array: NDArray[Any], band: int) -> NDArray[Any]:
    values = np.sort(array[:, :, band - 1].astype(float).ravel())
    low, high = values[round(0.02 * (len(values) - 1))], values[round(0.98 * (len(values) - 1))]
    return np.clip((array[:, :, band - 1] - low) / (high - low), 0, 1)


def test_display_bands_change_the_picture_only() -> None:
    array = bands(8)
    plain, chosen = (cl.explain(model(8, display_bands=b), array, target=1) for b in (None, (7, 3, 1)))
    assert_close(plain.raw, chosen.raw)
    assert np.array_equal(np.asarray(plain.image), np.rint(array[:, :, :3] / 65535 * 255))
    expected = np.stack([by_hand(array, band) for band in (7, 3, 1)], axis=2)
    assert np.abs(np.asarray(chosen.image) / 255 - expected).max() < 0.6 / 255


def test_a_constant_band_is_black() -> None:
    image = torch.stack([torch.full((3, 4), 0.7), torch.linspace(0, 1, 12).view(3, 4)])
    result: Tensor = stretched_bands(image, (1, 2, 2))
    assert not result[0].any()
    assert float(result[1].max()) == 1


@pytest.mark.parametrize("wrong", [(1, 2), (0, 1, 2), (1, 2, 9), "321", (1, 2, 2.5), 3])
def test_wrong_display_bands(wrong: Any) -> None:
    with pytest.raises(ModelError, match="display_bands must be three bands from 1 to 8"):
        model(8, display_bands=wrong)


def test_sentences_about_files(tmp_path: Path) -> None:
    np.save(tmp_path / "bands.npy", bands(5))
    with pytest.raises(ImageError, match=r"has the shape \(12, 16, 5\), and the network input has 8 bands"):
        cl.explain(model(8), tmp_path / "bands.npy")
    with pytest.raises(ImageError, match="it has 4 pages, and the network input has 8 bands"):
        cl.explain(model(8), write_pages(tmp_path / "pages.tif", bands(4)))
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(ImageError, match=r"is no array|no array of numbers"):
        cl.explain(model(8), tmp_path / "text.npy")
    with pytest.raises(ImageError, match="8 bands of 16 x 12 pixels would take"):
        load_bands(write_pages(tmp_path / "pages.tif", bands(8)), 8, max_bytes=100)
