"""Is a file read as the picture that people see, and is everything else refused in words?"""

from __future__ import annotations

import io
import json
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageFile

from camlucida.data.image_paths import image_files
from camlucida.data.images import MAX_PIXELS, load_image
from camlucida.errors import ImageError

RNG = np.random.default_rng(0)
PICTURE = np.kron(RNG.integers(0, 256, (3, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
"""24 high, 32 wide, twelve plain squares: no symmetry, and JPEG keeps it nearly."""


def pixels(image: Image.Image) -> np.ndarray:
    assert image.mode == "RGB"
    return np.asarray(image)


def stored(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG by hand: Pillow cannot write 16-bit RGB, nor a picture that it would not read."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# --- sources ---


def test_every_source_gives_the_same_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = stored(Image.fromarray(PICTURE))
    path = tmp_path / "chat émouvant 猫 #1 (100 %).png"
    path.write_bytes(content)
    monkeypatch.setenv("HOME", str(tmp_path))
    consumed = io.BytesIO(content)
    consumed.read()
    with path.open("rb") as file:
        sources = [
            path, str(path), f"~/{path.name}", content, bytearray(content), consumed, file,
            Image.fromarray(PICTURE), Image.open(io.BytesIO(content)), PICTURE, PICTURE / 255,
            (PICTURE / 255).astype(np.float32), PICTURE.astype(np.uint16) * 257,
        ]  # fmt: skip
        for source in sources:
            assert_array_equal(pixels(load_image(source)), PICTURE)
        assert not file.closed


def test_a_stream_that_cannot_rewind() -> None:
    class Upload:
        def read(self) -> bytes:
            return stored(Image.fromarray(PICTURE))

    assert_array_equal(pixels(load_image(Upload())), PICTURE)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "WEBP"])
def test_lossless_formats_are_exact(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    assert_array_equal(pixels(load_image(stored(Image.fromarray(PICTURE), kind, **options))), PICTURE)


@pytest.mark.parametrize("options", [{}, {"progressive": True, "subsampling": 0}])
def test_jpeg_is_close(options: dict[str, object]) -> None:
    grey = np.repeat(PICTURE[:, :, :1], 3, axis=2)
    assert_allclose(pixels(load_image(stored(Image.fromarray(grey), "JPEG", quality=95, **options))), grey, atol=4)


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(stored(Image.fromarray(PICTURE)))
    assert_array_equal(pixels(load_image(path)), PICTURE)


def test_the_source_is_not_touched_and_not_shared() -> None:
    array, image = PICTURE.copy(), Image.fromarray(PICTURE)
    for source in (array, image):
        result = load_image(source)
        result.paste((1, 2, 3), (0, 0, 32, 24))
    assert_array_equal(array, PICTURE)
    assert_array_equal(np.asarray(image), PICTURE)


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
    content = stored(Image.fromarray(STORED_AS[orientation](PICTURE).copy()), kind, exif=exif)
    once = load_image(content)
    assert_array_equal(pixels(once), PICTURE)
    assert_array_equal(pixels(load_image(once)), PICTURE)  # not turned a second time
    assert_array_equal(pixels(load_image(Image.open(io.BytesIO(content)))), PICTURE)


@pytest.mark.parametrize("orientation", [0, 9, 777])
def test_invalid_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert_array_equal(pixels(load_image(stored(Image.fromarray(PICTURE), exif=exif))), PICTURE)


def test_broken_exif_does_not_spoil_the_picture() -> None:
    content = stored(Image.fromarray(PICTURE), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_array_equal(pixels(load_image(content)), PICTURE)


# --- depth, colour, transparency ---


def test_grey_is_three_equal_channels() -> None:
    grey = PICTURE[:, :, 0]
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
    rows = b"".join(b"\0" + (row.astype(">u2") * 257).tobytes() for row in PICTURE)
    assert_array_equal(pixels(load_image(png(32, 24, 16, 2, rows))), PICTURE)


def test_one_bit_is_black_and_white() -> None:
    mask = PICTURE[:, :, 0] > 127
    for source in (mask, stored(Image.fromarray(mask))):
        assert_array_equal(pixels(load_image(source))[:, :, 1], mask * 255)


def test_cmyk() -> None:
    cmyk = Image.fromarray(PICTURE).convert("CMYK")
    assert_array_equal(pixels(load_image(cmyk)), PICTURE)
    assert_allclose(pixels(load_image(stored(cmyk, "JPEG", quality=100))), PICTURE, atol=12)


def test_float_picture() -> None:
    assert_array_equal(pixels(load_image(Image.fromarray(np.float32([[0, 0.5, 1]]))))[0, :, 0], [0, 128, 255])


def test_transparency_lies_on_white() -> None:
    alpha = np.zeros((24, 32, 1), np.uint8)
    alpha[:, 16:] = 255
    alpha[0] = 51
    rgba = np.concatenate([PICTURE, alpha], axis=2)
    expected = PICTURE * (alpha / 255) + 255 * (1 - alpha / 255)
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
def test_the_first_frame(kind: str) -> None:
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("#ff0000", "#0000ff"))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = stored(red, kind, save_all=True, append_images=[blue], **options)
    assert_array_equal(pixels(load_image(content))[4, 4], (255, 0, 0))


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 1, 3), (24, 1200, 3), (1200, 24, 3)])
def test_awkward_sizes(shape: tuple[int, int, int]) -> None:
    array = RNG.integers(0, 256, shape, np.uint8)
    assert_array_equal(pixels(load_image(stored(Image.fromarray(array)))), array)


# --- refusals ---


def refusal(source: object, **options: int) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_half_a_file_is_an_error_with_its_name(kind: str, tmp_path: Path) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8))
    content = stored(noise, kind)
    path = tmp_path / "half.jpg"
    path.write_bytes(content[: len(content) * 6 // 10])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, about TIFF
        assert "half.jpg" in refusal(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty (0 bytes)"),
        (b"This is not\na picture", "text that begins 'This is not a picture'"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x01\x02\x03\x04\xff\xfe", "begins with the bytes 01 02 03 04"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "no picture"),
    ],
)
def test_not_a_picture(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "strange.jpg"
    path.write_bytes(content)
    assert words in refusal(path)
    assert "strange.jpg" in refusal(path)
    assert words in refusal(content)
    assert words in refusal(io.BytesIO(content))


def bomb(side: int) -> bytes:
    """A PNG that says how large it is and has no pixels: whoever decodes it fails in another way."""
    return png(side, side, 1, 0, b"")


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    for side in (10_000, 20_000, 60_000):  # Pillow warns at the first and raises at the others
        assert f"{side} x {side}" in refusal(bomb(side))
        assert "max_pixels" in refusal(bomb(side))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_our_own_limit() -> None:
    content = stored(Image.fromarray(PICTURE))
    assert load_image(content, max_pixels=32 * 24).size == (32, 24)
    for source in (content, PICTURE, Image.fromarray(PICTURE)):
        assert "the limit" in refusal(source, max_pixels=32 * 24 - 1)
    assert (Image.MAX_IMAGE_PIXELS or MAX_PIXELS) >= MAX_PIXELS


def test_bombs_in_threads_leave_the_warning_filters_alone() -> None:
    before, messages = list(warnings.filters), []
    threads = [threading.Thread(target=lambda: messages.append(refusal(bomb(10_000)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages) == 8
    assert warnings.filters == before


def test_a_missing_file_offers_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    for name in ("golden_retriever.jpg", "IMG_0001.JPG"):
        (tmp_path / "holiday" / name).write_bytes(b"")
    assert "'golden_retriever.jpg'" in refusal(tmp_path / "holiday" / "golden_retreiver.jpg")
    assert "'IMG_0001.JPG'" in refusal(tmp_path / "holiday" / "img_0001.jpg")
    assert "Did you mean 'holiday'?" in refusal(tmp_path / "holidays" / "deep" / "a.jpg")
    assert "is a file, not a folder" in refusal(tmp_path / "holiday" / "IMG_0001.JPG" / "a.jpg")


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "no plain file" in refusal(tmp_path / "pipe.jpg")
    assert "address" in refusal("https://example.org/cat.jpg")
    assert "empty text" in refusal("")
    assert "null byte" in refusal("a\0b.jpg")
    assert "too long" in refusal("x" * 5000)
    assert "~nobody_at_all" in refusal("~nobody_at_all/a.jpg")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(stored(Image.fromarray(PICTURE)))

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # chmod would not stop root, who runs most containers
    assert "no permission to read" in refusal(path)
    assert "secret.jpg" in refusal(path)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.float32([[0, np.nan]]), "1 of 2 values are NaN"),
        (np.float32([[0, np.inf]]), "NaN or infinite"),
        (np.float32([[0, 255]]), "Divide by 255?"),
        (np.float32([[-2, 2]]), "Undo the normalisation"),
        (np.zeros((3, 8, 9)), "channels come first"),
        (np.zeros((1, 8, 9, 3)), "one picture of the batch"),
        (np.zeros((8, 9, 2)), "no picture"),
        (np.zeros(5), "no picture"),
        (np.zeros((0, 4, 3)), "no pixels"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.zeros((2, 2), complex), "complex"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, words: str) -> None:
    assert words in refusal(array)


def test_other_things() -> None:
    assert "NoneType" in refusal(None)
    assert "binary mode" in refusal(io.StringIO("text"))
    assert "32-bit grey" in refusal(Image.fromarray(np.int32([[0, 70000]])))


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


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no pictures in"):
        image_files(tmp_path)


# --- real files ---

REFUSED = {"truncated.jpg", "empty.jpg", "text.jpg", "html_404.png", "huge_20000x20000.png"}
UNLIKE = {"bilevel.png": 0.2, "gray_alpha.png": 0.3, "rgba.png": 0.3, "strip_1200x24.png": -1.0}
"""Files that are not quite their source any more: the correlation that is left."""


@pytest.mark.real
def test_real_awkward_files(real_data: Path) -> None:
    folder = real_data / "dev"
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no manifest.json in {folder}")
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["images"]
    awkward = {Path(e["file"]).name: e for e in entries if e["kind"] == "awkward"}
    assert set(awkward) >= REFUSED | set(UNLIKE)
    for name, entry in awkward.items():
        if name in REFUSED:
            assert name in refusal(folder / entry["file"])
            continue
        image = load_image(folder / entry["file"])
        assert image.mode == "RGB"
        assert image.size == (entry.get("width", image.width), entry.get("height", image.height))
        if entry.get("derived_from"):
            assert likeness(image, folder / entry["derived_from"]) > UNLIKE.get(name, 0.98), name


def likeness(image: Image.Image, source: Path) -> float:
    """Correlation with the greys of the picture it was made from: 1 for the same, about 0 if turned."""
    grey = np.asarray(image.convert("L"), np.float64)
    with Image.open(source) as original:
        wanted = np.asarray(original.convert("L").resize(image.size), np.float64)
    return float(np.corrcoef(grey.ravel(), wanted.ravel())[0, 1])
