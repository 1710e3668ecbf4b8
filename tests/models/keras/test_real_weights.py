"""Real Keras weights on real photographs: predictions equal Keras's own, and the map lies on the object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida
from camlucida.models.keras.network import keras_network
from camlucida.models.keras.preprocessing import norm_says_bytes

keras = pytest.importorskip("keras")

from .conftest import predict  # noqa: E402

pytestmark = [
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*structure of `inputs`:UserWarning"),
    pytest.mark.filterwarnings("ignore::camlucida.errors.CheckpointWarning"),
]


def _photos(real_data: Path, kind: str) -> list[dict[str, Any]]:
    manifest = json.loads((real_data / "dev" / "manifest.json").read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = manifest["images"]
    return [row for row in rows if row["kind"] == kind]


def test_mobilenet_predicts_as_in_keras(real_data: Path) -> None:
    path = real_data / "weights" / "keras_mobilenet_v1_050_160_imagenet.keras"
    model = camlucida.load(path)
    original = keras.saving.load_model(path, compile=False)
    assert (model.preprocessing.size, model.preprocessing.resize) == ((160, 160), 183)
    right = 0
    rows = _photos(real_data, "imagenet_val")[::5]
    for row in rows:
        inputs = model.preprocessing(Image.open(real_data / "dev" / row["file"]).convert("RGB"))[0][None]
        with torch.no_grad():
            found = model.network(inputs).numpy()
        np.testing.assert_allclose(found, predict(original, inputs), atol=1e-4)
        right += int(found.argmax()) in row["accepted_indices"]
    assert right >= len(rows) * 0.45  # 59 % of 1000 photographs


def test_mobilenet_map_lies_on_the_animal(real_data: Path) -> None:
    model = camlucida.load(real_data / "weights" / "keras_mobilenet_v1_050_160_imagenet.keras")
    found = camlucida.explain(model, real_data / "dev" / "images" / "classic" / "both.png", target="bull mastiff")
    grid = torch.as_tensor(found.map)
    assert found.layer == "conv_pw_13_relu"
    assert int(grid.flatten().argmax()) // grid.shape[1] < grid.shape[0] / 2  # the dog is above the cat


def test_resnet8_predicts_as_in_keras(real_data: Path) -> None:
    path = real_data / "weights" / "keras_resnet8_cifar10.h5"
    model = camlucida.load(path)
    assert model.preprocessing.std == (1 / 255,) * 3  # by its first norm: the file does not say it
    original = keras.saving.load_model(path, compile=False)
    rows = json.loads((real_data / "dev" / "manifest_cifar10.json").read_text(encoding="utf-8"))["images"][::5]
    right = 0
    for row in rows:
        image = Image.open(real_data / "dev" / row["file"]).convert("RGB")
        inputs = model.preprocessing(image)[0][None]
        with torch.no_grad():
            found = model.network(inputs).numpy()
        np.testing.assert_allclose(found, predict(original, inputs), atol=1e-4)
        right += int(found.argmax()) == row["cifar10_index"]
    assert right >= 14  # 75 % of the test images
    maps = camlucida.attribute(model, inputs, target=row["cifar10_index"])
    assert maps.shape == (1, 8, 8)


def test_pixels_from_minus_one_to_one_are_not_taken_for_bytes(real_data: Path) -> None:
    original = keras.saving.load_model(
        real_data / "weights" / "keras_mobilenet_v1_050_160_imagenet.keras", compile=False
    )
    network = keras_network(original)
    assert not norm_says_bytes(network, original)
