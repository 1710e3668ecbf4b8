"""Detection, by content, of files that are not state dicts, so that the error can say what to do instead."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from camlucida.models.quoting import printable

TORCHSCRIPT = "a TorchScript archive (torch.jit.save)"
START_BYTES = 4096
"""Number of bytes at the start of a file that are examined."""
MAX_HEADER_BYTES = 100_000_000
"""Largest header that safetensors accepts."""
MAX_PICKLE_BYTES = 16_000_000
"""Largest part of a pickle that is searched for class names."""

FOREIGN_SUFFIXES = (".onnx", ".keras", ".h5", ".hdf5", ".tflite", ".pb", ".pt2", ".ptl", ".torchscript")
"""Suffixes of files with a network that cannot be loaded; a missing file with one of them is called missing."""

ADVICE_SAVE = "In the program that wrote it: torch.save(network.state_dict(), 'weights.pth')."
ADVICE_TORCHSCRIPT = "Without that program: torch.save(torch.jit.load(file).state_dict(), 'weights.pth')."
ADVICE_NO_ARCH = "Without arch= (--arch), it is explained as it is, with methods that need no layers."
ADVICE_FETCH = "Download it again"
ADVICE_UNPACK = "Unpack it and pass the checkpoint in it."
ADVICE_CONVERT = "Convert it to PyTorch first, and save the state_dict."

SIGNATURES: Sequence[tuple[int, bytes, str, str]] = (
    (0, b"version https://git-lfs", "a Git LFS pointer", f"{ADVICE_FETCH}: git lfs pull."),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes (.h5)", ADVICE_CONVERT),
    (4, b"TFL3", "a TensorFlow Lite model", ADVICE_CONVERT),
    (0, b"GGUF", "a GGUF file (llama.cpp)", ADVICE_CONVERT),
    (0, b"\x93NUMPY", "a NumPy array (.npy)", ADVICE_SAVE),
    (0, b"\x1f\x8b", "compressed with gzip", ADVICE_UNPACK),
    (0, b"\xfd7zXZ\0", "compressed with xz", ADVICE_UNPACK),
    (0, b"BZh", "compressed with bzip2", ADVICE_UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", ADVICE_UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", ADVICE_UNPACK),
    (0, b"Rar!", "a RAR archive", ADVICE_UNPACK),
    (257, b"ustar", "a tar archive", ADVICE_UNPACK),
    (0, b"%PDF", "a PDF document", "Pass the file with the weights."),
    (0, b"\x89PNG", "an image (PNG)", "Pass the file with the weights."),
    (0, b"\xff\xd8\xff", "an image (JPEG)", "Pass the file with the weights."),
)
"""(offset, bytes, description, advice) of each format."""

ONNX_FIELDS = frozenset({0x12, 0x1A, 0x22, 0x2A, 0x32, 0x3A, 0x42})
"""Tags of the protobuf fields that may follow the version at the start of an ONNX model."""


def read_start(path: Path) -> bytes:
    """Return the first bytes of a file. Raises `OSError`."""
    with path.open("rb") as stream:
        return stream.read(START_BYTES)


def is_safetensors(path: Path) -> bool:
    """Return whether a file has a safetensors header, regardless of its name. Raises `OSError`."""
    start = read_start(path)
    length = int.from_bytes(start[:8], "little")
    return len(start) > 9 and start[8:9] == b"{" and 2 <= length <= MAX_HEADER_BYTES


def foreign_format(path: Path) -> tuple[str, str] | None:
    """Return a description and advice for a file in a format that contains no state dict; otherwise None.

    Args:
        path: A file. Nothing in it is executed, unpickled or unpacked.

    Returns:
        A noun phrase and a sentence.

    Raises:
        OSError: If the file cannot be read.
    """
    start = read_start(path)
    for offset, magic, description, advice in SIGNATURES:
        if start[offset:].startswith(magic):
            return description, advice
    if start.startswith(b"PK"):
        return _archive_format(path)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:9].lower() == b"<!doctype" or text[:5].lower() == b"<html":
        return "a web page (HTML), perhaps an error message", f"{ADVICE_FETCH}, from the URL of the file itself."
    if text.startswith(b"{") and b'"weight_map"' in text:
        return (
            "the index of a checkpoint in several files (shards)",
            "Join them: load each, merge them into one dictionary, and save that.",
        )
    if start[:1] == b"\x08" and len(start) > 2 and start[1] < 0x20 and start[2] in ONNX_FIELDS:
        return "an ONNX model", f"Pass the checkpoint that it was exported from. {ADVICE_NO_ARCH}"
    if path.suffix == ".onnx":
        return "an ONNX model", f"Pass the checkpoint that it was exported from. {ADVICE_NO_ARCH}"
    if path.suffix == ".pb":
        return "a TensorFlow graph (.pb)", ADVICE_CONVERT
    return None


def is_torchscript(path: Path) -> bool:
    """Return whether a file is an archive of `torch.jit.save`, regardless of its name. Nothing in it is executed."""
    try:
        with path.open("rb") as stream:
            if stream.read(2) != b"PK":
                return False
        kind = _archive_format(path)
    except OSError:
        return False
    return kind is not None and kind[0] == TORCHSCRIPT


def _archive_format(path: Path) -> tuple[str, str] | None:
    """Describe a zip archive; None for files written by `torch.save` and for truncated files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    basenames = {name.rpartition("/")[2] for name in names}
    if "archive_format" in basenames or "serialized_exported_program.json" in basenames:
        return "an exported program (torch.export, .pt2)", ADVICE_SAVE
    if "constants.pkl" in basenames or "bytecode.pkl" in basenames or any("/code/" in f"/{name}" for name in names):
        return TORCHSCRIPT, f"{ADVICE_SAVE} {ADVICE_TORCHSCRIPT} {ADVICE_NO_ARCH}"
    if "data.pkl" in basenames:
        return None
    if "model.weights.h5" in basenames or {"metadata.json", "config.json"} <= basenames:
        return "a Keras model (.keras)", ADVICE_CONVERT
    if names and all(name.endswith(".npy") for name in names):
        return (
            "NumPy arrays (.npz)",
            "Convert them to tensors and save the dictionary: torch.save(state, 'weights.pth').",
        )
    return "a zip archive", ADVICE_UNPACK


def weightless_content(content: Any) -> tuple[str, str] | None:
    """Describe a dictionary that contains no weights of a network; None if it may contain some."""
    if not isinstance(content, Mapping):
        return None
    if "param_groups" in content and "state" in content:
        return "only the state of an optimizer", ADVICE_SAVE
    if "shadow_params" in content:
        return "averaged weights without their names (torch_ema)", "Copy them to the network and save its state_dict."
    return None


def is_lora(names: Mapping[str, Any]) -> bool:
    """Return whether weights are low-rank adapters (LoRA), which need the network that they adapt."""
    marks = ("lora_A", "lora_B", "lora_up", "lora_down", "lora_embedding")
    return bool(names) and sum(any(mark in name for mark in marks) for name in names) * 2 >= len(names)


def pickled_classes(path: Path) -> list[str]:
    """Return the full names of the classes and functions that a pickle imports, in order. Nothing is executed."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = next((i for i in archive.infolist() if i.filename.rpartition("/")[2] == "data.pkl"), None)
                if inside is None or inside.file_size > MAX_PICKLE_BYTES:
                    return []
                content = archive.read(inside)
        else:
            with path.open("rb") as stream:
                content = stream.read(MAX_PICKLE_BYTES)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return []
    return list(dict.fromkeys(_pickled_globals(content)))


def _pickled_globals(content: bytes) -> Iterator[str]:
    """Yield the names in GLOBAL and STACK_GLOBAL opcodes, across the consecutive pickles of torch's older format."""
    position = 0
    for _ in range(5):
        words: list[str] = []
        end = None
        try:
            for opcode, argument, opcode_position in pickletools.genops(content[position:]):
                if opcode.name == "GLOBAL":
                    yield str(argument).replace(" ", ".")
                elif opcode.name == "STACK_GLOBAL" and len(words) > 1:
                    yield ".".join(words[-2:])
                elif isinstance(argument, str):
                    words.append(argument)
                if opcode.name == "STOP" and opcode_position is not None:
                    end = opcode_position + 1
        except Exception:  # invalid content; the names so far suffice for a message
            return
        if end is None or position + end >= len(content):
            return
        position += end


def pickled_network(path: Path) -> str:
    """Return the class of a network that is pickled as a whole; empty if there is none."""
    names = [name for name in pickled_classes(path) if not name.startswith(("collections.", "torch._utils."))]
    if not any(name.startswith(("torch.nn.modules.", "torch.nn.parallel.")) for name in names):
        return ""
    own = [name for name in names if not name.startswith(("torch.", "builtins.", "numpy.", "__builtin__."))]
    return printable((own or names)[0])


def has_index(folder: Path) -> bool:
    """Return whether a folder contains the index of a sharded checkpoint."""
    for name in ("model.safetensors.index.json", "pytorch_model.bin.index.json"):
        try:
            if "weight_map" in json.loads((folder / name).read_text(encoding="utf-8")):
                return True
        except (OSError, ValueError, RecursionError, TypeError):
            continue
    return False
