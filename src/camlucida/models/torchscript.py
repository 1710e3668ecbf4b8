"""TorchScript networks (`torch.jit.script`, `torch.jit.trace`): without accessible layers, with input gradients."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.input_preprocessing import input_preprocessing
from camlucida.models.model import Model
from camlucida.models.weights_digest import weights_digest
from camlucida.opaque_networks import OpaqueNetwork

FILE_OPERATIONS = re.compile(rb"\b(save|from_file)\b")
"""Operators of TorchScript that write to files or read them; no network that classifies images needs them."""
MAX_CODE_BYTES = 64 * 2**20


class ScriptedNetwork(OpaqueNetwork):
    """A scripted or traced network, which cannot run hooks, so that its layers cannot be accessed.

    Args:
        script: The network. It is neither copied nor modified, and must be in eval mode whenever it runs.
        title: The name to display.
        identity: What identifies the code and the constants of the network; "" to compute it.
    """

    reason = "a TorchScript network"
    has_gradients = True

    def __init__(self, script: Any, title: str = "", identity: str = "") -> None:
        super().__init__()
        self.script = script
        self.title = title or str(getattr(script, "original_name", "") or getattr(script, "name", ""))
        self._identity = identity

    def digest(self) -> str:
        """Return digits for the code and constants, which cannot change, and for the current weights."""
        if not self._identity:
            self._identity = hashlib.sha256(self.script.save_to_buffer()).hexdigest()
        weights = weights_digest(self.script) if isinstance(self.script, nn.Module) else ""
        return hashlib.sha256(f"{self._identity} {weights}".encode()).hexdigest()[:16]

    def forward(self, images: Tensor) -> Any:
        """Return the output of the network.

        Raises:
            ModelError: The network is in train mode.
        """
        if isinstance(self.script, nn.Module) and any(getattr(m, "training", False) for m in self.script.modules()):
            raise ModelError(
                "the TorchScript network is in train mode, in which its scores depend on the batch, and "
                "explaining does "
                "not change its mode. Call .eval() first."
            )
        return self.script(images)


def load(path: Path) -> Model:
    """Return the network in a TorchScript archive.

    TorchScript is a language of its own: loading runs no Python and unpickles no code. Its operators that access files
    are refused before anything in the file runs.

    Raises:
        ModelError: The file cannot be read, or its code accesses files.
    """
    try:
        content = path.read_bytes()
        check_code(content, path.name)
        load_archive: Any = torch.jit.load  # untyped
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch.jit is deprecated, and files of it are not
            script = load_archive(io.BytesIO(content), map_location="cpu").eval()
    except (OSError, RuntimeError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{path.name} is a TorchScript archive that PyTorch {torch.__version__} cannot load: {cause}."
        ) from None
    network = ScriptedNetwork(script, path.name, hashlib.sha256(content).hexdigest())
    return Model(network, input_preprocessing(network, None, {}))


def check_code(content: bytes, name: str) -> None:
    """Raise `ModelError` if the code in a TorchScript archive accesses files."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        code = [entry for entry in archive.infolist() if entry.filename.endswith(".py")]
        if sum(entry.file_size for entry in code) > MAX_CODE_BYTES:
            raise ModelError(f"{name} holds more than {MAX_CODE_BYTES // 2**20} MiB of code, which no network needs.")
        for entry in code:
            if match := FILE_OPERATIONS.search(archive.read(entry)):
                raise ModelError(
                    f"{name} was not loaded: its code names {match[1].decode()!r}, an operator of TorchScript that "
                    "accesses files."
                )
