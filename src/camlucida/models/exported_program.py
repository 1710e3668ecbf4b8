"""Exported programs (`torch.export`, .pt2): without accessible layers, with input gradients.

`torch.export.load` resolves the operators of a file by name, evaluates its symbolic expressions as Python, and may
unpickle objects. A file is therefore read first, as text, and loaded only if it names nothing but PyTorch's operators
on tensors and arithmetic of sizes.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from camlucida.errors import ModelError
from camlucida.models.array_outputs import join_rows, select_rows
from camlucida.models.input_preprocessing import input_preprocessing
from camlucida.models.model import Model
from camlucida.models.quoting import printable
from camlucida.models.weights_digest import weights_digest
from camlucida.opaque_networks import OpaqueNetwork

MAX_JSON_BYTES = 256 * 2**20
OPERATORS = re.compile(
    r"torch\.ops\.(?:aten|prims)\.(?!save\b|from_file\b)\w+(?:\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+|"
    r"torch\._sym_\w+"
)
"""Operators that a file may name."""
SYMBOL = re.compile(
    r"[szu]?\d+|Integer|Rational|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|Eq|Ne|Le|Lt|Ge|Gt|And|Or|Not|True|"
    r"False|int_oo"
)
DECLARED = re.compile(r"Symbol\('([szu]\d+)'(?:, (?:positive|integer|nonnegative|real)=True)*\)")
NAME = re.compile(r"[^\W\d]\w*")
EXPRESSION = re.compile(r"[\w\s+\-*/(),<>=&|~]{0,2000}")
"""Symbolic sizes that a file may contain: arithmetic of numbers and of the names in `SYMBOL`."""
CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", None)
"""Types of containers of inputs and outputs that a file may name."""


class ExportedNetwork(OpaqueNetwork):
    """An exported program as a network. Programs of a fixed batch size run the images in parts of that size.

    Args:
        program: A `torch.export.ExportedProgram`; it is not modified.
        title: The name to display.
        identity: What identifies the program; "" to compute it.
    """

    reason = "an exported program"
    has_gradients = True

    def __init__(self, program: Any, title: str = "", identity: str = "") -> None:
        super().__init__()
        shape = _image_shape(program)
        self.title = title or "exported program"
        _check_eval_mode(program)
        self.program = program.module()  # shares the parameters of the program
        self.batch_size = shape[0] if isinstance(shape[0], int) else None
        self.image_size = (shape[2], shape[3]) if all(isinstance(side, int) for side in shape[2:]) else None
        self.n_channels = shape[1] if isinstance(shape[1], int) else 3
        self._identity = identity or hashlib.sha256(str(program.graph).encode()).hexdigest()

    def digest(self) -> str:
        """Return digits for the operators and the current weights."""
        return hashlib.sha256(f"{self._identity} {weights_digest(self.program)}".encode()).hexdigest()[:16]

    def forward(self, images: Tensor) -> Any:
        """Return the output of the program."""
        size = self.batch_size
        if size is None or len(images) == size:
            return self.program(images)
        outputs = []
        for part in torch.split(images, size):
            padded = torch.cat([part, part[-1:].expand(size - len(part), -1, -1, -1)])
            outputs.append(select_rows(self.program(padded), len(part)))
        return join_rows(outputs)


def exported_network(program: Any) -> ExportedNetwork:
    """Return an exported program of the user as a network."""
    return ExportedNetwork(program)


def load(path: Path) -> Model:
    """Return the network in a file of `torch.export.save`.

    Raises:
        ModelError: The file cannot be read, or loading it would run code.
    """
    try:
        content = path.read_bytes()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if reason := refusal(archive):
                raise ModelError(
                    f"{path.name} was not loaded: it {reason}, with which torch.export.load would run code from the "
                    "file. If you trust its author: wrap(torch.export.load(file))."
                )
        program = torch.export.load(io.BytesIO(content))
    except ModelError:
        raise
    except Exception as error:  # damaged files raise any type
        cause = printable(" ".join(str(error).split()), 200).rstrip(".")
        raise ModelError(
            f"{path.name} is no exported program that PyTorch {torch.__version__} can load: {cause}."
        ) from None
    network = ExportedNetwork(program, path.name, hashlib.sha256(content).hexdigest())
    return Model(network, input_preprocessing(network, None, {}))


def refusal(archive: zipfile.ZipFile) -> str:
    """Return what an archive contains that would run code when it is loaded, as the end of a sentence, or ""."""
    for entry in archive.infolist():
        name = entry.filename.rpartition("/")[2]
        if "custom_obj" in name or name in ("serialized_exported_program.json", "serialized_state_dict.pt"):
            return f"contains {printable(name)!r}"
        if entry.filename.endswith(".json"):
            if entry.file_size > MAX_JSON_BYTES:
                return f"contains {printable(name)!r} of {entry.file_size:,} bytes"
            if reason := _json_refusal(json.loads(archive.read(entry))):
                return reason
        elif _is_pickle(archive, entry):
            try:
                torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
            except Exception:
                return f"pickles objects in {printable(name)!r}"
    return ""


def _is_pickle(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a file of `torch.save`, which is an archive itself or begins with a pickle."""
    with archive.open(entry) as stream:
        return entry.filename.endswith((".pt", ".pth", ".pkl")) or stream.read(4) == b"PK\x03\x04"


def _json_refusal(content: Any) -> str:
    for key, value in _items(content):
        if key == "use_pickle" and value:
            return "pickles objects"
        if key == "guards_code" and value:
            return "contains conditions in Python"
        if key == "target" and isinstance(value, str) and not OPERATORS.fullmatch(value):
            return f"names the function {printable(value)!r}"
        if key == "expr_str" and not _is_arithmetic(value):
            return f"contains the expression {printable(value)!r}"
        if key in ("in_spec", "out_spec") and isinstance(value, str):
            for inner, kind in _items(json.loads(value or "null")):
                if inner == "type" and kind not in CONTAINERS:
                    return f"names the type {printable(kind)!r}"
    return ""


def _is_arithmetic(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    text = DECLARED.sub(r"\1", text)
    if not EXPRESSION.fullmatch(text):
        return False
    return all(SYMBOL.fullmatch(name) for name in NAME.findall(text))


def _items(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key and value of nested dicts and lists; the parts of a graph that name no function are skipped."""
    if isinstance(content, dict):
        is_node = "inputs" in content and "outputs" in content
        for key, value in content.items():
            if key != "target" or is_node:
                yield key, value
            yield from _items(value)
    elif isinstance(content, list):
        for value in content:
            yield from _items(value)


def _image_shape(program: Any) -> tuple[Any, ...]:
    """Return the shape of the only input: integers, and symbols for sides that may vary."""
    names = program.graph_signature.user_inputs
    nodes = [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]
    values = [node.meta.get("val") for node in nodes]
    if len(values) != 1 or not isinstance(values[0], Tensor) or values[0].ndim != 4:
        raise ModelError(
            f"the exported program takes {len(names)} input{'s' * (len(names) != 1)}, and only one batch of images "
            "(b, c, H, W) can be passed. Wrap a function that fills the others."
        )
    return tuple(side if isinstance(side, int) else None for side in values[0].shape)


def _check_eval_mode(program: Any) -> None:
    """Raise `ModelError` if the program was exported in train mode, so that scores depend on the batch."""
    for node in program.graph.nodes:
        name, arguments = str(node.target), node.args
        position = {"aten.batch_norm.default": 5, "aten.dropout.default": 2}.get(name)
        if position is not None and len(arguments) > position and arguments[position] is True:
            raise ModelError(
                "the exported program was exported in train mode, in which its scores depend on the batch. Export "
                "network.eval()."
            )
