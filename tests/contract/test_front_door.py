"""Every public function with wrong values of every parameter: a CamlucidaError or a result, never a raw error."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import camlucida as cl
from camlucida.data.toybox.dataset import Scenes
from camlucida.data.toybox.scenes import Toybox
from camlucida.errors import CamlucidaError

IMAGE = Image.fromarray((np.arange(24 * 32 * 3) % 251).astype(np.uint8).reshape(24, 32, 3))


class Opaque:
    """A value that nothing can be done with."""


WRONG: dict[str, Any] = {
    "none": None,
    "empty list": [],
    "empty dict": {},
    "empty text": "",
    "negative": -1,
    "zero": 0,
    "huge": 2**70,
    "nan": math.nan,
    "inf": math.inf,
    "float": 1.5,
    "true": True,
    "word": "nothing-of-the-kind",
    "top0": "top0",
    "digits": "²",
    "many digits": "9" * 5000,
    "dashes": "--3",
    "null byte": "a\0b",
    "bytes": b"\xff",
    "list": [None, [], Opaque],
    "nested": [[["x"]]],
    "set": {1, "a"},
    "mapping": {"n": -1},
    "object": Opaque(),
    "class": Opaque,
    "function": lambda: None,
    "scalar": torch.tensor(1.5),
    "vector": torch.randn(7),
    "no elements": torch.empty(0),
    "five axes": torch.randn(1, 2, 3, 4, 5),
    "array": np.full((3, 3, 3, 3), np.nan),
}
"""Values that at most a few parameters accept."""


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    return nn.Sequential(*layers).eval()


def model() -> cl.Model:
    return cl.wrap(network(), size=(24, 32), labels=[f"class {i}" for i in "abcde"])


def scenes() -> Scenes:
    return Scenes(Toybox(2, 0))
