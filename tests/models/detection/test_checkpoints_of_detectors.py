"""Files of weights of detectors: saved by the user without an adapter, with any number of classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models.detection.resize_classes import resize_classes

NAMES = ("ssdlite320_mobilenet_v3_large", "fasterrcnn_mobilenet_v3_large_320_fpn")


def _saved(name: str, classes: int, path: Path) -> torch.nn.Module:
    """Save the weights of a detector as training scripts do, and return the detector."""
    torch.manual_seed(classes)
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes).eval()
    torch.save({"epoch": 3, "model": network.state_dict()}, path)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("classes", [4, 91])
@pytest.mark.parametrize("name", NAMES)
def test_loaded_candidates_are_those_of_the_wrapped_detector(name: str, classes: int, tmp_path: Path) -> None:
    network = _saved(name, classes, tmp_path / "run.pth")
    labels = ["__background__", *(f"kind {k}" for k in range(1, classes))]
    loaded = cl.load(tmp_path / "run.pth", arch=name, labels=labels, device="cpu")
    wrapped = cl.wrap(network, labels=labels)
    assert loaded.labels == wrapped.labels == tuple(labels[1:])
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        found, expected = loaded.network(images), wrapped.network(images)
    for key in expected:
        torch.testing.assert_close(found[key], expected[key], rtol=0, atol=0)


def test_other_classes_lose_the_names_of_coco(tmp_path: Path) -> None:
    _saved(NAMES[0], 4, tmp_path / "run.pth")
    assert cl.load(tmp_path / "run.pth", arch=NAMES[0], device="cpu").labels == ("class 1", "class 2", "class 3")


@pytest.mark.parametrize(
    ("name", "per_class"),
    [
        ("fasterrcnn_mobilenet_v3_large_320_fpn", {"cls_score": 1, "box_predictor.bbox_pred": 4}),
        ("ssdlite320_mobilenet_v3_large", {"module_list.0.1": 6}),
        ("retinanet_resnet50_fpn", {"cls_logits": 9}),
        ("fcos_resnet50_fpn", {"cls_logits": 1}),
        ("maskrcnn_resnet50_fpn", {"cls_score": 1, "mask_fcn_logits": 1}),
    ],
)
def test_every_last_layer_is_resized(name: str, per_class: dict[str, int]) -> None:
    with torch.device("meta"):
        small, large = (
            torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=n) for n in (5, 91)
        )
        assert resize_classes(large, small.state_dict()) == 5
    shapes = {key: value.shape for key, value in large.state_dict().items()}
    assert shapes == {key: value.shape for key, value in small.state_dict().items()}
    for layer, rows in per_class.items():
        assert next(shape[0] for key, shape in shapes.items() if key.endswith(f"{layer}.weight")) == 5 * rows


def test_another_width_is_no_number_of_classes() -> None:
    with torch.device("meta"):
        narrow, wide = (torchvision.models.get_model(name, weights=None, weights_backbone=None) for name in NAMES)
    state = {
        key: value.new_empty(2 * value.shape[0], *value.shape[1:]) if value.ndim else value
        for key, value in narrow.state_dict().items()
    }
    assert resize_classes(narrow, state) is None
    assert resize_classes(wide, narrow.state_dict()) is None


def test_a_file_of_another_detector_is_one_sentence(tmp_path: Path) -> None:
    _saved(NAMES[0], 4, tmp_path / "run.pth")
    with pytest.raises(ModelError, match=r"run\.pth does not fit FasterRCNN"):
        cl.load(tmp_path / "run.pth", arch=NAMES[1], device="cpu")


@pytest.mark.parametrize("classes", [21, 5])
def test_segmentation_file_may_have_its_own_classes(classes: int, tmp_path: Path) -> None:
    name = "lraspp_mobilenet_v3_large"
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=classes).eval()
    torch.save(network.state_dict(), tmp_path / "seg.pth")
    loaded = cl.load(tmp_path / "seg.pth", arch=name, device="cpu")
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(images)["out"], network(images)["out"])
    assert loaded.image_targets is not None
