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
from camlucida.models.detection.candidates import Candidates, detections
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
        head = made.model.model[-1]
        for branch in (*head.cv3, *(getattr(head, "one2one_cv3", None) or ())):
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


NETWORKS = ["yolo11n", "yolo11n-pose", "yolo26n-seg", "yolov10n", "yolov8n", "yolov8n-seg"]
ONE_TO_ONE = ["yolo26n", "yolo26n-pose", "yolov10n"]
"""Networks with a branch that was trained to return one candidate per object."""


@pytest.mark.parametrize("name", NETWORKS)
def test_candidates_are_those_before_the_sigmoid(yolo: Any, name: str) -> None:
    made = random_yolo(yolo, name)
    inputs = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    network = eager(made)
    with torch.no_grad():
        output = cl.wrap(network).network(inputs)
        decoded = network(inputs)[0]
    decoded = decoded[0] if isinstance(decoded, tuple) else decoded  # with the prototypes of masks
    assert output["scores"].shape == (2, 12 * 16 + 6 * 8 + 3 * 4, 80)
    probabilities = decoded[:, 4:84].mT
    is_finite = (probabilities > 1e-4) & (probabilities < 1 - 1e-4)
    torch.testing.assert_close(output["scores"][is_finite], probabilities[is_finite].logit(), atol=2e-2, rtol=1e-3)
    centre, size = decoded[:, :2].mT, decoded[:, 2:4].mT
    torch.testing.assert_close(output["boxes"], torch.cat([centre - size / 2, centre + size / 2], -1))
    assert bool((output["boxes"][..., 2:] >= output["boxes"][..., :2]).all())


@pytest.mark.parametrize("name", ONE_TO_ONE)
def test_one_candidate_per_object_is_what_the_network_returns(yolo: Any, name: str) -> None:
    made = random_yolo(yolo, name)
    made.model.end2end = True
    inputs = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        spread = eager(made)(inputs)[1]["one2one"]["scores"].std()
        for branch in made.model.model[-1].one2one_cv3:
            branch[-1].weight.mul_(1 / spread)  # those of random weights are of the order of 1e-6
    model = explained_model(made)
    assert cl.wrap(made).image_targets.iou == 1
    with torch.no_grad():
        returned = eager(made)(inputs)[0]
        candidates = Candidates.of(model.network.eval()(inputs))
    returned = (returned[0] if isinstance(returned, tuple) else returned)[0]
    found = detections(candidates, 0.0, iou=1.0, n=50, min_px=-1e9)
    torch.testing.assert_close(torch.tensor([d.probability for d in found]), returned[:50, 4], atol=1e-5, rtol=0)
    torch.testing.assert_close(candidates.boxes[0, [d.row for d in found]], torch.tensor([d.box for d in found]))
    is_unique = (returned[:50, 4].diff().abs() > 1e-4).nonzero()[:, 0] + 1  # equal probabilities have no order
    assert len(is_unique) > 5
    for i in is_unique.tolist():
        if i + 1 in is_unique.tolist():
            torch.testing.assert_close(torch.tensor(found[i].box), returned[i, :4])
            assert found[i].index == int(returned[i, 5])


@pytest.mark.parametrize(
    ("name", "end2end"),
    [("yolo11n", False), ("yolo11n-pose", False), ("yolo26n", False), ("yolo26n", True), ("yolov10n", True),
     ("yolov8n", False), ("yolov8n-seg", False)],
)  # fmt: skip
def test_grad_cam_of_a_box_is_autograd_by_hand(yolo: Any, name: str, end2end: bool) -> None:
    made = random_yolo(yolo, name)
    made.model.end2end = end2end
    model = explained_model(made)
    before = {key: tensor.clone() for key, tensor in made.model.state_dict().items()}
    explanation = cl.explain(model, IMAGE, target="box 1", method="grad_cam")
    assert made.model.training
    assert made.model.model[-1].shape is None  # what the head keeps of a forward pass
    assert all(torch.equal(before[key], tensor) for key, tensor in made.model.state_dict().items())
    assert explanation.layer == f"network.model.{9 if name.startswith('yolov8') else 10}"
    inputs = model.preprocessing(explanation.image)[0][None]
    network, kept = eager(made), []
    module = network.get_submodule(str(explanation.layer).removeprefix("network."))
    module.register_forward_hook(lambda _m, _i, output: kept.append(output))
    raw = network(inputs)[1]
    if "one2one" in raw:
        raw = raw["one2one" if end2end else "one2many"]
    score = raw["scores"].max()
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


@pytest.mark.parametrize("name", ["yolo26n-obb", "yolov8n-obb"])
def test_rotated_boxes_are_refused(yolo: Any, name: str) -> None:
    with pytest.raises(ModelError, match=r"has the head OBB\d*, which is not supported: .* upright boxes"):
        cl.wrap(yolo(f"{name}.yaml", verbose=False))
