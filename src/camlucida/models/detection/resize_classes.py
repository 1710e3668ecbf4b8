"""Give a detector of torchvision the number of classes that a file of weights has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from camlucida.errors import ModelError

MAX_CLASSES = 100_000
"""Largest number of classes that a file may request for a detector."""


def number_of_outputs(detector: Any) -> int:
    """Return the number of outputs per candidate of a detector of torchvision, the background included."""
    if hasattr(detector, "roi_heads"):
        return int(detector.roi_heads.box_predictor.cls_score.out_features)
    head = detector.head.classification_head
    return int(head.num_classes if hasattr(head, "num_classes") else head.num_columns)


def resize_classes(detector: nn.Module, state: Mapping[str, Tensor]) -> int | None:
    """Replace the last layers of a detector so that weights for another number of classes fit.

    A last layer has a fixed number of rows per class: one in the classes of Faster R-CNN, four in its boxes, one per
    anchor in RetinaNet, FCOS and SSD. The number of classes is therefore that of the detector times the ratio of rows,
    which must be the same whole number for all layers that differ.

    Args:
        detector: The detector, which is modified: it has no weights of a user yet.
        state: The weights in the file, under the detector's names.

    Returns:
        The number of outputs per candidate, the background included; None if the detector is unchanged, because the
        weights fit or because they differ in something else.

    Raises:
        ModelError: The file requests more classes than `MAX_CLASSES`.
    """
    own = detector.state_dict()
    differing = sorted({k.rpartition(".")[0] for k in own if k in state and own[k].shape != state[k].shape})
    outputs = number_of_outputs(detector)
    found: set[int] = set()
    for name in differing:
        weight = state.get(f"{name}.weight")
        module = detector.get_submodule(name)
        if weight is None or not isinstance(module, nn.Linear | nn.Conv2d):
            return None
        classes, rest = divmod(len(weight) * outputs, len(module.weight))
        if rest or weight.shape[1:] != module.weight.shape[1:]:
            return None
        found.add(classes)
    if len(found) != 1:
        return None
    classes = found.pop()
    if not 1 <= classes <= MAX_CLASSES:
        raise ModelError(f"a detector of {classes:,} classes cannot be explained: 1 to {MAX_CLASSES:,} are supported.")
    for name in differing:
        parent, _, child = name.rpartition(".")
        setattr(detector.get_submodule(parent), child, _with_rows(detector.get_submodule(name), state, name))
    for module in detector.modules():
        for number in ("num_classes", "num_columns"):
            if getattr(module, number, None) == outputs:
                setattr(module, number, classes)
    return classes


def _with_rows(module: Any, state: Mapping[str, Tensor], name: str) -> nn.Module:
    """Return a layer like `module` with as many outputs as its weights in the file."""
    rows, bias = len(state[f"{name}.weight"]), module.bias is not None
    if isinstance(module, nn.Linear):
        return nn.Linear(module.in_features, rows, bias)
    return nn.Conv2d(
        module.in_channels, rows, module.kernel_size, module.stride, module.padding, module.dilation, bias=bias
    )
