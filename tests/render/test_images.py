"""Image files, arrays and streams are read as RGB images, as viewers display them."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from camlucida.data.image_paths import image_files
from camlucida.data.images import MAX_PIXELS, load_image
from camlucida.errors import ImageError

RNG = np.random.default_rng(0)
PIXELS = np.kron(RNG.integers(0, 256, (3, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
"""24 x 32 pixels, twelve squares of constant colour: without symmetry, and JPEG changes it little."""


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return the bytes of a PNG file, since Pillow cannot write 16-bit RGB."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# --- sources ---


def test_all_sources_give_the_same_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = stored(Image.fromarray(PIXELS))
    path = tmp_path / "chat émouvant 猫 #1 (100 %).png"
    path.write_bytes(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    consumed = io.BytesIO(content)
    consumed.read()
    with path.open("rb") as file:
        sources = [
            path, str(path), f"~/{path.name}", content, bytearray(content), consumed, file,
            Image.fromarray(PIXELS), Image.open(io.BytesIO(content)), PIXELS, PIXELS / 255,
            (PIXELS / 255).astype(np.float32), PIXELS.astype(np.uint16) * 257,
        ]  # fmt: skip
        for source in sources:
            assert_array_equal(pixels(load_image(source)), PIXELS)
        assert not file.closed


def test_stream_that_cannot_seek() -> None:
    class Upload:
        def read(self) -> bytes:
            return stored(Image.fromarray(PIXELS))

    assert_array_equal(pixels(load_image(Upload())), PIXELS)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "WEBP"])
def test_lossless_formats_are_exact(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_array_equal(pixels(load_image(stored(Image.fromarray(PIXELS), kind, **options))), PIXELS)


@pytest.mark.parametrize("options", [{}, {"progressive": True, "subsampling": 0}])
def test_jpeg_is_close(options: dict[str, object]) -> None:
    grey = np.repeat(PIXELS[:, :, :1], 3, axis=2)
    assert_allclose(pixels(load_image(stored(Image.fromarray(grey), "JPEG", quality=95, **options))), grey, atol=4)


def test_format_is_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(stored(Image.fromarray(PIXELS)))
    assert_array_equal(pixels(load_image(path)), PIXELS)


def test_source_is_unmodified_and_not_shared() -> None:
    array, image = PIXELS.copy(), Image.fromarray(PIXELS)
    for source in (array, image):
        result = load_image(source)
        result.paste((1, 2, 3), (0, 0, 32, 24))
    assert_array_equal(array, PIXELS)
    assert_array_equal(np.asarray(image), PIXELS)


# --- orientation ---

STORED_AS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", STORED_AS)
def test_exif_orientation(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = stored(Image.fromarray(STORED_AS[orientation](PIXELS).copy()), kind, exif=exif)
    once = load_image(content)
    assert_array_equal(pixels(once), PIXELS)
    assert_array_equal(pixels(load_image(once)), PIXELS)  # not rotated a second time
    assert_array_equal(pixels(load_image(Image.open(io.BytesIO(content)))), PIXELS)


@pytest.mark.parametrize("orientation", [0, 9, 777])
def test_invalid_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_array_equal(pixels(load_image(stored(Image.fromarray(PIXELS), exif=exif))), PIXELS)


def test_broken_exif_is_ignored() -> None:
    content = stored(Image.fromarray(PIXELS), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_array_equal(pixels(load_image(content)), PIXELS)


# --- depth, colour, transparency ---


def test_grey_is_three_equal_channels() -> None:
    grey = PIXELS[:, :, 0]
    expected = np.repeat(grey[:, :, None], 3, axis=2)
    for source in (grey, grey[:, :, None], stored(Image.fromarray(grey)), Image.fromarray(grey).convert("I")):
        assert_array_equal(pixels(load_image(source)), expected)


def test_sixteen_bit_grey_is_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 32 * 24).round().astype(np.uint16).reshape(24, 32)
    expected = np.rint(ramp / 257).astype(np.uint8)
    wide = Image.fromarray(ramp.astype(np.int32))
    big_endian = Image.frombytes("I;16B", (32, 24), ramp.astype(">u2").tobytes())
    for source in (
        stored(Image.fromarray(ramp)),
        stored(Image.fromarray(ramp), "TIFF"),
        ramp,
        wide,
        big_endian,
    ):
        assert_array_equal(pixels(load_image(source))[:, :, 0], expected)


def test_sixteen_bit_rgb() -> None:
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in PIXELS)
    assert_array_equal(pixels(load_image(png(32, 24, 16, 2, rows))), PIXELS)


def test_one_bit_is_black_and_white() -> None:
    mask = PIXELS[:, :, 0] > 127
    for source in (mask, stored(Image.fromarray(mask))):
        assert_array_equal(pixels(load_image(source))[:, :, 1], mask * 255)


def test_cmyk() -> None:
    cmyk = Image.fromarray(PIXELS).convert("CMYK")
    assert_array_equal(pixels(load_image(cmyk)), PIXELS)
    assert_allclose(pixels(load_image(stored(cmyk, "JPEG", quality=100))), PIXELS, atol=12)


def test_float_image() -> None:
    assert_array_equal(pixels(load_image(Image.fromarray(np.float32([[0, 0.5, 1]]))))[0, :, 0], [0, 128, 255])


def test_transparency_is_composed_on_white() -> None:
    alpha = np.zeros((24, 32, 1), np.uint8)
    alpha[:, 16:] = 255
    alpha[0] = 51
    rgba = np.concatenate([PIXELS, alpha], axis=2)
    expected = PIXELS * (alpha / 255) + 255 * (1 - alpha / 255)
    for source in (rgba, rgba / 255, stored(Image.fromarray(rgba)), Image.fromarray(rgba)):
        assert_allclose(pixels(load_image(source)), expected, atol=1)
    grey_alpha = stored(Image.fromarray(rgba).convert("LA"))
    assert (pixels(load_image(grey_alpha))[1:, :16] == 255).all()


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_palette_with_a_transparent_colour(transparency: int | bytes) -> None:
    image = Image.fromarray(np.uint8([[0, 1]]), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 0, 200])
    content = stored(image, transparency=transparency)
    assert_array_equal(pixels(load_image(content))[0], [(255, 255, 255), (0, 0, 200)])
    assert_array_equal(pixels(load_image(stored(image)))[0], [(255, 0, 0), (0, 0, 200)])


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("#ff0000", "#0000ff"))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = stored(red, kind, save_all=True, append_images=[blue], **options)
    assert_array_equal(pixels(load_image(content))[4, 4], (255, 0, 0))


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 1, 3), (24, 1200, 3), (1200, 24, 3)])
def test_extreme_sizes(shape: tuple[int, int, int]) -> None:
    array = RNG.integers(0, 256, shape, np.uint8)
    assert_array_equal(pixels(load_image(stored(Image.fromarray(array)))), array)


def test_default_limit_is_at_most_that_of_pillow() -> None:
    assert (Image.MAX_IMAGE_PIXELS or MAX_PIXELS) >= MAX_PIXELS


# --- folders ---


def test_image_files(tmp_path: Path) -> None:
    for name in ("b.JPG", "a/z.png", "a/note.txt", ".hidden/x.png", "a/._b.jpg", "c.jpeg", "a.b/y.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    names = [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)]
    assert names == ["a/z.png", "a.b/y.webp", "b.JPG", "c.jpeg"]
    assert image_files(str(tmp_path / "a" / "note.txt")) == [tmp_path / "a" / "note.txt"]
    with pytest.raises(ImageError, match=r"Did you mean 'a\.b'"):
        image_files(tmp_path / "a.bc")


def test_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no images in"):
        image_files(tmp_path)


# --- real files ---

UNREADABLE = {"truncated.jpg", "empty.jpg", "text.jpg", "html_404.png", "huge_20000x20000.png"}
MIN_CORRELATION = {"bilevel.png": 0.2, "gray_alpha.png": 0.3, "rgba.png": 0.3, "strip_1200x24.png": -1.0}
"""Files that differ from their source: the minimum correlation with it."""


@pytest.mark.real
def test_real_files(real_data: Path) -> None:
    folder = real_data / "dev"
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no manifest.json in {folder}")
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["images"]
    unusual = {Path(e["file"]).name: e for e in entries if e["kind"] == "awkward"}
    assert set(unusual) >= UNREADABLE | set(MIN_CORRELATION)
    for name, entry in unusual.items():
        if name in UNREADABLE:
            with pytest.raises(ImageError, match=re.escape(name)):
                load_image(folder / entry["file"])
            continue
        image = load_image(folder / entry["file"])
        assert image.mode == "RGB"
        assert image.size == (entry.get("width", image.width), entry.get("height", image.height))
        if entry.get("derived_from"):
            assert grey_correlation(image, folder / entry["derived_from"]) > MIN_CORRELATION.get(name, 0.98), name


def grey_correlation(image: Image.Image, source: Path) -> float:
    """Return the correlation with the grey values of the source image: 1 for equal images, about 0 for rotated ones."""
    grey = np.asarray(image.convert("L"), np.float64)
    with Image.open(source) as original:
        expected = np.asarray(original.convert("L").resize(image.size), np.float64)
    return float(np.corrcoef(grey.ravel(), expected.ravel())[0, 1])
