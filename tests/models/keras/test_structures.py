"""Kinds of Keras models: Sequential, nested, shared layers, several outputs, subclassed; compared with Keras itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import camlucida
from camlucida.errors import ModelError
from camlucida.models.keras.build import KerasGraph
from camlucida.models.keras.network import keras_network

keras = pytest.importorskip("keras")

from .conftest import body, copy_weights, predict  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras on torch


def _nested(torch_twin: nn.Module) -> Any:
    """Return the twin as transfer learning builds it: features as one layer, then a new head."""
    inputs = keras.Input((16, 16, 3))
    base = keras.Model(inputs, body(inputs), name="features")
    copy_weights(torch_twin, lambda name: base.get_layer(name) if name != "head" else _Ignored())
    model = keras.Sequential([base, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(5, name="head")])
    model.get_layer("head").set_weights([w.detach().numpy() for w in (torch_twin.head.weight.T, torch_twin.head.bias)])
    return model


class _Ignored:
    def set_weights(self, weights: Any) -> None:
        pass


@pytest.mark.parametrize("layer", [None, "features.conv2", "features.out2"])
@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam", "cam"])
def test_nested_model_gives_the_maps_of_the_torch_twin(
    method: str, layer: str | None, torch_twin: nn.Module, images: Tensor
) -> None:
    if method == "cam" and layer is not None:
        pytest.skip("cam needs the last layer")
    inner = None if layer is None else layer.partition(".")[2]
    expected = camlucida.attribute(torch_twin, images, method=method, target=1, layer=inner)
    found = camlucida.attribute(_nested(torch_twin), images, method=method, target=1, layer=layer)
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def test_layer_may_be_a_keras_layer(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin()
    by_object = camlucida.attribute(model, images, target=1, layer=model.get_layer("out2"))
    torch.testing.assert_close(by_object, camlucida.attribute(model, images, target=1, layer="out2"), rtol=0, atol=0)


def test_layer_called_twice_has_two_calls(images: Tensor) -> None:
    inputs = keras.Input((16, 16, 3))
    conv = keras.layers.Conv2D(3, 3, padding="same", name="shared")
    x = keras.layers.ReLU(name="end")(conv(conv(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(x)))
    network = keras_network(model)
    np.testing.assert_allclose(network(images).detach().numpy(), predict(model, images), atol=1e-5)
    first = camlucida.attribute(model, images, target=0, layer="shared#1")
    second = camlucida.attribute(model, images, target=0, layer="shared#2")
    assert first.shape == second.shape == (2, 16, 16)
    assert not torch.allclose(first, second)


def test_several_outputs_are_a_dict_as_in_keras(images: Tensor) -> None:
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(6, 3, name="conv")(inputs))
    model = keras.Model(inputs, {"species": keras.layers.Dense(4)(x), "colour": keras.layers.Dense(2)(x)})
    wrapped = camlucida.wrap(model, output="species", mean=[0] * 3, std=[1] * 3)
    found = camlucida.attribute(wrapped, images, target=3, layer="conv")
    single = keras.Model(inputs, model.output["species"])
    torch.testing.assert_close(found, camlucida.attribute(single, images, target=3, layer="conv"))


def test_operators_and_keras_ops_are_run(images: Tensor) -> None:
    inputs = keras.Input((16, 16, 3))
    x = keras.ops.relu(keras.layers.Conv2D(6, 3, name="conv")(inputs * 2 - 1))
    pooled = keras.ops.mean(x, axis=(1, 2))
    model = keras.Model(inputs, keras.layers.Dense(4)(pooled) / 3)
    np.testing.assert_allclose(keras_network(model)(images).detach().numpy(), predict(model, images), atol=1e-5)
    assert camlucida.attribute(model, images, target=0, method="guided_backprop").any()


class _Block(keras.layers.Layer):
    """A residual block as users write it."""

    def __init__(self, width: int, **more: Any) -> None:
        super().__init__(**more)
        self.convs = [keras.layers.Conv2D(width, 3, padding="same", name=f"conv{i}") for i in (1, 2)]
        self.norm = keras.layers.BatchNormalization(name="norm")

    def call(self, x: Any, training: bool = False) -> Any:
        y = keras.ops.relu(self.convs[0](x))
        return keras.ops.relu(x + self.norm(self.convs[1](y), training=training))


class _Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.stem = keras.layers.Conv2D(6, 3, name="stem")
        self.block = _Block(6, name="block")
        self.pool = keras.layers.GlobalAveragePooling2D(name="gap")
        self.head = keras.layers.Dense(4, name="head")

    def call(self, x: Any, training: bool = False) -> Any:
        return self.head(self.pool(self.block(self.stem(x), training=training)))


def _functional_twin(model: Any) -> Any:
    """Return a functional model of the layers of `_Subclassed`, without its block."""
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(6, 3, name="stem")(inputs)
    y = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1")(x)
    y = keras.layers.Conv2D(6, 3, padding="same", name="conv2")(y)
    y = keras.layers.BatchNormalization(name="norm")(y)
    x = keras.layers.ReLU(name="end")(keras.layers.Add()([x, y]))
    twin = keras.Model(inputs, keras.layers.Dense(4, name="head")(keras.layers.GlobalAveragePooling2D()(x)))
    block = model.block
    for layer in (model.stem, *block.convs, block.norm, model.head):
        twin.get_layer(layer.name).set_weights(layer.get_weights())
    return twin


@pytest.mark.parametrize("method", ["grad_cam", "guided_backprop", "cam", "ablation_cam"])
def test_subclassed_model_gives_the_maps_of_a_functional_twin(method: str, images: Tensor) -> None:
    model = _Subclassed()
    model(images.permute(0, 2, 3, 1).numpy())
    names = [name for name, _ in keras_network(model).named_modules()]
    assert {"stem", "block", "block.conv1", "block.norm", "head"} <= set(names)
    expected = camlucida.attribute(_functional_twin(model), images, method=method, target=1)
    found = camlucida.attribute(model, images, method=method, target=1)
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())


def test_subclassed_model_refuses_images_of_another_size(images: Tensor) -> None:
    model = _Subclassed()
    model(images.permute(0, 2, 3, 1).numpy())
    with pytest.raises(ModelError, match="takes inputs of 16 × 16 × 3"):
        camlucida.attribute(model, torch.zeros(1, 3, 20, 20), target=1)


class _Untraceable(keras.Model):
    """Its `call` needs numbers, which symbolic tensors do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = keras.layers.Conv2D(4, 3, activation="relu")
        self.head = keras.layers.Dense(4)

    def call(self, x: Any) -> Any:
        x = self.stem(x)
        if float(keras.ops.convert_to_numpy(keras.ops.stop_gradient(x)).max()) < -1:
            x = x * 2
        return self.head(keras.ops.mean(x, axis=(1, 2)))


def test_untraceable_model_is_explained_on_pixels_only(images: Tensor) -> None:
    model = _Untraceable()
    model(images.permute(0, 2, 3, 1).numpy())
    network = keras_network(model)
    np.testing.assert_allclose(network(images).detach().numpy(), predict(model, images), atol=1e-5)
    maps = camlucida.attribute(model, images, target=1, method="gradient")
    step = torch.zeros_like(images)
    step[0, 1, 5, 6] = 1e-2
    with torch.no_grad():
        difference = (network(images + step) - network(images - step))[0, 1] / 2e-2
    assert maps.shape == (2, 16, 16)
    assert abs(float(difference)) <= float(maps[0, 5, 6]) + 1e-3
    with pytest.raises(camlucida.CamlucidaError, match=r"layers cannot be observed"):
        camlucida.attribute(model, images, target=1, method="grad_cam")


def test_model_without_weights_is_refused() -> None:
    with pytest.raises(ModelError, match="has no weights yet"):
        camlucida.wrap(keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.Dense(3)]))


@pytest.mark.parametrize(
    ("scale", "message"), [(1.001, "its output differs from its own"), (1.00001, ""), (float("nan"), "differs")]
)
def test_a_module_that_computes_something_else_is_refused(
    scale: float, message: str, make_twin: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = KerasGraph._run
    monkeypatch.setattr(KerasGraph, "_run", lambda network, inputs: scale * plain(network, inputs))
    if not message:
        keras_network(make_twin())
        return
    with pytest.raises(ModelError, match=message):
        keras_network(make_twin())


def test_channels_first_model(images: Tensor) -> None:
    inputs = keras.Input((3, 16, 16))
    pad = keras.layers.ZeroPadding2D(1, data_format="channels_first")(inputs)
    features = keras.layers.GlobalAveragePooling2D(data_format="channels_first")(pad)
    network = keras_network(keras.Model(inputs, keras.layers.Dense(4)(features)))
    assert network.image_input() == ((3, 16, 16), False)


def test_input_of_equal_sides_follows_the_layers_data_format() -> None:
    inputs = keras.Input((3, 3, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 2, name="conv", data_format="channels_last")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    image = torch.randn(1, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(keras_network(model)(image).detach().numpy(), predict(model, image), atol=1e-5)


def test_guided_backprop_refuses_a_layer_that_may_hide_a_relu(images: Tensor) -> None:
    class Hidden(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return keras.ops.relu(x)

    inputs = keras.Input((16, 16, 3))
    x = Hidden(name="hidden")(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    if keras.backend.backend() == "torch":  # PyTorch sees the ReLU inside
        assert camlucida.attribute(model, images, target=0, method="guided_backprop").any()
    else:
        with pytest.raises(camlucida.CamlucidaError, match="'hidden' runs in Keras on tensorflow"):
            camlucida.attribute(model, images, target=0, method="guided_backprop")


def test_deep_lift_is_applied_on_torch_and_refused_on_tensorflow(
    torch_twin: nn.Module, make_twin: Callable[..., Any], images: Tensor
) -> None:
    if keras.backend.backend() == "torch":
        expected = camlucida.attribute(torch_twin, images, target=2, method="deep_lift")
        found = camlucida.attribute(make_twin(), images, target=2, method="deep_lift")
        assert float((found - expected).abs().max()) <= 1e-4 * float(expected.abs().max())
    else:
        with pytest.raises(camlucida.CamlucidaError, match="'pool' runs in Keras on tensorflow"):
            camlucida.attribute(make_twin(), images, target=2, method="deep_lift")


@pytest.mark.parametrize("method", ["lrp", "full_grad"])
def test_method_with_rules_for_torch_layers_is_refused(
    method: str, make_twin: Callable[..., Any], images: Tensor
) -> None:
    with pytest.raises(camlucida.CamlucidaError, match="runs in Keras on"):
        camlucida.attribute(make_twin(), images, target=2, method=method)


def test_default_layer_is_the_end_of_an_inception_block(images: Tensor) -> None:
    inputs = keras.Input((16, 16, 3))
    branches = [keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs) for _ in range(3)]
    mixed = keras.layers.Concatenate(name="mixed")(branches)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(mixed)))
    ((name, _),) = camlucida.attribute(model, images, target=0, layer=[None], method="cam").items()
    assert name == "mixed"


def test_two_inputs_by_name(images: Tensor) -> None:
    inputs = {"photo": keras.Input((16, 16, 3), name="photo"), "age": keras.Input((2,), name="age")}
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, activation="relu")(inputs["photo"]))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Concatenate()([x, inputs["age"]])))
    ages = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    with torch.no_grad():
        expected = model({"photo": images.permute(0, 2, 3, 1).numpy(), "age": ages.numpy()}, training=False)
        found = keras_network(model)(photo=images, age=ages)
        np.testing.assert_allclose(found.numpy(), keras.ops.convert_to_numpy(expected), atol=1e-5)
    maps = camlucida.attribute(model, {"photo": images, "age": ages}, target=1)
    assert maps.shape == (2, 14, 14)
