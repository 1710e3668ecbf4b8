"""Names of layers that are given as module objects, as pytorch-grad-cam and Captum take them."""

from __future__ import annotations

from typing import Any, TypeAlias

from torch import nn

from camlucida.errors import LayerError
from camlucida.foreign import foreign_layer_name

LayerSpec: TypeAlias = str | int | nn.Module | None
"""A layer specification, called `target_layer` in pytorch-grad-cam and `layer` in Captum.

A name, a glob ("layer?"), an index into the candidates (-1 is the last), "all" candidates, a module of the network
(`network.layer4`), or None for the default. `name#2` is the second call of a module that is called several times (the
bare name, and a module, is the last call); `name@key` is one part of an output that is a tuple or dict.
"""


def layer_names(network: nn.Module, layer: Any) -> Any:
    """Return layer specifications with every module replaced by its name, which is what is stored and displayed.

    The name stays valid for copies of the network, such as the re-initialised ones of the sanity checks.

    Args:
        network: The network of the user, with or without `DataParallel` or `torch.compile` around it.
        layer: A specification or a list of them; what is no module is returned unmodified.

    Raises:
        LayerError: A module is not part of the network, or is the network itself.
    """
    if isinstance(layer, list | tuple | nn.ModuleList):
        return [layer_names(network, spec) for spec in layer]
    if not isinstance(layer, str | int | None) and (name := foreign_layer_name(network, layer)) is not None:
        return name
    return _name_of(network, layer) if isinstance(layer, nn.Module) else layer


def without_wrappers(network: nn.Module) -> nn.Module:
    """Return the network inside `DataParallel`, `DistributedDataParallel` and `torch.compile`."""
    while True:
        if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


def _name_of(network: nn.Module, module: nn.Module) -> str:
    name: str | None = next((name for name, other in network.named_modules() if other is module), None)
    if name is None:
        raise LayerError(
            f"the {type(module).__name__} given as layer is no module of this {type(network).__name__}. Pass one of "
            "the same object, as in layer=network.layer4, or its name; a copy or a reloaded network has its own."
        )
    around: Any = network
    while True:  # names are those inside of wrappers, whose own names differ from run to run
        if isinstance(around, nn.DataParallel | nn.parallel.DistributedDataParallel):
            around, name = around.module, name.removeprefix("module").removeprefix(".")
        elif isinstance(inner := vars(around).get("_modules", {}).get("_orig_mod"), nn.Module):
            around, name = inner, name.removeprefix("_orig_mod").removeprefix(".")
        else:
            break
    if not name:
        raise LayerError("the network itself was given as layer. Pass one of its modules, as in layer=network.layer4.")
    return name
