"""Identity of models, and the arguments that `load` passes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.models.small_cnn import SmallCNN
from camlucida.models.trained_run import ModelCard, build_network, write_weights


class Holds(nn.Module):
    """Nothing but one buffer."""

    def __init__(self, name: str, value: Tensor) -> None:
        super().__init__()
        self.register_buffer(name, value)


def digest(name: str, value: Tensor) -> str:
    return cl.wrap(Holds(name, value)).weights_hash


def test_every_part_of_the_weights_changes_their_hash() -> None:
    values = torch.arange(6.0)
    hashes = [
        digest("a", values),
        digest("b", values),
        digest("a", values.reshape(2, 3)),
        digest("a", values.reshape(3, 2)),
        digest("a", values + 1),
        digest("a", values.double() + 1e-12),
        digest("a", torch.tensor([2**60])),
        digest("a", torch.tensor([2**60 + 256])),
        digest("a", torch.complex(values, values)),
    ]
    assert len(set(hashes)) == len(hashes)
    assert digest("a", values.half()) == digest("a", values)


@pytest.mark.parametrize("spec", ["toybox", "toybox:vgg"])
def test_without_training_the_weights_are_random(spec: str) -> None:
    torch.manual_seed(0)
    first = cl.load(spec, pretrained=False)
    assert first.weights_hash != cl.load(spec).weights_hash
    assert first.weights_hash != cl.load(spec, pretrained=False).weights_hash
    assert first.labels == cl.load(spec).labels


def test_the_file_of_a_run_that_is_asked_for_is_opened() -> None:
    folder = Path("runs")
    about = ModelCard("small", "linear", ("zebra", "ant", "cow"), cl.load("small", pretrained=False).preprocessing)
    about.write(folder)
    networks = {}
    for seed, name in enumerate(("model", "last", "epochs/001")):
        torch.manual_seed(seed)
        networks[name] = build_network(about, SmallCNN(10))
        write_weights(networks[name], folder / f"{name}.safetensors")
        loaded = cl.load(folder / f"{name}.safetensors")
        assert_close(loaded.network.state_dict(), networks[name].state_dict(), rtol=0, atol=0)
        assert loaded.labels == ("zebra", "ant", "cow")
    assert_close(cl.load(folder).network.state_dict(), networks["model"].state_dict(), rtol=0, atol=0)
    assert cl.load("runs/last.safetensors").spec == "runs/last.safetensors"
