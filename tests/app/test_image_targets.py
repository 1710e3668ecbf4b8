"""Targets of one image in the app, compared with the library: boxes of a detector, regions, and words."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor, nn

from camlucida import explain, trust
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.image_targets import class_runs, packed_mask, regions_overlap
from camlucida.app.routes.trust.occlude import OcclusionMask, unpacked_mask
from camlucida.app.schemas import EncodedMap, unpacked
from camlucida.attribution.bind_targets import bind_targets
from camlucida.data.open import open_dataset
from camlucida.errors import TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.load import load
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.reliability.occlude import occlude
from camlucida.render.class_mask import legend_entries
from camlucida.types import PredictedClasses, Region

SIZE = 32


class GridScores(nn.Module):
    """Class scores `(b, 3, 2, 2)` of the four quarters of an image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = nn.functional.adaptive_avg_pool2d(self.head(self.features(x)), 2)
        return pooled


def whole(output: Tensor) -> Tensor:
    return output.mean((2, 3))


@dataclass(frozen=True)
class Quarter:
    number: int

    def __call__(self, output: Tensor) -> Tensor:
        return output.flatten(2)[:, :, self.number]


@dataclass(frozen=True)
class Quarters:
    """The four quarters of an image as masks, or as words."""

    kind: str

    def bind(self, model: Model, inputs: Tensor, spec: object) -> tuple[BoundTarget, ...]:
        quarters = tuple(self._bound(model, number) for number in range(4))
        if spec is None:
            return quarters
        if isinstance(spec, str) and spec.startswith("word "):
            if not 1 <= int(spec[5:]) <= 4:
                raise TargetError(f"there is no {spec}: the caption has 4 words.")
            return (quarters[int(spec[5:]) - 1],)
        if isinstance(spec, str) and " at " in spec:
            x, y = map(float, spec.partition(" at ")[2].split(","))
            return (quarters[2 * int(y >= SIZE / 2) + int(x >= SIZE / 2)],)
        return ()

    def _bound(self, model: Model, number: int) -> BoundTarget:
        bound = replace(model, output=Quarter(number), image_targets=None)
        if self.kind == "caption":
            return BoundTarget(bound, 1, f"b{number} (word {number + 1})", f"word {number + 1}")
        row, column, half = number // 2, number % 2, SIZE // 2
        mask = torch.zeros(SIZE, SIZE, dtype=torch.bool)
        mask[row * half : (row + 1) * half, column * half : (column + 1) * half] = True
        point = (column + 0.5) * half, (row + 0.5) * half
        return BoundTarget(bound, 1, f"b{number}", f"b at {point[0]:g},{point[1]:g}", Region(mask=mask, name="b"))


def fake(kind: str) -> Model:
    preprocessing = Preprocessing(size=(SIZE, SIZE), resize=(SIZE, SIZE))
    targets = Quarters(kind)
    return Model(GridScores().eval(), preprocessing, ("a", "b", "c"), "features", whole, kind, image_targets=targets)


@pytest.fixture(scope="module")
def page() -> Page:
    models = [load("toybox:detector"), fake("segmentation"), fake("caption"), load("toybox")]
    return Page(models, open_dataset("toybox:2", count=6))


@pytest.fixture(scope="module")
def client(page: Page) -> Iterator[TestClient]:
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client


def post(client: TestClient, path: str, **question: Any) -> Any:
    return client.post(f"/api/{path}", json={"image": "s3", **question})


def test_start_names_the_kind(client: TestClient) -> None:
    models = client.get("/api/start").json()["models"]
    assert [model["image_targets"] for model in models] == ["detection", "segmentation", "caption", None]


def test_last_layer_of_the_list_is_the_default(client: TestClient) -> None:
    for model in client.get("/api/start").json()["models"]:
        made = post(client, "explain", model=model["name"]).json()["maps"][0]
        assert model["layers"][-1]["name"] == made["layer"]


def test_boxes_equal_library(client: TestClient, page: Page) -> None:
    answer = post(client, "targets").json()
    truth = explain(page.models[0], page.images.find("s3").image)
    assert truth[0].method == "hires_cam"
    assert answer["kind"] == "detection"
    assert answer["size"] == list(page.images.find("s3").image.size)
    assert len(answer["targets"]) >= 2
    for found, e in zip(answer["targets"], truth, strict=True):
        assert (found["spec"], found["label"]) == (e.spec, e.target)
        assert found["name"] == e.target.removesuffix(f" ({e.spec})") != e.target
        assert found["box"] == pytest.approx(e.region.box)
        assert found["probability"] == pytest.approx(e.region.probability)
        made = post(client, "explain", targets=[e.spec]).json()["maps"][0]
        assert (made["target"], made["spec"], made["index"]) == (e.target, e.spec, e.index)
        values = unpacked(EncodedMap(**made["map"]))[0]
        np.testing.assert_allclose(values, e.raw.numpy(), atol=1e-3 * float(e.raw.abs().max()))


def test_first_box_is_explained_without_a_target(client: TestClient) -> None:
    made = post(client, "explain").json()
    assert [m["spec"] for m in made["maps"]] == ["box 1"]
    maps = post(client, "explain", targets=["box 1", "box 2"]).json()["maps"]
    assert [m["spec"] for m in maps] == ["box 1", "box 2"]


def test_class_of_the_whole_image(client: TestClient, page: Page) -> None:
    made = post(client, "explain", targets=[2]).json()["maps"][0]
    truth = explain(page.models[0], page.images.find("s3").image, target=2)
    assert (made["target"], made["spec"]) == (truth.target, "")
    assert made["score"] == pytest.approx(truth.score, rel=1e-5)


@pytest.mark.parametrize("path", ["explain", "trust", "curves", "explain/record.json"])
def test_unknown_box_is_a_sentence(client: TestClient, path: str) -> None:
    question = {"targets": ["box 77"]} if path.startswith("explain") else {"target": "box 77"}
    answer = post(client, path, **question)
    assert answer.status_code == 422
    assert answer.json()["kind"] == "TargetError"
    assert "there is no box 77: the detector found box 1" in answer.json()["detail"]


def test_masks_are_on_the_image(client: TestClient, page: Page) -> None:
    answer = post(client, "targets", model="segmentation").json()
    width, height = page.images.find("s3").image.size
    assert [t["name"] for t in answer["targets"]] == ["b0", "b1", "b2", "b3"]
    for number, found in enumerate(answer["targets"]):
        mask = found["mask"]
        bits = np.unpackbits(
            np.frombuffer(base64.b64decode(mask["bits"]), np.uint8), count=mask["width"] * mask["height"]
        )
        cells = bits.reshape(mask["height"], mask["width"]).astype(bool)
        rows, columns = np.nonzero(cells)
        assert cells.mean() == pytest.approx(0.25, abs=0.02)
        assert (rows.mean() > mask["height"] / 2, columns.mean() > mask["width"] / 2) == (number // 2, number % 2)
        x, y = map(float, found["spec"].partition(" at ")[2].split(","))
        assert (x > width / 2, y > height / 2) == (number % 2, number // 2)
        made = post(client, "explain", model="segmentation", targets=[found["spec"]]).json()["maps"][0]
        assert made["target"] == f"b{number}"


def test_small_masks_do_not_vanish() -> None:
    mask = np.zeros((90, 400), bool)
    mask[30, 200] = True
    width, height, bits = packed_mask(mask, 100)
    cells = np.unpackbits(np.frombuffer(bits, np.uint8), count=width * height).reshape(height, width)
    assert (width, height, cells.sum()) == (100, 22, 1)


def indices_of(classes: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    runs = np.array(classes["runs"]).reshape(-1, 2)
    return np.repeat(runs[:, 0], runs[:, 1]).reshape(classes["height"], classes["width"])


@pytest.fixture(scope="module")
def segmented() -> Iterator[tuple[TestClient, Page]]:
    page = Page([load("toybox:segmenter")], open_dataset("toybox:2", count=6))
    with TestClient(create_app(page), base_url="http://localhost") as client:
        yield client, page


def test_predicted_classes_are_the_argmax(segmented: tuple[TestClient, Page]) -> None:
    client, page = segmented
    model, image = page.models[0], page.images.find("s3").image
    inputs, geometry = model.preprocessing(image)
    assert (geometry.scale, geometry.offset) == ((1.0, 1.0), (0.0, 0.0))
    with torch.no_grad():
        truth = model.network(inputs[None])[0].argmax(0).numpy()
    answer = post(client, "targets").json()
    classes = answer["classes"]
    np.testing.assert_array_equal(indices_of(classes), truth)
    fractions = {model.labels[k]: float((truth == k).mean()) for k in np.unique(truth)}
    assert {c["name"]: c["fraction"] for c in classes["classes"]} == pytest.approx(fractions)
    assert [c["fraction"] for c in classes["classes"]] == sorted(fractions.values(), reverse=True)
    assert not classes["overlap"]
    drawn = legend_entries(explain(model, image)[0].region)
    assert [(c["colour"], c["name"]) for c in classes["classes"]] == [(f"#{c}", name) for c, name, *_ in drawn]
    for one in classes["classes"]:  # also the background, which is not listed
        region = explain(model, image, target=one["spec"]).region
        np.testing.assert_array_equal(region.mask.numpy(), truth == one["index"])
    assert {t["spec"] for t in answer["targets"]} < {c["spec"] for c in classes["classes"]}


def test_classes_of_other_models_are_null(client: TestClient) -> None:
    for model in ("toybox:detector", "segmentation", "caption", "toybox"):
        assert post(client, "targets", model=model).json()["classes"] is None


def test_runs_of_a_large_image_are_those_of_its_reduced_grid() -> None:
    indices = np.arange(12 * 20).reshape(12, 20) // 100 - 1
    width, height, runs = class_runs(indices, 10)
    assert (width, height) == (10, 6)
    cells = indices_of({"width": width, "height": height, "runs": runs})
    np.testing.assert_array_equal(cells, indices[1::2, 1::2])
    assert len(runs) == 2 * 3  # a run continues in the next row


def test_overlapping_regions_are_noted() -> None:
    indices = torch.tensor([[0, 1], [0, 0]])
    classes = PredictedClasses(indices, {0: "a", 1: "b"})
    regions = [Region(mask=indices == k, index=k, classes=classes) for k in (0, 1)]
    bound = [BoundTarget(fake("segmentation"), r.index, region=r) for r in regions]
    assert not regions_overlap(bound)
    wide = replace(regions[0], mask=torch.ones(2, 2, dtype=torch.bool))
    assert regions_overlap([replace(bound[0], region=wide), bound[1]])


def test_words_in_order(client: TestClient) -> None:
    answer = post(client, "targets", model="caption").json()
    assert [t["name"] for t in answer["targets"]] == ["b0", "b1", "b2", "b3"]
    assert [t["spec"] for t in answer["targets"]] == ["word 1", "word 2", "word 3", "word 4"]
    assert {t["box"] or t["mask"] or t["point"] for t in answer["targets"]} == {None}
    maps = [post(client, "explain", model="caption", targets=[f"word {n}"]).json()["maps"][0] for n in (1, 2, 3, 4)]
    assert len({m["score"] for m in maps}) == 4


def test_models_without_image_targets(client: TestClient) -> None:
    answer = post(client, "targets", model="toybox").json()
    assert (answer["kind"], answer["targets"]) == (None, [])


def test_trust_of_a_box(client: TestClient, page: Page) -> None:
    truth = trust(page.models[0], page.images.find("s3").image, target="box 2")
    answer = post(client, "trust", target="box 2").json()
    assert answer["target"] == truth.target
    assert "(box 2)" in truth.target
    assert answer["position_test"]["p"] == pytest.approx(truth.position_test.p)
    assert answer["probability"] == pytest.approx(truth.probability, rel=1e-5)


def test_occlusion_follows_the_same_box(client: TestClient, page: Page) -> None:
    """Box 2 is occluded, so that it is not detected any more; its candidate is read in the occluded image."""
    found = post(client, "targets").json()["targets"][1]
    width, height = page.images.find("s3").image.size
    mask = np.zeros((height, width), np.uint8)
    left, top, right, bottom = (round(v) for v in found["box"])
    mask[max(0, top) : bottom, max(0, left) : right] = 1
    columns, rows, bits = packed_mask(mask.astype(bool), 64)
    encoded = {"width": columns, "height": rows, "bits": base64.b64encode(bits).decode()}
    answer = post(client, "occlude", target="box 2", mask=encoded, infill="grey").json()
    first = answer["classes"][0]
    assert first["name"] == found["name"]
    assert first["before"] == pytest.approx(found["probability"], abs=1e-4)
    assert first["after"] < 0.5 * first["before"]
    model = page.models[0]
    inputs, geometry = model.preprocessing(page.images.find("s3").image)
    (bound,) = bind_targets(model, inputs, ["box 2"], geometry)
    occluded = occlude(page.images.find("s3").image, unpacked_mask(OcclusionMask(**encoded)), "grey")
    with torch.no_grad():
        scores = bound.model.output(model.network(model.preprocessing(occluded)[0][None]))[0].sigmoid()
    for one in answer["classes"]:
        assert one["after"] == pytest.approx(float(scores[one["index"]]), abs=1e-4)


def test_perturbation_of_a_box(client: TestClient) -> None:
    found = post(client, "targets").json()["targets"][1]
    answer = post(client, "perturb", target="box 2").json()
    assert answer["classes"][0]["before"] == pytest.approx(found["probability"], abs=1e-4)
    assert answer["correlation"] == pytest.approx(1.0, abs=1e-3)


def test_compare_boxes_and_class_free_methods(client: TestClient, page: Page) -> None:
    methods = ["eigen_cam", "kpca_cam", "grad_cam"]
    answer = post(client, "compare", methods=methods, targets=["box 2", "predicted", "box 77"]).json()
    image = page.images.find("s3").image
    cells = {(c["method"], c["target"]): c for c in answer["cells"]}
    assert "there is no box 77" in cells[None, "box 77"]["error"]
    box = explain(page.models[0], image, target="box 2", method="grad_cam")
    found = unpacked(EncodedMap(**cells["grad_cam", "box 2"]["map"]["map"]))[0]
    np.testing.assert_allclose(found, box.raw.numpy(), atol=1e-3 * float(box.raw.abs().max()))
    assert cells["grad_cam", "predicted"]["map"]["spec"] == ""
    for method in methods[:2]:
        truth = explain(page.models[0], image, target="box 1", method=method)
        found = unpacked(EncodedMap(**cells[method, None]["map"]["map"]))[0]
        np.testing.assert_allclose(found, truth.raw.numpy(), atol=1e-3 * float(truth.raw.abs().max()))
    assert len(answer["cells"]) == 5


def test_compare_two_boxes_by_two_methods(client: TestClient, page: Page) -> None:
    """Every map is that of its own method and box."""
    methods, targets = ["hires_cam", "grad_cam"], ["box 2", "box 1"]
    answer = post(client, "compare", methods=methods, layers=["layer3", "layer4"], targets=targets).json()
    assert len(answer["cells"]) == 8
    image = page.images.find("s3").image
    for cell in answer["cells"]:
        truth = explain(page.models[0], image, target=cell["target"], method=cell["method"], layer=cell["layer"])
        assert cell["map"]["spec"] == cell["target"]
        assert (cell["map"]["method"], cell["map"]["layer"]) == (cell["method"], cell["layer"])
        found = unpacked(EncodedMap(**cell["map"]["map"]))[0]
        np.testing.assert_allclose(found, truth.raw.numpy(), atol=1e-3 * float(truth.raw.abs().max()))


def test_layers_of_many_boxes_are_limited(client: TestClient, page: Page) -> None:
    layers = ["layer1", "layer2", "layer3", "layer4"]
    methods = ["grad_cam", "layer_cam", "hires_cam", "xgrad_cam", "grad_cam_plusplus"]
    answer = post(client, "explain", targets=["box 1"] * 16, layers=layers, methods=methods)
    assert answer.status_code == 422
    assert "at most 144" in answer.json()["detail"]
