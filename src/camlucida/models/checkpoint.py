"""Checkpoint files: safetensors, or PyTorch's with `weights_only`; nothing here runs code that a file brings."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.labels import imagenet_names
from camlucida.models.model import Model
from camlucida.models.preprocessing import preprocessing

SUFFIXES = (".safetensors", ".pth", ".pt", ".th", ".ckpt", ".bin", ".tar")
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Under which key training scripts put the weights, beside the optimiser's."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.")
"""What DataParallel, torch.compile and Lightning put before every name."""


def looks_like_file(spec: str) -> bool:
    """Whether a spec means a file: it exists, and is no folder."""
    return Path(spec).expanduser().is_file()


def load(path: Path, built: Model | None, architecture: Callable[[str], Model]) -> Model:
    """The weights in `path` in the architecture `built`, or in the one that the file itself names."""
    state, notes = read(path), metadata(path)
    if built is None:
        named = notes.get("architecture", "").removeprefix("torchvision.models.")
        if not named or " " in named or "(" in named:
            raise ModelError(f"{path.name} holds weights only. Say of what: --arch resnet18, or arch=… in Python.")
        built = architecture(named)
    network = _resized(built, state)
    take(network, state, what=path.name)
    return _described(replace(built, network=network.eval()), notes, state)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file by name. Raises `ModelError` for what is broken, foreign, or wants to run code."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as stored:
                return {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        what = "wants to run code when it is opened" if "Weights only load failed" in str(error) else "cannot be read"
        raise ModelError(
            f"{path.name} {what}, so it was not opened. Save only the weights: torch.save(network.state_dict(), …), "
            "or as safetensors."
        ) from None
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} is not a readable checkpoint ({' '.join(str(error).split())[:160]}). Fetch it again."
        ) from None
    return _state(found, path)


def metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says about itself; nothing for other files."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(str(path), framework="pt") as stored:
        return dict(stored.metadata() or {})


def take(network: nn.Module, state: Mapping[str, Tensor], *, what: str) -> None:
    """Put the weights into the network, or say in one sentence what does not fit."""
    own = network.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    extra = [key for key in state if key not in own]
    unlike = [key for key in own if key in state and own[key].shape != state[key].shape]
    if unlike:
        key = unlike[0]
        raise ModelError(
            f"{what} does not fit {type(network).__name__}: {key} is {tuple(state[key].shape)} in the file and "
            f"{tuple(own[key].shape)} in the network{_more(unlike)}. Is it another architecture, or another width?"
        )
    if missing or extra:
        lacks = f"lacks {missing[0]}{_more(missing)}" if missing else ""
        has = f"has {extra[0]}{_more(extra)}, which the network does not" if extra else ""
        raise ModelError(
            f"{what} does not fit {type(network).__name__}: it {' and '.join(filter(None, (lacks, has)))}. "
            "Is it another architecture?"
        )
    network.load_state_dict(dict(state), strict=False)


def _state(found: Any, path: Path) -> dict[str, Tensor]:
    for wrapper in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, Tensor) for v in found.values()):
        keys = ", ".join(map(str, list(found)[:5])) if isinstance(found, Mapping) else type(found).__name__
        raise ModelError(f"{path.name} holds no weights by name, but {keys}.")
    return dict(found)


def _resized(built: Model, state: dict[str, Tensor]) -> nn.Module:
    """The network with as many classes as the file has, where only its last linear layer differs.

    Also takes a prefix off the names, where the network knows them without it.
    """
    network = built.network
    own = network.state_dict()
    for prefix in PREFIXES:
        if state and all(key.startswith(prefix) for key in state) and not any(key in own for key in state):
            renamed = {key.removeprefix(prefix): value for key, value in state.items()}
            state.clear()
            state.update(renamed)
    unlike = {key for key in own if key in state and own[key].shape != state[key].shape}
    heads = {key.rpartition(".")[0] for key in unlike}
    head = dict(network.named_modules()).get(next(iter(heads), "")) if len(heads) == 1 else None
    if isinstance(head, nn.Linear) and head.in_features == state[f"{next(iter(heads))}.weight"].shape[-1]:
        name = next(iter(heads))
        parent = network.get_submodule(name.rpartition(".")[0])
        classes = len(state[f"{name}.weight"])
        setattr(parent, name.rpartition(".")[2], nn.Linear(head.in_features, classes, head.bias is not None))
    return network


def _described(model: Model, notes: Mapping[str, str], state: Mapping[str, Tensor]) -> Model:
    """With the class names and numbers that the file brings."""
    numbers: dict[str, Any] = {}
    for key in ("mean", "std"):
        if key in notes:
            numbers[key] = _numbers(notes[key])
    if "crop" in notes and "resize" in notes:
        numbers |= {"size": int(notes["crop"]), "resize": int(notes["resize"])}
    elif "input_size" in notes:
        numbers |= {"size": int(notes["input_size"])}
    classes = len(list(state.values())[-1]) if state else 0
    labels = _labels(notes.get("classes", ""), model.labels)
    labels = labels if not model.labels or len(labels) == classes or "classes" in notes else ()
    return replace(model, preprocessing=preprocessing(model.preprocessing, **numbers), labels=labels)


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.strip("[]").split(",")]


def _labels(text: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    if text == "imagenet-1k":
        return imagenet_names()
    if text.startswith("["):
        return tuple(json.loads(text))
    return otherwise


def _more(keys: list[str]) -> str:
    return f" (and {len(keys) - 1} more)" if len(keys) > 1 else ""
