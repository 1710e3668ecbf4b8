"""Segmentation networks are loaded by name, from folders of transformers and from checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchvision.models.segmentation as zoo
from tests.models.segmentation.segmentation_networks import build

import camlucida as cl
from camlucida.errors import ModelError
from camlucida.models.segmentation.targets import SegmentationTargets
from camlucida.models.torchvision_models import get_weights, segmentation_names


def test_names_of_torchvision_without_weights():
    model = cl.load("torchvision:lraspp_mobilenet_v3_large", pretrained=False)
    assert isinstance(model.image_targets, SegmentationTargets)
    assert model.labels[0] == "__background__"
    assert model.labels[15] == "person"
    assert model.output.background == 0
    assert model.preprocessing.size == (520, 520)
    assert {"deeplabv3_resnet50", "fcn_resnet50"} <= set(segmentation_names())
    assert get_weights("deeplabv3_resnet50").meta["categories"][6] == "bus"


def test_a_checkpoint_with_an_auxiliary_head_and_other_classes(tmp_path):
    network = zoo.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=3, aux_loss=True)
    torch.save(network.state_dict(), tmp_path / "deeplab.pth")
    model = cl.load(tmp_path / "deeplab.pth", arch="deeplabv3_mobilenet_v3_large", labels=["a", "bg", "c"], size=64)
    assert model.output.background == 1
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model.network(x)["out"], network.eval()(x)["out"])


def test_a_segformer_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    network = build("segformer")
    network.config.id2label = {0: "background", 1: "road", 2: "bus", 3: "car"}
    network.save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    model = cl.load(f"hf:{tmp_path}")
    assert model.labels == ("background", "road", "bus", "car")
    assert model.preprocessing.size == (64, 64)
    assert isinstance(model.image_targets, SegmentationTargets)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert cl.explain(model, image, target="at 30,30").region is not None


def test_unknown_tasks_list_segmentation():
    message = r"no task 'segmentaton'\. Did you mean 'segmentation'.*Known: .*regression, segmentation, multilabel-segm"
    with pytest.raises(ModelError, match=message):
        cl.wrap(torch.nn.Conv2d(3, 5, 1), task="segmentaton")


def test_a_task_of_the_user_is_kept():
    model = cl.load("toybox:segmenter", task="segmentation")
    assert isinstance(model.image_targets, SegmentationTargets)
    assert cl.load("toybox:segmenter", labels=[*"abcdefghijk"]).output.background is None
