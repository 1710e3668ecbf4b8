"""What the targets of a segmentation network mean, on a network whose prediction is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import camlucida as cl
from camlucida.errors import ModelError, TargetError
from camlucida.models.segmentation.pixel_scores import WholeImageScores
from camlucida.models.segmentation.targets import connected_part, spelled_class
from camlucida.targets import RegionTarget

SIZE = 32
LABELS = ["background", "red", "green"]


class Colours(nn.Module):
    """Class scores per pixel: grey is background, else the stronger one of red and green; at half resolution."""

    def __init__(self, binary: bool = False, transpose: bool = False) -> None:
        super().__init__()
        self.pick = nn.Conv2d(3, 4, 2, 2)
        self.head = nn.Conv2d(4, 1 if binary else 3, 1)
        self.transpose = transpose
        with torch.no_grad():
            self.pick.weight.zero_()
            self.pick.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.5]))
            self.pick.weight[0, 0], self.pick.weight[1, 1], self.pick.weight[2, 2] = 0.25, 0.25, 0.25
            self.head.weight.zero_()
            self.head.bias.zero_()
            if binary:
                self.head.weight[0, 0], self.head.weight[0, 3] = 1.0, -1.0
            else:
                self.head.weight[0, 3], self.head.weight[1, 0], self.head.weight[2, 1] = 1.0, 1.0, 1.0

    def forward(self, x: Tensor) -> Tensor:
        out = self.head(self.pick(x).relu())
        return out.transpose(2, 3).flip(3) if self.transpose else out


def model(**options: bool) -> cl.Model:
    labels = ["red"] if options.get("binary") else LABELS
    return cl.wrap(
        Colours(**options).eval(),
        task="segmentation",
        labels=labels,
        size=SIZE,
        resize=SIZE,
        mean=[0.0] * 3,
        std=[1.0] * 3,
    )


@pytest.fixture
def image() -> Image.Image:
    """Two red squares, of 8 × 8 and 6 × 6 pixels, and a green one of 16 × 8."""
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    pixels[4:12, 4:12, 0] = 255
    pixels[20:26, 4:10, 0] = 255
    pixels[8:16, 16:32, 1] = 255
    return Image.fromarray(pixels)


def test_without_a_target_every_class_largest_first(image):
    explanations = cl.explain(model(), image)
    assert [e.target for e in explanations] == ["green", "red"]
    assert [int(e.region.mask.sum()) for e in explanations] == [128, 100]


def test_class_and_instance(image):
    assert int(cl.explain(model(), image, target="class:red").region.mask.sum()) == 100
    instance = cl.explain(model(), image, target="class:red at 5,21")
    assert int(instance.region.mask.sum()) == 36
    assert instance.region.mask[20:26, 4:10].all()
    assert cl.explain(model(), image, target="at 20,10").target == "green"
    again = cl.explain(model(), image, target=instance.spec)
    torch.testing.assert_close(again.raw, instance.raw)


def test_points_are_in_pixels_of_the_image(image):
    large = image.resize((4 * SIZE, 4 * SIZE), Image.Resampling.NEAREST)
    found = cl.explain(model(), large, target="class:red at 20,84").region.mask
    assert int(found.sum()) == pytest.approx(16 * 36, abs=8)  # corners are interpolated
    assert found[84:100, 20:36].all()
    alone = cl.explain(model(), large, target="at 20,84")
    assert alone.target == "red"
    assert torch.equal(alone.region.mask, found)


def test_a_missed_point(image):
    missed = cl.explain(model(), image, target="class:green at 5,5")
    assert missed.target == "missed green (predicted red)"
    assert missed.region.point == (5.0, 5.0)
    assert missed.score == pytest.approx(0.0, abs=1e-6)


def test_scores_are_the_mean_logits_of_the_region(image):
    wrapped = model()
    explanation = cl.explain(wrapped, image, target="class:red")
    inputs = wrapped.preprocessing(image)[0][None]
    logits = wrapped.network(inputs)[0]
    red = logits.argmax(0) == 1
    assert explanation.score == pytest.approx(float(logits[1][red].mean().detach()), rel=1e-5)
    contrast = cl.explain(wrapped, image, target="class:red rather than background")
    assert contrast.score == pytest.approx(float((logits[1] - logits[0])[red].mean().detach()), rel=1e-5)


def test_a_mask_of_the_user(image, tmp_path):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[8:16, 16:24] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    explanation = cl.explain(model(), image, target=f"region:{tmp_path / 'mask.png'}")
    assert explanation.target == "green in mask.png"
    np.testing.assert_array_equal(explanation.region.mask.numpy(), mask > 0)
    named = cl.explain(model(), image, target=f"region:{tmp_path / 'mask.png'}: red")
    assert named.index == 1
    from_array = cl.explain(model(), image, target=RegionTarget(mask))
    torch.testing.assert_close(from_array.raw, explanation.raw)
    with pytest.raises(TargetError, match=r"the mask has 4×4 pixels, and the image 32×32"):
        cl.explain(model(), image, target=RegionTarget(np.ones((4, 4))))
    with pytest.raises(TargetError, match="zero everywhere"):
        cl.explain(model(), image, target=RegionTarget(mask * 0))
    with pytest.raises(TargetError, match="cannot be read"):
        cl.explain(model(), image, target="region:none.png")


def test_an_absent_class_lists_those_present(image):
    only_red = image.copy()
    only_red.paste((0, 0, 0), (16, 0, 32, 32))
    with pytest.raises(TargetError, match=r"no pixel is predicted as green. Predicted are background .*red"):
        cl.explain(model(), only_red, target="class:green")
    with pytest.raises(TargetError, match="no class 'blue'"):
        cl.explain(model(), only_red, target="class:blue")


def test_one_channel_is_a_binary_network(image):
    explanation = cl.explain(model(binary=True), image)
    assert explanation.target == "red"
    assert int(explanation.region.mask.sum()) == 100
    assert explanation.activation.task == "binary"


def test_an_output_with_exchanged_axes_is_refused(image):
    with pytest.raises(ModelError, match="does not move with the image"):
        cl.explain(model(transpose=True), image)


def test_class_scores_of_the_whole_image():
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = WholeImageScores(0)(logits)
    flat = logits.flatten(2)
    torch.testing.assert_close(scores[:, 1:], flat[:, 1:].exp().mean(2).log())
    torch.testing.assert_close(scores[:, 0], -(-flat[:, 0]).exp().mean(1).log())


def test_an_unknown_dense_network_asks(image):
    plain = cl.wrap(Colours().eval(), size=SIZE)
    with pytest.raises(TargetError, match=r"scores of every pixel.*task='segmentation'"):
        cl.explain(plain, image)


def test_regions_of_a_classifier_are_refused(image):
    with pytest.raises(TargetError, match="segmentation networks have, and this model is none"):
        cl.explain("toybox", image, target="class:cat")


def test_connected_parts_are_those_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    mask = torch.rand(30, 40, generator=torch.Generator().manual_seed(1)) > 0.6
    labels, _ = ndimage.label(mask.numpy(), structure=np.ones((3, 3)))
    for row, column in mask.nonzero()[::50].tolist():
        np.testing.assert_array_equal(connected_part(mask, row, column).numpy(), labels == labels[row, column])


def test_classes_are_written_so_that_they_are_found_again() -> None:
    """By name, unless that means another class, a point or a contrast."""
    labels = ("bus", "car", "car", "0", "black rather than white", "dot at 3,4", "sky")
    written = [spelled_class(index, labels) for index in range(8)]
    assert written == ["bus", "1", "2", "3", "4", "5", "sky", "7"]
