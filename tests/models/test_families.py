"""Every argument of `wrap` has an effect on a model of every family, or is an error; `explain` wraps as `wrap` does."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models.families import FAMILIES, WrapOptions, family_of
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.volume_preprocessing import VolumePreprocessing

from .captions.small_networks import IMAGE_TOKEN, llava
from .detection.small_detectors import small_detector


class Plain(nn.Module):
    """A classifier of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(self.features(x).mean((2, 3)))
        return scores


def _keras() -> Any:
    keras = pytest.importorskip("keras", reason="needs Keras (extra keras)")
    if keras.backend.backend() not in ("torch", "tensorflow"):
        pytest.skip("needs Keras on torch or TensorFlow")
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((16, 16, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, name="features"),
         layers.GlobalAveragePooling2D(), layers.Dense(3)]
    )  # fmt: skip


def _transformers_detector() -> Any:
    return small_detector(pytest.importorskip("transformers"), "detr")


def _ultralytics() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_OFFLINE", "true")
        patch.setenv("YOLO_CONFIG_DIR", tempfile.mkdtemp())
        tasks = pytest.importorskip("ultralytics.nn.tasks", reason="needs ultralytics (extra ultralytics)")
        return tasks.DetectionModel("yolov8n.yaml", nc=3, verbose=False)


def _torchvision_detector() -> Any:
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    return ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=4)


def _segmentation() -> Any:
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3)


MAKE: dict[str, Callable[[], Any]] = {
    "keras": _keras,
    "plain": Plain,
    "segmentation": _segmentation,
    "torchvision detector": _torchvision_detector,
    "transformers detector": _transformers_detector,
    "ultralytics": _ultralytics,
}
LAYERS = {
    "keras": "features",
    "plain": "features",
    "segmentation": "backbone.0",
    "torchvision detector": "backbone",
    "transformers detector": "network.model.encoder",
    "ultralytics": "network.model.4",
}
DETECTORS = ["torchvision detector", "transformers detector", "ultralytics"]
GIVEN: dict[str, Any] = {
    "preprocess": Preprocessing(size=(48, 48), resize=48),
    "labels": ["a", "b", "c"],
    "output": 0,
    "task": "regression",
    "probabilities": True,
    "name": "mine",
    "tokenizer": lambda texts: torch.zeros(len(texts), 4, dtype=torch.long),
    "numbers": {"size": 64, "mean": (0.0, 0.0, 0.0)},
}
REFUSED = {
    **{name: {"image", "task", "probabilities", "volume", "tokenizer"} for name in DETECTORS},
    "keras": {"tokenizer"},
    "plain": {"tokenizer"},
    "segmentation": {"tokenizer"},
}


@pytest.fixture(scope="module")
def networks() -> dict[str, Any]:
    return {}


def network_of(networks: dict[str, Any], family: str) -> Any:
    if family not in networks:
        torch.manual_seed(0)
        networks[family] = MAKE[family]()
    return networks[family]


def given_value(family: str, name: str, network: Any) -> Any:
    if name == "layer":
        layer = LAYERS[family]
        return layer.removeprefix("network.") if family == "torchvision detector" else layer
    if name == "image":
        return next(iter(inspect.signature(network.call if family == "keras" else network.forward).parameters))
    if name == "volume":
        return VolumePreprocessing(size=(8, 16, 16))
    return GIVEN[name]


def asked(model: Model) -> dict[str, Any]:
    """What a model says, without its network."""
    return {field.name: getattr(model, field.name) for field in fields(model) if field.name != "network"}


@pytest.mark.parametrize("name", sorted(f.name for f in fields(WrapOptions)))
@pytest.mark.parametrize("family", sorted(MAKE))
def test_an_argument_has_an_effect_or_is_an_error(networks: dict[str, Any], family: str, name: str) -> None:
    network = network_of(networks, family)
    value = given_value(family, name, network)
    arguments = value if name == "numbers" else {name: value}
    if name in REFUSED[family]:
        with pytest.raises(ModelError, match=name):
            cl.wrap(network, **arguments)
        return
    before, after = asked(cl.wrap(network)), asked(cl.wrap(network, **arguments))
    changed = {key for key in before if repr(before[key]) != repr(after[key])}
    expected = {"preprocess": "preprocessing", "numbers": "preprocessing", "name": "spec"}.get(name, name)
    assert expected in changed


def test_the_options_are_those_of_wrap() -> None:
    parameters = [p for p in inspect.signature(cl.wrap).parameters if p != "network"]
    assert [field.name for field in fields(WrapOptions)] == parameters


@pytest.mark.parametrize("family", DETECTORS)
def test_what_a_detector_is_may_be_said(networks: dict[str, Any], family: str) -> None:
    assert cl.wrap(network_of(networks, family), task="multilabel").task == "multilabel"
    message = r"probabilities=False cannot be used for \w+, a detector of \w+: the log-odds of its classes are read"
    with pytest.raises(ModelError, match=message):
        cl.wrap(network_of(networks, family), probabilities=False)


@pytest.mark.parametrize("name", ["image", "labels", "output", "probabilities", "task", "volume"])
def test_image_text_models_refuse_what_prompts_decide(name: str) -> None:
    value = given_value("plain", name, Plain())
    with pytest.raises(ModelError, match=f"{name}=.* cannot be used for Plain, an image-text model"):
        cl.wrap(Plain(), tokenizer=GIVEN["tokenizer"], **{name: value})


@pytest.mark.parametrize(("spec", "task"), [("toybox:captioner", "multiclass"), ("toybox:detector", "multilabel")])
def test_loaded_models_refuse_them_too(spec: str, task: Any) -> None:
    assert cl.load(spec, task=task).task == task
    with pytest.raises(ModelError, match=r"task='regression' cannot be used for"):
        cl.load(spec, task="regression")
    with pytest.raises(ModelError, match=r"task='segmentation' cannot be used for"):
        cl.load(spec, task="segmentation")
    with pytest.raises(ModelError, match=r"probabilities=True cannot be used for"):
        cl.load(spec, probabilities=True)


@pytest.mark.parametrize("family", sorted(MAKE))
def test_bare_networks_are_wrapped_as_wrap_does(networks: dict[str, Any], family: str) -> None:
    network = network_of(networks, family)
    bare, wrapped = as_model(network), cl.wrap(network)
    assert repr(asked(bare)) == repr(asked(wrapped))
    assert type(bare.network) is type(wrapped.network)
    assert (family_of(network) is None) == (family in ("plain", "segmentation"))


@pytest.mark.parametrize("family", sorted(MAKE))
def test_a_value_is_of_one_family(networks: dict[str, Any], family: str) -> None:
    network = network_of(networks, family)
    assert sum(member.recognises(network) for member in FAMILIES) <= 1


def test_a_fresh_llava_is_explained_as_one_that_ran() -> None:
    """Its library installs hooks in the first run, which is one of a network copy.

    Of 19 tokens, 16 are those of the image and 2 follow them. Only the last one is read after the last attention: the
    default layer is before it, although the last 16 would be taken for the image before the layout is checked.
    """
    ids = torch.tensor([[2, *[IMAGE_TOKEN] * 16, 5, 6]])
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    maps = []
    for is_fresh in (True, False):
        torch.manual_seed(0)
        network = llava().eval()
        if not is_fresh:
            with torch.no_grad():
                network(pixel_values=torch.zeros(1, 3, 32, 32), input_ids=ids)
        hooks = sum(len(module._forward_hooks) for module in network.modules())
        model = cl.wrap(network, image="pixel_values", size=32, output=lambda output: output.logits[:, -1])
        explanation = cl.explain(model.hold(input_ids=ids), image, target=3, method="grad_cam")
        assert str(explanation.layer).startswith("model.language_model.layers.1.")
        assert sum(len(module._forward_hooks) for module in network.modules()) == hooks
        maps.append(explanation.raw)
    torch.testing.assert_close(maps[0], maps[1], rtol=1e-5, atol=1e-8)
    assert float(maps[0].abs().max()) > 0
