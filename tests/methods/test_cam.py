"""Is CAM the paper's, and does it say so where it cannot be?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from camlucida.attribution.attribute import attribute
from camlucida.errors import MethodError
from camlucida.methods.cam import cam
from camlucida.models.model import Model

Make = Callable[..., nn.Module]


def reference(activations: Tensor, head: Tensor) -> Tensor:
    """M_c(x, y) = sum_k w_k^c f_k(x, y), written out."""
    b, c, h, w = activations.shape
    f, weights = activations.tolist(), head.tolist()
    rows = [
        [[sum(weights[n][k] * f[n][k][i][j] for k in range(c)) for j in range(w)] for i in range(h)] for n in range(b)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def test_equals_the_reference(case: tuple[Tensor, Tensor], numbers: Callable[..., Tensor]) -> None:
    head = numbers(2, 5, seed=7)
    assert_close(cam(case[0], head), reference(case[0], head))


@pytest.mark.parametrize("k", range(4))
def test_is_the_class_row_over_the_channels(gap: Make, images: Tensor, seen: Callable[..., tuple], k: int) -> None:
    network = gap()
    activations, _, output = seen(network, images, lambda o: o[:, k])
    result = attribute(network, images, target=k, layer="features", method="cam")
    assert_close(result, reference(activations, network.head.weight[k].detach().expand(2, -1)))
    assert_close(result.mean((1, 2)), output[:, k] - network.head.bias[k].detach())


def test_of_a_contrast_is_the_difference_of_the_rows(gap: Make, images: Tensor) -> None:
    network = gap()
    one, other = (attribute(network, images, target=k, layer="features", method="cam") for k in (2, 1))
    assert_close(attribute(network, images, target="2 rather than 1", layer="features", method="cam"), one - other)


def test_one_class_an_image(gap: Make, images: Tensor) -> None:
    network = gap()
    result = attribute(network, images, target=torch.tensor([3, 0]), layer="features", method="cam")
    each = [attribute(network, images, target=k, layer="features", method="cam") for k in (3, 0)]
    assert_close(result, torch.stack([each[0][0], each[1][1]]))


class GlobalMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pool": GlobalMean()},
        {"pool": nn.AvgPool2d((3, 5))},
        {"bias": False},
    ],
    ids=["adaptive", "mean", "avgpool", "no bias"],
)
def test_a_linear_end_is_recognised(gap: Make, images: Tensor, options: dict) -> None:
    assert attribute(gap(**options), images, layer="features", method="cam").shape == (2, 3, 5)


@pytest.mark.parametrize("between", [nn.Dropout(0.5), nn.Identity(), nn.Sequential(nn.Flatten(), nn.Dropout(0.1))])
def test_what_does_nothing_in_eval_mode_does_not_hide_it(gap: Make, images: Tensor, between: nn.Module) -> None:
    network = gap(between).train()
    assert_close(
        attribute(network, images, target=1, layer="features", method="cam"),
        attribute(gap(), images, target=1, layer="features", method="cam"),
    )
    assert network.training


@pytest.mark.parametrize(
    "between", [nn.ReLU(), nn.LayerNorm(6), nn.BatchNorm1d(6), nn.Linear(6, 6), nn.Tanh(), nn.Softmax(1)], ids=repr
)
def test_what_is_not_linear_in_between_is_noticed(gap: Make, images: Tensor, between: nn.Module) -> None:
    if isinstance(between, nn.BatchNorm1d):
        between.running_var = torch.full((6,), 3.0)
    network = gap(between)
    if isinstance(between, nn.LayerNorm):  # its weights are random too, but ones would do
        nn.init.ones_(between.weight)
        nn.init.zeros_(between.bias)
    with pytest.raises(MethodError, match="average pooling and one linear layer"):
        attribute(network, images, layer="features", method="cam")


@pytest.mark.parametrize("pool", [nn.AdaptiveMaxPool2d(1), nn.LPPool2d(1, (3, 5)), nn.MaxPool2d((3, 5))], ids=repr)
def test_other_pooling_is_noticed(gap: Make, images: Tensor, pool: nn.Module) -> None:
    with pytest.raises(MethodError, match="average pooling"):
        attribute(gap(pool=pool), images, layer="features", method="cam")


def test_a_relu_after_the_layer_is_noticed(gap: Make, images: Tensor) -> None:
    network = gap()
    with pytest.raises(MethodError):
        attribute(network, images, layer="features.2", method="cam")  # the convolution before the last ReLU
    assert attribute(network, images, layer="features.3", method="cam").shape == (2, 3, 5)


def test_the_error_says_what_to_do(stacked: Make, images: Tensor) -> None:
    with pytest.raises(MethodError) as caught:
        attribute(stacked(), images, layer="features", method="cam")
    assert str(caught.value) == (
        "cam needs a layer that is followed by average pooling and one linear layer or 1 × 1 convolution only, "
        "and 'features' is not. "
        "Use grad_cam: it equals cam where cam exists."
    )


class TwoHeads(nn.Module):
    """Two linear layers on the same mean: the class scores come from the one that runs first."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base
        self.other = nn.Linear(6, 4, dtype=torch.float64)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mean = self.base.features(x).mean((2, 3))
        return {"logits": self.base.head(mean), "other": self.other(mean)}


@pytest.mark.parametrize("method", ["cam", "ablation_cam"])
def test_a_second_head_is_not_mistaken_for_the_one_that_is_read(gap: Make, images: Tensor, method: str) -> None:
    base = gap()
    network = TwoHeads(base)
    expected = attribute(base, images, target=2, layer="features", method=method)
    try:
        result = attribute(network, images, target=2, layer="base.features", method=method)
    except MethodError:
        return  # honest too: cam may say that it does not see a linear end
    assert_close(result, expected)


@pytest.mark.parametrize("method", ["cam", "ablation_cam"])
def test_scores_read_through_a_callable_are_not_taken_for_the_logits(gap: Make, images: Tensor, method: str) -> None:
    model = Model(gap(), output=lambda output: output.softmax(1))
    if method == "cam":
        with pytest.raises(MethodError):
            attribute(model, images, target=2, layer="features", method=method)
        return
    result = attribute(model, images, target=2, layer="features", method=method)
    expected = attribute(model.network, images, target=2, score="probability", layer="features", method=method)
    assert_close(result, expected)


def conv_head(order: str, **options: object) -> nn.Sequential:
    """Return a network whose head is a convolution before or after its pooling, with random weights in float64."""
    torch.manual_seed(3)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU())
    head, pool = nn.Conv2d(6, 4, **{"kernel_size": 1, **options}), nn.AdaptiveAvgPool2d(1)  # type: ignore[arg-type]
    parts = {"pool, head": [pool, head], "head, pool": [nn.Dropout(0.5), head, nn.Identity(), pool]}[order]
    return nn.Sequential(features, *parts, nn.Flatten()).double().eval()


@pytest.mark.parametrize("order", ["pool, head", "head, pool"])
@pytest.mark.parametrize("options", [{}, {"bias": False}], ids=["bias", "no bias"])
def test_a_convolution_as_head(images: Tensor, order: str, options: dict) -> None:
    network = conv_head(order, **options)
    head = next(m for m in network.children() if isinstance(m, nn.Conv2d))
    activations = network[0](images).detach()
    for k in range(4):
        result = attribute(network, images, target=k, layer="0", method="cam", signed=True)
        assert_close(result, reference(activations, head.weight[k].detach().flatten().expand(2, -1)))
        bias = 0 if head.bias is None else head.bias[k].detach()
        assert_close(result.mean((1, 2)), network(images)[:, k].detach() - bias)
        grad = attribute(network, images, target=k, layer="0", method="grad_cam", signed=True)
        assert_close(grad * activations[0, 0].numel(), result)  # equal up to the number of positions


@pytest.mark.parametrize("order", ["pool, head", "head, pool"])
def test_ablation_of_a_convolution_as_head(images: Tensor, order: str) -> None:
    """The closed form, against one run of the suffix per channel."""
    network = conv_head(order)
    activations = network[0](images).detach()
    score = network[1:](activations)[:, 1]
    drops = []
    for c in range(6):
        ablated = activations.clone()
        ablated[:, c] = 0
        drops.append((score - network[1:](ablated)[:, 1]) / score.abs())
    expected = torch.einsum("cb,bchw->bhw", torch.stack(drops).detach(), activations)
    result = attribute(network, images, target=1, layer="0", method="ablation_cam", signed=True)
    assert_close(result, expected)


@pytest.mark.parametrize(
    ("order", "options"),
    [
        ("head, pool", {"kernel_size": 3}),
        ("head, pool", {"kernel_size": 3, "padding": 1}),
        ("head, pool", {"stride": 2}),
        ("head, pool", {"padding": 1}),
        ("head, pool", {"groups": 2}),
        ("pool, head", {"padding": 1}),
        ("pool, head", {"groups": 2}),
    ],
)
def test_other_convolutions_are_noticed(images: Tensor, order: str, options: dict) -> None:
    network = conv_head(order, **options)
    if options.get("padding") and order == "pool, head":
        network.insert(3, nn.AdaptiveAvgPool2d(1))
    with pytest.raises(MethodError, match="average pooling"):
        attribute(network, images, layer="0", method="cam")


@pytest.mark.parametrize("between", [nn.ReLU(), nn.BatchNorm2d(4), nn.Softmax(1), nn.Conv2d(4, 4, 1)], ids=repr)
@pytest.mark.parametrize("place", [2, 3, 4])
def test_what_is_not_linear_beside_a_convolution_is_noticed(images: Tensor, between: nn.Module, place: int) -> None:
    network = conv_head("head, pool").insert(3 if place < 3 else place, between).double()
    if isinstance(between, nn.BatchNorm2d):
        between.running_var = torch.full((4,), 3.0, dtype=torch.float64)
    with pytest.raises(MethodError, match="average pooling"):
        attribute(network.eval(), images, layer="0", method="cam")
