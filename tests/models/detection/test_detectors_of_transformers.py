"""Detectors of transformers: candidates, boxes, preprocessing and maps against transformers and autograd by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models.detection.aspect_ratio import AspectRatioPreprocessing, measure_detector_preprocessing
from camlucida.models.detection.candidates import Candidates, detections
from camlucida.models.detection.targets import DetectionTargets
from camlucida.models.detection.transformers import SOFTMAX, detection_model
from camlucida.models.hugging_face_preprocessing import structured_image
from camlucida.models.preprocessing import Preprocessing

from .small_detectors import FAMILIES, NAMES, small_detector

hf: Any = pytest.importorskip("transformers")
SIDES = (128, 96)
IMAGE = np.random.default_rng(0).integers(0, 256, (160, 120, 3), dtype=np.uint8)
PROCESSORS = {
    "conditional_detr": "ConditionalDetrImageProcessor",
    "deformable_detr": "DeformableDetrImageProcessor",
    "detr": "DetrImageProcessor",
    "lw_detr": "DeformableDetrImageProcessor",
    "rf_detr": "RfDetrImageProcessor",
    "rt_detr": "RTDetrImageProcessor",
    "yolos": "YolosImageProcessor",
}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    hf.utils.logging.set_verbosity(hf.utils.logging.CRITICAL)
    hf.utils.logging.disable_progress_bar()


def inputs_of(seed: int = 0) -> Tensor:
    return torch.randn(1, 3, *SIDES, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("family", sorted(PROCESSORS))
def test_detections_are_those_of_transformers(family: str) -> None:
    network = small_detector(hf, family)
    model = detection_model(network, Preprocessing())
    processor = getattr(hf, PROCESSORS[family])()
    with torch.no_grad():
        output, candidates = network(inputs_of()), Candidates.of(model.network(inputs_of()))
    threshold = 0.01
    expected = processor.post_process_object_detection(output, threshold=threshold, target_sizes=[SIDES])[0]
    found = detections(candidates, threshold, iou=1.0, n=1000, min_px=-1e9)
    if type(network).__name__ in SOFTMAX:  # transformers keeps the most probable class of each query
        kept: dict[int, Any] = {}
        for detection in found:
            kept.setdefault(detection.row, detection)
        found = list(kept.values())
    elif family in ("rf_detr", "rt_detr"):  # transformers keeps as many as there are queries
        found = found[: candidates.scores.shape[1]]
    order = expected["scores"].argsort(descending=True, stable=True)
    assert len(found) == len(order) >= 4
    torch.testing.assert_close(
        torch.tensor([d.probability for d in found]), expected["scores"][order], atol=1e-6, rtol=0
    )
    assert sorted(d.index for d in found) == sorted(expected["labels"].tolist())
    torch.testing.assert_close(torch.tensor([d.box for d in found]), expected["boxes"][order], atol=1e-3, rtol=0)


def affine_norm(module: Any, x: Tensor) -> Tensor:
    scale = module.weight * (module.running_var + module.eps).rsqrt()
    return x * scale[:, None, None] + (module.bias - module.running_mean * scale)[:, None, None]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_grad_cam_of_a_box_is_autograd_by_hand(family: str) -> None:
    network = small_detector(hf, family)
    model = detection_model(network, Preprocessing(size=SIDES, resize=SIDES))
    model = replace(model, image_targets=DetectionTargets(0.05, 1.0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    explanation = cl.explain(model, IMAGE, target="box 1", method="grad_cam")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    inputs = model.preprocessing(explanation.image)[0][None]
    kept: list[Tensor] = []
    for norm in network.modules():  # torch 2.15 errs in the gradient of F.batch_norm where one image's has odd strides
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.forward = partial(affine_norm, norm)
    module = network.get_submodule(str(explanation.layer).removeprefix("network."))
    handle = module.register_forward_hook(lambda _m, _i, output: kept.append(output))
    output = network(inputs.requires_grad_())
    handle.remove()
    logits = output.logits[0]
    if type(network).__name__ in SOFTMAX:
        odds = [logits[:, k] - logits[:, [j for j in range(4) if j != k]].logsumexp(1) for k in range(3)]
        logits = torch.stack(odds, 1)
    score = logits.max()
    (gradient,) = torch.autograd.grad(score, kept[0])
    activations = kept[0]
    if activations.ndim == 3:  # tokens: the class token first, those of the boxes last
        rows = explanation.raw.shape
        activations, gradient = (t[:, 1 : 1 + rows.numel()].mT.unflatten(2, rows) for t in (activations, gradient))
    expected = (activations * gradient.mean((2, 3), keepdim=True)).sum(1)[0].detach()
    assert explanation.score == pytest.approx(float(score.detach()), abs=1e-4)
    difference = float((explanation.raw - expected).abs().max() / expected.abs().max())
    assert difference < 2e-3


@pytest.mark.parametrize("family", ["detr", "rt_detr", "yolos"])
def test_a_saved_detector_is_loaded(here: Path, family: str) -> None:
    processor = getattr(hf, PROCESSORS[family])(size={"shortest_edge": 96, "longest_edge": 160})
    if family == "rt_detr":
        processor = hf.RTDetrImageProcessor(size={"height": 96, "width": 128})
    network = small_detector(hf, family)
    network.save_pretrained(here / family)
    processor.save_pretrained(here / family)
    model = cl.load(f"hf:{here / family}")
    assert model.labels == tuple(NAMES.values())
    image = structured_image(150, 110)
    prepared = processor(images=image, return_tensors="pt")["pixel_values"]
    ours, geometry = model.preprocessing(image)
    assert tuple(ours.shape[-2:]) == tuple(prepared.shape[-2:]) == geometry.input[::-1]
    with torch.no_grad():
        scores = model.network(ours[None])["scores"]
        logits = network(prepared).logits
    probabilities = logits.softmax(-1)[..., :-1] if family in ("detr", "yolos") else logits.sigmoid()
    torch.testing.assert_close(scores.sigmoid(), probabilities, atol=5e-3, rtol=0)
    asked = replace(model, image_targets=DetectionTargets(0.05, 1.0))
    explanation = cl.explain(asked, image, target="box 1")
    assert explanation.raw.shape[-1] > 1
    assert explanation.region is not None


def test_rf_detr_resizes_without_antialiasing(here: Path) -> None:
    network = small_detector(hf, "rf_detr")
    network.save_pretrained(here / "rf")
    hf.RfDetrImageProcessor(size={"height": 128, "width": 128}).save_pretrained(here / "rf")
    with pytest.raises(ModelError, match=r"RfDetrImageProcessor.* not reproduced: .* pass wrap\(network, size="):
        cl.load(f"hf:{here / 'rf'}")
    model = cl.wrap(network, size=128, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    assert model.preprocessing.size == (128, 128)
    assert cl.explain(model, IMAGE, target="cat at 60,60").raw.shape == (8, 8)


SIZES = {
    "DETR": lambda: hf.DetrImageProcessor(size={"shortest_edge": 96, "longest_edge": 160}),
    "YOLOS": lambda: hf.YolosImageProcessor(size={"shortest_edge": 96, "longest_edge": 160}),
    "padded": lambda: hf.DetrImageProcessor(
        size={"shortest_edge": 96, "longest_edge": 160}, pad_size={"height": 160, "width": 160}
    ),
    "squash": lambda: hf.RTDetrImageProcessor(size={"height": 96, "width": 128}),
}


@pytest.mark.parametrize("name", sorted(SIZES))
@pytest.mark.parametrize("size", [(97, 61), (50, 203), (33, 33)])
def test_preprocessing_is_that_of_the_processor(name: str, size: tuple[int, int]) -> None:
    processor = SIZES[name]()
    measured = measure_detector_preprocessing(processor, "a detector")
    image = structured_image(*size)
    ours, geometry = measured.preprocessing(image)
    theirs = processor(images=image, return_tensors="pt", do_pad=False)["pixel_values"][0]
    assert ours.shape == theirs.shape
    assert geometry.input == (theirs.shape[2], theirs.shape[1])
    std = torch.tensor(measured.preprocessing.std)[:, None, None]
    assert float(((ours - theirs) * std).abs().max()) * 255 <= 3


def test_a_size_changes_the_shorter_side() -> None:
    model = cl.wrap(small_detector(hf, "detr"), size=96)
    assert isinstance(model.preprocessing, AspectRatioPreprocessing)
    assert model.preprocessing.geometry((400, 200)).input == (160, 80)
    assert model.preprocessing.geometry((300, 200)).input == (144, 96)
    squashed = cl.wrap(small_detector(hf, "detr"), size=96, fit="squash").preprocessing
    assert squashed(Image.new("RGB", (300, 200)))[0].shape == (3, 96, 96)


def test_a_batch_of_boxes_has_the_pixels_of_its_images() -> None:
    model = detection_model(small_detector(hf, "detr"), Preprocessing())
    batch = torch.cat([inputs_of(), inputs_of(1)])
    with torch.no_grad():
        both, first = model.network(batch), model.network(batch[:1])
    torch.testing.assert_close(both["boxes"][:1], first["boxes"], atol=1e-3, rtol=0)
    assert float(both["boxes"][..., 3].max()) > SIDES[1] / 2


def test_classes_that_do_not_fit_the_outputs_are_refused() -> None:
    network = small_detector(hf, "detr")
    network.config.num_labels = 7
    model = detection_model(network, Preprocessing())
    with pytest.raises(ModelError, match="has 4 outputs per box, but 7 classes"):
        model.network(inputs_of())
