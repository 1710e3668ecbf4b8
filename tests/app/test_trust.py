"""Routes of the tab Trust: numbers equal those of the library, and invalid requests are refused."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient
from torch import Tensor, nn

import camlucida as cl
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.routes.trust import verdict
from camlucida.app.schemas import EncodedMap, unpacked
from camlucida.attribution.map_comparison import rank_correlation
from camlucida.data.open import open_dataset
from camlucida.evaluation.baselines import CONTROLS
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.metrics import deletion, insertion
from camlucida.models.load import load, wrap
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.occlude import occlude
from camlucida.reliability.stability import Perturbation, explain_perturbed


@pytest.fixture(scope="module")
def page() -> Page:
    """Return one app for all tests of this module; its caches are shared."""
    page = Page([load("toybox")], open_dataset("toybox", count=6))
    page.warm()
    return page


@pytest.fixture(scope="module")
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


STREAM = {"accept": "text/event-stream"}


def mask(highlighted: np.ndarray[Any, Any]) -> dict[str, Any]:
    height, width = highlighted.shape
    return {"width": width, "height": height, "bits": base64.b64encode(np.packbits(highlighted).tobytes()).decode()}


def square(side: int = 32) -> np.ndarray[Any, Any]:
    """Return a mask of the middle quarter."""
    highlighted = np.zeros((side, side), dtype=bool)
    highlighted[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    return highlighted


def events(client: TestClient, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return names and contents of the events of a stream, in order."""
    text = client.post(path, json=body, headers=STREAM).text
    parts = [part.split("\n") for part in text.split("\n\n") if part.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def decoded(uri: str) -> Image.Image:
    kind, _, content = uri.partition(",")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def library_inputs(page: Page, which: str = "s0", **how: Any) -> MetricInputs:
    image = page.images.find(which)
    return metric_inputs_of(page.model(None).model, image.image, name=image.name, **how)


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_verdict_equals_library(client: TestClient, page: Page) -> None:
    response = client.post("/api/trust", json={"image": "s2", "method": "layer_cam"}).json()
    true = cl.trust(page.model(None).model, page.images.find("s2").image, method="layer_cam").record()
    assert true["position_test"]
    assert (response["level"], response["reasons"]) == (true["level"], true["reasons"])
    assert response["position_test"]["p"] == true["position_test"]["p"]
    for name in ("drop", "mean_drop_elsewhere", "statistics"):
        np.testing.assert_allclose(response["position_test"][name], true["position_test"][name], atol=1e-6)
    for key in ("border_test", "classes", "noise", "shifts"):
        assert response[key] == true[key]
    assert response["confidence"] == true["confidence"]
    copies = [one["correlation"] for one in (*response["noise"], *response["shifts"])]
    assert response["min_correlation"] == min(copies)


def test_highlighted_region_and_occluded_input_are_sent(client: TestClient, page: Page) -> None:
    response = client.post("/api/trust", json={"image": "s2"}).json()
    true = cl.trust(page.model(None).model, page.images.find("s2").image)
    np.testing.assert_allclose(
        np.asarray(decoded(response["network_input"])) / 255, true.input_pixels.numpy(), atol=1 / 255
    )
    np.testing.assert_allclose(
        np.asarray(decoded(response["occluded_input"])) / 255, true.occluded_pixels.numpy(), atol=1 / 255
    )
    highlighted = unpacked(EncodedMap(**response["position_test"]["highlighted"]))[0]
    assert true.position_test is not None
    np.testing.assert_allclose(highlighted, true.position_test.highlighted, atol=2e-3)
    assert len(unpacked(EncodedMap(**response["maps"]))) == 12


def test_verdict_reports_progress_and_is_cached(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = events(client, "/api/trust", {"image": "s1"})
    assert [name for name, _ in first[:-1]] == ["progress"] * (len(first) - 1)
    assert first[-2][1] == {"done": 109, "total": 109}
    monkeypatch.setattr(verdict, "trust", None)  # would raise
    assert events(client, "/api/trust", {"image": "s1"}) == first[-1:]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"target": "3 rather than 5"}, "one class, and '3 rather than 5' is a comparison"),
        ({"target": "not 3"}, "is a comparison"),
        ({"target": 99}, "no class 99: the model has 10"),
        ({"layer": "all"}, "one layer, and 'all' may be several"),
        ({"method": "rise", "layer": "layer4"}, "takes no layer"),
        ({"method": "grad_kam"}, "grad_cam"),
        ({"model": "nothing"}, "no model 'nothing'"),
    ],
)
def test_invalid_requests_are_refused(client: TestClient, wrong: dict[str, Any], words: str) -> None:
    paths: dict[str, dict[str, Any]] = {
        "trust": {},
        "curves": {},
        "perturb": {"angle": 5},
        "occlude": {"mask": mask(square())},
    }
    for path, more in paths.items():
        answer = client.post(f"/api/{path}", json={"image": "s0", **more, **wrong})
        assert answer.status_code == 422
        assert words in answer.json()["detail"]


class Bright(nn.Module):
    """Logits proportional to the mean of the input, so that every gradient map is constant; or zero."""

    def __init__(self, classes: int, largest: float = 1.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.linspace(largest, 0, classes))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None] * self.weights


def request_of(network: nn.Module, path: str) -> Any:
    page = Page([wrap(network, size=32)], open_dataset("toybox", count=2))
    with TestClient(create_app(page), base_url="http://localhost") as client:
        return client.post(f"/api/{path}", json={"image": "s0", "method": "gradient"})


def test_single_output_is_refused() -> None:
    answer = request_of(Bright(1), "trust")
    assert answer.status_code == 422
    assert "this network has a single output" in answer.json()["detail"]


def test_constant_map_has_a_verdict_without_position_test() -> None:
    response = request_of(Bright(3), "trust").json()
    assert (response["level"], response["reasons"]) == ("cannot tell", ["the map is constant"])
    assert response["position_test"] is response["maps"] is response["min_correlation"] is None


def test_zero_map_has_no_curves() -> None:
    answer = request_of(Bright(3, 0.0), "curves")
    assert answer.status_code == 422
    assert "the map is zero everywhere" in answer.json()["detail"]


# --- curves ----------------------------------------------------------------------------------------------------------


def test_areas_equal_metrics(client: TestClient, page: Page) -> None:
    response = client.post("/api/curves", json={"image": "s1", "target": 2}).json()
    found = library_inputs(page, "s1", target=2)
    lines = {(line["of"], line["kind"]): line for line in response["lines"]}
    assert len(lines) == 6
    controls = {one.name: one for one in CONTROLS}
    for of in ("map", "centre", "random"):
        raw = found.raw
        if of != "map":
            raw = controls[of].maps(found.model_input, found.model_input.inputs, torch.tensor([2]))[0]
        explainer = found.explainer if of == "map" else controls[of]
        for kind, metric in (("insertion", insertion), ("deletion", deletion)):
            seen = MetricInputs(found.model_input, explainer, raw, kind)
            true = metric(*seen.arguments(metric.needs))[kind]
            assert lines[of, kind]["area"] == pytest.approx(true.value, abs=1e-9)
            assert true.curve is not None
            np.testing.assert_allclose(lines[of, kind]["values"], true.curve, atol=1e-9)


def test_streamed_points_equal_result(client: TestClient) -> None:
    response = events(client, "/api/curves", {"image": "s4"})
    names = [name for name, _ in response]
    assert names[0] == "steps"
    assert names[-1] == "result"
    assert names.count("points") >= 6 * 3
    result = response[-1][1]
    drawn: dict[tuple[str, str], list[float]] = {}
    for _, line in (one for one in response if one[0] == "points"):
        values = drawn.setdefault((line["of"], line["kind"]), [])
        assert line["start"] == len(values)
        values += line["values"]
    assert drawn == {(line["of"], line["kind"]): line["values"] for line in result["lines"]}
    assert result["steps"] == response[0][1]
    assert events(client, "/api/curves", {"image": "s4"}) == [("result", result)]  # cached


def test_network_input_at_every_point_follows_from_the_order(client: TestClient, page: Page) -> None:
    """The network input at a point, composed from the order, has the probability of the curve."""
    response = client.post("/api/curves", json={"image": "s1"}).json()
    steps, found = response["steps"], library_inputs(page, "s1")
    order = steps["order"]
    first = np.frombuffer(base64.b64decode(order["first"]), np.uint8).reshape(order["height"], order["width"])
    pixels = first.size
    for point in (0, 7, 20, 28):
        assert (first <= point).sum() == round(pixels * point / 28)
    seen, blank = (np.asarray(decoded(steps[name])) / 255 for name in ("network_input", "infill"))
    how = page.model(None).model.preprocessing
    line = next(one for one in response["lines"] if (one["of"], one["kind"]) == ("map", "deletion"))
    for point in (3, 5, 12):
        shown = np.where((first <= point)[..., None], blank, seen)
        inputs = (shown - np.array(how.mean)) / np.array(how.std)
        batch = torch.from_numpy(inputs).float().permute(2, 0, 1)[None]
        scores = found.model_input.predict(lambda which, batch=batch: batch, 1)[0]
        expected = float(scores.softmax(0)[found.model_input.target])
        assert line["values"][point] == pytest.approx(expected, abs=0.03)  # the images are rounded to 8 bits


# --- occlusion -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["blur", "grey", "mean"])
def test_occlusion_equals_explaining_the_occluded_image(client: TestClient, page: Page, fill: Any) -> None:
    response = client.post("/api/occlude", json={"image": "s0", "mask": mask(square()), "infill": fill}).json()
    image, model = page.images.find("s0").image, page.model(None).model
    first = cl.explain(model, image)
    made = occlude(image, square(), fill)
    then = cl.explain(model, made, target=first.index)
    assert response["target"] == first.index
    assert response["fraction"] == 0.25
    one = response["classes"][0]
    assert one["index"] == first.index
    assert one["before"] == pytest.approx(first.predictions[0].probability, abs=1e-5)
    after = {p.index: p.probability for p in then.predictions}
    assert set(after) <= {k["index"] for k in response["classes"]}
    for k in response["classes"]:
        if k["index"] in after:
            assert k["after"] == pytest.approx(after[k["index"]], abs=1e-5)
    map_values = unpacked(EncodedMap(**response["map"]["map"]))[0]
    np.testing.assert_allclose(map_values, then.raw, atol=2e-3 * float(then.raw.abs().max()))
    assert decoded(response["preview"]).size == made.size


def test_map_keeps_its_class_when_the_prediction_changes(client: TestClient, page: Page) -> None:
    model, whole = page.model(None).model, np.ones((4, 4), dtype=bool)
    others = 0
    for which in ("s0", "s1"):
        image = page.images.find(which).image
        first, made = cl.explain(model, image), occlude(image, whole, "grey")
        response = client.post("/api/occlude", json={"image": which, "mask": mask(whole), "infill": "grey"}).json()
        others += cl.explain(model, made).index != first.index
        true = cl.explain(model, made, target=first.index).raw
        map_values = unpacked(EncodedMap(**response["map"]["map"]))[0]
        np.testing.assert_allclose(map_values, true, atol=2e-3 * float(true.abs().max()))
    assert others > 0


def test_empty_mask_changes_nothing(client: TestClient) -> None:
    nothing = mask(np.zeros((5, 9), dtype=bool))
    response = client.post("/api/occlude", json={"image": "s3", "mask": nothing, "infill": "grey"}).json()
    assert response["fraction"] == 0
    assert all(one["before"] == one["after"] for one in response["classes"])


def test_mask_bits_are_row_major(client: TestClient, page: Page) -> None:
    """The mask marks the upper right corner; its rows end in the middle of bytes."""
    highlighted = np.zeros((6, 11), dtype=bool)
    highlighted[:3, 6:] = True
    response = client.post("/api/occlude", json={"image": "s0", "mask": mask(highlighted), "infill": "grey"}).json()
    width, height = page.images.find("s0").image.size
    made = np.asarray(decoded(response["preview"]))
    assert (made[height // 8, -width // 8] == 128).all()
    assert not (made[-height // 8, width // 8] == 128).all()


def test_occluded_image_can_be_kept(client: TestClient, page: Page) -> None:
    asked = {"image": "s0", "mask": mask(square()), "infill": "mean"}
    assert client.post("/api/occlude", json=asked).json()["image"] is None
    kept = client.post("/api/occlude", json={**asked, "keep": True}).json()["image"]
    assert page.images.find(kept).image.tobytes() == occlude(page.images.find("s0").image, square(), "mean").tobytes()
    answer = client.post("/api/explain", json={"image": kept})
    assert answer.status_code == 200


def test_large_image_is_occluded_at_reduced_size(client: TestClient, page: Page) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((2400, 1800))
    which = page.images.add_upload(large).id
    response = client.post("/api/occlude", json={"image": which, "mask": mask(np.zeros((4, 4), dtype=bool))}).json()
    assert response["map"]["geometry"]["original"] == [1024, 768]
    assert all(one["before"] == one["after"] for one in response["classes"])
    assert decoded(response["preview"]).size == (512, 384)


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 8, "height": 8, "bits": "AAAA"},
        {"width": 8, "height": 8, "bits": "no base64!"},
        {"width": 257, "height": 8, "bits": ""},
        {"width": 0, "height": 8, "bits": ""},
        {"width": 256, "height": 256, "bits": "A" * 20_000},
    ],
)
def test_invalid_masks_are_refused(client: TestClient, wrong: dict[str, Any]) -> None:
    assert client.post("/api/occlude", json={"image": "s0", "mask": wrong}).status_code == 422


def test_largest_mask_is_accepted(client: TestClient) -> None:
    all_of_it = mask(np.ones((256, 256), dtype=bool))
    assert client.post("/api/occlude", json={"image": "s0", "mask": all_of_it}).json()["fraction"] == 1


# --- perturbation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"angle": 20.0}, {"across": 0.1, "down": -0.05}, {"noise": 0.03, "light": 0.1}])
def test_perturbation_equals_library(client: TestClient, page: Page, change: dict[str, float]) -> None:
    response = client.post("/api/perturb", json={"image": "s1", **change}).json()
    found = library_inputs(page, "s1")
    true = explain_perturbed(found, Perturbation(**change))
    known = true.unperturbed_map.isfinite().numpy()
    pair = [found.relevance.double().numpy()[known], true.unperturbed_map.double().numpy()[known]]
    assert response["correlation"] == pytest.approx(float(rank_correlation(pair)[0, 1]), abs=1e-6)
    assert response["valid_fraction"] == pytest.approx(known.mean())
    one = response["classes"][0]
    assert one["before"] == pytest.approx(
        float(found.model_input.logits.softmax(0)[found.model_input.target]), abs=1e-6
    )
    assert one["after"] == pytest.approx(float(true.logits.softmax(0)[found.model_input.target]), abs=1e-6)
    _, seen = unpacked(EncodedMap(**response["mapped_back"]))
    assert abs(seen.mean() - known.mean()) < 0.02
    assert seen[seen.shape[0] // 2, seen.shape[1] // 2] == 1


def test_empty_perturbation_changes_nothing(client: TestClient) -> None:
    response = client.post("/api/perturb", json={"image": "s1"}).json()
    assert response["correlation"] == pytest.approx(1)
    assert response["map"] == response["original_map"]
    assert all(one["before"] == pytest.approx(one["after"], abs=1e-6) for one in response["classes"])


@pytest.mark.parametrize(
    "wrong", [{"angle": 1e9}, {"noise": -1}, {"noise": "NaN"}, {"across": 0.9}, {"blur": 1}, {"x": 1}]
)
def test_perturbations_are_bounded(client: TestClient, wrong: dict[str, Any]) -> None:
    assert client.post("/api/perturb", json={"image": "s1", **wrong}).status_code == 422


def test_unknown_image_is_404(client: TestClient) -> None:
    answer = client.post("/api/perturb", json={"image": "u" + "0" * 24})
    assert answer.status_code == 404
    assert "Select it or upload it again" in answer.json()["detail"]
