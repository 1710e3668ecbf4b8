"""Many images are explained in batches, with the results of each image alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.testing import assert_close

import camlucida as cl
from camlucida.attribution import explain_many
from camlucida.attribution.batch_size import fitting_batch_size, is_same_image
from camlucida.attribution.batches import READ_AHEAD_BATCHES
from camlucida.attribution.explanation import Explanation
from camlucida.errors import CamlucidaError, ImageError, ModelError

N_IMAGES = 12


class NotFinite(nn.Module):
    """Scores of images with a white corner are NaN."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.where((images[:, :, 0, 0].amin(1) > 2)[:, None, None, None], torch.nan, images)


def network(*layers: nn.Module) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolution, linear = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 4)
    return nn.Sequential(*layers, convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear).eval()


def pixels(number: int, size: int = 20) -> NDArray[np.uint8]:
    values = np.random.default_rng(number).integers(0, 200, (size, size + number, 3), dtype=np.uint8)
    values[: number + 1, :3] = 40
    return values


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{number:02}.png" for number in range(N_IMAGES)]
    for number, path in enumerate(paths):
        Image.fromarray(pixels(number)).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of every run on a batch that succeeded."""
    recorded: list[int] = []
    plain = explain_many.explained_together

    def together(model: Any, images: Any, request: Any) -> Any:
        results = plain(model, images, request)
        recorded.append(len(images))
        return results

    monkeypatch.setattr(explain_many, "explained_together", together)
    return recorded


def assert_as_alone(model: cl.Model, images: list[Any], **request: Any) -> None:
    results = list(cl.explain_each(model, images, **request))
    assert [image for image, _ in results] == images
    for image, result in results:
        if isinstance(result, CamlucidaError):
            with pytest.raises(type(result)) as raised:
                cl.explain(model, image, **request)
            assert str(raised.value) == str(result)
            continue
        alone = cl.explain(model, image, **request)
        assert type(result) is type(alone)
        pairs = zip(items(result), items(alone), strict=True)
        for one, other in pairs:
            assert_close(one.raw, other.raw)
            assert_close(one.score, other.score, rtol=1e-5, atol=1e-6)
            assert [p.name for p in one.predictions] == [p.name for p in other.predictions]
            own, expected = one.record(), other.record()
            for record in (own, expected):
                for name in ("score", "predictions", "notes", "display"):
                    record.pop(name)
            assert own == expected
            assert one.image == other.image
            assert (one.colour is None) == (other.colour is None)
            if one.colour is not None and other.colour is not None:
                assert_close(one.colour, other.colour)


def items(result: Any) -> Iterator[Explanation]:
    return iter([result] if isinstance(result, Explanation) else result)


REQUESTS: dict[str, dict[str, Any]] = {
    "default": {},
    "class": {"target": 2, "method": "grad_cam++"},
    "name": {"target": "b rather than c"},
    "top2": {"target": "top2", "score": "probability"},
    "negative": {"target": ["not a", None], "layer": ["0", "1"]},
    "methods": {"method": ["layer_cam", "gradient", "positive(hires_cam)"]},
    "colour": {"method": "guided_backprop", "colour": True},
}


@pytest.mark.parametrize("name", sorted(REQUESTS))
def test_a_batch_has_the_explanations_of_its_images(name: str, files: list[str], sizes: list[int]) -> None:
    assert_as_alone(cl.wrap(network(), size=16, labels=list("abcd")), files, **REQUESTS[name])
    assert sum(sizes) == N_IMAGES - READ_AHEAD_BATCHES - 2


def test_an_unreadable_image_fails_alone(files: list[str], sizes: list[int]) -> None:
    model = cl.wrap(network(), size=16)
    expected = [e for _, e in cl.explain_each(model, files)]
    Path(files[0]).write_bytes(b"no image")
    Path(files[6]).write_bytes(b"no image")
    Path(files[9]).unlink()
    assert_as_alone(model, files)
    results = [e for _, e in cl.explain_each(model, files)]
    assert [i for i, e in enumerate(results) if isinstance(e, ImageError)] == [0, 6, 9]
    for i, (one, other) in enumerate(zip(expected, results, strict=True)):
        if i not in (0, 6, 9):
            assert isinstance(one, Explanation)
            assert isinstance(other, Explanation)
            assert_close(one.raw, other.raw)


def test_an_image_with_nan_scores_fails_alone(files: list[str], sizes: list[int]) -> None:
    white = pixels(7)
    white[:8, :8] = 255
    Image.fromarray(white).save(files[7])
    model = cl.wrap(network(NotFinite()), size=16)
    assert_as_alone(model, files)
    assert [i for i, (_, e) in enumerate(cl.explain_each(model, files)) if isinstance(e, ModelError)] == [7]
    assert max(sizes) > 1


def test_networks_that_mix_the_images_of_a_batch_get_them_alone(files: list[str], sizes: list[int]) -> None:
    model = cl.wrap(network(nn.BatchNorm2d(3, track_running_stats=False)), size=16)
    assert_as_alone(model, files)
    assert len(sizes) == 1  # the batch by which it was found out


def test_networks_that_take_single_images_only(files: list[str], sizes: list[int]) -> None:
    class Single(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.reshape(1, *images.shape[1:])

    assert_as_alone(cl.wrap(network(Single()), size=16), files)
    assert set(sizes) == {1}


@pytest.mark.parametrize("method", ["smooth_grad", "smooth(grad_cam, n=3)", "rise"])
def test_methods_with_many_runs_remain_alone(method: str, files: list[str], sizes: list[int]) -> None:
    model, options = cl.wrap(network(), size=16), {"n": 8} if method == "rise" else {}
    for path, result in cl.explain_each(model, files[:6], method=method, **options):
        assert isinstance(result, Explanation)
        assert result.raw.equal(cl.explain(model, path, method=method, **options).raw)
    assert sizes == []


def test_callables_receive_one_image(files: list[str]) -> None:
    def score(output: Tensor) -> Tensor:
        assert len(output) == 1
        return output[:, 1]

    results = [e for _, e in cl.explain_each(cl.wrap(network(), size=16), files, target=score)]
    assert not any(isinstance(e, CamlucidaError) for e in results)


def test_images_in_memory_of_several_sizes(sizes: list[int]) -> None:
    tensors = [torch.randn(3, 12 + 4 * (i % 3 == 0), 12, generator=torch.Generator().manual_seed(i)) for i in range(14)]
    assert_as_alone(cl.wrap(network(), size=16), [*tensors[:7], Image.fromarray(pixels(3)), *tensors[7:]])
    assert max(sizes) > 2


def test_batch_size_is_the_most_that_run_at_once(files: list[str], sizes: list[int]) -> None:
    assert_as_alone(cl.wrap(network(), size=16), files, batch_size=3)
    assert max(sizes) == 3
    sizes.clear()
    list(cl.explain_each(cl.wrap(network(), size=16), files, batch_size=1))
    assert sizes == []


def test_large_photographs_make_small_batches(files: list[str], sizes: list[int]) -> None:
    explainer = explain_many.BatchExplainer(
        cl.wrap(network(), size=16), explain_many.AttributionRequest.of(target=None)
    )
    read = [(path, explain_many._read(explainer._model, path)) for path in files]
    assert explainer.batch_size == 1
    for one in read[:2]:
        explainer.explain([one])
    small = explainer.batch_size
    assert small == 16
    explainer._image_bytes = 100 * 2**20
    assert explainer.batch_size == 2


def test_fitting_batch_sizes() -> None:
    assert [fitting_batch_size(16, 10, 5, max_bytes) for max_bytes in (4, 14, 25, 45, 84, 85, 10**6)] == [
        1, 1, 2, 4, 4, 8, 16,
    ]  # fmt: skip


def test_tolerances_of_the_comparison() -> None:
    exact, half = nn.Linear(2, 2), nn.Linear(2, 2).half()
    values = torch.tensor([1.0, -4.0])
    assert is_same_image(exact, values, values + 0.003)
    assert not is_same_image(exact, values, values + 0.005)
    assert is_same_image(half, values, values + 0.1)
    assert not is_same_image(half, values, values + 0.2)
    assert not is_same_image(exact, values, values * torch.nan)
    assert not is_same_image(exact, values, values[:1])
