"""`camlucida.layers`: rows, totals by the convention of torchsummary, verified grids, and the choice of the default."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import DataError, ModelError

MB = 2**20

# Printed by torchsummary 1.5.1 at 224 × 224: number of parameters; MB of forward/backward, of parameters, in total.
TORCHSUMMARY = {
    "alexnet": (61_100_840, 8.38, 233.08, 242.03),
    "vgg16": (138_357_544, 218.78, 527.79, 747.15),
    "resnet50": (25_557_032, 286.56, 97.49, 384.62),
    "squeezenet1_1": (1_235_496, 53.76, 4.71, 59.05),
    "mobilenet_v2": (3_504_872, 152.87, 13.37, 166.81),
}


@pytest.mark.parametrize("name", TORCHSUMMARY)
def test_totals_equal_those_of_torchsummary(name: str) -> None:
    n_parameters, forward_backward, parameters, total = TORCHSUMMARY[name]
    summary = cl.layers(name)
    assert summary.n_parameters == n_parameters
    assert f"{summary.input_bytes / MB:.2f}" == "0.57"
    assert f"{summary.forward_backward_bytes / MB:.2f}" == f"{forward_backward:.2f}"
    assert f"{summary.parameter_bytes / MB:.2f}" == f"{parameters:.2f}"
    assert f"{summary.total_bytes / MB:.2f}" == f"{total:.2f}"


def test_forward_backward_size_of_alexnet_by_hand() -> None:
    """The outputs of all modules, twice, in float32: 8.38 MB."""
    convolutions = 2 * 64 * 55**2 + 64 * 27**2 + 2 * 192 * 27**2 + 192 * 13**2 + (2 * 384 + 4 * 256) * 13**2
    n_values = convolutions + 3 * 256 * 6**2 + 5 * 4096 + 1000  # pooling twice, dropout; linear layers
    assert cl.layers("alexnet").forward_backward_bytes == 2 * 4 * n_values


class Tiny(nn.Module):
    """Two convolutions, one of them frozen, and a module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(4, 5, 3, stride=2, padding=1))
        self.relu = nn.ReLU()
        self.head = nn.Linear(5, 7)
        self.first.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.body(self.relu(self.first(x)))).mean((2, 3)))


def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny().eval()


def test_rows_by_hand() -> None:
    network = tiny()
    summary = cl.layers(network, size=(8, 12))
    rows = {row.name: row for row in summary}
    assert list(rows) == ["first", "relu#1", "body.0", "body", "relu#2", "head"]
    assert summary.input_shape == (3, 8, 12)
    first, body = 3 * 4 * 9 + 4, 4 * 5 * 9 + 5
    assert (rows["first"].n_parameters, rows["first"].n_trainable_parameters) == (first, 0)
    assert (rows["body.0"].n_parameters, rows["body.0"].n_trainable_parameters) == (body, body)
    assert rows["body.0"].output_shape == (5, 4, 6)
    assert rows["body.0"].output_bytes == 4 * 5 * 4 * 6
    assert rows["head"].n_cumulative_parameters == summary.n_parameters == first + body + 5 * 7 + 7
    assert summary.n_non_trainable_parameters == first
    assert summary.forward_backward_bytes == 2 * 4 * (2 * 4 * 8 * 12 + 2 * 5 * 4 * 6 + 7)  # without the Sequential
    assert [row.name for row in summary if row.is_convolution] == ["first", "body.0"]
    assert rows["body.0"].grid == (4, 6)
    assert {row.geometry for row in summary} == {"convolution", None}
    assert summary.default is not None
    assert summary.default.name == "relu#2"
    assert next(p for p in network.parameters()).requires_grad is False


def test_half_precision_and_shared_parameters() -> None:
    network = tiny().to(torch.bfloat16)
    network.second = network.first  # type: ignore[assignment]
    summary = cl.layers(network, size=8)
    assert summary.parameter_bytes == 2 * summary.n_parameters == 2 * sum(p.numel() for p in tiny().parameters())


def test_a_vision_transformer_is_measured() -> None:
    torch.manual_seed(0)
    network = torchvision.models.VisionTransformer(32, 8, 3, 2, 24, 48, num_classes=5)
    summary = cl.layers(network.eval(), size=32)
    default = summary.default
    assert default is not None
    assert default.geometry == "measured"
    assert default.correlation is not None
    assert default.correlation > 0.9
    assert default.grid == (4, 4)
    text = "\n".join(summary.choice)
    assert "a grid of 4×4 after 1 token without a position" in text
    assert f"correlation {default.correlation:.3f}" in text
    assert "class or register tokens only" in text  # the layers after it
    assert "of shape (1, 5)" in text


class Shuffled(nn.Module):
    """Positions in an order that is not that of the image, as (b, h, w, c)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)
        self.order = torch.randperm(64, generator=torch.Generator().manual_seed(1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)[:, self.order].reshape(-1, 8, 8, 8)
        return self.head(self.norm(x).square().mean((1, 2)))


def test_a_contradicted_layout_is_marked() -> None:
    torch.manual_seed(0)
    summary = cl.layers(Shuffled().eval(), size=32)
    rows = {row.name: row for row in summary}
    assert (rows["norm"].geometry, rows["norm"].grid) == ("contradicted", None)
    assert summary.default is not None
    assert summary.default.name == "stem"
    assert "Later: norm: a moving patch moves the response elsewhere" in "\n".join(summary.choice)


def test_the_given_layer_is_the_default() -> None:
    summary = cl.layers(cl.wrap(tiny(), layer="first"), size=8)
    assert summary.default is not None
    assert summary.default.name == "first"
    assert "the layer that the model was given" in summary.choice[0]


def test_a_network_without_grids() -> None:
    torch.manual_seed(0)
    summary = cl.layers(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), size=8)
    assert summary.default is None
    assert summary.choice[0].startswith("No layer returns a reliable spatial grid")


def test_default_equals_that_of_explain() -> None:
    for name in ("toybox", "toybox:vit", "resnet18"):
        model = cl.load(name, pretrained=not name.startswith("resnet"))
        maps = cl.attribute(model, torch.zeros(1, 3, *model.preprocessing.size))
        default = cl.layers(model).default
        assert default is not None
        assert maps.shape[-2:] == torch.Size(default.grid or ())


def test_exports(tmp_path: Path) -> None:
    summary = cl.layers(tiny(), size=8)
    rows = list(csv.DictReader(io.StringIO(summary.to_csv())))
    assert [row["name"] for row in rows] == [row.name for row in summary]
    assert rows[0]["output_shape"] == "4×8×8"
    assert [row["correlation"] for row in rows] == [""] * len(rows)
    lines = summary.to_markdown().splitlines()
    assert len(lines) == len(summary) + 2
    assert {line.count(" | ") for line in lines[2:]} == {len(dataclasses.fields(cl.LayerSummary)) - 1}
    assert summary.save(tmp_path / "layers.md").read_text(encoding="utf-8") == summary.to_markdown()
    with pytest.raises(DataError, match=r"use \.csv or \.md"):
        summary.save(tmp_path / "layers.txt")
    assert isinstance(summary[0], cl.LayerSummary)
    assert summary[1:3] == summary.rows[1:3]


def test_markdown_cells_are_escaped() -> None:
    summary = cl.layers(tiny(), size=8)
    row = dataclasses.replace(summary[0], name="a|b\n<i>")
    line = dataclasses.replace(summary, rows=(row,)).to_markdown().splitlines()[2]
    assert line.startswith("| a\\|b\\n&lt;i> |")


def test_errors() -> None:
    with pytest.raises(ModelError, match="integers of 1 or more"):
        cl.layers(tiny(), size=0)
    with pytest.raises(ModelError, match="cannot run on an input of 3×8×8"):
        cl.layers(nn.Sequential(nn.Conv2d(4, 4, 3)), size=8)
