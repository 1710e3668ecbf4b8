"""Evaluation of a data set: numbers equal to a plain loop, also with broken images and interrupted runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

import camlucida as cl
from camlucida.data.datasets import Item, ListDataset, ToyboxDataset, folder
from camlucida.data.toybox import CLASSES, Toybox
from camlucida.errors import DataError, MethodError, MetricError, TargetError
from camlucida.evaluation import Evaluation, evaluate
from camlucida.evaluation.baselines import Control
from camlucida.evaluation.dataset_pass import outputs_of
from camlucida.evaluation.evaluate import PART_IMAGES

SCENES = ToyboxDataset(Toybox(11, seed=3, objects=2))


def rows(result: Evaluation) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = pyarrow.parquet.read_table(result.path / "results.parquet").to_pylist()
    return table


def run(out: Path, data: Any = SCENES, **arguments: Any) -> Evaluation:
    return evaluate("toybox", data, **({"metrics": ["energy"], "out": out} | arguments))


def test_numbers_are_those_of_the_maps(tmp_path: Path) -> None:
    result = run(tmp_path / "run", methods=["grad_cam", "layer_cam"], target="true")
    expected = []
    for i in range(11):
        item = SCENES[i]
        explanation = cl.explain("toybox", item.image, target=item.label, method="layer_cam")
        saliency = np.nan_to_num(explanation.landed).clip(0)
        expected.append(saliency[item.mask()].sum() / saliency.sum())
    column = result.column("energy", "layer_cam")
    assert column.index.tolist() == list(range(11))
    assert_close(torch.tensor(column.values), torch.tensor(expected).double(), rtol=1e-5, atol=1e-6)
    assert result.summary("energy", "layer_cam").value == pytest.approx(np.mean(expected), rel=1e-5)


def test_one_row_per_image_method_and_value(tmp_path: Path) -> None:
    table = rows(run(tmp_path / "run", methods=["grad_cam", "layer_cam"]))
    numbers = [row for row in table if row["metric"] in ("energy", "energy_lift")]
    assert len(numbers) == 11 * 2 * 2
    assert {row["metric"] for row in table} == {"explaining", "energy", "energy_lift"}
    first = numbers[0]
    assert first["image"] == "scene 0"
    assert first["label"] == CLASSES[SCENES[0].label]
    assert first["method"] == "grad_cam"
    assert not first["control"]
    assert first["valid"]
    assert 0 < first["confidence"] <= 1


def test_aliases_are_measured_once_under_the_metrics_name(tmp_path: Path) -> None:
    result = run(tmp_path, limit=1, metrics=["sparseness", "gini", "complexity"])
    assert list(result.plan["metrics"]) == ["gini", "entropy"]
    assert [row["metric"] for row in rows(result)] == ["explaining", "gini", "entropy"]


class Stop(Exception):
    pass


def test_an_interrupted_run_resumes(tmp_path: Path) -> None:
    complete = rows(run(tmp_path / "whole"))

    def stop(done: int, total: int) -> None:
        if done == PART_IMAGES + 2:
            raise Stop

    with pytest.raises(Stop):
        run(tmp_path / "run", progress=stop)
    assert [p.name for p in (tmp_path / "run" / "parts").iterdir()] == ["part-00000.parquet"]
    assert not (tmp_path / "run" / "results.parquet").exists()
    read_names: list[str] = []

    class Watched(ListDataset):
        def __getitem__(self, index: int) -> Item:
            read_names.append(self.items[index].name)
            return self.items[index]

    watched = Watched("toybox", [SCENES[i] for i in range(11)], CLASSES, SCENES.exact)
    resumed = run(tmp_path / "run", watched)
    assert read_names.count("scene 0") == 1, "finished images are only read for the hash of the data"
    assert read_names.count("scene 10") == 2
    assert _numbers(rows(resumed)) == _numbers(complete)


def _numbers(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in table]


def test_a_partially_written_part_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "part-00000.parquet.part").write_bytes(b"half")
    assert run(tmp_path).summary("energy", "grad_cam").n == 11


def test_another_run_in_the_folder(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(DataError, match="holds another run: methods lacks layer_cam; methods also has grad_cam"):
        run(tmp_path, methods=["layer_cam"])
    with pytest.raises(DataError, match=r"data_hash is .* have changed"):
        run(tmp_path, ToyboxDataset(Toybox(11, seed=4, objects=2)))
    with pytest.raises(DataError, match="run: seed is 0, not 1"):
        run(tmp_path, seed=1)


def test_the_record_is_complete(tmp_path: Path) -> None:
    run(tmp_path, methods=["ablation_cam(infill=0.5)"], target="true", layer="layer3")
    plan = json.loads((tmp_path / "run.json").read_text())["plan"]
    assert plan["model"] == "toybox"
    assert len(plan["weights"]) == 16
    name = "ablation_cam(infill=0.5)"
    assert plan["methods"] == [{"name": name, "method": name, "options": {"infill": 0.5}, "layer": "layer3"}]
    assert plan["metrics"] == {"energy": {}}
    assert (plan["target"], plan["seed"], plan["n_images"]) == ("true", 0, 11)
    assert set(plan["versions"]) >= {"camlucida", "torch"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three scenes in folders by class, a text file named like an image, and a truncated image."""
    root = tmp_path / "photos"
    for i in range(3):
        item = SCENES[i]
        assert item.label is not None
        file = root / CLASSES[item.label] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(item.image, Image.Image)
        item.image.save(file)
    (root / "cat" / "text.png").parent.mkdir(exist_ok=True)
    (root / "cat" / "text.png").write_text("not an image")
    (root / "cat" / "cut.png").write_bytes(next(root.rglob("0.png")).read_bytes()[:900])
    return root


def test_broken_images_are_rows(photos: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    lines = [f"{p.relative_to(photos).as_posix()},10,10,60,60" for p in sorted(photos.rglob("[012].png"))]
    boxes.write_text("\n".join(["file,x0,y0,x1,y1", *lines]))
    result = run(tmp_path / "run", folder(photos, boxes))
    assert result.summary("energy", "grad_cam").n == 3
    assert [(image, method) for image, method, _ in result.failures] == [("cat/cut.png", ""), ("cat/text.png", "")]
    assert all("cut.png" in reason or "text.png" in reason for _, _, reason in result.failures)


def test_missing_annotations_are_rows_with_a_reason(photos: Path, tmp_path: Path) -> None:
    result = run(tmp_path / "run", folder(photos))
    assert result.summary("energy", "grad_cam").n == 0
    assert "energy needs 'region', which the image does not have" in {reason for _, _, reason in result.failures}


def test_an_unsupported_method_gives_rows_with_a_reason(tmp_path: Path) -> None:
    result = evaluate("toybox:vgg", SCENES, methods=["cam", "grad_cam"], metrics=["energy"], out=tmp_path)
    assert result.summary("energy", "cam").n == 0
    assert result.summary("energy", "grad_cam").n == 11
    assert "average pooling" in next(reason for _, method, reason in result.failures if method == "cam")


def test_unscorable_maps_count_as_worst(tmp_path: Path) -> None:
    nothing = Control("nothing", "no relevance", "nothing", lambda model_input, x: torch.zeros_like(x[:, 0]))
    result = run(tmp_path, controls=[nothing]).summary("energy", "nothing")
    assert (result.value, result.n, result.invalid) == (0.0, 11, 11)
    assert result.control


def test_a_limit_is_a_random_sample(tmp_path: Path) -> None:
    result = run(tmp_path, ToyboxDataset(Toybox(40)), limit=6, seed=2)
    index = result.column("energy", "grad_cam").index.tolist()
    assert len(set(index)) == 6
    assert max(index) > 6
    assert (
        run(tmp_path / "b", ToyboxDataset(Toybox(40)), limit=6, seed=2).column("energy", "grad_cam").index.tolist()
        == index
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metrics": ["enrgy"]}, MetricError, "Did you mean 'energy'"),
        ({"methods": ["gradcm"]}, MethodError, "Did you mean"),
        ({"target": "truth"}, TargetError, "'predicted' or 'true'"),
        ({"data": ListDataset("none", [])}, DataError, "none has no images"),
    ],
)
def test_invalid_arguments(arguments: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path, **arguments)


def test_classes_by_name_and_by_number() -> None:
    model = cl.load("toybox")
    assert outputs_of(("dog", "cat", "unicorn"), model) == (CLASSES.index("dog"), CLASSES.index("cat"), None)
    assert outputs_of(("7", "0"), model) == (7, 0)


def test_a_true_class_has_the_models_name(tmp_path: Path) -> None:
    items = [Item(SCENES[0].image, "a", 0), Item(SCENES[1].image, "b", 1)]
    result = run(tmp_path, ListDataset("numbers", items, (str(CLASSES.index("dog")), "unicorn")), metrics=["entropy"])
    assert [row["label"] for row in rows(result) if row["metric"] == "explaining"] == ["dog", "unicorn"]


def test_unmeasured_metrics_and_methods(tmp_path: Path) -> None:
    result = run(tmp_path)
    with pytest.raises(MetricError, match=r"no metric 'iou' in this run\. Known: energy, energy_lift"):
        result.column("iou", "grad_cam")
    with pytest.raises(MetricError, match="no method 'cam' in this run"):
        result.column("energy", "cam")
