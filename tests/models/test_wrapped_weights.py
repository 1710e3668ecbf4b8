"""Weights are found in any nesting that training scripts write, and nothing else is used."""

from __future__ import annotations

import argparse
import collections
import datetime
import itertools
import pathlib
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.testing import assert_close
from torchvision import models as zoo

import camlucida as cl
from camlucida.cli.commands import main
from camlucida.errors import CheckpointWarning, ModelError
from camlucida.models.small_cnn import SmallCNN

State = Mapping[str, Any]


def network(seed: int = 1) -> nn.Module:
    torch.manual_seed(seed)
    created = SmallCNN(10).eval()
    with torch.no_grad():
        for value in created.buffers():
            if value.is_floating_point():
                value.add_(torch.rand_like(value))
    return created


def loaded(content: Any, arch: str = "small", file: str = "run.pth") -> dict[str, Tensor]:
    torch.save(content, file)
    return cl.load(file, arch=arch).network.state_dict()


def prefixed(state: State, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state.items()}


PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.", "classifier.net.")
WRAPPERS = ("state_dict", "model_state_dict", "model", "params", "params_ema", "network", "net", "model_ema",
            "state_dict_ema", "teacher", "ema", "weights", "generator")  # fmt: skip


@pytest.mark.parametrize("wrapper", ["", *WRAPPERS])
def test_any_two_prefixes_within_any_wrapper(wrapper: str) -> None:
    state = network().state_dict()
    pairs = [*itertools.permutations(PREFIXES, 2)][WRAPPERS.index(wrapper) if wrapper else 0 :: 11]
    for first, second in (("", ""), *((first, "") for first in PREFIXES[:3]), *pairs):
        content: Any = prefixed(state, first + second)
        content = (
            {"epoch": 3, wrapper: content, "optimizer": {"state": {0: {}}, "param_groups": []}} if wrapper else content
        )
        assert_close(loaded(content), state, rtol=0, atol=0)


def test_dictionaries_in_dictionaries() -> None:
    state = network().state_dict()
    content: Any = prefixed(state, "module.")
    for wrapper in ("params", "model", "state_dict", "checkpoint"):
        content = {wrapper: content, "best": 0.5}
    assert_close(loaded(content), state, rtol=0, atol=0)
    content["itself"] = content
    assert_close(loaded(content), state, rtol=0, atol=0)


def test_wrappers_around_a_part_of_the_network() -> None:
    """As PyTorch's ImageNet example does with AlexNet and VGG: only the features run in parallel."""
    state = network().state_dict()
    half = {key.replace("features.", "features.module."): value for key, value in state.items()}
    assert_close(loaded(half), state, rtol=0, atol=0)
    half = {key.replace("features.", "features._orig_mod.module."): value for key, value in state.items()}
    assert_close(loaded({"state_dict": half}), state, rtol=0, atol=0)


def test_what_torch_itself_wraps() -> None:
    given = network()
    for wrapped in (AveragedModel(given), nn.DataParallel(given), torch.compile(given), nn.Sequential(given)):
        assert_close(loaded(wrapped.state_dict()), given.state_dict(), rtol=0, atol=0)


def test_a_lightning_file_with_a_loss_weight() -> None:
    state = network().state_dict()
    content = {
        "state_dict": {**prefixed(state, "model."), "criterion.weight": torch.ones(10)},
        "hyper_parameters": {"lr": 0.1},
        "pytorch-lightning_version": "2.4.0",
    }
    with pytest.warns(CheckpointWarning, match=r"of state_dict\.model were used; .* ignored: criterion\.weight\."):
        assert_close(loaded(content), state, rtol=0, atol=0)
    plain = {"state_dict": {**state, "loss_fn.weight": torch.ones(10)}}
    with pytest.warns(CheckpointWarning, match=r"ignored: loss_fn\.weight\."):
        assert_close(loaded(plain), state, rtol=0, atol=0)


def test_the_note_is_a_sentence_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({**network().state_dict(), "loss.weight": torch.ones(10)}, "run.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.raises(SystemExit) as stopped:
            main(["layers", "run.pth", "--arch", "small"])
    assert stopped.value.code == 0
    err = capsys.readouterr().err
    assert err == "Note: run.pth: not part of the network and ignored: loss.weight.\n"


def test_other_keys_are_not_dropped() -> None:
    state = network().state_dict()
    with pytest.raises(ModelError, match=r"it has attention\.weight, which the network does not"):
        loaded({**state, "attention.weight": torch.ones(3)})
    with pytest.raises(ModelError, match=r"does not fit Small"):
        loaded(prefixed({**state, "attention.weight": torch.ones(3)}, "model."))


@pytest.mark.parametrize(
    ("first", "second"),
    [("model_ema", "model"), ("state_dict_ema", "state_dict"), ("teacher", "student"), ("params_ema", "params"),
     ("ema_model", "online_model"), ("model", "student")],
)  # fmt: skip
@pytest.mark.parametrize("turned", [False, True])
def test_averaged_weights_come_first_and_it_is_said(first: str, second: str, turned: bool) -> None:
    expected, other = network(1).state_dict(), network(2).state_dict()
    parts = [(first, expected), (second, other)]
    content = dict(reversed(parts) if turned else parts)
    with pytest.warns(CheckpointWarning, match=rf"the weights of {first} were used; .* the weights of {second}\.$"):
        assert_close(loaded(content), expected, rtol=0, atol=0)
    flat = {**prefixed(content[second], f"{second}."), **prefixed(content[first], f"{first}.")}
    with pytest.warns(CheckpointWarning, match=rf"the weights of state_dict\.{first} were used"):
        assert_close(loaded({"state_dict": flat}), expected, rtol=0, atol=0)


def test_two_networks_that_fit_equally_well_are_refused() -> None:
    content = {"left": network(1).state_dict(), "right": network(2).state_dict()}
    with pytest.raises(ModelError, match=r"contains several networks that fit: left, right\. Save the intended one"):
        loaded(content)
    same = {"left": network(1).state_dict(), "right": network(1).state_dict()}
    assert_close(loaded(same), network(1).state_dict(), rtol=0, atol=0)


def test_a_prefix_and_another_number_of_classes() -> None:
    given = SmallCNN(7)
    state = prefixed(given.state_dict(), "module.model.")
    torch.save({"state_dict": state}, "run.pth")
    assert_close(cl.load("run.pth", arch="small").network.state_dict(), given.state_dict(), rtol=0, atol=0)


def test_another_width_behind_a_prefix_is_no_fit() -> None:
    state = prefixed(SmallCNN(10, (8, 16, 24, 32)).state_dict(), "model.")
    with pytest.raises(ModelError, match=r"features.0.weight is \(8, 3, 4, 4\) in the file"):
        loaded(state)


def test_densenets_older_names_behind_a_prefix() -> None:
    given = zoo.densenet121(num_classes=3)
    old = {
        f"module.{key}".replace("norm1", "norm.1").replace("conv2", "conv.2"): v
        for key, v in given.state_dict().items()
    }
    assert_close(loaded(old, "densenet121"), given.state_dict(), rtol=0, atol=0)


def test_arrays_of_numpy_are_weights() -> None:
    state = network().state_dict()
    assert_close(loaded({key: value.numpy() for key, value in state.items()}), state, rtol=0, atol=0)


def test_safetensors_under_any_name_and_the_other_way_round() -> None:
    state = network().state_dict()
    save_file(prefixed(state, "model."), "model.bin")
    assert_close(cl.load("model.bin", arch="small").network.state_dict(), state, rtol=0, atol=0)
    assert_close(loaded(state, file="run.safetensors"), state, rtol=0, atol=0)


HARMLESS: Mapping[str, Callable[[], Any]] = {
    "arguments": lambda: argparse.Namespace(lr=0.1, out=Path("runs/x"), sizes=[1, 2]),
    "namespace": lambda: types.SimpleNamespace(a=1),
    "path": lambda: Path("/data/images"),
    "pure paths": lambda: [pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("C:/x")],
    "numpy scalars": lambda: [np.float64(0.9), np.int64(3), np.bool_(True), np.float32(1), np.uint8(1)],
    "numpy arrays": lambda: [np.arange(3), np.ones((2, 2), np.float32), np.array(["a", "b"]), np.array(5)],
    "numpy types": lambda: [np.dtype("float32"), np.dtype("int64")],
    "collections": lambda: [collections.OrderedDict(a=1), collections.Counter("aab"), collections.deque([1], 3),
                            collections.defaultdict(list, a=[1]), {1, 2}, frozenset({3})],
    "dates": lambda: [datetime.datetime(2026, 1, 2, 3, 4), datetime.date(2026, 1, 2), datetime.timedelta(seconds=5)],
    "torch": lambda: [torch.device("cpu"), torch.float16, torch.Size([1, 2])],
    "integer keys": lambda: {0: torch.zeros(1), (1, 2): 3},
}  # fmt: skip


@pytest.mark.parametrize("extra", HARMLESS)
@pytest.mark.parametrize("new", [True, False])
def test_harmless_extras(extra: str, new: bool) -> None:
    state = network().state_dict()
    torch.save({"args": HARMLESS[extra](), "model": state}, "run.pth", _use_new_zipfile_serialization=new)
    assert_close(cl.load("run.pth", arch="small").network.state_dict(), state, rtol=0, atol=0)


@pytest.mark.parametrize("old", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_the_names_of_older_and_newer_numpy(old: str) -> None:
    torch.save(
        {"best": np.float64(0.5), "model": network().state_dict()}, "run.pth", _use_new_zipfile_serialization=False
    )
    content = Path("run.pth").read_bytes()
    assert b"numpy._core.multiarray" in content or b"numpy.core.multiarray" in content
    for name in (b"numpy._core.multiarray", b"numpy.core.multiarray"):
        content = content.replace(name + b"\nscalar", old.encode() + b"\nscalar")
    Path("run.pth").write_bytes(content)
    assert_close(cl.load("run.pth", arch="small").network.state_dict(), network().state_dict(), rtol=0, atol=0)


def test_nothing_stays_allowed_afterwards() -> None:
    loaded({"args": argparse.Namespace(a=1), "model": network().state_dict()})
    assert argparse.Namespace not in torch.serialization.get_safe_globals()
    with pytest.raises(Exception, match=r"argparse\.Namespace"):
        torch.load("run.pth", weights_only=True)
