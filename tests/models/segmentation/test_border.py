"""The border that a letterbox adds to the network input is of no class: for regions, and for the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from tests.models.segmentation.segmentation_networks import build
from torch import Tensor, nn

import camlucida as cl
from camlucida.attribution.bind_targets import bind_targets
from camlucida.attribution.output_reader import predict
from camlucida.attribution.predictions import predict_scores
from camlucida.data.datasets import Item, ListDataset
from camlucida.evaluation.dataset_pass import DatasetPass
from camlucida.evaluation.model_input import prepare_input
from camlucida.evaluation.prediction_rows import batch_rows, prediction_row
from camlucida.evaluation.read_images import read_batches, stacked
from camlucida.models.segmentation.pixel_scores import RegionScores, WholeImageScores, image_box, image_cells
from camlucida.targets import RegionTarget
from camlucida.types import Geometry

SIZE = 32


class Grey(nn.Module):
    """Class scores per pixel at half resolution: red, green, or grey, which is the only colour with blue in it."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = nn.Conv2d(3, 3, 2, 2, bias=False)
        self.head = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.pick.weight.zero_()
            self.pick.weight[0, 0], self.pick.weight[1, 1], self.pick.weight[2, 2] = 0.25, 0.25, 0.25
            self.head.weight.copy_(torch.tensor([[6.0, -6, 0], [-6, 6, 0], [0, 0, 9]])[:, :, None, None])
            self.head.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pick(x))


def model(**options: object) -> cl.Model:
    """Return a model whose letterbox has a grey border, which the network predicts as "grey"."""
    return cl.wrap(
        Grey().eval(),
        size=SIZE,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        fit="letterbox",
        fill=0.5,
        labels=["red", "green", "grey"],
        task="segmentation",
        **options,
    )


def image(width: int = 32, height: int = 16) -> Image.Image:
    """Return an image whose left three quarters are red and whose right quarter is green."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width * 3 // 4, 0] = 255
    pixels[:, width * 3 // 4 :, 1] = 255
    return Image.fromarray(pixels)


def bound(spec: str | None, picture: Image.Image) -> list:
    of = model()
    inputs, geometry = of.preprocessing(picture)
    return bind_targets(of, inputs, [spec], geometry)


def test_the_network_predicts_the_border_as_grey():
    of = model()
    inputs, _ = of.preprocessing(image())
    classes = of.network(inputs[None])[0].argmax(0)
    assert float((classes == 2).double().mean()) == 0.5


def test_no_region_is_in_the_border():
    assert [one.label for one in bound(None, image())] == ["red", "green"]
    with pytest.raises(cl.CamlucidaError, match=r"no pixel is predicted as grey.*red \(75\.0%\), green \(25\.0%\)"):
        cl.explain(model(), image(), target="class:grey")


@pytest.mark.parametrize("size", [(32, 16), (16, 32), (30, 7), (200, 90), (31, 32)])
def test_regions_cover_the_image_and_nothing_else(size):
    picture = image(*size)
    regions = bound(None, picture)
    geometry = model().preprocessing(picture)[1]
    left, top = geometry.offset
    covered = torch.stack([one.region.mask for one in regions]).sum(0)
    rows, columns = covered.any(1).nonzero()[:, 0], covered.any(0).nonzero()[:, 0]
    cell = 2  # pixels of the network input
    assert int(covered.max()) == 1
    assert abs(int(rows[0]) - top) <= cell / 2 + 1
    assert abs(int(columns[0]) - left) <= cell / 2 + 1
    assert abs(int(rows[-1]) + 1 - (SIZE - top)) <= cell / 2 + 1
    assert isinstance(regions[0].model.output, RegionScores)


def test_scores_of_the_whole_image_are_those_of_its_pixels():
    of = model()
    picture = image()
    inputs, _ = of.preprocessing(picture)
    logits = of.network(inputs[None])[0].detach()[:, 4:12]  # rows 8 to 24 of the input, at half resolution
    by_hand = logits.flatten(1).logsumexp(1) - np.log(8 * 16)
    torch.testing.assert_close(predict_scores(of, picture)[0], by_hand)
    torch.testing.assert_close(prepare_input(of, Item(picture, "a"), None).logits, by_hand)
    explanation = cl.explain(of, picture, target="grey")
    assert explanation.score == pytest.approx(float(by_hand[2]), rel=1e-5)
    assert explanation.predictions[0].name == "red"
    assert cl.explain(of, picture, target="red").predictions[0].name == "red"


def test_a_data_set_of_several_shapes_is_predicted_without_borders():
    of = model()
    pictures = [image(), image(16, 32), image(32, 32), image(), image(32, 8)]
    data = ListDataset("pictures", [Item(p, str(i)) for i, p in enumerate(pictures)], of.labels)
    run = DatasetPass.of(of, data, range(len(pictures)))
    (batch,) = read_batches(run, [range(len(pictures))])
    rows = batch_rows(
        run,
        batch,
        lambda images: list(predict(images[0].model_of(run), stacked(images))[0]),
        lambda loaded, logits: {**prediction_row(run, loaded, logits), "logits": logits},
    )
    for row, picture in zip(rows, pictures, strict=True):
        torch.testing.assert_close(row["logits"], predict_scores(of, picture)[0])
        assert row["predicted"] == "red"


def test_a_network_input_without_a_border_is_read_whole():
    of = model()
    geometry = of.preprocessing(image(32, 32))[1]
    assert image_box(geometry) is None
    assert of.on_image(geometry) is of
    assert image_box(Geometry((40, 30), (32, 32), (1.0, 1.0), (-4.0, 1.0))) == (0.0, 1 / 32, 1.0, 31 / 32)
    assert image_box(Geometry((40, 40), (32, 32), (1.0, 1.0), (-4.0, -4.0))) is None  # a crop


def test_the_border_of_a_network_of_torchvision_is_left_out():
    of = cl.wrap(build("lraspp_mobilenet_v3_large"), size=64, fit="letterbox", labels=["a", "b", "c", "d"])
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8))
    inputs, geometry = of.preprocessing(picture)
    everything = RegionTarget(np.ones((32, 64), bool))
    (whole,) = bind_targets(of, inputs, [everything], geometry)
    indices = whole.region.classes.indices
    assert (indices[:16] == -1).all()
    assert (indices[48:] == -1).all()
    assert (indices[16:48] >= 0).all()
    logits = of.network(inputs[None])["out"][0].detach()[:, 16:48]
    torch.testing.assert_close(predict_scores(of, picture)[0], logits.flatten(1).logsumexp(1) - np.log(32 * 64))


def test_cells_are_those_whose_centre_is_in_the_image():
    assert image_cells((0.0, 0.25, 1.0, 0.75), 4, 3) == (slice(1, 3), slice(0, 3))
    assert image_cells((0.0, 0.13, 1.0, 0.87), 4, 4)[0] == slice(1, 3)
    assert image_cells((0.0, 0.1, 1.0, 0.9), 4, 4)[0] == slice(0, 4)
    assert image_cells((0.0, 0.45, 1.0, 0.55), 3, 3)[0] == slice(1, 2)
    assert image_cells((0.0, 0.49, 1.0, 0.51), 2, 2)[0] == slice(1, 2)  # no centre is in it


def test_scores_of_a_box_leave_the_rest_out():
    logits = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    changed = logits.clone()
    changed[:, :, 0] += 100
    scores = WholeImageScores(box=(0.0, 1 / 6, 1.0, 1.0))
    torch.testing.assert_close(scores(changed), scores(logits))
    torch.testing.assert_close(scores(logits), WholeImageScores()(logits[:, :, 1:]))
