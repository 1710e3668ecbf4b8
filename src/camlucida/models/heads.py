"""Replacement of a network's classification head: the last layer, or everything after the last feature grid.

The latter uses global average pooling and a linear layer, so that CAM is applicable.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError

Head: TypeAlias = Literal["linear", "gap"]
"""Type of a new head: a linear layer, or global average pooling (gap) followed by one."""
HEADS: tuple[Head, ...] = ("linear", "gap")


class GapClassifier(nn.Module):
    """Network of features, global average pooling and one linear layer, as required by CAM (Zhou et al., 2016)."""

    def __init__(self, features: nn.Module, channels: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(b, k)` of network inputs `(b, c, h, w)`."""
        out: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


class TimmFeatures(nn.Module):
    """A timm network without the layers after its feature grid."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature grid `(b, channels, rows, columns)` of network inputs `(b, c, h, w)`."""
        out: Tensor = self.network.forward_features(x)  # type: ignore[operator]
        return out


def replace_head(network: nn.Module, classes: int, head: Head, size: tuple[int, int]) -> nn.Module:
    """Replace the classification head of a network, in place, and return the network in eval mode.

    Args:
        network: The network, which is modified.
        classes: Number of classes.
        head: "linear" replaces the last layer; "gap" also replaces the layers between it and the feature grid, unless
            they are a global average already.
        size: `(height, width)` of the network input.

    Returns:
        The network, or a new network around its features.

    Raises:
        ModelError: If the network has no layer or features that could be used.
    """
    if head not in HEADS:
        raise ModelError(f"head must be {' or '.join(HEADS)}, not {head!r}.")
    _remove_auxiliary(network)
    network.eval()
    probe = torch.zeros(1, 3, *size)
    if head == "linear" or _ends_in_average(network, probe):
        _replace_layer(network, last_layer(network), classes)
    else:
        network = _with_gap_head(network, probe, classes)
    _check_output(network, probe, classes)
    return network


def last_layer(network: nn.Module) -> str:
    """Return the name of the layer that outputs the class scores: the last linear layer or 1 × 1 convolution."""
    modules: list[tuple[str, nn.Module]] = list(network.named_modules())
    for name, module in reversed(modules):
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
            return name
    raise ModelError(f"{type(network).__name__} has no linear layer at its end that could be replaced.")


def _replace_layer(network: nn.Module, name: str, classes: int) -> None:
    old: Any = network.get_submodule(name)
    bias = old.bias is not None
    new = nn.Linear(old.in_features, classes, bias) if isinstance(old, nn.Linear) else None
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, new or nn.Conv2d(old.in_channels, classes, 1, bias=bias))
    for attribute in ("num_classes", "n_classes"):
        if isinstance(getattr(network, attribute, None), int):
            setattr(network, attribute, classes)  # SqueezeNet and timm read it


def _remove_auxiliary(network: nn.Module) -> None:
    """Remove the auxiliary classifiers of GoogLeNet and Inception, whose classes are those of ImageNet."""
    if getattr(network, "aux_logits", False):
        network.aux_logits = False  # type: ignore[assignment] # nn.Module does not declare it
        for name in ("aux1", "aux2", "AuxLogits"):
            if hasattr(network, name):
                setattr(network, name, None)


@torch.no_grad()
def _ends_in_average(network: nn.Module, probe: Tensor) -> bool:
    """Return whether the last layer reads the spatial mean of a feature grid, so that CAM applies without changes."""
    grids: list[Tensor] = []
    head_inputs: list[Tensor] = []

    def keep_grid(module: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.shape[2] * output.shape[3] > 1:
            grids.append(output.clone())

    head = network.get_submodule(last_layer(network))
    handles = [module.register_forward_hook(keep_grid) for module in network.modules()]
    handles.append(head.register_forward_pre_hook(lambda _, inputs: head_inputs.append(inputs[0])))
    try:
        generator = torch.Generator().manual_seed(0)
        network(torch.randn(probe.shape, generator=generator, dtype=torch.float32))
    finally:
        for handle in handles:
            handle.remove()
    if not head_inputs or head_inputs[-1].dim() != 2:
        return False
    tolerance = 1e-5 * float(head_inputs[-1].abs().max())
    means = (grid.mean(dims) for grid in reversed(grids) for dims in ((2, 3), (1, 2)))
    return any(
        mean.shape == head_inputs[-1].shape and torch.allclose(mean, head_inputs[-1], atol=tolerance) for mean in means
    )


@torch.no_grad()
def _with_gap_head(network: nn.Module, probe: Tensor, classes: int) -> nn.Module:
    features = _feature_extractor(network)
    grid = features(probe)
    if not isinstance(grid, Tensor) or grid.dim() != 4 or grid.shape[2] * grid.shape[3] < 2:
        shape = tuple(grid.shape) if isinstance(grid, Tensor) else type(grid).__name__
        raise ModelError(
            f"{type(network).__name__} has no grid of features to average: its output is {shape}. --head gap is for "
            "convolutional networks. Use --head linear."
        )
    return GapClassifier(features, grid.shape[1], classes).eval()


def _feature_extractor(network: nn.Module) -> nn.Module:
    """Return the part of the network before its feature grid is flattened."""
    if hasattr(network, "forward_features") and hasattr(network, "reset_classifier"):
        network.reset_classifier(0)  # type: ignore[operator]
        return TimmFeatures(network)
    features = getattr(network, "features", None)
    if not isinstance(features, nn.Module):
        raise ModelError(
            f"cannot find the end of the features of {type(network).__name__}: it has no submodule named features. "
            "Add one, or use --head linear."
        )
    if type(network).__name__ == "DenseNet":  # its forward applies a ReLU to the features
        return nn.Sequential(features, nn.ReLU())
    pools = isinstance(features, nn.Sequential) and isinstance(features[-1], nn.MaxPool2d | nn.AvgPool2d)
    return features[:-1] if isinstance(features, nn.Sequential) and pools else features  # as in Zhou et al. (2016)


@torch.no_grad()
def _check_output(network: nn.Module, probe: Tensor, classes: int) -> None:
    out = network(probe)
    if not isinstance(out, Tensor) or tuple(out.shape) != (1, classes):
        shape = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ModelError(
            f"{type(network).__name__} returns {shape} for {classes} classes; it must return (1, {classes})."
        )
