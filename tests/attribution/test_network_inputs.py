"""Is every input that no map can come of refused in a sentence, whatever the method?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from camlucida.attribution.attribute import attribute
from camlucida.errors import CamlucidaError, ImageError, ModelError

IMAGES = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()


def with_one(value: float) -> Tensor:
    images = IMAGES.clone()
    images[1, 2, 15, 11] = value
    return images


REFUSED: dict[str, tuple[Any, str]] = {
    "uint8": (torch.zeros(1, 3, 16, 12, dtype=torch.uint8), r"1×3×16×12 are torch.uint8.*float\(\) / 255"),
    "int64": (torch.ones(1, 3, 16, 12, dtype=torch.int64), "are torch.int64"),
    "bool": (torch.ones(1, 3, 16, 12, dtype=torch.bool), "are torch.bool"),
    "complex": (IMAGES.to(torch.complex64), "are torch.complex64.*real part"),
    "meta": (torch.empty(1, 3, 16, 12, device="meta"), "on the device meta and has no values"),
    "sparse": (IMAGES.to_sparse(), "is sparse or quantised.*to_dense"),
    "no rows": (torch.zeros(1, 3, 0, 12), "1×3×0×12: they contain no pixels"),
    "no columns": (torch.zeros(1, 3, 16, 0), "contain no pixels"),
    "no channels": (torch.zeros(1, 0, 16, 12), "contain no pixels"),
    "no images": (torch.zeros(0, 3, 16, 12), "contain no images"),
    "NaN": (with_one(float("nan")), "1 of the 1152 values .* are NaN or infinite"),
    "infinite": (with_one(float("-inf")), "NaN or infinite"),
    "half NaN": (with_one(float("nan")).half(), "NaN or infinite"),
    "array": (np.zeros((1, 3, 16, 12)), "the numpy.ndarray contains no tensor"),
    "list": ([], "the list contains no tensor"),
    "tuple": ((IMAGES[..., :0],), "contain no pixels"),
    "dict": ({"input": with_one(float("nan"))}, "NaN or infinite"),
}


@pytest.mark.parametrize("method", ["grad_cam", "gradient", "score_cam"])
@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind: str, method: str) -> None:
    images, words = REFUSED[kind]
    with pytest.raises(ImageError, match=words) as caught:
        attribute(network(), images, target=1, method=method)
    assert isinstance(caught.value, CamlucidaError)
    assert "\n" not in str(caught.value)


def test_a_network_without_values() -> None:
    with pytest.raises(ModelError, match="parameters of Sequential are on the device meta"):
        attribute(network().to("meta"), IMAGES, target=1)


def test_integers_beside_an_image_are_not_its_pixels() -> None:
    class Prompted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, images: Tensor, index: Tensor) -> Tensor:
            scores: Tensor = self.network(images) + index[:, :, 0, 0]
            return scores

    index = torch.ones(2, 1, 1, 1, dtype=torch.int64)
    assert attribute(Prompted(), (IMAGES, index), target=1).isfinite().all()


def test_half_and_double_pass() -> None:
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        assert attribute(network(), IMAGES.to(dtype), target=1).isfinite().all()
