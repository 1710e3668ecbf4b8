"""Segmentation networks whose classes do not exclude each other: a sigmoid per class, and regions that overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import TargetError
from camlucida.models.segmentation.targets import predicted_masks

SIZE = 16
LABELS = ["animal", "dog", "sky"]


class Overlapping(nn.Module):
    """Class scores per pixel: red is an animal, the brighter red also a dog; sky is nowhere."""

    def __init__(self, sigmoid: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1, bias=False)
        self.head = nn.Conv2d(3, 3, 1)
        self.sigmoid = sigmoid
        with torch.no_grad():
            self.stem.weight.copy_(torch.eye(3)[:, :, None, None])
            self.head.weight.zero_()
            self.head.weight[0, 0], self.head.weight[1, 0] = 10.0, 10.0
            self.head.bias.copy_(torch.tensor([-2.0, -7.0, -5.0]))

    def forward(self, x: Tensor) -> Tensor:
        out = self.head(self.stem(x))
        return out.sigmoid() if self.sigmoid else out


def model(task: str = "multilabel-segmentation", **options: bool) -> cl.Model:
    return cl.wrap(Overlapping(**options).eval(), size=SIZE, mean=(0, 0, 0), std=(1, 1, 1), labels=LABELS, task=task)


@pytest.fixture
def image() -> Image.Image:
    """An animal in the left half, whose lower part is a dog."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[:, :8, 0] = 128
    pixels[8:, :8, 0] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_regions_overlap(image, sigmoid):
    explanations = cl.explain(model(sigmoid=sigmoid), image)
    assert [e.target for e in explanations] == ["animal", "dog"]
    animal, dog = (e.region.mask for e in explanations)
    assert animal[:, :8].all()
    assert not animal[:, 8:].any()
    assert dog[8:, :8].all()
    assert int(dog.sum()) == 64
    if not sigmoid:
        assert explanations[1].score == pytest.approx(3.0, abs=1e-5)
        assert explanations[1].predictions[0].probability == pytest.approx(1 / (1 + np.exp(-5.5)), abs=1e-2)


def test_points_in_several_classes_need_a_name(image):
    with pytest.raises(TargetError, match=r"several classes are predicted at 2,12: animal, dog\. Name one"):
        cl.explain(model(), image, target="at 2,12")
    assert cl.explain(model(), image, target="at 2,2").target == "animal"
    missed = cl.explain(model(), image, target="class:dog at 2,2")
    assert missed.target == "missed dog (predicted animal)"
    assert "predicted background" in cl.explain(model(), image, target="class:dog at 12,2").target


def test_classes_that_exclude_each_other_take_the_highest_score(image):
    assert cl.explain(model("segmentation"), image, target="class:animal").region.mask[8:, :8].all()
    with pytest.raises(TargetError, match="no pixel is predicted as dog"):
        cl.explain(model("segmentation"), image, target="class:dog")


def test_trust_takes_probabilities_of_the_sigmoid(image):
    result = cl.trust(model(), image, target="class:dog", n_windows=16)
    assert result.confidence.present == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-5)


def test_known_networks_take_the_task_of_classifiers():
    smp = pytest.importorskip("segmentation_models_pytorch")
    network = smp.Unet("resnet18", encoder_weights=None, classes=3).eval()
    wrapped = cl.wrap(network, size=32, labels=LABELS, task="multilabel")
    assert (wrapped.image_targets.kind, wrapped.image_targets.is_multilabel, wrapped.task) == (
        "segmentation",
        True,
        "multilabel",
    )
    assert not cl.wrap(network, size=32, labels=LABELS).image_targets.is_multilabel
    loaded = cl.load("toybox:segmenter", task="multilabel-segmentation")
    assert loaded.image_targets.is_multilabel
    assert loaded.task == "multilabel"


def test_masks_by_hand():
    dense = torch.tensor([[[1.0, -1.0]], [[2.0, -2.0]]])
    assert predicted_masks(dense, 2, is_multilabel=True).tolist() == [[[True, False]], [[True, False]]]
    assert predicted_masks(dense, 2).tolist() == [[[False, True]], [[True, False]]]
    assert predicted_masks(dense[:1], 2).tolist() == [[[False, True]], [[True, False]]]
    assert predicted_masks(dense[:1], 1, threshold=1.5).tolist() == [[[False, False]]]
