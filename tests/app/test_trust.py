"""The tab Doubt's questions: their numbers are those of the library, and bad questions are answered in words."""

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
    """One for all of these: what was asked once is kept, as it is for people."""
    page = Page([load("toybox")], open_dataset("toybox", count=6))
    page.warm()
    return page


@pytest.fixture(scope="module")
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


STREAM = {"accept": "text/event-stream"}


def mask(marked: np.ndarray[Any, Any]) -> dict[str, Any]:
    height, width = marked.shape
    return {"width": width, "height": height, "bits": base64.b64encode(np.packbits(marked).tobytes()).decode()}


def square(side: int = 32) -> np.ndarray[Any, Any]:
    """The middle quarter."""
    marked = np.zeros((side, side), dtype=bool)
    marked[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    return marked


def events(client: TestClient, path: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Of a stream: names and contents, in order."""
    text = client.post(path, json=body, headers=STREAM).text
    parts = [part.split("\n") for part in text.split("\n\n") if part.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def image(address: str) -> Image.Image:
    kind, _, content = address.partition(",")
    assert kind.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(content)))


def evidence(page: Page, which: str = "s0", **how: Any) -> MetricInputs:
    picture = page.images.find(which)
    return metric_inputs_of(page.model(None).model, picture.image, name=picture.name, **how)


# --- the verdict -----------------------------------------------------------------------------------------------------


def test_the_verdict_is_that_of_the_library(client: TestClient, page: Page) -> None:
    told = client.post("/api/trust", json={"image": "s2", "method": "layer_cam"}).json()
    true = cl.trust(page.model(None).model, page.images.find("s2").image, method="layer_cam").record()
    assert true["position_test"]
    assert (told["level"], told["reasons"]) == (true["level"], true["reasons"])
    assert told["position_test"]["p"] == true["position_test"]["p"]
    np.testing.assert_allclose(told["position_test"]["drops"], true["position_test"]["drops"], atol=1e-6)
    for key in ("border_test", "classes", "noise", "shifts"):
        assert told[key] == true[key]
    assert told["confidence"] == true["confidence"]
    copies = [one["correlation"] for one in (*told["noise"], *told["shifts"])]
    assert told["min_correlation"] == min(copies)


def test_what_was_marked_and_blurred_is_shown(client: TestClient, page: Page) -> None:
    told = client.post("/api/trust", json={"image": "s2"}).json()
    true = cl.trust(page.model(None).model, page.images.find("s2").image)
    np.testing.assert_allclose(np.asarray(image(told["network_input"])) / 255, true.input_pixels.numpy(), atol=1 / 255)
    np.testing.assert_allclose(
        np.asarray(image(told["occluded_input"])) / 255, true.occluded_pixels.numpy(), atol=1 / 255
    )
    marked = unpacked(EncodedMap(**told["position_test"]["highlighted"]))[0]
    assert true.position_test is not None
    np.testing.assert_allclose(marked, true.position_test.highlighted, atol=2e-3)
    assert len(unpacked(EncodedMap(**told["maps"]))) == 12


def test_a_verdict_says_how_far_it_is_and_is_kept(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    first = events(client, "/api/trust", {"image": "s1"})
    assert [name for name, _ in first[:-1]] == ["progress"] * (len(first) - 1)
    assert first[-2][1] == {"done": 128, "total": 128}
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
def test_what_cannot_be_doubted_is_told_in_a_sentence(client: TestClient, wrong: dict[str, Any], words: str) -> None:
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
    """So many classes, the first the surer the brighter the picture is, wherever that is; or all the same."""

    def __init__(self, classes: int, slope: float = 1.0) -> None:
        super().__init__()
        self.slopes = nn.Parameter(torch.linspace(slope, 0, classes))

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None] * self.slopes


def asked_of(network: nn.Module, path: str) -> Any:
    page = Page([wrap(network, size=32)], open_dataset("toybox", count=2))
    with TestClient(create_app(page), base_url="http://localhost") as client:
        return client.post(f"/api/{path}", json={"image": "s0", "method": "gradient"})


def test_a_single_output_is_told_in_a_sentence() -> None:
    answer = asked_of(Bright(1), "trust")
    assert answer.status_code == 422
    assert "this network has a single output" in answer.json()["detail"]


def test_a_map_that_is_the_same_everywhere_has_a_verdict_and_no_place() -> None:
    told = asked_of(Bright(3), "trust").json()
    assert (told["level"], told["reasons"]) == ("cannot tell", ["the map is constant"])
    assert told["position_test"] is told["maps"] is told["min_correlation"] is None


def test_a_map_of_zeros_has_no_curves() -> None:
    answer = asked_of(Bright(3, 0.0), "curves")
    assert answer.status_code == 422
    assert "the map is zero everywhere" in answer.json()["detail"]


# --- curves ----------------------------------------------------------------------------------------------------------


def test_areas_are_those_of_the_metrics(client: TestClient, page: Page) -> None:
    told = client.post("/api/curves", json={"image": "s1", "target": 2}).json()
    found = evidence(page, "s1", target=2)
    lines = {(line["of"], line["kind"]): line for line in told["lines"]}
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


def test_points_come_before_the_result_and_make_it(client: TestClient) -> None:
    told = events(client, "/api/curves", {"image": "s4"})
    names = [name for name, _ in told]
    assert names[0] == "steps"
    assert names[-1] == "result"
    assert names.count("points") >= 6 * 3
    result = told[-1][1]
    drawn: dict[tuple[str, str], list[float]] = {}
    for _, line in (one for one in told if one[0] == "points"):
        values = drawn.setdefault((line["of"], line["kind"]), [])
        assert line["start"] == len(values)
        values += line["values"]
    assert drawn == {(line["of"], line["kind"]): line["values"] for line in result["lines"]}
    assert result["steps"] == told[0][1]
    assert events(client, "/api/curves", {"image": "s4"}) == [("result", result)]  # kept


def test_the_order_gives_the_picture_at_every_point(client: TestClient, page: Page) -> None:
    """Put together from the order, the picture at a point is what the network was given: its probability says so."""
    told = client.post("/api/curves", json={"image": "s1"}).json()
    walked, found = told["steps"], evidence(page, "s1")
    order = walked["order"]
    first = np.frombuffer(base64.b64decode(order["first"]), np.uint8).reshape(order["height"], order["width"])
    pixels = first.size
    for point in (0, 7, 20, 28):
        assert (first <= point).sum() == round(pixels * point / 28)
    seen, blank = (np.asarray(image(walked[name])) / 255 for name in ("network_input", "infill"))
    how = page.model(None).model.preprocessing
    line = next(one for one in told["lines"] if (one["of"], one["kind"]) == ("map", "deletion"))
    for point in (3, 5, 12):
        shown = np.where((first <= point)[..., None], blank, seen)
        inputs = (shown - np.array(how.mean)) / np.array(how.std)
        batch = torch.from_numpy(inputs).float().permute(2, 0, 1)[None]
        scores = found.model_input.predict(lambda which, batch=batch: batch, 1)[0]
        expected = float(scores.softmax(0)[found.model_input.target])
        assert line["values"][point] == pytest.approx(expected, abs=0.03)  # the pictures are rounded to 8 bits


# --- covering --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["blur", "grey", "mean"])
def test_covering_is_asking_about_the_covered_picture(client: TestClient, page: Page, fill: Any) -> None:
    told = client.post("/api/occlude", json={"image": "s0", "mask": mask(square()), "infill": fill}).json()
    picture, model = page.images.find("s0").image, page.model(None).model
    first = cl.explain(model, picture)
    made = occlude(picture, square(), fill)
    then = cl.explain(model, made, target=first.index)
    assert told["target"] == first.index
    assert told["fraction"] == 0.25
    one = told["classes"][0]
    assert one["index"] == first.index
    assert one["before"] == pytest.approx(first.predictions[0].probability, abs=1e-5)
    after = {p.index: p.probability for p in then.predictions}
    assert set(after) <= {k["index"] for k in told["classes"]}
    for k in told["classes"]:
        if k["index"] in after:
            assert k["after"] == pytest.approx(after[k["index"]], abs=1e-5)
    heat = unpacked(EncodedMap(**told["map"]["map"]))[0]
    np.testing.assert_allclose(heat, then.raw, atol=2e-3 * float(then.raw.abs().max()))
    assert image(told["preview"]).size == made.size


def test_the_map_stays_that_of_the_class_when_the_model_says_another(client: TestClient, page: Page) -> None:
    model, whole = page.model(None).model, np.ones((4, 4), dtype=bool)
    others = 0
    for which in ("s0", "s1"):
        picture = page.images.find(which).image
        first, made = cl.explain(model, picture), occlude(picture, whole, "grey")
        told = client.post("/api/occlude", json={"image": which, "mask": mask(whole), "infill": "grey"}).json()
        others += cl.explain(model, made).index != first.index
        true = cl.explain(model, made, target=first.index).raw
        heat = unpacked(EncodedMap(**told["map"]["map"]))[0]
        np.testing.assert_allclose(heat, true, atol=2e-3 * float(true.abs().max()))
    assert others > 0


def test_nothing_covered_changes_nothing(client: TestClient) -> None:
    nothing = mask(np.zeros((5, 9), dtype=bool))
    told = client.post("/api/occlude", json={"image": "s3", "mask": nothing, "infill": "grey"}).json()
    assert told["fraction"] == 0
    assert all(one["before"] == one["after"] for one in told["classes"])


def test_bits_are_read_row_by_row(client: TestClient, page: Page) -> None:
    """The upper right corner, of a mask whose rows end in the middle of bytes."""
    marked = np.zeros((6, 11), dtype=bool)
    marked[:3, 6:] = True
    told = client.post("/api/occlude", json={"image": "s0", "mask": mask(marked), "infill": "grey"}).json()
    width, height = page.images.find("s0").image.size
    made = np.asarray(image(told["preview"]))
    assert (made[height // 8, -width // 8] == 128).all()
    assert not (made[-height // 8, width // 8] == 128).all()


def test_a_covered_picture_can_be_taken_along(client: TestClient, page: Page) -> None:
    asked = {"image": "s0", "mask": mask(square()), "infill": "mean"}
    assert client.post("/api/occlude", json=asked).json()["image"] is None
    kept = client.post("/api/occlude", json={**asked, "keep": True}).json()["image"]
    assert page.images.find(kept).image.tobytes() == occlude(page.images.find("s0").image, square(), "mean").tobytes()
    answer = client.post("/api/explain", json={"image": kept})
    assert answer.status_code == 200


def test_a_large_picture_is_covered_at_a_smaller_size(client: TestClient, page: Page) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    large = Image.fromarray(noise).resize((2400, 1800))
    which = page.images.add_upload(large).id
    told = client.post("/api/occlude", json={"image": which, "mask": mask(np.zeros((4, 4), dtype=bool))}).json()
    assert told["map"]["geometry"]["original"] == [1024, 768]
    assert all(one["before"] == one["after"] for one in told["classes"])
    assert image(told["preview"]).size == (512, 384)


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
def test_masks_that_are_none(client: TestClient, wrong: dict[str, Any]) -> None:
    assert client.post("/api/occlude", json={"image": "s0", "mask": wrong}).status_code == 422


def test_the_largest_mask_is_taken(client: TestClient) -> None:
    all_of_it = mask(np.ones((256, 256), dtype=bool))
    assert client.post("/api/occlude", json={"image": "s0", "mask": all_of_it}).json()["fraction"] == 1


# --- varying ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [{"angle": 20.0}, {"across": 0.1, "down": -0.05}, {"noise": 0.03, "light": 0.1}])
def test_varying_is_that_of_the_library(client: TestClient, page: Page, change: dict[str, float]) -> None:
    told = client.post("/api/perturb", json={"image": "s1", **change}).json()
    found = evidence(page, "s1")
    true = explain_perturbed(found, Perturbation(**change))
    known = true.unperturbed_map.isfinite().numpy()
    pair = [found.relevance.double().numpy()[known], true.unperturbed_map.double().numpy()[known]]
    assert told["correlation"] == pytest.approx(float(rank_correlation(pair)[0, 1]), abs=1e-6)
    assert told["valid_fraction"] == pytest.approx(known.mean())
    one = told["classes"][0]
    assert one["before"] == pytest.approx(
        float(found.model_input.logits.softmax(0)[found.model_input.target]), abs=1e-6
    )
    assert one["after"] == pytest.approx(float(true.logits.softmax(0)[found.model_input.target]), abs=1e-6)
    _, seen = unpacked(EncodedMap(**told["mapped_back"]))
    assert abs(seen.mean() - known.mean()) < 0.02
    assert seen[seen.shape[0] // 2, seen.shape[1] // 2] == 1


def test_nothing_varied_is_the_same(client: TestClient) -> None:
    told = client.post("/api/perturb", json={"image": "s1"}).json()
    assert told["correlation"] == pytest.approx(1)
    assert told["map"] == told["original_map"]
    assert all(one["before"] == pytest.approx(one["after"], abs=1e-6) for one in told["classes"])


@pytest.mark.parametrize(
    "wrong", [{"angle": 1e9}, {"noise": -1}, {"noise": "NaN"}, {"across": 0.9}, {"blur": 1}, {"x": 1}]
)
def test_changes_are_bounded(client: TestClient, wrong: dict[str, Any]) -> None:
    assert client.post("/api/perturb", json={"image": "s1", **wrong}).status_code == 422


def test_a_forgotten_picture_is_told(client: TestClient) -> None:
    answer = client.post("/api/perturb", json={"image": "u" + "0" * 24})
    assert answer.status_code == 404
    assert "Select it or upload it again" in answer.json()["detail"]
