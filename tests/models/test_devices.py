"""Does a network run on the device that was asked for, and does everything that is computed for it follow?

There is no GPU here. `Elsewhere` is a tensor on a fake second device: it computes on the CPU, says that it is on
cuda:1, and refuses to be mixed with tensors of the CPU, as a GPU does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close
from torch.utils._pytree import tree_flatten, tree_map

import camlucida as cl
from camlucida.attribution.predictions import predict_scores
from camlucida.data.open import open_dataset
from camlucida.errors import ModelError
from camlucida.methods import methods
from camlucida.models import devices
from camlucida.models.devices import available_devices, resolve_device

FAKE = torch.device("cuda", 1)
MOVES = {Tensor.to, Tensor.cpu, Tensor.cuda}
CROSSING = {Tensor.copy_, Tensor.__getitem__, Tensor.__setitem__, Tensor.type_as}
"""Operations that accept tensors of several devices."""


class Elsewhere(Tensor):
    """A tensor on the fake device."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return FAKE

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in MOVES:
            return _moved(func, args, kwargs)
        if func is Tensor.numpy:
            raise TypeError("can't convert a tensor of cuda:1 to numpy. Use Tensor.cpu() first.")
        tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        on_cpu = [t for t in tensors if not isinstance(t, Elsewhere) and _ndim(t)]
        if on_cpu and func not in CROSSING:
            raise RuntimeError(f"Expected all tensors to be on the same device: {getattr(func, '__name__', func)}")
        kwargs = {key: value for key, value in kwargs.items() if key != "device" or value != FAKE}
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        if func is Tensor.__getitem__ and not isinstance(args[0], Elsewhere):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        return _there(result)


def _ndim(tensor: Tensor) -> int:
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.ndim


def _there(result: Any) -> Any:
    with torch._C.DisableTorchFunctionSubclass():
        return tree_map(
            lambda v: v.as_subclass(Elsewhere) if isinstance(v, Tensor) and not isinstance(v, Elsewhere) else v, result
        )


def _moved(func: Any, args: Any, kwargs: Any) -> Any:
    tensor, *rest = args
    target: Any = torch.device("cpu") if func is Tensor.cpu else FAKE if func is Tensor.cuda else None
    options: dict[str, Any] = {}
    for key, value in [*((None, value) for value in rest), *kwargs.items()]:
        if isinstance(value, Tensor):
            target, options["dtype"] = value.device, value.dtype
        elif isinstance(value, torch.device | str):
            target = torch.device(value)
        elif isinstance(value, torch.dtype):
            options["dtype"] = value
        elif key in ("copy", "memory_format"):
            options[key] = value
    with torch._C.DisableTorchFunctionSubclass():
        is_there = isinstance(tensor, Elsewhere)
        goes_there = is_there if target is None else target == FAKE
        options["copy"] = options.get("copy", False) or is_there != goes_there
        result = torch.Tensor.to(tensor.as_subclass(Tensor) if is_there else tensor, **options)
    return _there(result) if goes_there else result.as_subclass(Tensor)


class FakeDevice(TorchFunctionMode):
    """Creates and moves tensors to the fake device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch._has_compatible_shallow_copy_type:
            return False
        if func in MOVES and not any(isinstance(t, Elsewhere) for t in args):
            return _moved(func, args, kwargs)
        if kwargs.get("device") is not None and torch.device(kwargs["device"]) == FAKE:
            return _there(func(*args, **(kwargs | {"device": "cpu"})))
        return func(*args, **kwargs)


@pytest.fixture
def fake_device() -> Iterator[None]:
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with FakeDevice():
            yield
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)


HARNESS = {"lrp", "full_grad"}
"""Methods whose custom backward functions lose the class of a tensor, and with it the fake device."""
METHODS = [name for name in methods() if name not in HARNESS]
FEW = {"n": 8, "segments": 9, "steps": 5}
DATA = open_dataset("toybox", count=2, seed=0)
IMAGE = DATA[0].image

RESULTS: dict[str, Callable[[cl.Model], Any]] = {
    "explain": lambda model: cl.explain(model, IMAGE).raw,
    "predict": lambda model: predict_scores(model, IMAGE)[0],
    "activations": lambda model: cl.activations(model, IMAGE).maps,
    "top_images": lambda model: cl.top_images(model, [item.image for item in DATA], channel=0).items[0].map,
    "sanity": lambda model: [s.spearman for s in cl.sanity(model, [IMAGE], checks=["labels", "random_logit"]).steps],
    "embed": lambda model: [row["confidence"] for row in cl.embed(model, DATA).rows],
    "film": lambda model: [frame.share for frame in cl.film([model, model], DATA).takes],
    "trust": lambda model: [x.correlation for x in cl.trust(model, IMAGE, n_windows=16).noise],
    "evaluate": lambda model: [
        float(value)
        for column in cl.evaluate(
            model, DATA, methods=["grad_cam"], metrics=["insertion", "average_drop", "road", "energy"]
        )._columns.values()
        for value in column.values
    ],
}


class TestFakeDevice:
    @pytest.mark.parametrize("method", METHODS)
    def test_maps_follow(self, fake_device: None, method: str) -> None:
        torch.manual_seed(0)
        images, name = torch.rand(2, 3, 96, 96), "toybox:vit" if "attention" in method else "toybox"
        options: dict[str, Any] = {key: few for key, few in FEW.items() if key in methods()[method].options}
        expected = cl.attribute(cl.load(name, device="cpu"), images, method=method, target=1, **options)
        model = cl.load(name, device="cuda:1")
        assert {parameter.device for parameter in model.network.parameters()} == {FAKE}
        result = cl.attribute(model, images, method=method, target=1, **options)
        assert isinstance(result, Elsewhere)
        assert_close(result.cpu(), expected, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("call", RESULTS)
    def test_results_on_cpu(self, fake_device: None, call: str) -> None:
        expected = RESULTS[call](cl.load("toybox", device="cpu"))
        result = RESULTS[call](cl.load("toybox", device="cuda:1"))
        assert not isinstance(result, Elsewhere)
        assert_close(torch.as_tensor(result), torch.as_tensor(expected), rtol=1e-5, atol=1e-5, equal_nan=True)

    def test_mixing_refused(self, fake_device: None) -> None:
        """The fake device notices what it is there to notice."""
        there = torch.ones(2).to("cuda:1")
        for mix in (lambda: there + torch.ones(2), lambda: torch.cat([torch.ones(2), there]), there.numpy):
            with pytest.raises((RuntimeError, TypeError), match=r"same device|to numpy"):
                mix()


class TestLoad:
    @pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "gpu", "cuda:-1", "meta", "", 0, True])
    def test_absent_device(self, name: Any) -> None:
        if str(name) in available_devices() or (name == "cuda" and torch.cuda.is_available()):
            pytest.skip("this machine has it")
        with pytest.raises(ModelError, match=r"no device .* on this machine, which has cpu|device is auto, cpu"):
            cl.load("toybox", device=name)

    def test_absent_before_download(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
        with pytest.raises(ModelError, match="no device 'cuda:7'"):
            cl.load("resnet50", device="cuda:7")

    def test_auto(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = []
        monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(devices.torch, "zeros", lambda *_, device, **__: (seen.append(device), torch.ones(1))[1])
        assert resolve_device("auto") == resolve_device(None) == torch.device("cuda")
        monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
        assert resolve_device("auto") == torch.device("cpu")

    def test_placed_by_factory(self, fake_device: None, tmp_path: Path) -> None:
        """With auto, a network that a factory has put on a device stays there."""
        file = tmp_path / "factory.py"
        file.write_text("import torch\n\ndef make():\n    return torch.nn.Conv2d(3, 1, 1).to('cuda:1')\n")
        assert cl.load(f"python:{file}:make").network.weight.device == FAKE
        assert cl.load(f"python:{file}:make", device="cpu").network.weight.device == torch.device("cpu")

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("method", list(methods()))
    def test_cuda(self, method: str) -> None:
        images, name = torch.rand(2, 3, 96, 96), "toybox:vit" if "attention" in method else "toybox"
        options: dict[str, Any] = {key: few for key, few in FEW.items() if key in methods()[method].options}
        expected = cl.attribute(cl.load(name, device="cpu"), images, method=method, target=1, **options)
        result = cl.attribute(cl.load(name, device="cuda"), images, method=method, target=1, **options)
        assert result.device.type == "cuda"
        assert torch.cosine_similarity(result.cpu().flatten(1), expected.flatten(1)).min() > 0.99
