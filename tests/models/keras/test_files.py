"""Keras models from files and by name: preprocessing, class names, and one sentence for what cannot be loaded."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import camlucida
from camlucida.errors import CheckpointWarning, MissingExtra, ModelError
from camlucida.models.keras import applications
from camlucida.models.keras.applications import FAMILIES, names, pixel_scale
from camlucida.models.keras.preprocessing import with_scale

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras on torch


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_file_gives_the_maps_of_the_model(
    suffix: str, make_twin: Callable[..., Any], images: Tensor, tmp_path: Path
) -> None:
    model = make_twin("softmax")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras calls .h5 a legacy format
        model.save(tmp_path / f"net{suffix}")
    with pytest.warns(CheckpointWarning, match="pixels from 0 to 1 are assumed"):
        loaded = camlucida.load(tmp_path / f"net{suffix}")
    assert loaded.name == f"net{suffix}"
    assert loaded.preprocessing.size == (16, 16)
    torch.testing.assert_close(
        camlucida.attribute(loaded, images, target=1),
        camlucida.attribute(model, images, target=1),
        rtol=1e-4,
        atol=1e-7,
    )


def test_lambda_layer_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: x * 2)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    model.save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match="contains a Lambda layer"):
        camlucida.load(tmp_path / "net.keras")


def test_weights_without_a_model_are_refused(make_twin: Callable[..., Any], tmp_path: Path) -> None:
    make_twin().save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(ModelError, match="contains weights without a model"):
        camlucida.load(tmp_path / "net.weights.h5")


def test_custom_class_is_named(tmp_path: Path) -> None:
    class Own(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2

    inputs = keras.Input((8, 8, 3))
    keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(Own()(inputs))).save(tmp_path / "net.keras")
    with pytest.raises(ModelError, match="contains the author's class Own, whose code"):
        camlucida.load(tmp_path / "net.keras")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_damaged_file_is_one_sentence(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"net{suffix}").write_bytes(b"nothing" * 100)
    with pytest.raises(ModelError, match=r"net\.\w+ cannot be loaded by Keras") as raised:
        camlucida.load(tmp_path / f"net{suffix}")
    assert "\n" not in str(raised.value)


def test_typing_error_in_a_name_gets_suggestions() -> None:
    with pytest.raises(ModelError, match=r"no model 'ResNet5'\. Did you mean 'ResNet50'"):
        camlucida.load("keras:ResNet5")


def test_missing_weights_are_one_sentence_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(applications, "is_reachable", lambda host: False)
    with pytest.raises(ModelError, match=r"keras:VGG16 needs its pretrained weights, .* cannot be reached"):
        camlucida.load("keras:VGG16")


def test_application_by_name() -> None:
    model = camlucida.load("keras:mobilenetv2", pretrained=False)
    assert model.name == "keras:mobilenetv2"
    assert model.labels[281] == "tabby"
    assert (model.preprocessing.size, model.preprocessing.resize) == ((224, 224), 256)
    assert model.preprocessing.mean == model.preprocessing.std == (0.5,) * 3


def test_every_application_has_a_pixel_scale() -> None:
    assert all(pixel_scale(name) is not None for name in names(keras))


@pytest.mark.parametrize("name", sorted(names(keras)))
def test_pixels_are_those_of_keras(name: str) -> None:
    """Compare with `preprocess_input` of the model's own module."""
    module = sys.modules[getattr(keras.applications, name).__module__]
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    scale = pixel_scale(name)
    assert scale is not None
    found, _ = with_scale(scale, (6, 5), 3, crop=False)(Image.fromarray(pixels))
    expected = module.preprocess_input(pixels[None].astype("float32"), data_format="channels_last")[0]
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), expected, atol=2e-4)


def test_bgr_input_is_displayed_as_rgb() -> None:
    preprocessing = with_scale("caffe", (4, 4), 3, crop=False)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    inputs, _ = preprocessing(Image.fromarray(pixels))
    np.testing.assert_allclose(preprocessing.denormalise(inputs[None])[0].permute(1, 2, 0) * 255, pixels, atol=1e-3)


@pytest.mark.parametrize(
    ("layer", "top"),
    [
        (lambda: keras.layers.Rescaling(1 / 255), 255),
        (lambda: keras.layers.Rescaling(1 / 127.5, offset=-1), 255),
        (lambda: keras.layers.Rescaling(2, offset=-1), 1),
        (lambda: keras.layers.Normalization(mean=[120, 110, 100], variance=[60**2] * 3), 255),
        (lambda: keras.layers.Normalization(mean=[0.4] * 3, variance=[0.2] * 3), 1),
    ],
)
def test_rescaling_inside_a_model_is_recognised(layer: Callable[[], Any], top: int) -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 3)(layer()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        wrapped = camlucida.wrap(model)
    found, _ = wrapped.preprocessing(Image.new("RGB", (8, 8), (255, 255, 255)))
    assert float(found.max()) == pytest.approx(top)


@pytest.mark.parametrize(("factor", "top"), [(1.0, 1), (255.0, 255)])
def test_norm_statistics_tell_bytes_from_unit_pixels(factor: float, top: int) -> None:
    """Give a norm the statistics that training on smooth images of the factor's scale leaves."""
    inputs = keras.Input((16, 16, 3))
    conv, norm = keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization()
    x = keras.layers.ReLU()(norm(conv(inputs)))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(32, 3, 4, 4, generator=generator), size=16, mode="bilinear")
    seen = keras.ops.convert_to_numpy(conv(smooth.permute(0, 2, 3, 1).numpy() * factor)).reshape(-1, 4)
    norm.set_weights([np.ones(4), np.zeros(4), seen.mean(0), seen.var(0)])
    with pytest.warns(CheckpointWarning, match=f"pixels from 0 to {top} are assumed"):
        wrapped = camlucida.wrap(model)
    assert float(wrapped.preprocessing(Image.new("RGB", (16, 16), (255, 255, 255)))[0].max()) == pytest.approx(top)


def test_numbers_of_the_user_replace_the_assumption(make_twin: Callable[..., Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        wrapped = camlucida.wrap(make_twin(), mean=[0, 0, 0], std=[1 / 255] * 3, labels=list("abcde"))
    assert wrapped.preprocessing.size == (16, 16)
    assert wrapped.labels == tuple("abcde")


@pytest.mark.slow
def test_torchvision_after_tensorflow_does_not_abort() -> None:
    """Run another process, which imports TensorFlow first: triton, where installed, would abort it."""
    pytest.importorskip("tensorflow")
    code = (
        "import tensorflow, camlucida\n"
        "from camlucida.models.torchvision_models import load\n"
        "print(type(load('squeezenet1_0', pretrained=False).network).__name__)"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}  # TensorFlow imports Keras
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "SqueezeNet", run.stderr[:500]


def test_every_family_is_used() -> None:
    used = {next(f for f in FAMILIES if name.lower().startswith(f.lower())) for name in names(keras)}
    assert used == set(FAMILIES)


@pytest.mark.slow
def test_missing_backend_is_one_sentence(tmp_path: Path) -> None:
    """Run another process, whose KERAS_BACKEND names a package that is not installed."""
    (tmp_path / "net.keras").write_bytes(b"")
    code = (
        "import sys, camlucida; sys.modules['tensorflow'] = None\n"
        "try: camlucida.load('net.keras')\n"
        "except camlucida.CamlucidaError as error: print(type(error).__name__, error)"
    )
    environment = {"PATH": "", "KERAS_HOME": str(tmp_path), "PYTHONPATH": str(Path(camlucida.__file__).parents[1])}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith(MissingExtra.__name__), run.stdout + run.stderr
    assert "KERAS_BACKEND=torch" in run.stdout
    assert run.stdout.count("\n") == 1
