"""Selection of a network's weights among the tensors of a checkpoint, however a training script wrapped them.

Checkpoints nest dictionaries (`state_dict`, `model_ema`, `teacher`), and wrappers prefix the names of the network
(`module.`, `_orig_mod.`, Lightning's `model.`). Prefixes are not taken from a fixed list only: a prefix is removed if
the remaining names are exactly those that the network needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlucida.errors import ModelError
from camlucida.models.quoting import printable

WRAPPER_SEGMENTS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Name segments that DataParallel, torch.compile, FSDP and checkpoint wrappers add at any position."""
PREFIXES = ("model.", "net.", "network.", "backbone.", "encoder.")
"""Prefixes that are removed if they are common to all names and no prefix gives an exact match, for a concise error."""
EMA_NAMES = frozenset(
    {"state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "params_ema", "net_ema", "averaged_model",
     "swa_model", "model_swa", "teacher", "teacher_model"}
)  # fmt: skip
"""Names of averaged weights, which training scripts evaluate with; they are preferred to the plain weights."""
AUXILIARY_NAMES = frozenset({"student", "student_model", "online", "online_model"})
"""Names of weights that only serve to train other weights."""
LOSS_NAMES = frozenset(
    {"criterion", "criteria", "loss", "losses", "loss_fn", "loss_func", "loss_function", "loss_weight", "class_weights",
     "class_weight", "pos_weight", "train_loss", "val_loss"}
)  # fmt: skip
"""First name segments that belong to a loss, not to the network."""
COUNTER_NAMES = frozenset({"n_averaged", "initted", "step", "global_step", "num_updates"})
"""Counters of averaging wrappers, which can be discarded."""
MAX_DEPTH = 6
"""Largest nesting depth that is searched."""
OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.\w+)$")


@dataclass(frozen=True)
class Candidate:
    """A dictionary of tensors within a checkpoint.

    Attributes:
        path: The keys that lead to it; empty for the checkpoint itself.
        state: The tensors by name. It is the dictionary of the file itself if that contains nothing else, since torch
            stores the version of each module as an attribute of it.
    """

    path: tuple[str, ...]
    state: dict[str, Tensor]


@dataclass(frozen=True)
class _Match:
    """A prefix in a candidate with exactly the weights that a network needs."""

    candidate: Candidate
    prefix: str
    weights: dict[str, Tensor]
    left_out: tuple[str, ...]

    @property
    def label(self) -> str:
        """Return the position of the weights in the file, for messages."""
        return ".".join(filter(None, (*self.candidate.path, self.prefix.rstrip(".")))) or "the top level"

    @property
    def rank(self) -> int:
        """Return the priority: 0 for averaged weights, 1 for plain ones, 2 for those only used in training."""
        parts = {*self.candidate.path, *self.prefix.split(".")}
        return 0 if parts & EMA_NAMES else 2 if parts & AUXILIARY_NAMES else 1


def candidates(content: Any) -> list[Candidate]:
    """Return every dictionary of tensors in a checkpoint, outermost first."""
    return list(_find_candidates(content, (), set()))


def _find_candidates(content: Any, path: tuple[str, ...], seen: set[int]) -> Iterator[Candidate]:
    if not isinstance(content, Mapping) or id(content) in seen or len(path) > MAX_DEPTH:
        return  # a pickle can contain itself
    seen.add(id(content))
    arrays = {key: _to_tensor(value) for key, value in content.items() if isinstance(key, str)}
    tensors = {key: value for key, value in arrays.items() if value is not None}
    if tensors:
        all_kept = isinstance(content, dict) and all(content.get(key) is value for key, value in tensors.items())
        yield Candidate(path, content if all_kept and len(tensors) == len(content) else tensors)  # type: ignore[arg-type]
    for key, value in content.items():
        if isinstance(key, str):
            yield from _find_candidates(value, (*path, key), seen)


def _to_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.array(value, order="C"))
    return None


def select_weights(content: Any, own_state: Mapping[str, Tensor], file_name: str) -> tuple[dict[str, Tensor], str]:
    """Return the weights of a network from a checkpoint, under the names that the network uses.

    Args:
        content: The content of the file.
        own_state: The state dict of the network.
        file_name: The name of the file, for messages.

    Returns:
        The weights, and a sentence about other content of the file, empty if there is nothing that a user must know.
        The number of classes may differ. If nothing matches, the weights are the most similar ones.

    Raises:
        ModelError: If the file contains several networks that match equally well.
    """
    unwrapped = [_strip_wrappers(candidate, own_state) for candidate in candidates(content)]
    matches = _distinct([fit for candidate in unwrapped for fit in _matches(candidate, own_state)])
    if not matches:
        return _closest(unwrapped, own_state), ""
    best = min(fit.rank for fit in matches)
    chosen, *competing_classes = [match_ for match_ in matches if match_.rank == best]
    if competing_classes:
        raise ModelError(
            f"{file_name} contains several networks that fit: "
            f"{', '.join(printable(f.label) for f in (chosen, *competing_classes)[:5])}. "
            "Save the intended one in a separate file."
        )
    unused = [f"the weights of {fit.label}" for fit in matches if fit is not chosen]
    unused += [name for name in chosen.left_out if not _belongs_to_other_match(name, chosen, matches)]
    if not unused:
        return chosen.weights, ""
    listed = ", ".join(printable(name) for name in unused[:4])
    more = f" and {len(unused) - 4} more" if len(unused) > 4 else ""
    source = "" if chosen.label == "the top level" else f"the weights of {printable(chosen.label)} were used; "
    return chosen.weights, f"{file_name}: {source}not part of the network and ignored: {listed}{more}."


def _belongs_to_other_match(name: str, chosen: _Match, matches: list[_Match]) -> bool:
    """Return whether a tensor outside the chosen network belongs to another match, which is reported as a whole."""
    return any(
        match_ is not chosen
        and match_.candidate is chosen.candidate
        and match_.prefix
        and name.startswith(match_.prefix)
        for match_ in matches
    )


def _strip_wrappers(candidate: Candidate, own_state: Mapping[str, Tensor]) -> Candidate:
    """Return the candidate without name segments added by wrappers, unless the network has such segments itself."""
    state = (
        rename_old_densenet(candidate.state)
        if not any(OLD_DENSENET.match(key) for key in own_state)
        else candidate.state
    )
    drop = WRAPPER_SEGMENTS - {part for key in own_state for part in key.split(".")}
    names = {key: ".".join(part for part in key.split(".") if part not in drop) for key in state}
    if all(key == name for key, name in names.items()) or len(set(names.values())) < len(names):
        return Candidate(candidate.path, state)
    return Candidate(candidate.path, {names[key]: value for key, value in state.items()})


def _matches(candidate: Candidate, own_state: Mapping[str, Tensor]) -> Iterator[_Match]:
    """Yield each prefix whose names are exactly those that the network needs."""
    needed = [key for key in own_state if not key.endswith("num_batches_tracked")]
    if not needed:
        return
    anchor, state = needed[0], candidate.state
    starts = {key[: -len(anchor)] for key in state if key == anchor or key.endswith(f".{anchor}")}
    for prefix in sorted(starts):
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        if any(key not in inside or not _same_but_classes(inside[key], own_state[key]) for key in needed):
            continue
        if prefix:
            left_out = [key for key in state if not key.startswith(prefix)]
            extra = [key for key in inside if key not in own_state]
        else:
            left_out = [
                key for key in inside if key not in own_state and _first_segment(key) in LOSS_NAMES | COUNTER_NAMES
            ]
            extra = [key for key in inside if key not in own_state and key not in left_out]
        if extra:
            continue
        weights = state if not prefix and not left_out else {key: v for key, v in inside.items() if key in own_state}
        yield _Match(candidate, prefix, weights, tuple(key for key in left_out if key not in COUNTER_NAMES))


def _same_but_classes(tensor: Tensor, own: Tensor) -> bool:
    """Return whether two tensors have the same shape, except for the number of classes."""
    return tensor.dim() == own.dim() and tensor.shape[1:] == own.shape[1:]


def _first_segment(key: str) -> str:
    return key.partition(".")[0]


def _distinct(matches: list[_Match]) -> list[_Match]:
    """Return the matches without those whose values equal those of an earlier one."""
    distinct: list[_Match] = []
    for match_ in matches:
        if not any(_same_weights(match_.weights, other.weights) for other in distinct):
            distinct.append(match_)
    return distinct


def _same_weights(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def _closest(unwrapped: list[Candidate], own_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the candidate that shares the most names with the network, after removing prefixes common to all names."""
    states = [_strip_shared_prefixes(candidate.state, own_state) for candidate in unwrapped]
    return max(states, key=lambda state: len(state.keys() & own_state.keys()), default={})


def _strip_shared_prefixes(state: dict[str, Tensor], own_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in (*PREFIXES, *PREFIXES):
        if all(key.startswith(prefix) for key in state) and not any(key in own_state for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def rename_old_densenet(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights with DenseNet's older names (norm.1 for norm1, as in torchvision's own files) updated."""
    if not any(OLD_DENSENET.match(key) for key in state):
        return state
    return {OLD_DENSENET.sub(r"\1\2", key): value for key, value in state.items()}
