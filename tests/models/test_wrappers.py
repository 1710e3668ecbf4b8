"""Are objects that contain a network named for what they are, with what to pass instead?"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import camlucida as cl
from camlucida.errors import CamlucidaError, ModelError


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def of_class(module: str, name: str, bases: tuple[type, ...] = (object,)) -> Any:
    """An object of a class with that name in that package, with a network in its attribute `model`."""
    value: Any = type(name, bases, {"__module__": module, "forward": lambda self, x: self.model(x)})()
    value.model = network()
    return value


IMAGES = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


class TestWrappers:
    @pytest.mark.parametrize("bases", [(object,), (nn.Module,)])
    @pytest.mark.parametrize("module", ["ultralytics.models.yolo.model", "ultralytics.engine.model", "ultralytics"])
    def test_ultralytics(self, module: str, bases: tuple[type, ...]) -> None:
        wrapper = of_class(module, "YOLO", bases)
        for call in (lambda: cl.wrap(wrapper), lambda: cl.attribute(wrapper, IMAGES), lambda: cl.Model(wrapper)):
            with pytest.raises(ModelError, match=r"YOLO is the wrapper of ultralytics.*yolo\.model"):
                call()

    def test_subclass(self) -> None:
        base = type(of_class("ultralytics.engine.model", "Model", (nn.Module,)))
        with pytest.raises(ModelError, match="ultralytics"):
            cl.wrap(of_class("my.package", "Mine", (base,)))

    def test_network_inside(self) -> None:
        """The networks of ultralytics are modules as any other."""
        assert isinstance(
            cl.attribute(of_class("ultralytics.nn.tasks", "ClassificationModel", (nn.Module,)), IMAGES), torch.Tensor
        )

    def test_other_container(self) -> None:
        with pytest.raises(ModelError, match=r"Pipeline contains a network and is none itself: .*attribute model"):
            cl.wrap(of_class("transformers.pipelines", "Pipeline"))
        with pytest.raises(ModelError, match=r"needs a torch.nn.Module, not int"):
            cl.wrap(3)  # type: ignore[arg-type]


class TestMissingFiles:
    @pytest.mark.parametrize("name", ["net.onnx", "net.keras", "net.h5", "net.KERAS", "net.tflite"])
    def test_named(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match=re.escape(f"the file '{name}' does not exist")):
            cl.load(name)


class TestQuantised:
    @pytest.mark.parametrize("layer", ["ao.nn.quantized", "ao.nn.quantized.dynamic", "ao.nn.intrinsic.quantized"])
    def test_refused(self, layer: str) -> None:
        whole, module = network(), torch
        for part in layer.split("."):
            module = getattr(module, part)
        kind = module.ConvReLU2d if "intrinsic" in layer else module.Linear  # type: ignore[attr-defined]
        quantised = kind.__new__(kind)
        nn.Module.__init__(quantised)
        whole.add_module("4", quantised)
        for method in ("grad_cam", "score_cam", "gradient"):
            with pytest.raises(ModelError, match=r"quantised: its layer '4' is a .* Explain the floating-point"):
                cl.attribute(whole, IMAGES, method=method)


class FixedBatch(nn.Module):
    def __init__(self, n: int) -> None:
        super().__init__()
        self.features, self.head, self.n = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Linear(16, 3), n

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(nn.functional.adaptive_avg_pool2d(self.features(x), 2).reshape(self.n, 16))


class TestFixedBatch:
    @pytest.mark.parametrize(("n", "others"), [(1, "2, 3"), (2, "1, 3"), (4, "1, 2, 3"), (16, "1, 2, 3")])
    @pytest.mark.parametrize("method", ["score_cam", "rise"])
    def test_named(self, n: int, others: str, method: str) -> None:
        with pytest.raises(ModelError, match=rf"fixed batch size: it runs on {n} images? at once, and not on {others}"):
            cl.attribute(FixedBatch(n), IMAGES[:1], method=method, target=0)

    def test_front_door(self) -> None:
        model = cl.wrap(FixedBatch(4).eval(), size=16)
        with pytest.raises(ModelError, match="fixed batch size: it runs on 4 images at once"):
            cl.explain(model, torch.zeros(16, 16, 3, dtype=torch.uint8).numpy())

    def test_one_image_at_a_time(self) -> None:
        """What runs no other batch works."""
        assert isinstance(cl.attribute(FixedBatch(1), IMAGES[:1], target=0), torch.Tensor)

    def test_other_errors_pass(self) -> None:
        class Broken(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                raise RuntimeError("of its own")

        with pytest.raises(RuntimeError, match="of its own"):
            cl.attribute(nn.Sequential(nn.Conv2d(3, 4, 3), Broken()), IMAGES, target=0)


class TestScripted:
    def test_layer_inside(self) -> None:
        with _quiet():
            part = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
        whole = nn.Sequential(
            part, nn.Conv2d(4, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )
        for layer, what in (("0", "is a scripted part"), ("0.0", "is inside the scripted part '0'")):
            with pytest.raises(CamlucidaError, match=rf"'{layer}' {what} .*cannot be observed"):
                cl.attribute(whole, IMAGES, layer=layer, target=0)
        assert isinstance(cl.attribute(whole, IMAGES, target=0), torch.Tensor)

    def test_no_layer_outside(self) -> None:
        with _quiet():
            part = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)))
        with pytest.raises(CamlucidaError, match=r"scripted parts \(torch.jit: '0'\)"):
            cl.attribute(nn.Sequential(part, nn.Flatten(), nn.Linear(4, 3)), IMAGES, target=0)


def _quiet() -> Any:
    return warnings.catch_warnings(action="ignore")
