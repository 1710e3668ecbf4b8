"""YOLO of ultralytics: candidates, logits, preprocessing and maps against the network itself and autograd by hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import camlucida as cl
from camlucida.errors import LayerError, ModelError
from camlucida.models.detection.targets import DetectionTargets

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 5, 3), dtype=np.uint8).repeat(40, 0).repeat(50, 1)


@pytest.fixture(scope="module")
def yolo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The class YOLO, imported without a connection and with its settings in a temporary folder."""
    settings = {
        "YOLO_OFFLINE": "true",
        "YOLO_CONFIG_DIR": str(tmp_path_factory.mktemp("yolo")),
        "YOLO_VERBOSE": "false",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        ultralytics = pytest.importorskip("ultralytics", reason="needs ultralytics (extra ultralytics)")
        yield ultralytics.YOLO


def random_yolo(yolo: Any, name: str) -> Any:
    """Return a YOLO object in training mode, whose class scores are spread."""
    torch.manual_seed(0)
    made = yolo(f"{name}.yaml", verbose=False)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for branch in made.model.model[-1].cv3:
            last = branch[-1]
            last.weight.copy_(torch.randn(last.weight.shape, generator=generator) * 3)
            last.bias.zero_()
    made.model.names = {i: f"kind {i}" for i in range(80)}
    return made


def eager(made: Any) -> Any:
    import copy

    return copy.deepcopy(made.model).eval()


def explained_model(made: Any) -> Any:
    model = cl.wrap(made, size=128)
    return replace(model, image_targets=DetectionTargets(0.3, 0.7))


NETWORKS = ["yolo11n", "yolov8n"]


@pytest.mark.parametrize("name", NETWORKS)
def test_candidates_are_those_before_the_sigmoid(yolo: Any, name: str) -> None:
    made = random_yolo(yolo, name)
    inputs = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    network = eager(made)
    with torch.no_grad():
        output = cl.wrap(network).network(inputs)
        decoded = network(inputs)[0]
    assert output["scores"].shape == (2, 12 * 16 + 6 * 8 + 3 * 4, 80)
    probabilities = decoded[:, 4:].mT
    is_finite = (probabilities > 1e-4) & (probabilities < 1 - 1e-4)
    torch.testing.assert_close(output["scores"][is_finite], probabilities[is_finite].logit(), atol=2e-2, rtol=1e-3)
    centre, size = decoded[:, :2].mT, decoded[:, 2:4].mT
    torch.testing.assert_close(output["boxes"], torch.cat([centre - size / 2, centre + size / 2], -1))
    assert bool((output["boxes"][..., 2:] >= output["boxes"][..., :2]).all())


@pytest.mark.parametrize("name", NETWORKS)
def test_grad_cam_of_a_box_is_autograd_by_hand(yolo: Any, name: str) -> None:
    made = random_yolo(yolo, name)
    model = explained_model(made)
    before = {key: tensor.clone() for key, tensor in made.model.state_dict().items()}
    explanation = cl.explain(model, IMAGE, target="box 1", method="grad_cam")
    assert made.model.training
    assert made.model.model[-1].shape is None  # what the head keeps of a forward pass
    assert all(torch.equal(before[key], tensor) for key, tensor in made.model.state_dict().items())
    assert explanation.layer == {"yolo11n": "network.model.10", "yolov8n": "network.model.9"}[name]
    inputs = model.preprocessing(explanation.image)[0][None]
    network, kept = eager(made), []
    module = network.get_submodule(str(explanation.layer).removeprefix("network."))
    module.register_forward_hook(lambda _m, _i, output: kept.append(output))
    score = network(inputs)[1]["scores"].max()
    activations: Tensor = kept[0]
    (gradient,) = torch.autograd.grad(score, activations)
    expected = (activations * gradient.mean((2, 3), keepdim=True)).sum(1)[0].detach()
    assert explanation.score == pytest.approx(float(score.detach()), rel=1e-4)
    torch.testing.assert_close(explanation.raw, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_the_head_is_no_layer(yolo: Any) -> None:
    model = explained_model(random_yolo(yolo, "yolov8n"))
    for layer in ("network.model.22", "network"):
        with pytest.raises(LayerError):
            cl.explain(model, IMAGE, target="box 1", layer=layer)


def test_letterbox_is_that_of_ultralytics(yolo: Any) -> None:
    from ultralytics.data.augment import LetterBox

    model = cl.wrap(random_yolo(yolo, "yolov8n"))
    assert model.preprocessing.size == (640, 640)
    assert model.labels[3] == "kind 3"
    colour = np.full((150, 301, 3), (200, 30, 90), dtype=np.uint8)
    ours, geometry = model.preprocessing(Image.fromarray(colour))
    theirs = LetterBox((640, 640), auto=False)(image=colour)
    assert geometry.input == (640, 640)
    np.testing.assert_allclose(ours.permute(1, 2, 0).numpy() * 255, theirs, atol=0.51)


def test_a_checkpoint_is_code_and_needs_trust(yolo: Any, tmp_path: Path) -> None:
    made = random_yolo(yolo, "yolov8n")
    torch.save({"model": made.model.half(), "ema": None}, tmp_path / "mine.pt")
    with pytest.raises(ModelError, match=r"which is code that runs when it is loaded.*wrap\(YOLO\('mine.pt'\)\)"):
        cl.load(tmp_path / "mine.pt")
    offline = os.environ.get("YOLO_OFFLINE")
    model = cl.load(tmp_path / "mine.pt", trust_code=True)
    assert os.environ.get("YOLO_OFFLINE") == offline
    assert next(model.network.parameters()).dtype is torch.float32
    assert not model.network.training
    assert model.labels[0] == "kind 0"


def test_heads_without_suppression_are_refused(yolo: Any) -> None:
    with pytest.raises(ModelError, match=r"end2end = False|has the head v10Detect"):
        cl.wrap(yolo("yolov10n.yaml", verbose=False))
    with pytest.raises(ModelError, match="has the head OBB"):
        cl.wrap(yolo("yolov8n-obb.yaml", verbose=False))
