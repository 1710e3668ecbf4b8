"""Large images are converted block by block, and images that would exceed the memory limit are rejected."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from camlucida.data import convert
from camlucida.data.images import load_image
from camlucida.errors import ImageError

GENERATOR = np.random.default_rng(0)
RGB = GENERATOR.integers(0, 256, (23, 41, 3), dtype=np.uint8)
IMAGES = {
    "RGB": Image.fromarray(RGB),
    "RGBA": Image.fromarray(GENERATOR.integers(0, 256, (23, 41, 4), dtype=np.uint8)),
    "grey of 16 bits": Image.fromarray(GENERATOR.integers(0, 65536, (23, 41), dtype=np.uint16)),
    "grey of 32 bits": Image.fromarray(GENERATOR.integers(0, 65536, (23, 41), dtype=np.int32)),
    "float": Image.fromarray(GENERATOR.random((23, 41), dtype=np.float32)),
    "palette": Image.fromarray(RGB).quantize(16),
    "palette, transparent": Image.fromarray(GENERATOR.integers(0, 256, (23, 41, 4), dtype=np.uint8)).quantize(16),
}


def stored(image: Image.Image, orientation: int) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(buffer, "TIFF" if image.mode in "IF" else "PNG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", IMAGES)
def test_conversion_block_by_block(mode: str, orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = stored(IMAGES[mode], orientation)
    whole = np.asarray(load_image(content))
    for side in (3, 10):  # blocks smaller than a row, and of two rows
        monkeypatch.setattr(convert, "BLOCK_PX", side)
        assert_array_equal(np.asarray(load_image(content)), whole)


@pytest.mark.parametrize("scale", [np.float32(1), np.float64(1), np.float16(1)])
def test_arrays_are_converted_block_by_block(scale: np.floating, monkeypatch: pytest.MonkeyPatch) -> None:
    array = (GENERATOR.random((23, 41, 3)) * scale).astype(scale.dtype)
    monkeypatch.setattr(convert, "BLOCK_PX", 5)
    assert_array_equal(np.asarray(load_image(array)), np.rint(array.astype(np.float64) * 255))


@pytest.mark.parametrize("invalid", [np.nan, np.inf, -0.5, 2])
def test_invalid_value_in_the_last_block(invalid: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "BLOCK_PX", 5)
    values = np.full((23, 41), 0.5, np.float32)
    values[22, 40] = invalid
    for source in (values, stored(Image.fromarray(values), 1)):
        with pytest.raises(ImageError, match=r"1( of 943)? values are NaN|float values from"):
            load_image(source)


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_conversion_allocates_no_float64_copy(dtype: str) -> None:
    array = np.zeros((4096, 4096), dtype)
    tracemalloc.start()
    try:
        load_image(array)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * array.size  # two copies of one byte per pixel, and one block in float64


def test_max_bytes_limits_the_decoded_size() -> None:
    rows = stored(Image.new("L", (1, 100_000)), 1)
    with pytest.raises(ImageError, match=r"1 x 100000 and would take 2 MB to decode; the limit is 1 \(max_bytes\)"):
        load_image(rows, max_bytes=1_000_000)
    assert load_image(rows, max_bytes=3_000_000).size == (1, 100_000)
    with pytest.raises(ImageError, match="would take 8 MB"):
        load_image(Image.new("F", (1000, 1000)), max_bytes=1_000_000)
