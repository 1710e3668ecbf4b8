"""Cached responses belong to one request: every field, every model and every image is part of the key.

Each kind of request has a usual form and another value for each of its fields. The changed request is sent to an app
that has already answered the usual one, and again after its caches were emptied. Both responses must be equal, and
differ from the usual one. A field that is added to a request later fails here until it has another value.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from pydantic import BaseModel
from starlette.testclient import TestClient

from camlucida.app import routes
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.caches import Caches
from camlucida.app.routes import activations, compare, explain, images, study, targets, top_images
from camlucida.app.routes.dataset import runs, subsets
from camlucida.app.routes.trust import common, occlude, stability
from camlucida.data.open import open_dataset
from camlucida.models.load import load

sys.path.append(str(Path(__file__).parent))
from asking_models import question_model, written_answers


class RequestCase(NamedTuple):
    """A usual request, and another value for each of its fields."""

    path: str
    schema: type[BaseModel]
    usual: Mapping[str, Any]
    others: Mapping[str, Any]


def mask(*bits: int) -> dict[str, Any]:
    packed = base64.b64encode(np.packbits(np.array(bits, np.uint8)).tobytes()).decode()
    return {"width": 4, "height": 2, "bits": packed}


def file(seed: int) -> str:
    sink = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (80, 96, 3), np.uint8)).save(sink, "PNG")
    return base64.b64encode(sink.getvalue()).decode()


TRUST = {"image": "s2", "model": "toybox:vgg", "method": "layer_cam", "layer": "layer2", "target": 0}
USUAL = {"image": "s1", "methods": ["finer_cam"], "options": {"n": 2}, "targets": [0]}
OTHER = {
    "image": "s2", "model": "toybox:vgg", "methods": ["smooth_grad_cam_plusplus"], "layers": ["layer2"],
    "targets": [1], "score": "probability", "options": {"n": 3},
}  # fmt: skip
ASKED = {"image": "s1", "model": "answers", "question": "what?"}
REQUESTS: dict[str, RequestCase] = {
    "explain": RequestCase(
        "/api/explain",
        explain.ExplainRequest,
        {**USUAL, "targets": [0, 1]},
        {**OTHER, "targets": [2, 3], "compare": True},
    ),
    "explain an image": RequestCase(
        "/api/explain", explain.ExplainRequest, {"image_base64": file(0)}, {"image_base64": file(1)}
    ),
    "panel": RequestCase(
        "/api/explain/panel.png",
        explain.PanelRequest,
        USUAL,
        {**OTHER, "opacity": 0.2, "colormap": "viridis", "blend": "uniform", "contour": 0.5},
    ),
    "arrays": RequestCase(
        "/api/explain/map.npz",
        explain.ExplainRequest,
        USUAL,
        OTHER,
    ),
    "compare": RequestCase(
        "/api/compare",
        compare.CompareRequest,
        {"image": "s1", "methods": ["grad_cam", "hires_cam"]},
        {
            "image": "s2",
            "models": ["toybox:vgg"],
            "methods": ["layer_cam"],
            "layers": ["layer2"],
            "targets": ["third"],
            "score": "log_probability",
        },
    ),
    "targets": RequestCase(
        "/api/targets",
        targets.TargetsRequest,
        {"image": "s1", "model": "toybox:detector"},
        {"image": "s2", "model": "toybox"},
    ),
    "targets of a question": RequestCase(
        "/api/targets",
        targets.TargetsRequest,
        {"image": "s1", "model": "words", "question": "what?"},
        {"question": "who?"},
    ),
    "explain a question": RequestCase("/api/explain", explain.ExplainRequest, ASKED, {"question": "who?"}),
    "panel of a question": RequestCase("/api/explain/panel.png", explain.PanelRequest, ASKED, {"question": "who?"}),
    "compare a question": RequestCase(
        "/api/compare",
        compare.CompareRequest,
        {"image": "s1", "models": ["answers"], "question": "what?", "methods": ["grad_cam"]},
        {"question": "who?"},
    ),
    "test a question": RequestCase("/api/curves", common.MapRequest, ASKED, {"question": "who?"}),
    "occlude a question": RequestCase(
        "/api/occlude",
        occlude.OccludeRequest,
        ASKED | {"mask": mask(1, 1, 0, 0, 0, 0, 0, 0)},
        {"question": "who?"},
    ),
    "perturb a question": RequestCase(
        "/api/perturb", stability.PerturbRequest, ASKED | {"angle": 5}, {"question": "who?"}
    ),
    "curves": RequestCase("/api/curves", common.MapRequest, {"image": "s1"}, TRUST),
    "trust": RequestCase(
        "/api/trust", common.MapRequest, {"image": "s1"}, {"target": 0}
    ),  # the key is that of curves, and it is slow
    "occlude": RequestCase(
        "/api/occlude",
        occlude.OccludeRequest,
        {"image": "s1", "mask": mask(1, 1, 0, 0, 0, 0, 0, 0)},
        TRUST | {"mask": mask(0, 0, 1, 0, 0, 0, 0, 1), "infill": "grey", "keep": True},
    ),
    "perturb": RequestCase(
        "/api/perturb",
        stability.PerturbRequest,
        {"image": "s1", "angle": 5},
        TRUST | {"angle": 9, "across": 0.1, "down": 0.1, "blur": 0.02, "light": 0.2, "noise": 0.1},
    ),
    "channels": RequestCase(
        "/api/channels",
        activations.ChannelsRequest,
        {"image": "s1"},
        {
            "image": "s2",
            "model": "toybox:vgg",
            "layer": "layer2",
            "target": 0,
            "score": "probability",
            "order": "channel",
            "offset": 3,
            "count": 2,
        },
    ),
    "top_images": RequestCase(
        "/api/channels/top",
        top_images.TopImagesRequest,
        {"channel": 0, "n_images": 6},
        {"model": "toybox:vgg", "layer": "layer2", "channel": 1, "n_images": 7, "seed": 1},
    ),
    "analyse": RequestCase(
        "/api/dataset/analyse",
        runs.AnalysisRequest,
        {"n_images": 100},
        {"model": "toybox:vgg", "n_images": 300, "seed": 1, "maps": False},
    ),
    "samples": RequestCase(
        "/api/samples",
        images.SampleQuery,
        {"n": 4, "prediction": "correct"},
        {"seed": 1, "n": 3, "label": "cat", "prediction": "wrong", "low": 0.9999, "high": 0.9, "model": "toybox:vgg"},
    ),
}
WRITTEN = {study.create.StudyPlan, study.questions.StudyAnswer, subsets.SubsetRequest}
"""Requests that write to the study or select images of a run; their responses are not cached."""


@pytest.fixture(autouse=True)
def short_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camlucida.app.routes.trust.curves.N_STEPS", 3)


@pytest.fixture(scope="module")
def site() -> Iterator[TestClient]:
    models = [load("toybox"), load("toybox:vgg"), load("toybox:detector"), question_model(), written_answers()]
    page = Page(models, open_dataset("toybox", count=8))
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


def answered(site: TestClient, path: str, asked: Mapping[str, Any]) -> Any:
    """Return the response without its duration."""
    got = site.get(path, params=dict(asked)) if path == "/api/samples" else site.post(path, json=dict(asked))
    assert got.status_code == 200, got.text
    if got.headers["content-type"] != "application/json":
        return got.content
    body = got.json()
    body.pop("seconds", None)
    return body


def page_of(site: TestClient) -> Page:
    """Return the state of an app."""
    page: Page = site.app.app.state.page  # type: ignore[attr-defined]
    return page


def forget(site: TestClient) -> None:
    """Empty all caches."""
    page = page_of(site)
    page.caches = Caches()
    page.analysis_runs._computed.clear()
    for served in page.served.values():
        served.predictions.clear()


FIELDS = [(name, field) for name, case in REQUESTS.items() for field in case.others]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_field_is_part_of_the_key(site: TestClient, name: str, field: str) -> None:
    path, _, usual, others = REQUESTS[name]
    changed = {**usual, field: others[field]}
    first = answered(site, path, usual)
    kept = answered(site, path, changed)
    forget(site)
    recomputed = answered(site, path, changed)
    assert kept == recomputed
    assert kept != first


ALIKE = {
    name: {"image": "s1", **more}
    for name, more in {
        "/api/explain": {}, "/api/explain/record.json": {}, "/api/compare": {"methods": ["grad_cam", "layer_cam"]},
        "/api/curves": {}, "/api/occlude": {"mask": mask(1, 1, 0, 0, 0, 0, 0, 0)}, "/api/perturb": {"angle": 5},
        "/api/channels": {},
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("path", [*ALIKE, "/api/channels/top", "/api/dataset/analyse"])
def test_models_with_equal_weights_have_different_keys(path: str) -> None:
    """Serve one network under two names, with different class names and default layers."""
    model = load("toybox")
    other = dataclasses.replace(model, spec="renamed", labels=tuple(f"kind {i}" for i in range(10)), layer="layer2")
    page = Page([model, other], open_dataset("toybox", count=6))
    usual = ALIKE.get(path, {"channel": 1} if path.endswith("top") else {"n_images": 100})
    with TestClient(create_app(page), base_url="http://localhost") as client:
        one, two = (
            {**usual, **({"models": [name]} if path == "/api/compare" else {"model": name})}
            for name in (model.name, other.name)
        )
        first, kept = answered(client, path, one), answered(client, path, two)
        forget(client)
        assert kept == answered(client, path, two)
        assert kept != first


@pytest.mark.parametrize("path", ALIKE)
def test_equal_pixels_with_other_names_have_different_keys(site: TestClient, path: str) -> None:
    """Compare a sample of the data set with an upload of the same pixels."""
    sink = io.BytesIO()
    page: Page = page_of(site)
    page.images.sample(1).image.save(sink, "PNG")
    given = site.post("/api/images", params={"name": "mine.png"}, content=sink.getvalue()).json()["id"]
    answered(site, path, ALIKE[path])
    kept = answered(site, path, {**ALIKE[path], "image": given})
    forget(site)
    assert kept == answered(site, path, {**ALIKE[path], "image": given})


BODY = '"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/NAME"}'


def test_all_fields_and_requests_are_tested() -> None:
    for name, (_, schema, _usual, others) in REQUESTS.items():
        assert set(others) <= set(schema.model_fields), name
    for schema in {case.schema for case in REQUESTS.values()}:
        asked = {field for case in REQUESTS.values() if issubclass(schema, case.schema) for field in case.others}
        assert asked >= set(schema.model_fields), schema
    app = create_app(Page([load("toybox")], open_dataset("toybox", count=2)))
    described = json.dumps(TestClient(app, base_url="http://localhost").get("/api/openapi.json").json()["paths"])
    bodies = {
        schema
        for schema in _subclasses(BaseModel)
        if schema.__module__.startswith(routes.__name__) and BODY.replace("NAME", schema.__name__) in described
    }
    assert bodies == {case.schema for case in REQUESTS.values() if case.path != "/api/samples"} | WRITTEN


def _subclasses(of: type) -> Iterator[type]:
    for one in of.__subclasses__():
        yield one
        yield from _subclasses(one)
