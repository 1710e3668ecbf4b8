"""Do values arrive where they are handed to? Non-square, off-centre, two images, several calls, options not at default.

Plumbing that crosses two values over, ignores one or keeps an old one gives plausible maps. Each test here holds one
kind of it, against arithmetic by hand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.attribution.attributions import attributions
from camlucida.attribution.request import AttributionRequest
from camlucida.engine import copy_of, profile_calls, resolve, trace
from camlucida.engine.layout import Layout, infer_layout, infer_windows
from camlucida.methods import find
from camlucida.models.model import Model
from camlucida.render.boxes import draw_boxes
from camlucida.render.overlay import tint
from camlucida.render.resize import display_size, resize_heatmap
from camlucida.target_specs import parse

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(2, 3, 12, 20, generator=GENERATOR, dtype=torch.float64)


class Small(nn.Module):
    """A convolution, a ReLU called twice, and a head that is not linear in the channels' means."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(3, 5, 3, 2, 1), nn.Conv2d(5, 4, 3, 1, 1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 6)

    def rest(self, x: Tensor) -> Tensor:
        scores: Tensor = self.head(x.square().mean((2, 3)))
        return scores

    def layer(self, x: Tensor) -> Tensor:
        layer: Tensor = self.relu(self.second(self.relu(self.first(x))))
        return layer

    def forward(self, x: Tensor) -> Tensor:
        return self.rest(self.layer(x))


def small() -> Small:
    return Small().double().eval()


# --- geometry: width is not height --------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", [0, 1, 3])
@pytest.mark.parametrize("kind", ["tokens", "tokens_first"])
def test_tokens_lie_row_by_row(kind: Any, prefix: int) -> None:
    h, w, c = 3, 5, 2
    tokens = torch.arange((prefix + h * w) * c).float().view(1, -1, c)
    tensor = tokens if kind == "tokens" else tokens.transpose(0, 1)
    layout = Layout(kind, (h, w), prefix)
    grid = layout.to_grid(tensor)
    for row in range(h):
        for column in range(w):
            assert_close(grid[0, :, row, column], tokens[0, prefix + row * w + column])
    back = layout.from_grid(grid + 1, tensor)
    expected = tokens.clone()
    expected[:, prefix:] += 1
    assert_close(back, expected if kind == "tokens" else expected.transpose(0, 1))


def test_channels_last_keeps_rows_and_columns() -> None:
    tensor = torch.arange(2 * 3 * 5 * 4).float().view(2, 3, 5, 4)
    layout = Layout("nhwc", (3, 5))
    assert_close(layout.to_grid(tensor)[1, 2, 0, 4], tensor[1, 0, 4, 2])
    assert_close(layout.from_grid(layout.to_grid(tensor), tensor), tensor)


@pytest.mark.parametrize("shift", [(0, 0), (1, 2)])
def test_windows_are_put_back_where_they_were_cut(shift: tuple[int, int]) -> None:
    grid = torch.arange(2 * 3 * 4 * 6).float().view(2, 3, 4, 6)
    rolled = torch.roll(grid, (-shift[0], -shift[1]), (2, 3))  # as Swin rolls before it cuts
    windows = [
        rolled[image, :, top : top + 2, left : left + 2].flatten(1).T
        for image in range(2)
        for top in range(0, 4, 2)
        for left in range(0, 6, 2)
    ]
    layout = infer_windows((12, 4, 3), batch_size=2, shift=shift, known_grids=[(6, 4), (4, 6)])
    assert layout == Layout("windows", (4, 6), window=(2, 2), shift=shift)
    assert_close(layout.to_grid(torch.stack(windows)), grid)
    assert_close(layout.from_grid(grid, grid), torch.stack(windows))


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((1, 15, 8), (48, 80), Layout("tokens", (3, 5))),
        ((1, 16, 8), (80, 48), Layout("tokens", (5, 3), 1)),
        ((1, 3, 5, 7), (48, 80), Layout("nhwc", (3, 5))),
        ((1, 7, 3, 5), (48, 80), Layout("nchw", (3, 5))),
        ((1, 7, 5, 3), (80, 48), Layout("nchw", (5, 3))),
        ((16, 1, 8), (48, 80), Layout("tokens_first", (3, 5), 1)),
    ],
)
def test_layouts_of_wide_and_high_images(shape: tuple[int, ...], image: tuple[int, int], expected: Layout) -> None:
    channels_last = expected.kind == "nhwc"
    assert infer_layout(shape, batch_size=1, image=image, channels_last=channels_last) == expected


def test_a_known_grid_is_preferred_to_a_guess() -> None:
    assert infer_layout((1, 25, 8), batch_size=1, image=(60, 60), known_grids=[(4, 6)]) == Layout("tokens", (4, 6), 1)


@pytest.mark.parametrize("position", [(1, 9), (5, 0), (0, 3)])
def test_recipro_cam_marks_the_position_that_counts(position: tuple[int, int]) -> None:
    y, x = position

    class Reading(Small):
        def rest(self, layer: Tensor) -> Tensor:
            return F.pad(layer[:, :1, y, x], (0, 5))

    images = IMAGES.abs()
    network = Reading().double().eval()
    with torch.no_grad():
        network.second.bias.fill_(9)
    saliency = attribute(network, images, target=0, layer="relu", method="recipro_cam", gaussian=False)
    for image in saliency:
        assert divmod(int(image.argmax()), image.shape[1]) == position


@pytest.mark.parametrize("corner", [(2, 15), (8, 1)])
def test_occlusion_falls_where_the_window_covers(corner: tuple[int, int]) -> None:
    top, left = corner

    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :, top : top + 2, left : left + 2].mean((2, 3)) * self.scale

    saliency = attribute(Reading(), torch.ones_like(IMAGES), target=1, method="occlusion", window=2, stride=1)
    assert saliency.shape == (2, 12, 20)
    for image in saliency:
        ys, xs = (image > 0.9 * image.max()).nonzero().T
        assert {int(ys.min()), int(ys.max())} <= {top, top + 1}
        assert {int(xs.min()), int(xs.max())} <= {left, left + 1}


def test_boxes_are_framed_up_to_the_right_and_bottom_edge() -> None:
    image = Image.new("RGB", (40, 24))
    framed = np.asarray(draw_boxes(image, predicted_boxes=[(31, 17, 99, 99)]))
    magenta = (framed == (255, 43, 214)).all(2)
    ys, xs = magenta.nonzero()
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == (31, 39, 17, 23)
    assert magenta[23, 31:].all()
    assert magenta[17:, 39].all()
    assert not np.asarray(draw_boxes(image, true_boxes=[(3, 5, 9, 8)]))[:5].any()


def test_true_and_predicted_boxes_keep_their_colours() -> None:
    image = Image.new("RGB", (40, 24))
    framed = np.asarray(draw_boxes(image, [(2, 3, 12, 9)], [(20, 11, 33, 21)], colours=("#010203", "#040506")))
    assert tuple(framed[3, 2]) == (1, 2, 3)
    assert tuple(framed[11, 20]) == (4, 5, 6)


def test_shown_maps_are_high_and_wide_as_asked() -> None:
    saliency = np.zeros((4, 6), np.float32)
    saliency[3, 0] = 1
    shown = resize_heatmap(saliency, (12, 4 * 3))
    assert shown.shape == (12, 12)
    assert np.unravel_index(int(shown.argmax()), shown.shape) == (9, 0)
    assert display_size((300, 100), (600, 400)) == (600, 200)
    assert display_size((100, 300), (600, 400)) == (133, 400)


# --- values that are handed on ------------------------------------------------------------------------------


@pytest.mark.parametrize("infill", [0.0, 0.7, -1.3])
def test_ablation_sets_channels_to_the_infill(infill: float) -> None:
    """Also channels that are zero everywhere: with an infill other than zero they change the score."""
    network = small()
    with torch.no_grad():
        network.second.weight[1], network.second.bias[1] = 0, -1  # a channel that is zero everywhere
        layer = network.layer(IMAGES)
        score = network.rest(layer)[:, 2]
        weights = []
        for channel in range(4):
            changed = layer.clone()
            changed[:, channel] = infill
            weights.append((score - network.rest(changed)[:, 2]) / score.abs())
        expected = torch.einsum("cb,bchw->bhw", torch.stack(weights), layer)
    found = attribute(network, IMAGES, target=2, layer="relu", method="ablation_cam", infill=infill, signed=True)
    assert_close(found, expected)
    if infill:
        assert float(weights[1].abs().min()) > 0


def test_a_glob_gives_the_last_call_of_each_module() -> None:
    found = resolve(copy_of(small()), IMAGES, ["*"])
    assert [layer.label for layer in found] == ["first", "second", "relu (call 2 of 2)"]
    maps = attribute(small(), IMAGES, target=0, layer="rel*")
    assert_close(maps["relu"], attribute(small(), IMAGES, target=0, layer="relu#2"))


def test_each_call_has_its_own_activations_and_gradients() -> None:
    network = small()
    one = F.relu(network.first(IMAGES)).detach().requires_grad_()
    two = F.relu(network.second(one))
    scores = network.rest(two)[:, 4]
    gradients = torch.autograd.grad(scores.sum(), [one, two])
    expected = [(g * a).sum(1).detach() for g, a in zip(gradients, (one, two), strict=True)]
    maps = attribute(network, IMAGES, target=4, layer=["relu#1", "relu#2"], method="hires_cam", signed=True)
    assert_close(list(maps.values()), expected)


def test_an_image_of_a_batch_is_explained_as_alone() -> None:
    network, targets = small(), torch.tensor([1, 5])
    for method in ("grad_cam", "ablation_cam", "score_cam", "recipro_cam", "occlusion", "gradient", "full_grad"):
        together = attribute(network, IMAGES, target=targets, method=method)
        for i in range(2):
            alone = attribute(network, IMAGES[i : i + 1], target=int(targets[i]), method=method)
            assert_close(together[i], alone[0])


def test_targets_methods_and_layers_keep_their_order() -> None:
    network = small()
    methods = [(find(name), find(name).with_options({})) for name in ("hires_cam", "ablation_cam")]
    request = AttributionRequest(targets=[3, 0], layers=["first", "second"], methods=methods)
    found = attributions(Model(network), IMAGES, request)
    for m, (method, _) in enumerate(methods):
        for l, layer in enumerate(("first", "second")):
            for t, target in enumerate((3, 0)):
                alone = attribute(network, IMAGES, target=target, layer=layer, method=method, signed=True)
                assert_close(found.maps[m][l][t], alone)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("random_cam", {"seed": 1}),
    ("smooth_grad", {"seed": 1}),
    ("smooth_grad", {"n": 3}),
    ("smooth_grad", {"noise": 0.5}),
    ("smooth_grad", {"squared": True}),
    ("smooth_grad", {"reduce": "norm"}),
    ("occlusion", {"infill": "blur"}),
    ("occlusion", {"window": 5}),
    ("occlusion", {"window": 6, "stride": 5}),
    ("recipro_cam", {"gaussian": False}),
    ("ablation_cam", {"infill": 0.5}),
    ("full_grad", {"scale": "channel"}),
    ("rise", {"seed": 1}),
    ("lime", {"seed": 1}),
    ("kernel_shap", {"seed": 1}),
    ("integrated_gradients", {"steps": 3}),
]


@pytest.mark.parametrize(("method", "options"), OPTIONS)
def test_an_option_arrives(method: str, options: dict[str, Any]) -> None:
    network = small()
    plain = attribute(network, IMAGES[:1], target=2, method=method, signed=True)
    changed = attribute(network, IMAGES[:1], target=2, method=method, signed=True, **options)
    again = attribute(network, IMAGES[:1], target=2, method=method, signed=True, **options)
    assert not torch.allclose(plain, changed)
    assert_close(changed, again)


@pytest.mark.parametrize("score", ["logit", "probability", "log_probability"])
def test_the_score_kind_arrives(score: str) -> None:
    network = small()
    layer = network.layer(IMAGES).detach().requires_grad_()
    output = network.rest(layer)
    value = {"logit": output, "probability": output.softmax(1), "log_probability": output.log_softmax(1)}[score]
    (gradient,) = torch.autograd.grad(value[:, 1].sum(), layer)
    found = attribute(network, IMAGES, target=1, layer="relu", method="hires_cam", score=score, signed=True)
    assert_close(found, (gradient * layer).sum(1).detach())


def test_targets_by_word_mean_each_image() -> None:
    output = torch.tensor([[0.0, 3.0, 1.0, 2.0], [5.0, 1.0, 4.0, 0.0]])
    names = ["ant", "bee", "cat", "dog"]

    def scores(spec: Any) -> list[list[float]]:
        return [target(output).tolist() for target in parse(spec, output, names)]

    assert scores(None) == [[3.0, 5.0]]
    assert scores("runner-up") == [[2.0, 4.0]]
    assert scores("top3") == [[3.0, 5.0], [2.0, 4.0], [1.0, 1.0]]
    assert scores("bee rather than dog") == [[1.0, 1.0]]
    assert scores("not cat") == [[-1.0, -4.0]]
    assert scores(torch.tensor([3, 0])) == [[2.0, 5.0]]
    (contrast,) = parse("predicted rather than runner-up", output, names)
    assert [float(contrast.of(i)(output[i : i + 1])) for i in range(2)] == [1.0, 1.0]


def test_a_profile_of_one_size_is_not_used_at_another() -> None:
    network = small()
    copied = copy_of(network)
    wide, high = IMAGES[..., :8, :], IMAGES[..., :8].transpose(2, 3).repeat(1, 1, 2, 1)
    for images in (wide, high, IMAGES.float().double()[..., :16]):
        shapes = [event.shape for event in profile_calls(copied, images).module_calls if event.name == "second"]
        h, w = -(-images.shape[2] // 2), -(-images.shape[3] // 2)
        assert shapes == [(1, 4, h, w)]
        assert attribute(network, images, target=0, layer="second").shape == (2, h, w)


def test_a_rerun_gives_the_image_that_was_asked_for() -> None:
    network = small()
    copied = copy_of(network)
    run = trace(copied, IMAGES, resolve(copied, IMAGES, ["second"]), rerun=True)
    (traced,) = run.layers
    for image in range(2):
        variants = torch.stack([traced.activations[image], traced.activations[image] * 0.5])
        expected = network.rest(F.relu(variants))
        assert_close(run.rerun(traced, variants, image), expected.detach())


@pytest.mark.parametrize(
    ("method", "options"),
    [("recipro_cam", {"gaussian": False}), ("occlusion", {"infill": "blur"}), ("rise", {"seed": 1})],
)
def test_runs_with_other_options_are_independent(method: str, options: dict[str, Any]) -> None:
    """Scores are shared by the targets of a run; another option must not be answered with them."""
    network, entry = small(), find(method)
    requests = [(entry, entry.with_options(given)) for given in ({}, options)]
    request = AttributionRequest(targets=[2], layers=[None], methods=requests)
    found = attributions(Model(network), IMAGES[:1], request)
    alone = attribute(network, IMAGES[:1], target=2, method=method, signed=True, **options)
    assert_close(found.maps[1][0][0], alone)
    assert not torch.allclose(found.maps[0][0][0], alone)


def test_the_strongest_map_gives_the_colour() -> None:
    strengths = np.zeros((2, 5, 9))
    strengths[0, 1, 2], strengths[1, 1, 2], strengths[1, 4, 8], strengths[0, 4, 8] = 0.9, 0.2, 0.9, 0.2
    painted = np.asarray(tint(Image.new("RGB", (9, 5), "white"), strengths, ["ff0000", "0000ff"])).astype(int)
    assert painted[1, 2, 0] > painted[1, 2, 2]
    assert painted[4, 8, 2] > painted[4, 8, 0]
