"""Limits of requests: usual requests are accepted, excessive ones refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from camlucida.app.app_state import Page
from camlucida.app.request_limits import MAX_MAPS, check, check_method, check_number
from camlucida.errors import MethodError
from camlucida.methods import combinators, methods
from camlucida.options import Between, options_of


@pytest.mark.parametrize("name", list(methods()))
def test_every_default_method_is_accepted(name: str) -> None:
    assert check_method(name).name == name


@pytest.mark.parametrize("name", list(combinators()))
def test_every_default_combinator_is_accepted(name: str) -> None:
    assert check_method(f"{name}(grad_cam)")


@pytest.mark.parametrize(
    "text",
    [
        "rise(n=4000)", "lime(n=2000, segments=100)", "integrated_gradients(steps=300)", "smooth_grad(n=100)",
        "smooth(positive(hires_cam), n=50)", "scales(grad_cam, factors=(0.5, 1.0, 2.0))",
        "smooth(rise(n=500), n=20)", "occlusion(stride=2)", "absolute(smooth(flips(positive(grad_cam))))",
        "extremal_perturbation(areas=(0.05, 0.1, 0.2), steps=400)", "ablation_cam(infill=-2.5)",
    ],
)  # fmt: skip
def test_usual_requests_are_accepted(text: str) -> None:
    assert check_method(text)


HOSTILE = {
    "rise(n=1000000000000)": "rise.*: n is an integer from 2 to 1000000 .*, not 1000000000000",
    "rise(n=1" + "0" * 60 + ")": "n is an integer from 2 to 1000000",
    "rise(n=-1)": "n is an integer from 2 .*, not -1",
    "rise(cells=100000)": "cells is 100000; the app accepts 1 to 32",
    "lime(segments=100000)": "segments is 100000; the app accepts 1 to 400",
    "smooth(grad_cam, n=1000000000)": "smooth: n is an integer from 1 to 1000000 .*, not 1000000000",
    "smooth(smooth(smooth(grad_cam, n=100), n=100), n=100)": "would run the network 1,000,000 times",
    "smooth(rise(n=4000), n=100)": "would run the network 400,000 times; the app allows at most 40,000",
    "positive(" * 5 + "grad_cam" + ")" * 5: "too many combinators",
    "positive(" * 30 + "grad_cam" + ")" * 30: "characters",
    "(" * 150 + ")": "cannot parse the method",
    "scales(grad_cam, factors=(1000000,))": "factors is 1000000; the app accepts 0.25 to 2",
    "scales(grad_cam, factors=(1,1,1,1,1,1,1,1,1))": "factors has 9 values; the app accepts at most 8",
    "extremal_perturbation(areas=(.1,.1,.1,.1,.1,.1,.1,.1,.1))": "areas has 9 values",
    "extremal_perturbation(steps=100000)": "steps is 100000; the app accepts 1 to 800",
    "occlusion(stride=0)": "stride is a number above 0",
    "occlusion(stride=0.000001)": "stride is 1e-06",
    "occlusion(stride=1)": "would run the network 50,176 times",
    "occlusion(window=-5)": "window is a number above 0 .*, not -5",
    "eigen_smooth(grad_cam, components=100000)": "components is 100000",
    "contrast(grad_cam, n=100000)": "contrast: n is 100000",
    "ablation_cam(infill=1e300)": r"infill is 1e\+300",
    "smooth_grad(seed=-1)": "seed is an integer from 0 .*, not -1",
    "a" * 201: "201 characters; the app accepts at most 200",
    "gradcamm": "no method 'gradcamm'",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_excessive_requests_are_refused_with_the_limit(text: str) -> None:
    with pytest.raises(MethodError, match=HOSTILE[text]):
        check_method(text)


COUNTS = [
    (method.name, option) for method in methods().values() for option in ("n", "steps") if option in method.options
]


def smallest(name: str, option: str) -> int:
    """Return the smallest count that a method accepts: 1 for most, 2 for a standard deviation."""
    limits = options_of(methods()[name].function)[option].limits
    assert isinstance(limits, Between)
    return int(limits.low)


@pytest.mark.parametrize(("name", "option"), COUNTS)
def test_counts_multiply_the_runs(name: str, option: str) -> None:
    """100 × 100 runs with the smallest count are within the limit of 40,000; with a count of 5 they are not."""
    ones = {count: smallest(name, count) for method, count in COUNTS if method == name}

    def asked(**counts: int) -> str:
        options = ", ".join(f"{key}={value}" for key, value in {**ones, **counts}.items())
        return f"smooth(smooth({name}({options}), n=100), n=100)"

    if "areas" not in methods()[name].options:  # areas multiply the runs as well, even by default
        assert check_method(asked())
    with pytest.raises(MethodError, match="would run the network"):
        check_method(asked(**{option: 5}))


def test_smaller_images_have_fewer_windows() -> None:
    assert check_method("occlusion(stride=1)", side=96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 10**12}, "rise: n is"),
        ({"n": float("nan")}, "n is nan"),
        ({"n": float("inf")}, "n is inf"),
        ({"n": 1e300}, "n is"),
        ({"cells": 10**6}, "cells is"),
        ({"seed": 2**64}, "seed is a huge number"),
        ({"n": 10**400}, "rise: n is a huge number; the app accepts 1 to 4,000"),
    ],
)
def test_separate_options_are_bounded(options: dict[str, float], message: str, page: Page) -> None:
    with pytest.raises(MethodError, match=message):
        check(page.model(None), ["rise"], options=options)


def test_option_applies_to_methods_that_have_it(page: Page) -> None:
    check(page.model(None), ["rise", "grad_cam"], options={"n": 4000})
    with pytest.raises(MethodError, match="smooth_grad: n is 4000; the app accepts 1 to 100"):
        check(page.model(None), ["rise", "smooth_grad"], options={"n": 4000})
    check(page.model(None), ["grad_cam"], options={"n": 10**9})  # it has no such option; the library reports that


def test_strings_and_booleans_are_not_limited() -> None:
    for value in ("mean", True, None, "9" * 200):
        check_number("rise", "infill", value, "mean")


@pytest.mark.parametrize(
    ("how", "maps"),
    [
        ({"methods": ["grad_cam"], "targets": ["top144"]}, 144),
        ({"methods": ["grad_cam"], "targets": ["top145"]}, 145),
        ({"methods": ["grad_cam"], "targets": ["top999999999999"]}, 999999999999),
        ({"methods": ["grad_cam"] * 16, "layers": ["all"], "targets": ["top3"]}, 16 * 4 * 3),
        ({"methods": ["grad_cam"] * 12, "layers": ["all"], "targets": ["top3"]}, 12 * 4 * 3),
        ({"methods": ["grad_cam"] * 16, "layers": ["layer?"] * 3, "targets": [0]}, 16 * 4 * 3),
        ({"methods": ["grad_cam", "rise"], "layers": ["all"], "targets": list(range(16))}, (4 + 1) * 16),
        ({"methods": ["refine(grad_cam)"], "layers": ["all"], "targets": list(range(16))}, 16),
        ({"methods": ["grad_cam"], "layers": ["no such layer*"]}, 1),
    ],
)
def test_maps_are_counted_before_they_are_computed(how: dict[str, list[str]], maps: int, page: Page) -> None:
    if maps <= MAX_MAPS:
        check(page.model(None), **how)
    else:
        with pytest.raises(MethodError, match=f"{maps:,} maps were requested; the app computes at most 144"):
            check(page.model(None), **how)


@pytest.mark.parametrize(
    ("path", "request_body"),
    [
        ("/api/trust", {"image": "s1", "method": "smooth(rise(n=4000), n=100)"}),
        ("/api/study/create", {"methods": ["grad_cam", "smooth(rise(n=4000), n=100)"]}),
        ("/api/explain/map.npz", {"image": "s1", "methods": ["smooth(rise(n=4000), n=100)"]}),
    ],
)
def test_limits_apply_to_every_route(path: str, request_body: dict[str, Any], client: TestClient) -> None:
    refused = client.post(path, json=request_body)
    assert refused.status_code == 422
    assert "would run the network 400,000 times; the app allows at most 40,000" in refused.json()["detail"]


def test_limit_in_a_comparison_affects_one_cell(client: TestClient) -> None:
    found = client.post("/api/compare", json={"image": "s1", "methods": ["grad_cam", "smooth(rise(n=4000), n=100)"]})
    assert found.status_code == 200
    assert sorted("would run the network" in (cell["error"] or "") for cell in found.json()["cells"]) == [False, True]


def test_excessive_requests_are_refused_before_they_run(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers and the likeliest classes may be looked up first, which takes a few runs of the network."""
    plain, calls = torch.nn.functional.conv2d, []

    def counted(*args: Any, **options: Any) -> torch.Tensor:
        calls.append(1)
        return plain(*args, **options)

    monkeypatch.setattr(torch.nn.functional, "conv2d", counted)
    for request_body in (
        {"methods": ["smooth(rise(n=4000), n=100)"]},
        {"methods": ["rise"], "options": {"n": 10**12}},
        {"methods": ["grad_cam"], "layers": ["all"], "targets": ["top1000"]},
    ):
        calls.clear()
        refused = client.post("/api/explain", json={"image": "s1", **request_body})
        assert (refused.status_code, refused.json()["kind"]) == (422, "MethodError")
        assert len(calls) < 1000  # of the hundreds of thousands of calls that the request would take
