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
from camlucida.data.datasets import ToyboxDataset
from camlucida.data.toybox import Toybox
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


SEEDS = (-1, 2**63, 2**70, 1.5, math.nan, "1", None, True, [0], torch.tensor([1, 2]))
"""What no seed can be."""


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)]
    return nn.Sequential(*layers).eval()


def model() -> cl.Model:
    return cl.wrap(network(), size=(24, 32), labels=[f"class {letter}" for letter in "abcde"], layer="1")


def scenes() -> ToyboxDataset:
    return ToyboxDataset(Toybox(2, 0))


MODEL, BATCH = model(), torch.randn(2, 3, 24, 32, generator=torch.Generator().manual_seed(0))

CALLS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "activations": lambda _: {"model": MODEL, "image": IMAGE},
    "attribute": lambda _: {"model": MODEL, "images": BATCH},
    "audit": lambda folder: {"model": MODEL, "data": scenes(), "out": folder / "audit"},
    "concepts": lambda _: {"model": MODEL, "images": [IMAGE], "k": 2},
    "embed": lambda folder: {"model": MODEL, "data": scenes(), "way": "pca", "out": folder / "embed"},
    "evaluate": lambda folder: {"model": MODEL, "data": scenes(), "metrics": ["entropy"], "out": folder / "evaluate"},
    "explain": lambda _: {"model": MODEL, "image": IMAGE},
    "explain_each": lambda _: {"model": MODEL, "images": [IMAGE]},
    "film": lambda _: {"models": [MODEL], "images": [IMAGE]},
    "layers": lambda _: {"model": MODEL, "size": 24},
    "list_methods": lambda _: {},
    "load": lambda _: {"spec": "toybox"},
    "load_image": lambda _: {"source": IMAGE},
    "load_video": lambda _: {"source": np.zeros((2, 3, 4), np.uint8)},
    "load_volume": lambda _: {"source": np.zeros((2, 3, 4))},
    "mistakes": lambda folder: {"model": MODEL, "data": scenes(), "out": folder / "mistakes"},
    "open_dataset": lambda _: {"spec": "toybox", "count": 2},
    "sanity": lambda _: {"model": MODEL, "images": [IMAGE], "checks": ["random_logit"], "seeds": 1},
    "top_images": lambda _: {"model": MODEL, "images": [IMAGE], "channel": 0},
    "train": lambda folder: {"data": scenes(), "out": folder / "train", "epochs": 1, "size": 24, "val": 0.5},
    "trust": lambda _: {"model": MODEL, "image": IMAGE, "n_windows": 16},
    "wrap": lambda _: {"network": network()},
}
"""For each public function the arguments of a quick call that works."""

ELSEWHERE = {
    ("load", "arch"),
    ("load", "labels"),
    ("load", "spec"),
    ("load_image", "source"),
    ("attribute", "images"),
}
"""Parameters whose wrong values have tests of their own: readers of files, images, tensors."""


def parameters() -> Iterator[tuple[str, str]]:
    for name in sorted(CALLS):
        for parameter in inspect.signature(getattr(cl, name)).parameters.values():
            if parameter.kind is not parameter.VAR_KEYWORD and (name, parameter.name) not in ELSEWHERE:
                yield name, parameter.name


def called(name: str, arguments: dict[str, Any]) -> None:
    """Call a public function, and take everything that it yields."""
    result = getattr(cl, name)(**arguments)
    if isinstance(result, Iterator):
        list(result)


CALLBACKS = {"progress", "tick", "engine"}
"""Whatever they raise reaches the caller: that is how a run is stopped."""


def raw_errors(name: str, parameter: str, values: dict[str, Any], folder: Path) -> list[str]:
    """What is raised and is no CamlucidaError, or is one without a sentence."""
    faults = []
    for number, (kind, value) in enumerate(values.items()):
        try:
            called(name, CALLS[name](folder / str(number)) | {parameter: value})
        except CamlucidaError as error:
            text = str(error)
            long = len(text) > 900 and kind != "many digits"
            if len(text.split()) < 4 or long or " object at 0x" in text:
                faults.append(f"{kind}: no sentence: {text[:200]!r}")
        except Exception as error:
            faults.append(f"{kind}: {type(error).__name__}: {str(error)[:120]}")
    return faults


def test_every_public_function_is_called() -> None:
    functions = {name for name in cl.__all__ if inspect.isfunction(getattr(cl, name))}
    assert set(CALLS) == functions


@pytest.mark.parametrize("name", sorted(set(CALLS) - {"train"}))
def test_the_call_works_as_it_stands(name: str, tmp_path: Path) -> None:
    called(name, CALLS[name](tmp_path))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "parameter"), list(parameters()))
def test_wrong_values(name: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {kind: value for kind, value in WRONG.items() if parameter not in CALLBACKS or not callable(value)}
    assert raw_errors(name, parameter, values, tmp_path) == []


@pytest.mark.parametrize("name", [n for n in sorted(CALLS) if "seed" in inspect.signature(getattr(cl, n)).parameters])
def test_no_seed(name: str, tmp_path: Path) -> None:
    for seed in SEEDS:
        with pytest.raises(CamlucidaError, match="seed is an integer from 0 to 9223372036854775807"):
            called(name, CALLS[name](tmp_path) | {"seed": seed})


@pytest.mark.parametrize("asked", [name for name, entry in cl.list_methods().items() if "seed" in entry.options])
def test_no_seed_of_a_method(asked: str) -> None:
    for seed in SEEDS:
        with pytest.raises(CamlucidaError, match="seed is an integer from 0 to 9223372036854775807"):
            cl.explain(MODEL, IMAGE, method=asked, seed=seed)  # type: ignore[arg-type]
        with pytest.raises(CamlucidaError, match="seed is an integer from 0 to 9223372036854775807"):
            attributed(asked, seed=seed)


def attributed(method: str, **options: Any) -> Any:
    return cl.attribute(MODEL, BATCH, method=method, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("asked", sorted(cl.list_methods()))
def test_wrong_options(asked: str) -> None:
    """Of every option of every method; those that run for long are refused first or cheap on this network."""
    for option in cl.list_methods()[asked].options:
        faults = []
        for kind, value in WRONG.items():
            try:
                attributed(asked, **{option: value})
            except CamlucidaError:
                continue
            except Exception as error:
                faults.append(f"{option}={kind}: {type(error).__name__}: {str(error)[:120]}")
        assert faults == []
