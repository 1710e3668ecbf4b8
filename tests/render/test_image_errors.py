"""Files, arrays and paths that cannot be read as images raise `ImageError` with the reason."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from camlucida.data.images import load_image
from camlucida.errors import ImageError

RNG = np.random.default_rng(0)


def stored(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def error_message(source: object, **options: int) -> str:
    """Return the message of the error for a source that cannot be loaded."""
    with pytest.raises(ImageError) as caught:
        load_image(source, **options)  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
def test_truncated_file_is_named(kind: str, tmp_path: Path) -> None:
    noise = Image.fromarray(RNG.integers(0, 256, (64, 64, 3), np.uint8))
    content = stored(noise, kind)
    path = tmp_path / "half.jpg"
    path.write_bytes(content[: len(content) * 6 // 10])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, about TIFF
        assert "half.jpg" in error_message(path)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty (0 bytes)"),
        (b"This is not\nan image", "text that begins with 'This is not an image'"),
        (b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "PostScript"),
        (b"\x01\x02\x03\x04\xff\xfe", "begins with the bytes 01 02 03 04"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "not in an image format"),
    ],
)
def test_files_in_other_formats(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "strange.jpg"
    path.write_bytes(content)
    assert message in error_message(path)
    assert "strange.jpg" in error_message(path)
    assert message in error_message(content)
    assert message in error_message(io.BytesIO(content))


def bomb(side: int) -> bytes:
    """Return a PNG whose header claims `side` x `side` pixels, and that contains the data of one pixel."""
    content = bytearray(stored(Image.new("1", (1, 1))))
    content[16:24] = struct.pack(">II", side, side)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_decompression_bomb_is_rejected_before_decoding() -> None:
    limit = Image.MAX_IMAGE_PIXELS
    for side in (10_000, 20_000, 60_000):  # Pillow warns at the first and raises at the others
        assert f"{side} x {side}" in error_message(bomb(side))
        assert "max_pixels" in error_message(bomb(side))
    assert limit == Image.MAX_IMAGE_PIXELS


def test_max_pixels() -> None:
    pixels = np.zeros((24, 32, 3), np.uint8)
    content = stored(Image.fromarray(pixels))
    assert load_image(content, max_pixels=32 * 24).size == (32, 24)
    for source in (content, pixels, Image.fromarray(pixels)):
        assert "the limit" in error_message(source, max_pixels=32 * 24 - 1)


def test_warning_filters_are_unmodified_in_threads() -> None:
    before, messages = list(warnings.filters), []
    threads = [threading.Thread(target=lambda: messages.append(error_message(bomb(10_000)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages) == 8
    assert warnings.filters == before


def test_missing_file_suggests_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "holiday").mkdir()
    for name in ("golden_retriever.jpg", "IMG_0001.JPG"):
        (tmp_path / "holiday" / name).write_bytes(b"")
    assert "'golden_retriever.jpg'" in error_message(tmp_path / "holiday" / "golden_retreiver.jpg")
    assert "'IMG_0001.JPG'" in error_message(tmp_path / "holiday" / "img_0001.jpg")
    assert "Did you mean 'holiday'?" in error_message(tmp_path / "holidays" / "deep" / "a.jpg")
    assert "is a file, not a folder" in error_message(tmp_path / "holiday" / "IMG_0001.JPG" / "a.jpg")


def test_invalid_paths(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "is a folder" in error_message(tmp_path)
    assert "not a regular file" in error_message(tmp_path / "pipe.jpg")
    assert "is a URL" in error_message("https://example.org/cat.jpg")
    assert "empty string" in error_message("")
    assert "null byte" in error_message("a\0b.jpg")
    assert "too long" in error_message("x" * 5000)
    assert "~unknown_user" in error_message("~unknown_user/a.jpg")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.jpg"
    path.write_bytes(stored(Image.new("RGB", (8, 8))))

    def deny(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)  # chmod has no effect for root
    assert "no permission to read" in error_message(path)
    assert "secret.jpg" in error_message(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.float32([[0, np.nan]]), "1 of 2 values are NaN"),
        (np.float32([[0, np.inf]]), "NaN or infinite"),
        (np.float32([[0, 255]]), "Divide by 255?"),
        (np.float32([[-2, 2]]), "Undo the normalisation"),
        (np.zeros((3, 8, 9)), "channels come first"),
        (np.zeros((1, 8, 9, 3)), "images of the batch one at a time"),
        (np.zeros((8, 9, 2)), "is not an image"),
        (np.zeros(5), "is not an image"),
        (np.zeros((0, 4, 3)), "no pixels"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.zeros((2, 2), complex), "complex"),
    ],
)
def test_invalid_arrays(array: np.ndarray, message: str) -> None:
    assert message in error_message(array)


def test_other_types() -> None:
    assert "NoneType" in error_message(None)
    assert "binary mode" in error_message(io.StringIO("text"))
    assert "32-bit grey" in error_message(Image.fromarray(np.int32([[0, 70000]])))
