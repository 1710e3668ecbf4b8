"""POST /api/compare: numbers equal those of the library, and errors affect single cells."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import nn

import camlucida as cl
from camlucida.app import map_batch
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.failures import Cancelled
from camlucida.app.jobs import Job
from camlucida.app.routes.compare import CompareRequest
from camlucida.app.routes.compare import _compare as compared
from camlucida.app.schemas import EncodedMap, GeometryOut, unpacked
from camlucida.attribution.map_comparison import disagreement, rank_correlation
from camlucida.attribution.predictions import predict_scores
from camlucida.data.open import open_dataset
from camlucida.errors import MethodError
from camlucida.maps import to_image_grid
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.types import Geometry

FOUR = ["grad_cam", "layer_cam", "hires_cam", "eigen_cam"]


@pytest.fixture
def ask(client: TestClient) -> Callable[..., Any]:
    """Return a function that sends a comparison and returns its result."""

    def ask(image: str = "s3", methods: list[str] = FOUR, **question: Any) -> Any:
        answer = client.post("/api/compare", json={"image": image, "methods": methods, **question})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return ask


def raw(cell: dict[str, Any]) -> np.ndarray[Any, Any]:
    return unpacked(EncodedMap(**cell["map"]["map"]))[0]


def landed(response: dict[str, Any], width: int, height: int) -> np.ndarray[Any, Any]:
    """Return the map of disagreement on the image, resized by the library as the browser does."""
    geometry = GeometryOut(**response["geometry"])
    position = Geometry(geometry.original, geometry.input, geometry.scale, geometry.offset)
    assert position.original == (width, height)
    return to_image_grid(torch.from_numpy(unpacked(EncodedMap(**response["map"]))[0]), position).numpy()


def test_maps_and_predictions_equal_explain(ask: Callable[..., Any], page: Page) -> None:
    found = ask(targets=["predicted", "runner-up"], layers=["layer3", "layer4"])
    image = page.images.sample(3).image
    model = page.served["toybox"].model
    made = cl.explain(
        model, image, target=["predicted", "runner-up"], layer=["layer3", "layer4"], method=["grad_cam", "layer_cam"]
    )
    by_cell = {(c["method"], c["layer"], c["target"]): c for c in found["cells"]}
    keys = {made.axis("target")[0]: "predicted", made.axis("target")[1]: "runner-up"}
    for e in made:
        cell = by_cell[e.method, e.layer, keys[e.target]]
        np.testing.assert_allclose(raw(cell), e.raw, atol=1e-3 * float(e.raw.abs().max()))
        assert cell["map"]["score"] == pytest.approx(e.score)
    assert found["models"][0]["predictions"][0]["name"] == made[0].predictions[0].name
    assert found["models"][0]["predictions"][0]["probability"] == pytest.approx(made[0].predictions[0].probability)


def test_rank_correlation_and_disagreement_equal_library(ask: Callable[..., Any], page: Page) -> None:
    methods = ["grad_cam", "layer_cam", "hires_cam"]
    found = ask(methods=methods, targets=["predicted", "runner-up"])
    image = page.images.sample(3).image
    made = cl.explain(page.served["toybox"].model, image, target=["predicted", "runner-up"], method=methods)
    assert len(found["cells"]) == 6
    np.testing.assert_allclose(np.array(found["correlation"], float), made.rank_correlation(), atol=1e-6)
    np.testing.assert_allclose(landed(found["disagreement"], *image.size), made.disagreement(), atol=5e-4)


def test_large_image_is_compared_approximately(client: TestClient, ask: Callable[..., Any], page: Page) -> None:
    """The app compares maps of a reduced image; the region outside the network input is undefined in both."""
    large = page.images.sample(3).image.resize((1200, 700), Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    large.save(sink, "PNG")
    id_ = client.post("/api/images", content=sink.getvalue()).json()["id"]
    model = cl.wrap(page.served["toybox"].model.network, size=96, fit="crop")
    page.served["toybox"].model = model
    found = ask(id_, ["grad_cam", "layer_cam", "gradient"], models=["toybox"])
    made = cl.explain(model, large, method=["grad_cam", "layer_cam", "gradient"])
    np.testing.assert_allclose(np.array(found["correlation"], float), made.rank_correlation(), atol=0.01)
    whole, shown = made.disagreement(), landed(found["disagreement"], 1200, 700)
    both = ~np.isnan(whole) & ~np.isnan(shown)
    assert np.mean(np.isnan(whole) != np.isnan(shown)) < 0.01  # the border, by half a pixel of the reduced image
    assert both.mean() < 0.6
    assert np.abs(whole - shown)[both].mean() < 0.01


def test_class_free_maps_occur_once(ask: Callable[..., Any]) -> None:
    methods = ["grad_cam", "eigen_cam", "gradient", "refine(layer_cam)"]
    found = ask(methods=methods, targets=["predicted", "runner-up"], layers=["layer3", "layer4"])
    cells = [(c["method"], c["layer"], c["target"]) for c in found["cells"]]
    assert cells == [
        *(("grad_cam", layer, t) for t in ("predicted", "runner-up") for layer in ("layer3", "layer4")),
        ("eigen_cam", "layer3", None),
        ("eigen_cam", "layer4", None),
        ("gradient", None, "predicted"),
        ("gradient", None, "runner-up"),
        ("refine(layer_cam)", None, "predicted"),
        ("refine(layer_cam)", None, "runner-up"),
    ]
    assert found["cells"][-1]["map"]["layer"] == "layer3+layer4"
    assert len(found["correlation"]) == 10


def test_fused_layers_default_to_all(ask: Callable[..., Any], page: Page) -> None:
    (cell,) = ask(methods=["refine(layer_cam)"])["cells"]
    e = cl.explain(page.served["toybox"].model, page.images.sample(3).image, method="refine(layer_cam)")
    assert cell["map"]["layer"] == e.layer == "layer1+layer2+layer3+layer4"
    np.testing.assert_allclose(raw(cell), e.raw, atol=1e-3 * float(e.raw.abs().max()))


def test_errors_of_single_cells_leave_other_cells(ask: Callable[..., Any]) -> None:
    found = ask(methods=["grad_cam", "attention_rollout", "cam", "no_such"], layers=["layer3", "layer4"])
    cells = {(c["method"], c["layer"]): c for c in found["cells"]}
    assert cells["grad_cam", "layer3"]["map"]
    assert cells["grad_cam", "layer4"]["map"]
    assert cells["cam", "layer4"]["map"]
    assert "average pooling" in cells["cam", "layer3"]["error"]
    assert "no attention at all" in cells["attention_rollout", None]["error"]
    assert "no method 'no_such'" in cells["no_such", None]["error"]
    assert all("scene" not in (c["error"] or "") for c in found["cells"])  # the name of the image is sent separately
    assert len(found["correlation"]) == 3
    two = ask(methods=["cam"], layers=["layer3", "layer4"], targets=["predicted", "runner-up"])
    assert [(c["layer"], c["target"], bool(c["map"])) for c in two["cells"]] == [
        ("layer3", None, False),
        ("layer4", "predicted", True),
        ("layer4", "runner-up", True),
    ]


def test_error_common_to_all_layers_is_reported_once(ask: Callable[..., Any]) -> None:
    found = ask(methods=["lrp", "relevance_cam"], models=["toybox"], layers=["layer3", "layer4"])
    assert all(c["map"] for c in found["cells"])
    found = ask(methods=["attention_relevance"], layers=["layer3", "layer4"])
    assert [(c["layer"], bool(c["error"])) for c in found["cells"]] == [(None, True)]
    assert found["correlation"] is None
    assert found["disagreement"] is None
    assert len(found["models"][0]["predictions"]) == 5


def test_two_models(ask: Callable[..., Any], page: Page) -> None:
    found = ask(models=["toybox", "toybox:vgg"], methods=["grad_cam", "cam"], layers=["layer2"])
    cells = {(c["model"], c["method"]): c for c in found["cells"]}
    assert cells["toybox", "grad_cam"]["layer"] == "layer2"
    assert cells["toybox:vgg", "grad_cam"]["layer"] == "features.17"  # it has no layer2, so its default layer is used
    assert "average pooling" in cells["toybox:vgg", "cam"]["error"]
    image = page.images.sample(3).image
    each = [
        cl.explain(page.served["toybox"].model, image, layer="layer2"),
        cl.explain(page.served["toybox:vgg"].model, image),
    ]
    wanted = rank_correlation([e.landed for e in each])
    np.testing.assert_allclose(np.array(found["correlation"], float), wanted, atol=1e-6)
    np.testing.assert_allclose(landed(found["disagreement"], 96, 96), disagreement([e.landed for e in each]), atol=5e-4)
    assert [m["predictions"][0]["name"] for m in found["models"]] == [e.predictions[0].name for e in each]


def test_models_are_compared_on_the_common_region() -> None:
    class Tiny(nn.Module):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
            self.head = nn.Linear(8, 4)
            drawn = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for p in self.parameters():
                    p.copy_(torch.randn(p.shape, generator=drawn) / 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features(x).mean((2, 3)))

    models = [
        cl.wrap(Tiny(seed), size=32, resize=None, fit=fit, labels=list("abcd"))
        for seed, fit in ((1, "crop"), (2, "letterbox"))
    ]
    models = [replace(model, spec=name) for model, name in zip(models, ("crops", "pads"), strict=True)]
    page = Page(models, open_dataset("toybox", count=2))
    wide = Image.fromarray(np.random.default_rng(5).integers(0, 255, (60, 120, 3), dtype=np.uint8))
    given = page.images.add_upload(wide)
    with TestClient(create_app(page), base_url="http://localhost") as client:
        asked = {"image": given.id, "methods": ["grad_cam"], "models": ["crops", "pads"]}
        found = client.post("/api/compare", json=asked).json()
    maps = [cl.explain(model, wide).landed for model in models]
    assert np.isnan(maps[0]).any()
    assert not np.isnan(maps[1]).any()
    seen = ~np.isnan(maps[0])
    wanted = scipy.stats.spearmanr(maps[0][seen], maps[1][seen]).statistic
    assert found["correlation"][0][1] == pytest.approx(wanted, abs=1e-6)
    shown = landed(found["disagreement"], 120, 60)
    np.testing.assert_array_equal(np.isnan(shown), ~seen)
    np.testing.assert_allclose(shown[seen], disagreement(maps)[seen], atol=5e-4)


def test_targets_by_rank(ask: Callable[..., Any], page: Page) -> None:
    model = page.served["toybox"].model
    order = predict_scores(model, page.images.sample(3).image)[0].argsort(descending=True).tolist()
    found = ask(methods=["grad_cam"], targets=["top3", order[1], str(order[4]), "not cat"])
    targets = found["models"][0]["targets"]
    assert [t["key"] for t in targets[:3]] == ["predicted", "runner-up", "third"]
    assert [t["index"] for t in targets] == [*order[:3], order[1], order[4], None]
    assert [t["same"] for t in targets] == [None, None, None, "runner-up", None, None]
    assert targets[-1]["name"] == "against cat"
    assert [c["target"] for c in found["cells"]] == ["predicted", "runner-up", "third", str(order[4]), "not cat"]
    assert [c["map"]["index"] for c in found["cells"]] == [*order[:3], order[4], None]


def test_unknown_class_is_an_error_of_its_cell(ask: Callable[..., Any]) -> None:
    found = ask(methods=["grad_cam"], targets=["predicted", "zeppelin", 99, "top7"])
    errors = {c["target"]: c["error"] for c in found["cells"]}
    assert errors["predicted"] is None
    assert "no class 'zeppelin'" in errors["zeppelin"]
    assert "0 to 9" in errors["99"]
    assert "several classes" in errors["top7"]
    assert all(c["method"] is None for c in found["cells"] if c["error"])


def test_classes_of_other_models_are_matched_by_name() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.features(x).relu().mean((2, 3))

    def model(name: str, labels: tuple[str, ...]) -> Any:
        return Model(Fixed(), Preprocessing(size=(16, 16), resize=None), labels, spec=name)

    page = Page(
        [model("one", ("ant", "bee", "cow")), model("two", ("cow", "ant", "elk"))], open_dataset("toybox", count=1)
    )
    with TestClient(create_app(page), base_url="http://localhost") as client:
        asked = {"image": "s0", "methods": ["grad_cam"], "models": ["one", "two"], "targets": [0, 1]}
        found = client.post("/api/compare", json=asked).json()
    assert [(c["model"], c["target"], (c["map"] or {}).get("index")) for c in found["cells"]] == [
        ("one", "0", 0),
        ("one", "1", 1),
        ("two", "0", 1),
        ("two", "1", None),
    ]
    assert found["cells"][-1]["error"] == "the model has no class 'bee'."


def test_unknown_layer_is_an_error_of_its_cell(ask: Callable[..., Any]) -> None:
    found = ask(methods=["grad_cam", "gradient"], layers=["layer9", "layer4"])
    assert [(c["method"], c["layer"], bool(c["map"])) for c in found["cells"]] == [
        ("grad_cam", "layer4", True),
        ("gradient", None, True),
        (None, "layer9", False),
    ]
    assert "no layer 'layer9'" in found["cells"][-1]["error"]
    found = ask(methods=["grad_cam", "gradient", "refine(layer_cam)"], layers=["layer9"])
    assert [(c["method"], bool(c["map"])) for c in found["cells"]] == [("gradient", True), (None, False)]


def test_too_many_maps_are_refused(client: TestClient) -> None:
    asked = {"image": "s1", "methods": FOUR[:3], "layers": ["all"], "targets": list(range(10))}
    response = client.post("/api/compare", json={**asked, "models": ["toybox", "toybox:vgg"]})
    assert response.status_code == 422
    assert response.json()["detail"].startswith("270 maps were requested; the app computes at most 144 at once.")


@pytest.mark.parametrize(
    "wrong",
    [
        {"methods": []},
        {"methods": ["grad_cam"] * 49},
        {"targets": [0] * 17},
        {"layers": ["x"] * 65},
        {"models": ["toybox"] * 9},
        {"models": ["nobody"]},
        {"image": "../../etc/passwd"},
        {"methods": ["x" * 201]},
        {"score": "loss"},
        {"more": 1},
    ],
)
def test_invalid_requests_are_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    response = client.post("/api/compare", json={"image": "s1", "methods": ["grad_cam"], **wrong})
    assert response.status_code == 422
    assert response.json()["detail"]


def test_unknown_image_is_404(client: TestClient) -> None:
    response = client.post("/api/compare", json={"image": "uabc", "methods": ["grad_cam"]})
    assert response.status_code == 404


def test_duplicate_methods_are_merged(ask: Callable[..., Any]) -> None:
    assert len(ask(methods=["grad_cam", "GradCAM", "grad-cam"])["cells"]) == 1


def events(client: TestClient, question: dict[str, Any]) -> list[tuple[str, Any]]:
    headers = {"accept": "text/event-stream"}
    with client.stream("POST", "/api/compare", json=question, headers=headers) as answer:
        response = "".join(answer.iter_text())
    parts = [part.split("\n", 1) for part in response.strip().split("\n\n")]
    return [(a.removeprefix("event: "), json.loads(b.removeprefix("data: "))) for a, b in parts]


def test_maps_are_streamed_as_they_are_computed(client: TestClient, ask: Callable[..., Any]) -> None:
    question = {
        "image": "s5",
        "methods": ["score_cam", "grad_cam", "eigen_cam", "attention_rollout"],
        "models": ["toybox", "toybox:vgg"],
    }
    response = events(client, question)
    names = [name for name, _ in response]
    assert names[:2] == ["expected", "expected"]
    assert names[-1] == "result"
    pending = [c for name, content in response if name == "expected" for c in content["cells"]]
    assert len(pending) == 8
    assert all(c["map"] is None and c["error"] is None for c in pending)
    came = [{c["method"] for c in content["cells"]} for name, content in response if name == "cells"]
    assert came[0] == {"grad_cam"}  # quick methods do not wait for Score-CAM
    assert came[-1] == {"score_cam"}
    fractions = [content["done"] / content["total"] for name, content in response if name == "progress"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    result = response[-1][1]
    assert [c["method"] for c in result["cells"][:4]] == question["methods"]
    streamed = [c for name, content in response if name == "cells" for c in content["cells"]]
    by_cell = {(c["model"], c["method"]): c for c in result["cells"]}
    assert all(by_cell[c["model"], c["method"]] == c for c in streamed)
    plain = ask(question["image"], question["methods"], models=question["models"])
    assert {**plain, "seconds": 0} == {**result, "seconds": 0}


def test_cached_maps_are_not_recomputed(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    explain = map_batch.explain

    def counted(*given: Any, **how: Any) -> Any:
        asked.append(how["method"])
        return explain(*given, **how)

    monkeypatch.setattr(map_batch, "explain", counted)
    first = ask(methods=["grad_cam", "layer_cam", "cam"], layers=["layer4"])
    again = ask(methods=["hires_cam", "layer_cam", "grad_cam"], layers=["layer4"])
    assert asked == [["grad_cam", "layer_cam", "cam"], ["hires_cam"]]
    assert raw(again["cells"][2]).tolist() == raw(first["cells"][0]).tolist()
    ask(methods=["grad_cam"], layers=["layer3"])
    ask(methods=["grad_cam"], layers=["layer4"], targets=["runner-up"])
    ask("s4", methods=["grad_cam"], layers=["layer4"])
    assert asked[2:] == [["grad_cam"]] * 3


def test_cancelled_comparison_stops(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def counted(*given: Any, **how: Any) -> Any:
        asked.append(how["method"])
        job.cancel()
        raise MethodError("does not fit")

    job = Job()
    monkeypatch.setattr(map_batch, "explain", counted)
    with pytest.raises(Cancelled):
        compared(
            page, CompareRequest(image="s0", methods=["grad_cam", "score_cam"], models=["toybox", "toybox:vgg"]), job
        )
    assert asked == [["grad_cam"]]


def test_predict_scores_equals_explain(page: Page) -> None:
    model, image = page.served["toybox:vgg"].model, page.images.sample(7).image
    best = cl.explain(model, image).predictions
    scores, _ = predict_scores(model, image)
    assert scores.argmax() == best[0].index
    assert scores.max() == pytest.approx(best[0].logit, rel=1e-5)
