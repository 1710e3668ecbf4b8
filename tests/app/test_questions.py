"""Models that need something first: a question, a text; and networks that write a text and have no class scores."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from camlucida import explain
from camlucida.app.app import create_app
from camlucida.app.app_state import MAX_QUESTIONS, Page
from camlucida.app.schemas import EncodedMap, unpacked
from camlucida.attribution.method_choice import default_method
from camlucida.data.open import open_dataset
from camlucida.models.load import load

sys.path.append(str(Path(__file__).parent))
from asking_models import ANSWERS, question_model, text_model

FIRST, SECOND = "what is this?", "is it blue?"


@pytest.fixture(scope="module")
def page() -> Page:
    return Page([question_model(), text_model(), load("toybox:captioner")], open_dataset("toybox:2", count=6))


@pytest.fixture(scope="module")
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


def post(client: TestClient, path: str, **fields: Any) -> Any:
    return client.post(f"/api/{path}", json={"image": "s3", **fields})


def test_start_has_layers_and_default_methods(client: TestClient, page: Page) -> None:
    models = client.get("/api/start").raise_for_status().json()["models"]
    assert [model["image_targets"] for model in models] == ["question", "image-text", "caption"]
    assert [model["method"] for model in models] == [default_method(model) for model in page.models]
    assert [model["layers"][-1]["name"] for model in models] == [
        "tower.features.1",
        "features.1",
        "encoder.layer4",
    ]


@pytest.mark.parametrize("path", ["layers", "methods"])
@pytest.mark.parametrize("model", ["answers", "texts", "toybox:captioner"])
def test_layers_and_methods_are_listed(client: TestClient, model: str, path: str) -> None:
    answer = client.get(f"/api/{path}", params={"model": model}).raise_for_status().json()
    names = [one["name"] for one in answer[path] if not one.get("reason")]
    assert {"layers": "features.1", "methods": "grad_cam"}[path] in " ".join(names) or model == "toybox:captioner"
    assert len(names) > 1


@pytest.mark.parametrize("question", [FIRST, SECOND])
def test_answer_equals_library(client: TestClient, page: Page, question: str) -> None:
    made = post(client, "explain", question=question).raise_for_status().json()
    truth = explain(page.models[0].with_question(question), page.images.find("s3").image)
    assert made["maps"][0]["target"] == truth.target in ANSWERS
    assert made["maps"][0]["method"] == truth.method
    values = unpacked(EncodedMap(**made["maps"][0]["map"]))[0]
    np.testing.assert_allclose(values, truth.raw.numpy(), atol=1e-3 * float(truth.raw.abs().max()))
    assert [p["probability"] for p in made["predictions"]] == pytest.approx([p.probability for p in truth.predictions])
    assert made["label"] is None  # the class of the image answers no question


def test_questions_have_their_own_maps(client: TestClient) -> None:
    """The maps of a comparison and those of a test are cached by model, and the question is part of it."""
    for path, fields in (("compare", {"methods": ["hires_cam"], "targets": ["cat"]}), ("trust", {"target": "cat"})):
        answers = [
            post(client, path, question=one, **fields).raise_for_status().json() for one in (FIRST, SECOND, FIRST)
        ]
        first, second, again = (one.get("cells", one) for one in answers)
        assert first == again
        assert first != second


@pytest.mark.parametrize("path", ["explain", "trust"])
def test_no_question_is_a_sentence(client: TestClient, path: str) -> None:
    answer = post(client, path)
    assert answer.status_code == 422
    assert "the network answers questions about an image, and there is none" in answer.json()["detail"]
    answer = post(client, path, model="texts", question=FIRST)
    assert answer.status_code == 422
    assert "takes no question" in answer.json()["detail"]


def test_no_targets_before_question_or_text(client: TestClient) -> None:
    assert post(client, "targets").json()["kind"] == "question"
    assert post(client, "targets").json()["targets"] == []
    assert post(client, "targets", model="texts").json()["targets"] == []
    assert post(client, "targets", question=FIRST).json()["kind"] is None  # its answers are classes


def test_many_questions_are_bounded(page: Page) -> None:
    for number in range(2 * MAX_QUESTIONS):
        assert page.model(None, f"{number}?").question == f"{number}?"
    assert len(page._asked) == MAX_QUESTIONS
    assert page.model("answers", "63?") is page.model(None, " 63? ")


def test_compare_texts(client: TestClient, page: Page) -> None:
    targets = ["text:a dog", "text:a cat"]
    answer = post(client, "compare", models=["texts"], methods=["grad_cam", "hires_cam"], targets=targets).json()
    truth = explain(page.models[1], page.images.find("s3").image, target=targets, method=["grad_cam", "hires_cam"])
    assert answer["models"][0]["predictions"] == []
    for cell in answer["cells"]:
        (expected,) = (e for e in truth if e.method == cell["method"] and cell["target"][5:] == e.target)
        values = unpacked(EncodedMap(**cell["map"]["map"]))[0]
        np.testing.assert_allclose(values, expected.raw.numpy(), atol=1e-3 * float(expected.raw.abs().max()))


def test_compare_words(client: TestClient, page: Page) -> None:
    targets = ["word 2", "word 5", "predicted"]
    answer = post(client, "compare", models=["toybox:captioner"], methods=["layer_cam", "grad_cam"], targets=targets)
    cells = {(cell["method"], cell["target"]): cell for cell in answer.raise_for_status().json()["cells"]}
    assert "no classes of the whole image" in cells[None, "predicted"]["error"]
    for method in ("layer_cam", "grad_cam"):
        for target in targets[:2]:
            truth = explain(page.models[2], page.images.find("s3").image, target=target, method=method)
            assert cells[method, target]["map"]["target"] == truth.target
            values = unpacked(EncodedMap(**cells[method, target]["map"]["map"]))[0]
            np.testing.assert_allclose(values, truth.raw.numpy(), atol=1e-3 * float(truth.raw.abs().max()))


def test_word_rather_than_another(client: TestClient, page: Page) -> None:
    made = post(client, "explain", model="toybox:captioner", targets=["word 2: tree rather than cat"]).json()["maps"][0]
    truth = explain(page.models[2], page.images.find("s3").image, target="word 2: tree rather than cat")
    assert (made["target"], made["spec"], made["method"]) == (truth.target, truth.spec, truth.method)
    assert made["score"] == pytest.approx(truth.score, rel=1e-4)
