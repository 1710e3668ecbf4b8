"""Write docs/sources/index.md: which method runs on which source of models, measured on one small network.

    KERAS_BACKEND=torch python docs/sources.py [--print]

The same weights are explained as a PyTorch network, a Keras model on each backend, an exported program, a TorchScript
network, an ONNX model and a function. A cell is the largest difference to the map of the PyTorch network, relative to
its maximum; or a number that refers to the reason why the method does not run. TensorFlow and PyTorch as backends of
Keras cannot be loaded into one process, so this script runs itself again for the other one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import CamlucidaError
from camlucida.methods import methods

PAGE = Path(__file__).parent / "sources" / "index.md"
LAYER = "relu2"
TARGET = 1
TOLERANCE = 1e-4
"""Largest difference, relative to the map's maximum, of maps that count as equal."""
OPTIONS: dict[str, dict[str, Any]] = {
    "rise": {"n": 200},
    "lime": {"n": 200},
    "kernel_shap": {"n": 200},
    "extremal_perturbation": {"steps": 20},
}
"""Options that shorten the methods that run the network many times; they do not matter for the comparison."""
SOURCES = ("PyTorch", "Keras (torch)", "Keras (tensorflow)", "torch.export", "TorchScript", "ONNX", "function")


class SmallNetwork(nn.Module):
    """Two convolutions, average pooling, a linear layer and a softmax, which every framework has."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(8, 12, 3)
        self.relu2 = nn.ReLU()
        self.fc = nn.Linear(12, 4)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu2(self.conv2(self.relu1(self.conv1(images))))
        return self.fc(features.mean((2, 3)))


def keras_model(network: SmallNetwork) -> Any:
    """Return the model of Keras with the same weights, on the backend that KERAS_BACKEND names."""
    import keras

    inputs = keras.Input((24, 28, 3))
    hidden = keras.layers.Conv2D(8, 3, strides=2, name="conv1")(inputs)
    hidden = keras.layers.ReLU(name="relu1")(hidden)
    hidden = keras.layers.Conv2D(12, 3, name="conv2")(hidden)
    hidden = keras.layers.ReLU(name="relu2")(hidden)
    pooled = keras.layers.GlobalAveragePooling2D(name="pool")(hidden)
    model = keras.Model(inputs, keras.layers.Dense(4, name="fc")(pooled))
    for name in ("conv1", "conv2"):
        layer = getattr(network, name)
        model.get_layer(name).set_weights(
            [layer.weight.detach().permute(2, 3, 1, 0).numpy(), layer.bias.detach().numpy()]
        )
    model.get_layer("fc").set_weights([network.fc.weight.detach().T.numpy(), network.fc.bias.detach().numpy()])
    return model


def onnx_session(network: SmallNetwork) -> Any:
    """Return a session of ONNX Runtime with the same weights."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    weights = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    nodes = [
        helper.make_node("Conv", ["images", "conv1.weight", "conv1.bias"], ["a"], strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "conv2.weight", "conv2.bias"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["scores"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 24, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def model_makers(network: SmallNetwork) -> dict[str, Callable[[], Any]]:
    """Return how to make the model of each source that this process can load."""
    example = torch.zeros(2, 3, 24, 28)
    dynamic = {"images": {0: torch.export.Dim("n", min=1, max=4096)}}
    backend = os.environ.get("KERAS_BACKEND", "")
    return {
        "PyTorch": lambda: network,
        f"Keras ({backend})": lambda: keras_model(network),
        "torch.export": lambda: torch.export.export(network, (example,), dynamic_shapes=dynamic),
        "TorchScript": lambda: torch.jit.trace(network, example),
        "ONNX": lambda: onnx_session(network),
        "function": lambda: lambda images: network(images).detach().numpy(),
    }


def maps_of(model: Any) -> dict[str, np.ndarray | str]:
    """Return the map of every method, or the reason why there is none."""
    images = torch.rand(1, 3, 24, 28, generator=torch.Generator().manual_seed(1))
    wrapped = cl.wrap(model, size=(24, 28), mean=(0, 0, 0), std=(1, 1, 1))
    results: dict[str, np.ndarray | str] = {}
    for name, method in methods().items():
        options = {key: value for key, value in OPTIONS.get(name, {}).items() if key in method.options}
        layer = LAYER if method.needs_layer and not method.fuses_layers else None
        try:
            result = cl.attribute(wrapped, images, target=TARGET, method=name, layer=layer, signed=True, **options)
            results[name] = np.asarray(result[0])
        except CamlucidaError as error:
            results[name] = str(error)
    return results


def measure() -> dict[str, dict[str, Any]]:
    """Return, per source and method, the difference to the PyTorch network or the reason."""
    network = SmallNetwork().eval()
    expected = maps_of(network)
    table: dict[str, dict[str, Any]] = {}
    for source, make in model_makers(network).items():
        found = expected if source == "PyTorch" else maps_of(make())
        table[source] = {name: _difference(found[name], expected[name]) for name in expected}
    return table


def _difference(found: np.ndarray | str, expected: np.ndarray | str) -> float | str:
    if isinstance(found, str):
        return found
    if isinstance(expected, str):
        return "runs here, but not on the PyTorch network"
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def measure_all() -> dict[str, dict[str, Any]]:
    """Return the table of all sources; that of Keras on TensorFlow comes from another process."""
    table = measure()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.json"
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([sys.executable, __file__, "--json", str(file)], check=True, env=environment)
        table |= {name: rows for name, rows in json.loads(file.read_text()).items() if "tensorflow" in name}
    return {source: table[source] for source in SOURCES}


def page(table: dict[str, dict[str, Any]]) -> str:
    """Return the page."""
    reasons: dict[str, int] = {}
    lines = [
        "# What works with what",
        "",
        "<!-- Written by docs/sources.py. -->",
        "",
        "Models come from [Keras and TensorFlow](keras.md), [transformers](transformers.md), "
        "[functions, files and servers](black-boxes.md), with [several inputs](several-inputs.md) or "
        "[bands, volumes and frames](volumes-and-bands.md).",
        "",
        "The table was measured: the same weights are explained as a model of each source. ✓ means that the map equals "
        f"that of the PyTorch network to {TOLERANCE:g} of its maximum; a number is the largest difference where it is "
        "greater. Letters refer to the reasons below. A server behaves as a function does.",
        "",
        "| method | " + " | ".join(SOURCES) + " |",
        "|---|" + "---|" * len(SOURCES),
    ]
    for name in methods():
        cells = [_cell(table[source][name], name, source, reasons) for source in SOURCES]
        lines.append(f"| [`{name}`](../methods.md#{name}) | " + " | ".join(cells) + " |")
    lines += ["", "Reasons:", ""]
    lines += [f"- **{_letter(number)}**: {reason}" for reason, number in reasons.items()]
    return "\n".join(lines) + "\n"


def _cell(value: float | str, name: str, source: str, reasons: dict[str, int]) -> str:
    if isinstance(value, str):
        return _letter(reasons.setdefault(_reason(value, name), len(reasons)))
    return "✓" if value <= TOLERANCE else f"{value:.0e}"


def _reason(message: str, name: str) -> str:
    """Return the part of an error message that is the same for all methods and sources."""
    needed = re.match(rf"{name} (needs .*?), and the model is .*", message, re.DOTALL)
    if needed:
        return f"The method {needed[1]}, which models of this source do not give."
    if "it has no attention at all" in message:
        return "The method follows attention; the network of this table has none."
    return " ".join(message.split())


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"a{number - 25}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--json", help="write the table of this process's backend to a file")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.json:
        Path(given.json).write_text(json.dumps(measure()), encoding="utf-8")
        return
    text = page(measure_all())
    if given.print:
        print(text)
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
