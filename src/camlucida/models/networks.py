"""What can be wrapped as a model: modules, functions, ONNX Runtime sessions, TorchScript and exported programs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from camlucida.errors import ModelError
from camlucida.models.keras.backends import is_keras_model
from camlucida.models.keras.network import keras_network
from camlucida.models.wrappers import wrapper_message
from camlucida.opaque_networks import OpaqueNetwork


def as_network(value: Any, asked: str = "a model must be a torch.nn.Module, a wrapped one or a name") -> nn.Module:
    """Return a network as a module; modules are returned unmodified.

    Args:
        value: A module; a model of Keras, which becomes a module around its own weights; or a function from images to
            scores, a session of ONNX Runtime, a TorchScript network or an exported program, which become an
            `OpaqueNetwork`.
        asked: What was asked for, for the message.

    Raises:
        ModelError: The value is something else, or an object that contains a network.
    """
    if isinstance(value, OpaqueNetwork):
        return value
    if is_keras_model(value):
        return keras_network(value)
    if message := wrapper_message(value):
        raise ModelError(message)
    if isinstance(value, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        from camlucida.models.torchscript import ScriptedNetwork

        return ScriptedNetwork(value)
    if isinstance(value, nn.Module):
        return value
    packages = {cls.__module__.partition(".")[0] for cls in type(value).__mro__}
    if "onnxruntime" in packages and hasattr(value, "get_inputs"):
        from camlucida.models.onnx_network import OnnxNetwork

        return OnnxNetwork(value)
    if "torch" in packages and type(value).__name__ == "ExportedProgram":
        from camlucida.models.exported_program import exported_network

        return exported_network(value)
    if isinstance(value, type):
        raise ModelError(f"{asked}, not the class {value.__name__}: create one, {value.__name__}(…).")
    if callable(value):
        from camlucida.models.black_box import black_box

        return black_box(value)
    raise ModelError(
        f"{asked}, not {type(value).__name__}. A function from images (b, c, H, W) to scores (b, k) can be "
        f"wrapped, too."
    )
