"""A tiny network, and the same network as an ONNX graph, for the tests of black boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SIZE, N_CLASSES = 16, 5
PERTURBATIONS = ("kernel_shap(n=60)", "lime(n=60)", "occlusion", "rise(n=60)")


def network() -> nn.Sequential:
    """Return a convolution, a ReLU, average pooling and a linear layer."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(4), nn.Flatten(), nn.Linear(64, N_CLASSES)
    ).eval()


def photo(seed: int = 0) -> NDArray[np.uint8]:
    """Return an image of random blocks, so that segmentation and smoothing have something to follow."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((4, 4, 1), dtype=np.uint8))


def onnx_model(
    net: nn.Sequential, *, batch: Any = "n", size: Any = SIZE, kind: str = "float", channels_last: bool = False,
    softmax: bool = False, hidden: bool = False, metadata: dict[str, str] | None = None,
) -> Any:  # fmt: skip
    """Return the ONNX graph of `network()`, written operator by operator.

    Args:
        net: The network.
        batch: First axis of the input.
        size: Height and width of the input.
        kind: Type of the input: "float", "float16" or "uint8"; with the last one the graph normalises as ImageNet.
        channels_last: Whether the input is (b, h, w, c).
        softmax: Whether the graph ends in a softmax.
        hidden: Whether the output of the flattening is an output as well.
        metadata: Metadata of the model.
    """
    from onnx import TensorProto, helper, numpy_helper

    types = {"float": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
    channel_axes = (1, 1, 3) if channels_last else (3, 1, 1)
    weights = {
        "w": net[0].weight.detach().numpy(),
        "b": net[0].bias.detach().numpy(),
        "v": net[4].weight.detach().numpy(),
        "c": net[4].bias.detach().numpy(),
        "white": np.float32(255),
        "mean": np.array([0.485, 0.456, 0.406], np.float32).reshape(channel_axes),
        "std": np.array([0.229, 0.224, 0.225], np.float32).reshape(channel_axes),
    }
    nodes, last = [helper.make_node("Cast", ["x"], ["x0"], to=TensorProto.FLOAT)], "x0"
    if kind == "uint8":
        nodes += [
            helper.make_node("Div", ["x0", "white"], ["x1"]),
            helper.make_node("Sub", ["x1", "mean"], ["x2"]),
            helper.make_node("Div", ["x2", "std"], ["x3"]),
        ]
        last = "x3"
    if channels_last:
        nodes.append(helper.make_node("Transpose", [last], ["xt"], perm=[0, 3, 1, 2]))
        last = "xt"
    nodes += [
        helper.make_node("Conv", [last, "w", "b"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("AveragePool", ["r"], ["p"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Flatten", ["p"], ["features"]),
        helper.make_node("Gemm", ["features", "v", "c"], ["logits"], transB=1),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    names = {"probabilities" if softmax else "logits": N_CLASSES} | ({"features": 64} if hidden else {})
    shape = [batch, size, size, 3] if channels_last else [batch, 3, size, size]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", types[kind], shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, n]) for name, n in names.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata or {})
    return model


def save_onnx(path: Path, **options: Any) -> Path:
    """Write the graph of `network()` to a file."""
    import onnx

    onnx.save(onnx_model(network(), **options), path)
    return path
