"""ONNX models, run by ONNX Runtime: from a file, or from a session of the user."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from camlucida._optional import need
from camlucida.errors import ModelError
from camlucida.models.black_box import BlackBox
from camlucida.models.input_preprocessing import GREY_MEAN, input_preprocessing
from camlucida.models.model import Model
from camlucida.models.preprocessing import IMAGENET_MEAN
from camlucida.models.quoting import printable

INPUT_TYPES: dict[str, Any] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
"""Types of inputs that hold images, with that of their arrays."""
IMAGE_CHANNELS = (1, 3)
LABEL_KEYS = ("class_names", "classes", "labels", "names", "id2label")
"""Keys of the metadata under which exporters store class names."""
MAX_LABELS_LETTERS = 4_000_000
MAX_CAUSE_LETTERS = 200
_LOCATION = re.compile(rb"\x0a\x08location\x12(.)(.{0,127})", re.DOTALL)
"""The name of a file with weights in a protobuf message: the entry "location" of `TensorProto.external_data`."""


class OnnxNetwork(BlackBox):
    """A session of ONNX Runtime as a network without layers and gradients.

    Args:
        session: An `onnxruntime.InferenceSession` with one input that holds images `(b, c, H, W)` or `(b, H, W, c)`.
        title: The name to display.
        identity: What identifies the model; "" for a session of unknown origin, which has an identity of its own.
        reopen: Returns a session of the same model on other providers.
    """

    def __init__(
        self,
        session: Any,
        title: str = "",
        identity: str = "",
        reopen: Callable[[list[str]], Any] | None = None,
    ) -> None:
        entry = _image_input(session)
        shape = list(entry.shape)
        reason = "an ONNX Runtime session"
        channels_last = _is_channels_last(shape, session, entry)
        size = shape[1:3] if channels_last else shape[2:]
        n_channels = shape[3 if channels_last else 1]
        dtype = INPUT_TYPES[entry.type]
        run = _Runner(session, entry.name, dtype, channels_last)
        super().__init__(
            run, reason=reason, title=title or "ONNX model", batch_size=shape[0] if _is_size(shape[0]) else None
        )
        self.is_fixed = True
        self.image_size = (size[0], size[1]) if all(map(_is_size, size)) else None
        self.n_channels = n_channels if _is_size(n_channels) else 3
        self.takes_pixels = dtype is np.uint8
        self.labels = _stored_labels(session)
        self._identity = identity or super().digest()
        self._runner, self._reopen = run, reopen

    def digest(self) -> str:
        """Return the digits that identify the model in the file, or this session."""
        return self._identity

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Run on a GPU if one is named and ONNX Runtime can use it; other arguments have no effect."""
        device = kwargs.get("device", args[0] if args else None)
        on_gpu = isinstance(device, str | torch.device) and torch.device(device).type == "cuda"
        if on_gpu and self._reopen is not None:
            runtime = need("onnxruntime", extra="onnx", what="an ONNX model")
            if "CUDAExecutionProvider" in runtime.get_available_providers():
                self._runner.session = self._reopen(["CUDAExecutionProvider", "CPUExecutionProvider"])
        return self


class _Runner:
    """Runs a session on float32 images `(b, c, H, W)`."""

    def __init__(self, session: Any, name: str, dtype: Any, channels_last: bool) -> None:
        self.session, self.name, self.dtype, self.channels_last = session, name, dtype, channels_last
        self.outputs = [output.name for output in session.get_outputs()]

    def __call__(self, images: Tensor) -> Any:
        if self.dtype is np.uint8:
            mean = torch.tensor(IMAGENET_MEAN if images.shape[1] == 3 else GREY_MEAN * images.shape[1])
            images = ((images + mean[:, None, None]) * 255).round().clamp(0, 255)
        if self.channels_last:
            images = images.permute(0, 2, 3, 1)
        array = np.ascontiguousarray(images.numpy().astype(self.dtype))
        found = dict(zip(self.outputs, self.session.run(None, {self.name: array}), strict=True))
        if len(found) == 1:
            return next(iter(found.values()))
        # Other outputs, such as lists of dicts, or boxes of all images in one table, hold no scores per image.
        return {
            name: value
            for name, value in found.items()
            if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim and len(value) == len(array)
        }


def load(path: Path) -> Model:
    """Return the model in an ONNX file. Nothing in it is executed but the operators of ONNX.

    Raises:
        ModelError: ONNX Runtime cannot load the file, or it does not take one batch of images.
        MissingExtra: ONNX Runtime is not installed.
    """
    runtime = need("onnxruntime", extra="onnx", what=f"the ONNX model {path.name}")
    identity = _file_digest(path)

    def open_session(providers: list[str]) -> Any:
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = torch.get_num_threads()
        return runtime.InferenceSession(str(path), options, providers=providers)

    try:
        session = open_session(["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises several types, none of which is public
        cause = printable(
            re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split())), MAX_CAUSE_LETTERS
        )
        raise ModelError(
            f"ONNX Runtime {runtime.__version__} cannot load {path.name}: {cause.rstrip('.')}. Export it "
            "again, with an opset that this version supports, and keep files with external data beside it."
        ) from None
    network = OnnxNetwork(session, path.name, identity, open_session)
    return Model(network, input_preprocessing(network, None, {}), network.labels)


def _image_input(session: Any) -> Any:
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(printable(entry.name) for entry in inputs)
        raise ModelError(
            f"the ONNX model has {len(inputs)} inputs ({names}), and only images can be passed. Wrap a function that "
            "fills the others: wrap(lambda images: session.run(None, {…})[0])."
        )
    (entry,) = inputs
    if entry.type not in INPUT_TYPES or len(entry.shape) != 4:
        raise ModelError(
            f"the input {printable(entry.name)!r} of the ONNX model is {_input_text(entry)}, and images are a "
            f"tensor of four axes, "
            "float or uint8. Wrap a function: wrap(lambda images: session.run(None, {…})[0])."
        )
    return entry


def _input_text(entry: Any) -> str:
    return f"{entry.type} {'×'.join(printable(side) for side in entry.shape) or 'of one number'}"


def _is_size(side: Any) -> bool:
    return isinstance(side, int) and side > 0


def _is_channels_last(shape: list[Any], session: Any, entry: Any) -> bool:
    """Return whether the channels are the last axis: by their number, or by trying where no axis has a number.

    Raises:
        ModelError: Both are possible.
    """
    first, last = (_is_size(shape[axis]) and shape[axis] in IMAGE_CHANNELS for axis in (1, 3))
    if first != last:
        return last
    if not first and all(map(_is_size, shape[1:])) and (shape[2] == shape[3]) != (shape[1] == shape[2]):
        return bool(shape[1] == shape[2])  # square images with other channels
    if not first:
        runs = [_runs(session, entry, (1, 3, 224, 224)), _runs(session, entry, (1, 224, 224, 3))]
        if runs[0] != runs[1]:
            return runs[1]
    raise ModelError(
        f"the input of the ONNX model is {_input_text(entry)}, in which the channels may be the second or the "
        f"last axis. "
        "Wrap a function that says which: wrap(lambda images: session.run(None, {name: images.numpy()})[0])."
    )


def _runs(session: Any, entry: Any, shape: tuple[int, ...]) -> bool:
    sides = [known if _is_size(known) else side for known, side in zip(entry.shape, shape, strict=True)]
    try:
        session.run(None, {entry.name: np.zeros(sides, INPUT_TYPES[entry.type])})
    except Exception:
        return False
    return True


def _stored_labels(session: Any) -> tuple[str, ...]:
    """Return the class names in the metadata of a model, if there is one per class of its first output."""
    metadata = session.get_modelmeta().custom_metadata_map
    shape = session.get_outputs()[0].shape
    for key in LABEL_KEYS:
        names = _names(metadata.get(key, ""))
        if names and (not shape or not _is_size(shape[-1]) or shape[-1] == len(names)):
            return names
    return ()


def _names(text: str) -> tuple[str, ...]:
    """Return names in a list, or in a dict by index, in JSON or as ultralytics writes it (a literal of Python)."""
    value: Any = None
    for parse in (json.loads, ast.literal_eval):
        try:
            value = parse(text) if 0 < len(text) <= MAX_LABELS_LETTERS else None
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    if isinstance(value, Mapping):
        by_index = {str(key): name for key, name in value.items()}
        value = [by_index.get(str(i)) for i in range(len(by_index))]
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        return ()
    return tuple(printable(name) for name in value)


def _file_digest(path: Path) -> str:
    """Return the first digits of the SHA-256 of a file and of the files with its external data.

    Raises:
        ModelError: A file cannot be read, or external data lie outside of the folder.
    """
    digest = hashlib.sha256()
    try:
        content = path.read_bytes()
        digest.update(content)
        for name in sorted(set(_external_files(content))):
            inside = path.parent / name
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise ModelError(f"{path.name} names external data outside of its folder: {printable(name)!r}.")
            if inside.is_file():
                digest.update(name.encode() + b"\0")
                with inside.open("rb") as stream:
                    while block := stream.read(2**22):
                        digest.update(block)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from None
    return digest.hexdigest()[:16]


def _external_files(content: bytes) -> Iterator[str]:
    for match in _LOCATION.finditer(content):
        yield match[2][: match[1][0]].decode("utf-8", "replace")
