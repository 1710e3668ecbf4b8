"""Detectors of torchvision with random weights: their candidates give torchvision's own detections."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection as zoo
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import box_iou

import camlucida as cl
from camlucida.errors import ModelError, TargetError
from camlucida.models.detection import torchvision as adapters
from camlucida.models.detection.candidates import Candidates, detections
from camlucida.models.load import load, wrap
from camlucida.models.model import Model

SIDE = 96
N_OUTPUTS = 4


def small(make: Callable[..., nn.Module], **options: object) -> nn.Module:
    """A detector with random weights, and batch statistics with which its activations do not vanish."""
    torch.manual_seed(0)
    detector = make(weights=None, weights_backbone=None, num_classes=N_OUTPUTS, **options).eval()
    norms = [module.train() for module in detector.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the statistics become those of the next batch
    with torch.no_grad():
        detector.backbone(nn.functional.interpolate(torch.randn(2, 3, 9, 9), (320, 320), mode="bilinear"))
    return detector.eval()


@torch.no_grad()
def spread(detector: nn.Module, layers: list[nn.Module]) -> nn.Module:
    """Scale the last layers so that the logits have a standard deviation of 2; those of random networks are all alike.

    What precedes them is centred first, which random networks do not vary around.
    """
    image = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    image = nn.functional.interpolate(image, (320, 320), mode="bilinear")
    for layer in layers:
        kept: list[Tensor] = []
        handle = layer.register_forward_hook(lambda *args, kept=kept: kept.append(args[2]))
        detector(list(image))
        handle.remove()
        output = torch.cat([each.transpose(0, 1).flatten(1) if each.ndim == 4 else each.T for each in kept], 1)
        std = output.std(1, correction=0)
        std = torch.where(std > 1e-12, std, 2.0)  # one candidate only
        layer.weight.mul_((2 / std).reshape(-1, *[1] * (layer.weight.ndim - 1)))
        layer.bias.copy_((layer.bias - output.mean(1)) * 2 / std if layer.bias.ndim else layer.bias)
    return detector


def tiny_backbone() -> nn.Module:
    """A feature pyramid on three convolutions."""
    torch.manual_seed(0)
    steps = [(3, 8, 4), (8, 8, 2), (8, 16, 2)]
    convolutions = [nn.Conv2d(a, b, step + 1, step, padding=1) for a, b, step in steps]
    body = nn.Sequential(
        OrderedDict((f"stage{i}", nn.Sequential(conv, nn.ReLU())) for i, conv in enumerate(convolutions))
    )
    return BackboneWithFPN(body, {"stage1": "0", "stage2": "1"}, [8, 16], 32)


def faster_rcnn() -> nn.Module:
    detector = small(
        zoo.fasterrcnn_mobilenet_v3_large_320_fpn, min_size=SIDE, max_size=SIDE, rpn_post_nms_top_n_test=40
    )
    return spread(detector, [detector.roi_heads.box_predictor.cls_score])


def retinanet() -> nn.Module:
    backbone = tiny_backbone()
    anchors = zoo.anchor_utils.AnchorGenerator(((32,), (64,), (80,)), ((1.0,),) * 3)
    detector = zoo.RetinaNet(backbone, N_OUTPUTS, min_size=SIDE, max_size=SIDE, anchor_generator=anchors).eval()
    return spread(detector, [detector.head.classification_head.cls_logits])


def fcos() -> nn.Module:
    backbone = tiny_backbone()
    anchors = zoo.anchor_utils.AnchorGenerator(((8,), (16,), (32,)), ((1.0,),) * 3)
    detector = zoo.FCOS(backbone, N_OUTPUTS, min_size=SIDE, max_size=SIDE, anchor_generator=anchors).eval()
    return spread(detector, [detector.head.classification_head.cls_logits])


def ssdlite() -> nn.Module:
    detector = small(zoo.ssdlite320_mobilenet_v3_large)
    head = detector.head.classification_head
    return spread(detector, [block[1] for block in head.module_list])


DETECTORS = {"faster_rcnn": faster_rcnn, "fcos": fcos, "retinanet": retinanet, "ssdlite": ssdlite}


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def detector(request: pytest.FixtureRequest) -> nn.Module:
    return DETECTORS[request.param]()


@pytest.fixture(scope="module")
def model(detector: nn.Module) -> Model:
    return wrap(detector)


def pixels(model: Model) -> Tensor:
    height, width = model.preprocessing.size
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(1, 3, 6, 6, generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear")


def normalised(model: Model, image: Tensor) -> Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in (model.preprocessing.mean, model.preprocessing.std))
    return (image - mean) / std


@torch.no_grad()
def test_the_detections_are_those_of_torchvision(detector: nn.Module, model: Model) -> None:
    image = pixels(model)
    (expected,) = detector(list(image))
    visible = ((expected["boxes"][:, 2:] - expected["boxes"][:, :2]) >= 0.01).all(1)  # FCOS keeps boxes without area
    expected = {key: value[visible] for key, value in expected.items()}
    threshold = float(getattr(detector, "roi_heads", detector).score_thresh)
    candidates = Candidates.of(model.network(normalised(model, image)))
    found = detections(candidates, threshold, model.image_targets.iou, 100)
    assert len(expected["scores"]) >= 3
    assert float(expected["scores"][0] - expected["scores"][-1]) > 0.05
    n = min(10, len(expected["scores"]))
    first = int(model.labels[0].removeprefix("class "))
    for i in range(n):
        mine, label = found[i], int(expected["labels"][i])
        assert mine.index + first == label
        assert mine.probability == pytest.approx(float(expected["scores"][i]), abs=2e-5)
        assert float(box_iou(torch.tensor([mine.box]), expected["boxes"][i : i + 1])) > 0.99


def test_every_row_is_an_image(model: Model) -> None:
    image = normalised(model, pixels(model))
    both = torch.cat([image, image.flip(3)])
    with torch.no_grad():
        together, alone = Candidates.of(model.network(both)), Candidates.of(model.network(image.flip(3)))
    found = [detections(c, 0.05, 0.5, 5) for c in (Candidates(together.boxes[1:], together.scores[1:]), alone)]
    for mine, other in zip(*found, strict=True):
        assert mine.box == pytest.approx(other.box, abs=0.05)
        assert mine.score == pytest.approx(other.score, abs=1e-3)


def test_the_score_of_a_box_depends_on_the_default_layer(detector: nn.Module, model: Model) -> None:
    inputs = normalised(model, pixels(model))
    with torch.no_grad():
        best = detections(Candidates.of(model.network(inputs)), 0.0, 0.5, 1)[0]
    middle = ((best.box[0] + best.box[2]) / 2, (best.box[1] + best.box[3]) / 2)
    (bound,) = model.image_targets.bind(model, inputs, f"{best.index} at {middle[0]},{middle[1]}")
    kept: list[Tensor] = []
    layer = bound.model.network.get_submodule(bound.model.layer)
    handle = layer.register_forward_hook(lambda *args: kept.append(args[2]))
    score = bound.model.output(bound.model.network(inputs))[0, bound.target]
    handle.remove()
    output = kept[0]["0"] if isinstance(kept[0], dict) else kept[0]
    (gradient,) = torch.autograd.grad(score, output)
    assert float(gradient.abs().sum()) > 0
    assert float(score.detach()) == pytest.approx(best.score, abs=1e-4)


def test_a_detector_is_explained_as_it_is(detector: nn.Module, model: Model) -> None:
    modes = [module.training for module in detector.modules()]
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    explanation = cl.explain(detector, image, target="1 at 30,20")
    assert explanation.raw.isfinite().all()
    assert explanation.region is not None
    assert [module.training for module in detector.modules()] == modes
    assert all(parameter.grad is None for parameter in detector.parameters())


def test_the_edges_have_gradients(model: Model) -> None:
    inputs = normalised(model, pixels(model)).requires_grad_()
    output = model.network(inputs)
    boxes = output["boxes"]
    inner = (boxes > 1) & (boxes < model.preprocessing.size[0] - 1)
    (gradient,) = torch.autograd.grad(boxes[inner].sum(), inputs)
    assert float(gradient.abs().sum()) > 0


def test_a_detector_in_training_mode_is_not_changed() -> None:
    detector = faster_rcnn().train()
    model = wrap(detector)
    with pytest.raises(TargetError, match=r"nothing was detected|no box 99"):
        cl.explain(model, np.zeros((40, 40, 3), np.uint8), target="box 99")
    assert all(module.training for module in detector.modules())


def test_labels() -> None:
    detector = ssdlite()
    assert wrap(detector).labels == ("class 1", "class 2", "class 3")
    assert wrap(detector, labels=["a", "b", "c"]).labels == ("a", "b", "c")
    skipping = wrap(detector, labels=["__background__", "a", "N/A", "c"])
    assert skipping.labels == ("a", "c")
    assert skipping.network.columns == [1, 3]
    with pytest.raises(ModelError, match="has 4 outputs, and 2 labels"):
        wrap(detector, labels=["a", "b"])


def test_the_preprocessing_is_that_of_the_detector() -> None:
    preprocessing = wrap(faster_rcnn()).preprocessing
    assert preprocessing.size == (SIDE, SIDE)
    assert preprocessing.fit == "letterbox"
    lite = wrap(ssdlite()).preprocessing
    assert (lite.size, lite.fit, lite.mean) == ((320, 320), "squash", (0.5, 0.5, 0.5))
    assert wrap(faster_rcnn(), size=64).preprocessing.size == (64, 64)


def test_names_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load("torchvision:ssdlite320_mobilenet_v3_large", pretrained=False)
    assert len(model.labels) == 80
    assert model.labels[0] == "person"
    assert model.image_targets is not None
    assert {"fasterrcnn_resnet50_fpn", "fcos_resnet50_fpn", "retinanet_resnet50_fpn", "ssd300_vgg16"} <= set(
        adapters.detector_names()
    )
    with pytest.raises(ModelError, match="fasterrcnn_resnet50_fpn"):
        load("torchvision:fasterrcnn_resnet50", pretrained=False)
