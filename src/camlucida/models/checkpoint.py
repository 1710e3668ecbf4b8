"""Checkpoint files: safetensors, or PyTorch's with `weights_only`; nothing here runs code that a file brings."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.labels import imagenet_names, json_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import preprocessing

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".ckpt", ".bin", ".tar")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Under which key training scripts put the weights, beside the optimiser's."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
"""What DataParallel, torch.compile and Lightning put before every name."""


def looks_like_file(spec: str) -> bool:
    """Whether a spec means a file: it exists, and is no folder."""
    try:
        return Path(spec).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # too long for a name, "~nobody", a zero byte
        return False


def load(path: Path, built: Model | None, architecture: Callable[[str], Model]) -> Model:
    """The weights in `path` in the architecture `built`, or in the one that the file itself names."""
    state, notes = read(path), metadata(path)
    if built is None:
        named = notes.get("architecture", "").removeprefix("torchvision.models.")
        if not named or " " in named or "(" in named:
            raise ModelError(f"{path.name} holds weights only. Say of what: --arch resnet18, or arch=… in Python.")
        built = architecture(named)
    state, classes = _fitted(built.network, state)
    take(built.network, state, what=path.name)
    if classes is not None and classes != len(built.labels):
        built = replace(built, labels=())
    return _described(replace(built, network=built.network.eval()), notes, path.name)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file by name. Raises `ModelError` for what is broken, foreign, or wants to run code."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as stored:
                return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # torch's, about old pickle protocols
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, OSError, RuntimeError, EOFError, LookupError, ValueError) as error:
        if why := _refused(error, path):
            raise ModelError(
                f"{path.name} {why}, so it was not opened. "
                "Save only the weights: torch.save(network.state_dict(), …), or as safetensors."
            ) from None
        raise ModelError(f"{path} is not a readable checkpoint{_looks_like(path)}. Fetch or copy it again.") from None
    return _state(found, path)


def _refused(error: Exception, path: Path) -> str:
    """Why torch would not open a file that is a pickle; nothing if it is none at all."""
    if not isinstance(error, pickle.UnpicklingError):
        return ""
    if re.search(r"GLOBAL|REDUCE|NEWOBJ|BUILD", str(error)):
        return "wants to run code when it is opened"
    with path.open("rb") as stream:
        pickled = stream.read(2) in (b"PK", *(bytes((0x80, protocol)) for protocol in range(6)))
    return "is pickled in a way that cannot be read safely" if pickled else ""


def _looks_like(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            start = stream.read(64)
    except OSError as error:
        return f": {error.strerror}"
    if not start:
        return ": it is empty"
    if start.startswith(b"version https://git-lfs"):
        return ": it is a Git LFS pointer"
    words = " ".join(start.decode("utf-8", "replace").split())
    if words.isprintable() and "\ufffd" not in words[:-1]:
        return f": it is text that begins {words[:30]!r}"
    return ": it is cut off or damaged"


def metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says about itself; nothing for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(str(path), framework="pt") as stored:
        return dict(stored.metadata() or {})


def take(network: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Put the weights into the network, or say in one sentence what does not fit."""
    own = network.state_dict()
    unlike = [key for key in own if key in state and own[key].shape != state[key].shape]
    if unlike:
        key = unlike[0]
        raise ModelError(
            f"{what} does not fit {type(network).__name__}: {key} is {tuple(state[key].shape)} in the file and "
            f"{tuple(own[key].shape)} in the network{_more(unlike)}. Is it another architecture, or another width?"
        )
    # The network itself renames what older versions of it wrote (torchvision's ViT), by the version in the file.
    given = OrderedDict(state)
    versions = getattr(state, "_metadata", None)
    if versions is None and not set(own) - set(state):
        versions = own._metadata  # type: ignore[attr-defined]
    if versions is not None:
        given._metadata = versions  # type: ignore[attr-defined]
    try:
        missing, extra = network.load_state_dict(given, strict=False)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{what} does not fit {type(network).__name__}: {' '.join(str(error).split())[:200]}"
        ) from None
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or extra:
        lacks = f"lacks {missing[0]}{_more(missing)}" if missing else ""
        has = f"has {extra[0]}{_more(extra)}, which the network does not" if extra else ""
        raise ModelError(
            f"{what} does not fit {type(network).__name__}: it {' and '.join(filter(None, (lacks, has)))}. "
            "Is it another architecture?"
        )


def _state(found: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, dict) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        inside = ", ".join(map(str, list(found)[:5])) if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise ModelError(f"{path.name} holds no weights by name, but {inside or 'nothing'}.")
    return found  # itself, for the versions that hang on it


def _fitted(network: nn.Module, state: dict[str, Tensor]) -> tuple[dict[str, Tensor], int | None]:
    """The weights under the network's own names; and how many classes they are for, if not as many as it has.

    The network gets as many classes as the file has, where it differs in nothing but the rows of its last layers.
    """
    own = network.state_dict()
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in state) and not any(key in own for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    unlike = {key.rpartition(".")[0] for key in own if key in state and own[key].shape != state[key].shape}
    heads = {name: _with_rows(network.get_submodule(name), state.get(f"{name}.weight")) for name in unlike}
    found = [head for head in heads.values() if head is not None]
    if not found or len(found) < len(heads):
        return state, None
    for name, head in heads.items():
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, head)
    return state, min(len(head.weight) for head in found)


def _with_rows(head: nn.Module, weight: Tensor | None) -> nn.Linear | nn.Conv2d | None:
    """A linear layer (or a 1 × 1 convolution, as SqueezeNet ends in) with as many outputs as `weight` has rows."""
    if weight is None or not isinstance(head, nn.Linear | nn.Conv2d) or head.weight.shape[1:] != weight.shape[1:]:
        return None
    if isinstance(head, nn.Linear):
        return nn.Linear(head.in_features, len(weight), head.bias is not None)
    if head.kernel_size != (1, 1) or head.groups != 1:
        return None
    return nn.Conv2d(head.in_channels, len(weight), 1, bias=head.bias is not None)


def _described(model: Model, notes: Mapping[str, str], name: str) -> Model:
    """With the class names and numbers that the file brings."""
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
        raise ModelError(f"{name} says of itself what cannot be understood: {error}.") from None
    labels = _labels(notes.get("classes", ""), model.labels, name)
    return replace(model, preprocessing=preprocessing(model.preprocessing, **numbers), labels=labels)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]").split(",")]


def _labels(text: str, otherwise: tuple[str, ...], name: str) -> tuple[str, ...]:
    if text == "imagenet-1k":
        return imagenet_names()
    return json_names(text, what=f"the class names in {name}") if text.startswith("[") else otherwise


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
