"""The user's Keras model is never modified, and what changes in it is seen."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import camlucida
from camlucida.models.keras.network import keras_network
from camlucida.models.weights_digest import weights_digest

keras = pytest.importorskip("keras")

from .conftest import predict  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras on torch

PIXELS: dict[str, Any] = {"mean": [0.0] * 3, "std": [1.0] * 3}


def _state(model: Any) -> list[Any]:
    """Return all of a model that explaining could change."""
    layers = list(model._flatten_layers())
    return [
        json.dumps(model.get_config(), default=str),
        [w.tobytes() for w in model.get_weights()],
        [len(layer._inbound_nodes) for layer in layers],
        [len(layer._outbound_nodes) for layer in layers],
        [layer.trainable for layer in layers],
        [getattr(layer, "training", None) for layer in layers],
        [getattr(layer, "activation", None) for layer in layers],
        [sorted(vars(layer)) for layer in layers],
        [bool(getattr(v.value, "requires_grad", False)) for v in model.variables],
        [getattr(v.value, "grad", None) for v in model.variables],
        model.optimizer is None,
        model.compiled,
    ]


@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam", "guided_backprop", "score_cam", "rise"])
def test_model_is_unmodified(method: str, make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin("softmax")
    model.compile("sgd", "categorical_crossentropy")
    model.get_layer("conv2").trainable = False
    before, prediction = _state(model), predict(model, images)
    options = {"n": 10} if method == "rise" else {}
    camlucida.attribute(model, images, method=method, target=1, **options)
    with pytest.raises(camlucida.CamlucidaError):
        camlucida.attribute(model, images, layer="absent", target=1)
    assert _state(model) == before
    assert np.array_equal(predict(model, images), prediction)


def test_automatic_names_of_later_layers_are_unchanged(images: Tensor) -> None:
    class Small(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = keras.layers.Conv2D(4, 3), keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.head(keras.ops.mean(keras.layers.Add()([self.conv(x), self.conv(x)]), axis=(1, 2)))

    model = Small()
    model(images.permute(0, 2, 3, 1).numpy())
    keras.layers.Add()
    first = int(keras.layers.Add().name.rpartition("_")[2])
    camlucida.attribute(model, images, target=0)
    assert int(keras.layers.Add().name.rpartition("_")[2]) == first + 1


def test_trained_weights_are_seen(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin("softmax")
    wrapped = camlucida.wrap(model, **PIXELS)
    before, digest = camlucida.attribute(wrapped, images, target=1), wrapped.weights_hash
    model.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    x = images.permute(0, 2, 3, 1).numpy()
    model.fit(x, np.eye(5, dtype="float32")[[1, 3]], epochs=2, verbose=0)
    after = camlucida.attribute(wrapped, images, target=1)
    fresh = keras.models.clone_model(model)
    fresh.set_weights(model.get_weights())
    torch.testing.assert_close(after, camlucida.attribute(fresh, images, target=1), rtol=1e-4, atol=1e-7)
    assert not torch.allclose(before, after)
    assert wrapped.weights_hash != digest
    assert wrapped.weights_hash == camlucida.wrap(fresh, **PIXELS).weights_hash


def test_assigned_weights_are_seen(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin()
    wrapped = camlucida.wrap(model, **PIXELS)
    camlucida.attribute(wrapped, images, target=1)
    head = model.get_layer("head")
    head.set_weights([np.flip(head.get_weights()[0], 1).copy(), head.get_weights()[1]])
    found = camlucida.attribute(wrapped, images, target=1)
    fresh = keras.models.clone_model(model)
    fresh.set_weights(model.get_weights())
    torch.testing.assert_close(found, camlucida.attribute(fresh, images, target=1), rtol=1e-5, atol=1e-7)


def test_changed_setting_of_a_layer_is_seen(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin()
    network = keras_network(model)
    with torch.no_grad():
        before = network(images)
    model.get_layer("conv1").activation = keras.activations.tanh
    with torch.no_grad():
        after = keras_network(model)(images)
    assert keras_network(model) is network
    np.testing.assert_allclose(after.numpy(), predict(model, images), atol=1e-5)
    assert not torch.allclose(before, after)


def test_layer_added_to_a_sequential_model_is_seen(images: Tensor) -> None:
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.GlobalAveragePooling2D()]
    )
    wrapped = camlucida.wrap(model, **PIXELS)
    camlucida.attribute(wrapped, images, target=1)
    model.add(keras.layers.Dense(3))
    camlucida.attribute(wrapped, images, target=1)
    with torch.no_grad():
        np.testing.assert_allclose(wrapped.network(images).numpy(), predict(model, images), atol=1e-5)


def test_model_is_not_kept_alive(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin()
    camlucida.attribute(model, images, target=1)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


def test_network_outlives_the_model(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin()
    expected = camlucida.attribute(model, images, target=1)
    wrapped = camlucida.wrap(model, **PIXELS)
    del model
    gc.collect()
    torch.testing.assert_close(camlucida.attribute(wrapped, images, target=1), expected, rtol=0, atol=0)


def test_no_random_state_is_changed(make_twin: Callable[..., Any], images: Tensor) -> None:
    model = make_twin()
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the global state is what must not change
    expected = torch.rand(2), np.random.rand(2)  # noqa: NPY002
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    camlucida.attribute(model, images, target=1)
    assert torch.equal(torch.rand(2), expected[0])
    assert np.array_equal(np.random.rand(2), expected[1])  # noqa: NPY002


def test_randomised_weights_change_the_copy_only(make_twin: Callable[..., Any], images: Tensor) -> None:
    from camlucida.engine.weight_randomization import randomize_weights, stages

    model = make_twin()
    network = keras_network(model)
    before = [w.tobytes() for w in model.get_weights()]
    found = stages(network)
    assert [stage.name for stage in found][:3] == ["head", "bn3", "conv3"]
    with torch.no_grad():
        own = network(images)
        for stage in found:
            other = randomize_weights(network, [stage], seed=0)(images)
            assert torch.isfinite(other).all()
            assert not torch.allclose(own, other), stage.name
    randomized = randomize_weights(network, found, seed=0)
    maps, digest = camlucida.attribute(randomized, images, target=1, signed=True), weights_digest(randomized)
    own_maps = camlucida.attribute(network, images, target=1, signed=True)
    assert digest != weights_digest(network)
    assert float((maps - own_maps).abs().max()) > 0.1 * float(own_maps.abs().max())
    assert [w.tobytes() for w in model.get_weights()] == before


def test_moving_the_weights_is_refused(make_twin: Callable[..., Any]) -> None:
    network = keras_network(make_twin())
    with pytest.raises(camlucida.CamlucidaError, match="stay where Keras put them"):
        network.to(torch.float64)
    network.to("cpu")
