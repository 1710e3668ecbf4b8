"""Every model of the API has an example that is valid, and requests with them succeed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
from starlette.testclient import TestClient

from camlucida.app.api_description import api_examples
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.schemas import Schema
from camlucida.data.open import open_dataset
from camlucida.models.load import load

DESCRIBED = create_app(cast(Page, None)).app.openapi()
SLOW = frozenset({"AnalysisRequest", "StudyPlan", "StudyAnswer", "SubsetRequest"})
"""Requests that start a computation of many images, or need a study or its results; tests of their routes send them."""


def schemas(cls: type[Schema] = Schema) -> Iterator[type[Schema]]:
    for child in cls.__subclasses__():
        if child.__module__.startswith("camlucida.app."):
            yield child
        yield from schemas(child)


MODELS = sorted({cls.__name__: cls for cls in schemas()}.items())
REQUESTS = [
    (path, operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2])
    for path, methods in sorted(DESCRIBED["paths"].items())
    for operation in methods.values()
    if "application/json" in operation.get("requestBody", {}).get("content", {})
]


@pytest.fixture(scope="module")
def toybox() -> Iterator[TestClient]:
    with TestClient(
        create_app(Page([load("toybox")], open_dataset("toybox", count=6))), base_url="http://localhost"
    ) as c:
        yield c


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[name for name, _ in MODELS])
def test_each_model_has_a_valid_example(name: str, model: type[Schema]) -> None:
    assert name in api_examples(), "run scripts/api_examples.py"
    model.model_validate(api_examples()[name])


def test_no_example_is_left_without_a_model() -> None:
    assert set(api_examples()) == {name for name, _ in MODELS}


def test_the_description_contains_them() -> None:
    described = DESCRIBED["components"]["schemas"]
    assert all(described[name]["examples"] == [api_examples()[name]] for name in described)


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, name in REQUESTS if name not in SLOW])
def test_requests_with_the_example_succeed(path: str, name: str, toybox: TestClient) -> None:
    answer = toybox.post(path, json=api_examples()[name])
    assert answer.status_code == 200, answer.text
