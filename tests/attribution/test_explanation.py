"""An explanation as a Python value: how it prints, that it can be pickled, what its types are."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_overloads, get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image

import camlucida as cl
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.attribution.request import AttributionRequest

IMAGE = Image.fromarray((np.arange(40 * 56 * 3) % 251).astype(np.uint8).reshape(40, 56, 3))


@pytest.fixture(scope="module")
def single() -> Explanation:
    return cl.explain("toybox", IMAGE)


@pytest.fixture(scope="module")
def several() -> ExplanationSet:
    return cl.explain("toybox", IMAGE, method=["grad_cam", "eigen_cam"], target=["top2", 3], layer=["layer3", "layer4"])


def test_two_lines(single: Explanation, several: ExplanationSet) -> None:
    for value in (single, several, several[:0]):
        text = repr(value)
        assert text.count("\n") == 1
        assert len(text) < 400
    assert all(word in repr(single) for word in ("toybox", single.target, "grad_cam", single.layer, "logit"))
    assert all(word in repr(several) for word in ("12 maps", "eigen_cam", "layer3"))


def test_pickled_alone_in_another_process(single: Explanation, several: ExplanationSet, tmp_path: Path) -> None:
    for name, value in (("single", single), ("several", several)):
        (tmp_path / f"{name}.pickle").write_bytes(pickle.dumps(value))
    code = (
        "import pickle, sys; from pathlib import Path; "
        "single, several = (pickle.loads(Path(p).read_bytes()) for p in sys.argv[1:]); "
        "print(single.json().decode()); print(len(several), float(several[3].raw.sum()))"
    )
    files = [str(tmp_path / f"{name}.pickle") for name in ("single", "several")]
    output = subprocess.run([sys.executable, "-c", code, *files], capture_output=True, text=True, check=True).stdout
    assert output.startswith(single.json().decode())
    count, total = output.split()[-2:]
    assert int(count) == len(several)
    assert float(total) == pytest.approx(float(several[3].raw.sum()))


def test_a_pickle_holds_its_own_map_only() -> None:
    every = cl.explain("toybox", IMAGE, target=list(range(10)), method="gradient")
    grid = every[0].raw.numel() * 4
    assert every[0].raw.untyped_storage().nbytes() == grid


def test_a_copy_is_equal(single: Explanation) -> None:
    again = pickle.loads(pickle.dumps(single))
    assert torch.equal(again.raw, single.raw)
    assert again.record() == single.record()
    assert again.image.tobytes() == single.image.tobytes()


def test_slices_are_sets(several: ExplanationSet) -> None:
    assert isinstance(several[1:3], ExplanationSet)
    assert [e.slug for e in several[1:3]] == [e.slug for e in several.items[1:3]]
    assert several[-1] is several.items[-1]


def test_overlay_takes_its_opacity_by_position(single: Explanation) -> None:
    assert single.overlay(0.25).tobytes() == single.overlay(opacity=0.25).tobytes()
    assert single.overlay(0.0).tobytes() != single.overlay(1.0).tobytes()


def test_only_public_names_are_listed() -> None:
    assert dir(cl) == sorted(cl.__all__)
    assert all(getattr(cl, name) is not None for name in dir(cl))


def test_options_are_keywords_in_both() -> None:
    model = cl.load("toybox")
    inputs, _ = model.preprocessing(IMAGE)
    explained = cl.explain(model, IMAGE, method="rise", n=12, seed=3, target=1)
    attributed = cl.attribute(model, inputs[None], method="rise", n=12, seed=3, target=1)
    assert torch.equal(explained.raw, attributed[0])
    assert (explained.options["n"], explained.options["seed"]) == (12, 3)


def test_each_method_takes_the_options_that_it_has() -> None:
    request = AttributionRequest.of(method=["grad_cam", "rise", "occlusion"], options={"n": 12, "infill": "blur"})
    options = [options for _, options in request.methods]
    assert options[0] == {}
    assert (options[1]["n"], options[1]["infill"]) == (12, "blur")
    assert options[2]["infill"] == "blur"


@pytest.mark.parametrize(
    ("how", "several"),
    [
        ({}, False),
        ({"target": 1, "layer": "layer4", "method": "grad_cam"}, False),
        ({"target": [1]}, True),
        ({"layer": ["layer4"]}, True),
        ({"layer": ("layer4",)}, True),
        ({"method": ["grad_cam"]}, True),
        ({"target": "top2"}, True),
        ({"layer": "layer?"}, True),
        ({"layer": "all", "method": "fuse_max(grad_cam)"}, False),
    ],
)
def test_which_requests_give_a_set(how: dict[str, object], several: bool) -> None:
    request = AttributionRequest.of(**how)  # type: ignore[arg-type]
    assert request.several is several
    assert isinstance(cl.explain("toybox", IMAGE, **how), ExplanationSet if several else Explanation)  # type: ignore


@pytest.mark.parametrize("function", [cl.explain, cl.explain_each, cl.attribute])
def test_overloads(function: Callable[..., object]) -> None:
    single, *lists = (get_type_hints(overload)["return"] for overload in get_overloads(inspect.unwrap(function)))
    assert all(single != other for other in lists)
    assert len(lists) == {"attribute": 1, "explain": 4}.get(function.__name__, 3)


@pytest.mark.parametrize("name", [n for n in cl.__all__ if inspect.isfunction(getattr(cl, n))])
def test_no_any_where_a_type_exists(name: str) -> None:
    parameters = inspect.signature(getattr(cl, name)).parameters.values()
    vague = {p.name for p in parameters if p.annotation == "Any" and p.kind is not p.VAR_KEYWORD}
    assert vague <= {"preprocess", "tokenizer"}  # those of different libraries have no type in common
