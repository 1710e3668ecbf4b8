"""A user's network becomes a model and is not modified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close
from torchvision import transforms
from torchvision.models import ResNet18_Weights, ViT_B_16_Weights

import camlucida as cl
from camlucida.data import toybox
from camlucida.errors import LayerError, ModelError, TargetError

PICTURE = toybox.scene(5, kinds=["cat"], size=120).picture()


class Small(nn.Module):
    """Two layers and a linear end; `form` says what comes out."""

    def __init__(self, form: Any = None, channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.early, self.late = nn.Conv2d(channels, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 3)
        self.form = form or (lambda scores: scores)

    def forward(self, x: Tensor) -> Any:
        x = self.late(self.early(x).relu()).relu()
        return self.form(self.head(x.mean((2, 3))))


@pytest.mark.parametrize("weights", [ResNet18_Weights.IMAGENET1K_V1, ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1])
def test_the_weights_own_transforms_to_the_bit(weights: Any) -> None:
    """The same numbers as torchvision's own pipeline gives."""
    model = cl.wrap(Small(), preprocess=weights.transforms())
    assert_close(model.preprocessing(PICTURE)[0], weights.transforms()(PICTURE), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "steps",
    [
        [transforms.Resize(60), transforms.CenterCrop(48)],
        [transforms.Resize((40, 56))],
        [transforms.Resize(60, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop((32, 48))],
    ],
)
def test_a_compose_to_the_bit(steps: list[Any]) -> None:
    compose = transforms.Compose(
        [*steps, transforms.ToTensor(), transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])]
    )
    image = PICTURE.crop((0, 10, 120, 101))
    assert_close(cl.wrap(Small(), preprocess=compose).preprocessing(image)[0], compose(image), rtol=0, atol=1e-6)


def test_numbers() -> None:
    model = cl.wrap(Small(), size=32, mean=[0.5] * 3, std=[0.25] * 3)
    inputs, geometry = model.preprocessing(PICTURE)
    assert inputs.shape == (3, 32, 32)
    expected = torch.from_numpy(np.array(PICTURE.resize((32, 32), Image.Resampling.BILINEAR)))
    assert_close(inputs, (expected.permute(2, 0, 1) / 255 - 0.5) / 0.25)
    assert geometry.visible_box == (0, 0, 120, 120)


def test_numbers_on_top_of_transforms() -> None:
    how = cl.wrap(
        Small(), preprocess=ResNet18_Weights.DEFAULT.transforms(), mean=[0, 0, 0], std=[1, 1, 1]
    ).preprocessing
    assert (how.size, how.resize, how.mean, how.std) == ((224, 224), 256, (0, 0, 0), (1, 1, 1))


def test_grey_networks() -> None:
    model = cl.wrap(Small(channels=1), size=32, mean=[0.5], std=[0.5])
    assert cl.explain(model, PICTURE).heatmap.shape == (120, 120)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"preprocess": lambda image: image}, "the effect of function on an image is unknown"),
        ({"mean": [0.5, 0.5], "std": [1, 1, 1]}, "one number per channel"),
        ({"mean": 0.5}, "mean must be a list with one number per channel, not 0.5"),
        ({"size": 2.5}, "size must be"),
        ({"size": "32"}, "size must be"),
        ({"resize": (40, 0)}, "resize must be"),
        ({"resize": "40"}, "resize must be"),
        ({"interpolation": "cubic"}, "interpolation must be bilinear, bicubic, nearest, lanczos or box, not 'cubic'"),
        ({"preprocess": transforms.Compose([transforms.ToTensor()])}, "no Resize"),
        ({"preprocess": transforms.Compose([transforms.RandomCrop(8)])}, "RandomCrop"),
        ({"labels": "no-such-file.txt"}, "no-such-file.txt cannot be read"),
    ],
)
def test_invalid_arguments_are_reported(how: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        cl.wrap(Small(), **how)


@pytest.mark.parametrize("thing", [None, "resnet18", 3, Small])
def test_only_networks_can_be_wrapped(thing: Any) -> None:
    with pytest.raises(ModelError, match=r"wrap needs a torch.nn.Module, not"):
        cl.wrap(thing)
    with pytest.raises(ModelError, match="not"):
        cl.attribute(thing, torch.zeros(1, 3, 8, 8))


def test_labels_and_name(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    for labels in (["one", "two", "three"], tmp_path / "names.txt"):
        model = cl.wrap(Small(), size=32, labels=labels, name="mine")
        e = cl.explain(model, PICTURE, target="two")
        assert (e.target, e.index, e.model) == ("two", 1, "mine")
        assert {p.name for p in e.predictions} == {"one", "two", "three"}
    assert cl.explain(cl.wrap(Small(), size=32), PICTURE, target=1).target == "class 1"
    assert cl.wrap(Small()).name == "Small"


def test_the_default_layer_can_be_given() -> None:
    assert cl.explain(cl.wrap(Small(), size=32), PICTURE).layer == "late"
    assert cl.explain(cl.wrap(Small(), size=32, layer="early"), PICTURE).layer == "early"
    assert cl.explain(cl.wrap(Small(), size=32, layer="early"), PICTURE, layer="late").layer == "late"
    with pytest.raises(LayerError, match=r"no layer 'erly' in Small. Did you mean 'early'"):
        cl.explain(cl.wrap(Small(), size=32, layer="erly"), PICTURE)


class Output(dict[str, Any]):
    """As transformers have it: a dict with attributes."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    ("form", "output"),
    [
        (lambda s: {"logits": s, "features": torch.zeros(len(s), 4)}, None),
        (lambda s: {"logits": s, "boxes": torch.zeros(len(s), 4)}, "logits"),
        (lambda s: (s, s.softmax(1)), None),
        (lambda s: (s, torch.zeros(len(s), 7)), 0),
        (lambda s: (torch.zeros(len(s), 7), s), 1),
        (lambda s: {"boxes": torch.zeros(len(s), 4), "classes": s}, "classes"),
        (lambda s: Output(loss=None, logits=s), None),
        (lambda s: {"a": {"b": s}}, lambda out: out["a"]["b"]),
        (lambda s: s[:, :, None, None], None),
    ],
)
def test_the_part_of_the_output_that_is_the_scores(form: Any, output: Any) -> None:
    plain = cl.explain(cl.wrap(Small(), size=32), PICTURE, target=2)
    e = cl.explain(cl.wrap(Small(form), size=32, output=output), PICTURE, target=2)
    assert e.predictions == plain.predictions
    assert_close(e.raw, plain.raw, rtol=0, atol=0)


def test_a_part_that_is_not_there() -> None:
    with pytest.raises(TargetError, match=r"output has no part 'scores'; it has logits"):
        cl.explain(cl.wrap(Small(lambda s: {"logits": s}), size=32, output="scores"), PICTURE)
    with pytest.raises(TargetError, match=r"shape \(images, classes\).*output="):
        cl.explain(cl.wrap(Small(lambda s: s[:, :, None, None].expand(-1, -1, 2, 2)), size=32), PICTURE)


def test_the_network_is_left_alone() -> None:
    network = Small().train()
    network.late.requires_grad_(False)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    cl.explain(cl.wrap(network, size=32), PICTURE, target="top3", layer="all", method=["grad_cam", "ablation_cam"])
    assert network.training
    assert [p.requires_grad for p in network.late.parameters()] == [False, False]
    assert all(p.grad is None for p in network.parameters())
    assert "forward" not in vars(network.late)
    assert_close(network.state_dict(), before, rtol=0, atol=0)


def test_a_network_that_minds_its_input_is_told_in_one_sentence() -> None:
    class Sized(Small):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.late(self.early(x)).flatten(1)[:, :9])

    for network, how in ((Small(channels=1), {"size": 32}), (Sized(), {})):
        with pytest.raises(ModelError, match=r"cannot run on an input of 3×\d+×\d+; it raised RuntimeError: .*size="):
            cl.explain(cl.wrap(network, **how), PICTURE)  # type: ignore[arg-type]
