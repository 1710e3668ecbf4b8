"""Loading of checkpoint files (safetensors, or PyTorch with `weights_only`) without executing code from the file."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from camlucida.errors import CheckpointWarning, ModelError
from camlucida.models.detection.candidates import Detector
from camlucida.models.detection.resize_classes import resize_classes
from camlucida.models.detection.torchvision import adapter_of, wrap_detector
from camlucida.models.file_formats import (
    foreign_format,
    is_lora,
    is_safetensors,
    pickled_network,
    read_start,
    weightless_content,
)
from camlucida.models.fit_weights import load_weights, resize_heads, resize_positions, without_auxiliary
from camlucida.models.labels import imagenet_names, parse_json_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import check_recorded_size, make_preprocessing
from camlucida.models.quoting import printable
from camlucida.models.state_dicts import candidates, select_weights
from camlucida.models.unpickling import load_weights_only

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".ckpt", ".bin", ".tar")
"""Suffixes that are recognised as checkpoint files in error messages."""
MAX_CLAIMED_BYTES = 64 * 2**20
"""Largest size by which a tensor may exceed its stored data, since torch can expand one number to millions."""
ARCH_HINT = "Name its architecture: --arch resnet18, or arch=… in Python."


def looks_like_file(spec: str) -> bool:
    """Return whether a specification is the path of an existing file."""
    try:
        return Path(spec).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # name too long, unknown user after "~", null byte
        return False


def load(path: Path, built: Model | None, architecture: Callable[[Any, str, str], Model], size: Any = None) -> Model:
    """Load the weights of a file into the given architecture or into the one that the file names.

    Args:
        path: The checkpoint file.
        built: The model whose architecture is used; None to use the architecture that the file names.
        architecture: Builds the architecture of a name found in the file, given that name, the name of the file and a
            hint for the user; raises for names that a file may not use. See `camlucida.models.recorded`.
        size: The size of the network input that the user gave, as of `make_preprocessing`; None if none was given.

    Returns:
        The model in eval mode, with the class names and preprocessing parameters stored in the file.

    Raises:
        ModelError: If the file cannot be read, does not fit the architecture, or names none.
    """
    notes, content = read_metadata(path), _read_content(path)
    if built is None:
        architecture_name = notes.get("architecture", "")
        if not architecture_name:
            raise ModelError(f"{path.name} contains only weights. {ARCH_HINT}")
        built = architecture(architecture_name, path.name, ARCH_HINT)
    network = _saved_network(built.network, content)
    state, remark = select_weights(content, network.state_dict(), path.name)
    if not state:
        raise ModelError(_holds_no_weights(content, path))
    if is_lora(state):
        raise ModelError(
            f"{path.name} contains low-rank adapters (LoRA), which modify another network. Merge them into it "
            "(peft: merge_and_unload()) and save its state_dict."
        )
    state = without_auxiliary(network, state)
    if size is not None:
        resize_positions(network, state, make_preprocessing(built.preprocessing, size=size).size)
    is_detector = adapter_of(network) is not None
    classes = resize_classes(network, state) if is_detector else resize_heads(network, state)
    load_weights(network, state, source=path.name)
    if remark:
        warnings.warn(remark, CheckpointWarning, stacklevel=2)
    if classes is not None and is_detector:
        built = wrap_detector(network, preprocess=built.preprocessing, name=built.spec)
    elif classes is not None and classes != len(built.labels):
        built = replace(built, labels=())
    return _apply_metadata(replace(built, network=built.network.eval()), notes, path.name)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file by name.

    Raises `ModelError` for files that are damaged, in another format or would execute code.
    """
    content = _read_content(path)
    found_candidates = candidates(content)
    if not found_candidates:
        raise ModelError(_holds_no_weights(content, path))
    return max(found_candidates, key=lambda candidate: len(candidate.state)).state


def _read_content(path: Path) -> Any:
    """Return the content of a file without executing code from it."""
    try:
        kind = foreign_format(path)
        if kind is None:
            content = _read_safetensors(path) if is_safetensors(path) else load_weights_only(path)
    except Exception as error:  # damaged or hostile files raise any type, such as struct.error
        if reason := _refusal_reason(error, path):
            raise ModelError(
                f"{path.name} {reason}, so it was not opened. "
                "Save only the weights: torch.save(network.state_dict(), …), or as safetensors."
            ) from None
        raise ModelError(
            f"{path} is not a readable checkpoint{_describe_damage(path)}. Download or copy it again."
        ) from None
    if kind is not None:
        raise ModelError(f"{path} is not a readable checkpoint: it is {kind[0]}. {kind[1]}")
    for candidate in candidates(content):
        for key, value in candidate.state.items():
            _check_size(key, value, path)
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt") as stored:
        return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)


def _check_size(key: str, value: Tensor, path: Path) -> None:
    """Refuse tensors that claim more elements than are stored, and tensors that are not dense arrays of numbers."""
    if value.layout is not torch.strided or value.is_quantized or value.is_meta:
        kind = "quantized" if value.is_quantized else "without content" if value.is_meta else "sparse"
        raise ModelError(f"{path.name} cannot be used: {printable(key)} is {kind}. Save plain float tensors.")
    claimed = value.numel() * value.element_size()
    if claimed - value.untyped_storage().nbytes() > MAX_CLAIMED_BYTES:
        raise ModelError(
            f"{path.name} cannot be used: {printable(key)} has {claimed / 1e9:,.1f} GB, which are not in the file. "
            "Save a copy of each tensor: value.clone()."
        )


def _refusal_reason(error: BaseException, path: Path) -> str:
    """Return why torch refused a pickle; empty if the file is not a pickle."""
    if not isinstance(error, pickle.UnpicklingError):
        return ""
    if re.search(r"GLOBAL|REDUCE|NEWOBJ|BUILD", str(error)):
        network = pickled_network(path)
        detail = f": it is a pickled network ({network}), not its weights" if network else ""
        return f"would run code when it is opened{detail}"
    with path.open("rb") as stream:
        pickled = stream.read(2) in (b"PK", *(bytes((0x80, protocol)) for protocol in range(6)))
    return "is pickled in a way that cannot be read safely" if pickled else ""


def _describe_damage(path: Path) -> str:
    try:
        start = read_start(path)[:64]
    except OSError as error:
        return f": {error.strerror}"
    if not start:
        return ": it is empty"
    words = " ".join(start.decode("utf-8", "replace").split())
    if words.isprintable() and "\ufffd" not in words[:-1]:
        return f": it is text that begins with {words[:30]!r}"
    return ": it is truncated or damaged"


def _holds_no_weights(content: Any, path: Path) -> str:
    if kind := weightless_content(content):
        return f"{path.name} contains {kind[0]}. {kind[1]}"
    inside = ", ".join(map(printable, list(content)[:5])) if isinstance(content, Mapping) else type(content).__name__
    inside = inside if isinstance(content, Mapping) else f"a {inside}"
    return f"{path.name} contains no weights by name. Found: {inside or 'nothing'}."


def read_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; empty for other files."""
    try:
        if not is_safetensors(path):
            return {}
        with safe_open(str(path), framework="pt") as stored:
            return dict(stored.metadata() or {})
    except Exception:
        return {}  # reading the weights raises the same error


def _saved_network(network: nn.Module, content: Any) -> nn.Module:
    """Return the network whose weights a file has: the detector itself where `network` is an adapter around it.

    Users save their detector, not the adapter. The names of the weights decide.
    """
    children = [child for child in network.children() if child.state_dict()]
    if len(children) != 1 or any("." not in name for name in network.state_dict()):
        return network

    def common(part: nn.Module) -> int:
        own = part.state_dict()
        return max((sum(name in own for name in found.state) for found in candidates(content)), default=0)

    saved = common(network)
    return children[0] if common(children[0]) > saved or (not saved and isinstance(network, Detector)) else network


def _apply_metadata(model: Model, notes: Mapping[str, str], name: str) -> Model:
    """Return the model with the class names and preprocessing parameters in the metadata."""
    numbers: dict[str, Any] = {}
    try:
        for key in ("mean", "std"):
            if key in notes:
                numbers[key] = _numbers(notes[key])
        if "crop" in notes and "resize" in notes:
            numbers |= {"size": int(notes["crop"]), "resize": int(notes["resize"])}
        elif "input_size" in notes:
            numbers |= {"size": int(notes["input_size"])}
    except ValueError as error:
        raise ModelError(f"the metadata of {name} cannot be read: {printable(error)}.") from None
    labels = _labels(notes.get("classes", ""), model.labels, name)
    try:
        preprocess = check_recorded_size(make_preprocessing(model.preprocessing, **numbers))
        if not preprocess.is_photographic:
            raise ModelError(f"mean and std have {len(preprocess.mean)} numbers, but a file may set 1 or 3 channels.")
    except ModelError as error:
        raise ModelError(f"the metadata of {name} cannot be used: {error}") from None
    return replace(model, preprocessing=preprocess, labels=labels)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]").split(",")]


def _labels(text: str, default: tuple[str, ...], name: str) -> tuple[str, ...]:
    if text == "imagenet-1k":
        return imagenet_names()
    return parse_json_names(text, source=f"the class names in {name}") if text.startswith("[") else default
