"""Does a method join by being written, and is it found by whatever people call it?"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from camlucida.errors import MethodError
from camlucida.methods import Method, find, methods, registry


@pytest.fixture
def _a_registry_of_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_methods", dict(registry._methods))
    return


EIGHT = ("cam", "grad_cam", "grad_cam_plusplus", "hires_cam", "layer_cam", "xgrad_cam", "eigen_cam", "ablation_cam")


def test_all_are_there_in_their_order() -> None:
    assert tuple(name for name in methods() if name in EIGHT) == EIGHT


def test_the_list_is_a_copy() -> None:
    methods().clear()
    assert methods()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("grad_cam", "grad_cam"),
        ("grad-cam", "grad_cam"),
        ("Grad-CAM", "grad_cam"),
        ("GradCAM", "grad_cam"),
        ("gradcam", "grad_cam"),
        ("Grad-CAM++", "grad_cam_plusplus"),
        ("gradcam++", "grad_cam_plusplus"),
        ("gradcamplusplus", "grad_cam_plusplus"),
        ("HiResCAM", "hires_cam"),
        ("XGradCAM", "xgrad_cam"),
        ("CAM", "cam"),
    ],
)
def test_names(name: str, found: str) -> None:
    assert find(name).name == found
    assert find(find(name)) is find(name)


def test_unknown_names_raise_with_the_nearest() -> None:
    with pytest.raises(MethodError) as caught:
        find("grad_cum")
    assert str(caught.value).startswith("no method 'grad_cum'. Did you mean 'grad_cam'")
    assert "Known: cam, grad_cam, grad_cam_plusplus" in str(caught.value)


@pytest.mark.usefixtures("_a_registry_of_its_own")
def test_a_method_joins_by_being_decorated() -> None:
    @registry.method(paper="Nobody, 2026: L = a A", deviation="none", relu=False)
    def mean_cam(activations: Tensor, score: Tensor, *, times: float = 2.0) -> Tensor:
        """The mean of the channels.

        More of it.
        """
        return times * activations.mean(1)

    assert isinstance(mean_cam, Method)
    assert find("MeanCAM") is mean_cam
    assert (mean_cam.needs, dict(mean_cam.options)) == (("activations", "score"), {"times": 2.0})
    assert (mean_cam.relu, mean_cam.class_free, mean_cam.summary) == (False, False, "The mean of the channels.")
    assert mean_cam.doc.endswith("More of it.")
    assert_close(mean_cam(torch.ones(1, 2, 3, 3), torch.ones(1), times=4), torch.full((1, 3, 3), 4.0))
    assert mean_cam.with_options({"times": 3.0}) == {"times": 3.0}
    with pytest.raises(MethodError, match=r"mean_cam has no option 'colour'\. Its options: times=2\.0\."):
        mean_cam.with_options({"colour": 1})
    with pytest.raises(MethodError, match="registered twice"):
        registry.method(paper="again", relu=False)(mean_cam.function)


@pytest.mark.usefixtures("_a_registry_of_its_own")
def test_a_method_cannot_ask_for_what_is_not_there() -> None:
    with pytest.raises(MethodError, match=r"unknown inputs \['moon'\]"):

        @registry.method(paper="Nobody", relu=False)
        def moon_cam(activations: Tensor, moon: Tensor) -> Tensor:
            return activations

    assert "moon_cam" not in methods()


@pytest.mark.parametrize(("name", "free"), [("eigen_cam", True), ("grad_cam", False), ("cam", False)])
def test_class_free(name: str, free: bool) -> None:
    assert find(name).class_free is free


def test_a_method_without_options_says_so() -> None:
    with pytest.raises(MethodError, match=r"grad_cam has no option 'infill'\. Its options: none\."):
        find("grad_cam").with_options({"infill": 1})


def test_a_method_is_asked_for_by_name() -> None:
    with pytest.raises(MethodError, match="by name, not by int"):
        find(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "blind"),
    [
        ("guided_backprop", True),
        ("deconvnet", True),
        ("guided_grad_cam", False),
        ("eigen_cam", True),
        ("random_cam", True),
        ("gradient", False),
        ("grad_cam", False),
    ],
)
def test_class_blind(name: str, blind: bool) -> None:
    method = find(name)
    assert isinstance(method, Method)
    assert method.class_blind is blind
