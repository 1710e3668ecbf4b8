"""The trained networks inside the package. scripts/train_toybox.py made them; its log has their numbers."""

from __future__ import annotations

from importlib.resources import as_file, files

from safetensors import SafetensorError, safe_open
from torch import nn

from camlucida.errors import ModelError
from camlucida.models.toybox_nets import ARCHITECTURES, build

NETWORKS: tuple[str, ...] = tuple(ARCHITECTURES)
"""The names that `load_network` knows."""


def load_network(name: str) -> tuple[nn.Module, dict[str, str]]:
    """A trained network in eval mode (float32, on the CPU), and what its file says about it.

    The second value holds, all as text: architecture, classes (JSON list), input_size (pixels), mean and std
    (JSON lists, RGB in 0..1), test_accuracy, seed, script, commit and trained_on.
    """
    network = build(name)
    with as_file(files("camlucida.models") / "weights" / f"toybox_{name}.safetensors") as path:
        try:
            with safe_open(str(path), framework="pt") as stored:
                metadata = dict(stored.metadata() or {})
                state = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 (not a dict)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"The weights of the built-in network {name!r} cannot be read from {path} ({error}). "
                f"Install camlucida again, or make them with scripts/train_toybox.py."
            ) from error
    # the file holds half floats to stay small; copying into the module makes them float32 again
    network.load_state_dict(state)
    return network.eval(), metadata
