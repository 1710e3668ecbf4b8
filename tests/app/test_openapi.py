"""Every route with thousands of requests that its description allows or forbids.

The routes are read from the description (`/api/openapi.json`), so new ones are tested without being listed here. Every
response must have a documented status and schema, and never be an internal error. Half of the requests name existing
images, models and methods; otherwise nearly all would fail at the first field.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, checks
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi import checks as described

from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.data import toybox
from camlucida.data.open import open_dataset
from camlucida.models.load import load

SCENES = 6
EXAMPLES = {"get": 30, "post": 12}
"""Requests per route, by its HTTP method: those that compute maps are slow."""
PLAUSIBLE: dict[str, list[Any]] = {
    "image": ["s0", "s5"],
    "id": ["s0", "s5"],
    "model": ["toybox", "toybox:vgg", None],
    "method": ["grad_cam", "layer_cam", "positive(hires_cam)", "gradient"],
    "layer": ["layer4", "all", -1, "layer?"],
    "target": ["cat", 3, "top2", "cat rather than dog", "not key"],
    "image_base64": [None],
    "options": [{}],
}
"""Valid values by the name of a field, or its singular."""
CHECKS = [
    checks.not_a_server_error,
    described.status_code_conformance,
    described.content_type_conformance,
    described.response_headers_conformance,
    described.response_schema_conformance,
]


DESCRIBED = create_app(cast(Page, None)).app.openapi()
ROUTES = [(method, path) for path, methods in DESCRIBED["paths"].items() for method in methods]


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    """Yield the description of the API, connected to an app."""
    models = [load("toybox"), load("toybox:vgg")]
    page = Page(models, open_dataset("toybox", count=SCENES))
    page.warm()
    config = SchemathesisConfig(
        projects=ProjectsConfig(
            default=ProjectConfig(base_url="http://localhost", generation=GenerationConfig(deterministic=True))
        )
    )
    yield schemathesis.openapi.from_asgi(
        "/api/openapi.json", create_app(page), config=config, headers={"host": "localhost"}
    )
    assert page.queues.empty(5)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_routes_conform_to_their_description(method: str, path: str, mode: GenerationMode, api: Any) -> None:
    operation = api[path][method]
    if mode is GenerationMode.NEGATIVE and not (operation.body or operation.query or operation.path_parameters):
        pytest.skip("nothing to get wrong")

    statuses = list[int]()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES.get(method, EXAMPLES["post"]),
        derandomize=True,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def asked(case: schemathesis.Case) -> None:
        draw = random.Random(repr((case.path_parameters, case.query, case.body)))
        if mode is GenerationMode.POSITIVE and draw.random() < 0.5:
            case.path_parameters = _plausible(case.path_parameters, draw)
            case.body = _plausible(_with_image(case.body, method, path), draw)
            if case.media_type == "application/octet-stream":
                case.body = png_file()
        statuses.append(case.call_and_validate(checks=CHECKS).status_code)

    try:
        asked()
    except Unsatisfiable:
        pytest.skip("any bytes conform to the description")
    assert statuses


def png_file() -> bytes:
    """Return an image file to upload."""
    sink = io.BytesIO()
    toybox.scene(seed=4, kinds=["cat", "dog"], objects=2, size=96).picture().save(sink, "PNG")
    return sink.getvalue()


def _with_image(body: Any, method: str, path: str) -> Any:
    """Add the id of an image where the request has one; without it most requests fail at once."""
    content = DESCRIBED["paths"][path][method].get("requestBody", {}).get("content", {})
    name = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
    fields = DESCRIBED["components"]["schemas"].get(name, {}).get("properties", {})
    return {**body, "image": ""} if isinstance(body, dict) and "image" in fields else body


def _plausible(value: Any, draw: random.Random) -> Any:
    """Replace values of known fields by valid ones."""
    if not isinstance(value, dict):
        return value
    return {name: _of(name, one, draw) for name, one in value.items()}


def _of(name: str, value: Any, draw: random.Random) -> Any:
    known = PLAUSIBLE.get(name) or PLAUSIBLE.get(name.removesuffix("s"))
    if known is None:
        return _plausible(value, draw)
    return [draw.choice(known) for _ in range(2)] if isinstance(value, list) else draw.choice(known)
