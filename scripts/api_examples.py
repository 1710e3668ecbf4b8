"""Write src/camlucida/app/api_examples.json: one example of each model of the API, from requests to the toybox.

Run it after a model of the API was added or changed; `tests/app/test_api_examples.py` says when it is out of date.
Lists are shortened, numbers are rounded, and maps are of 2 × 2 values, so that the description stays small.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from camlucida._files import png
from camlucida.analysis import embed, mistakes
from camlucida.app.app import create_app
from camlucida.app.app_state import Page
from camlucida.app.schemas import EncodedMap, Failure, Schema, packed
from camlucida.audits.run import audit
from camlucida.data.open import open_dataset
from camlucida.evaluation import baselines, evaluate
from camlucida.models.load import load

OUT = Path(__file__).resolve().parents[1] / "src" / "camlucida" / "app" / "api_examples.json"
N_ITEMS, N_ENTRIES = 2, 3
"""Items of a list, and entries of a mapping, that are kept."""

PIXEL = f"data:image/png;base64,{base64.b64encode(png(Image.new('RGB', (1, 1)))).decode()}"

REQUESTS: dict[str, dict[str, Any]] = {
    "ExplainRequest": {"image": "s3", "methods": ["grad_cam"], "layers": ["layer4"], "targets": ["cat"]},
    "PanelRequest": {
        "image": "s3",
        "methods": ["grad_cam"],
        "layers": ["layer3"],
        "opacity": 0.6,
        "colormap": "viridis",
    },
    "CompareRequest": {"image": "s3", "methods": ["grad_cam", "layer_cam"]},
    "TargetsRequest": {"image": "s3", "model": "toybox"},
    "MapRequest": {"image": "s3", "method": "grad_cam", "target": "cat"},
    "PerturbRequest": {"image": "s3", "angle": 5},
    "ChannelsRequest": {"image": "s3", "layer": "layer3"},
    "TopImagesRequest": {"layer": "layer3", "channel": 0, "n_images": 6},
    "OccludeRequest": {"image": "s3", "mask": {"width": 2, "height": 2, "bits": "wA=="}},
    "AnalysisRequest": {"model": "toybox", "n_images": 100},
    "SubsetRequest": {"run": "r0", "search": "cat"},
    "StudyPlan": {"methods": ["grad_cam", "layer_cam"], "n_images": 4},
}
POSTS = {
    "/api/explain": "ExplainRequest",
    "/api/compare": "CompareRequest",
    "/api/targets": "TargetsRequest",
    "/api/trust": "MapRequest",
    "/api/curves": "MapRequest",
    "/api/occlude": "OccludeRequest",
    "/api/perturb": "PerturbRequest",
    "/api/channels": "ChannelsRequest",
    "/api/channels/top": "TopImagesRequest",
}


def main() -> None:
    """Ask the app, and write the file."""
    with tempfile.TemporaryDirectory() as folder:
        page = _page(Path(folder))
        app = create_app(page)
        models = _response_models(app.app)
        examples: dict[str, Any] = dict(REQUESTS)
        for name, given in REQUESTS.items():
            _collect(_class(name).model_validate(given), examples)
        with TestClient(app, base_url="http://localhost") as client:

            def take(path: str, answer: Any) -> Any:
                assert answer.status_code == 200, (path, answer.text[:400])
                _collect(models[path].model_validate(answer.json()), examples)
                return answer.json()

            for path, name in POSTS.items():
                take(path, client.post(path, json=REQUESTS[name]))
            queries: dict[str, list[dict[str, Any]]] = {
                "/api/start": [{}],
                "/api/layers": [{}],
                "/api/methods": [{}],
                "/api/samples": [{}],
                "/api/dataset/runs": [{}],
                "/api/dataset/overall": [{"run": "r0"}],
                "/api/dataset/errors": [{"run": "r0"}],
                "/api/dataset/confusion": [{"run": "r0"}],
                "/api/dataset/points": [{"run": "r1"}],
                "/api/dataset/neighbours": [{"run": "r1", "point": 0}],
                "/api/dataset/evaluation": [{"run": "r2"}],
                "/api/dataset/curves": [{"run": "r2", "metric": "deletion"}],
            }
            for path, several in queries.items():
                for values in several:
                    take(path, client.get(path, params=values))
            take("/api/dataset/subset", client.post("/api/dataset/subset", json=REQUESTS["SubsetRequest"]))
            take("/api/dataset/slices", client.get("/api/dataset/slices", params={"run": "r0", "audit": 0}))
            cell = {"run": "r0", "label_index": 0, "predicted_index": 0}
            take("/api/dataset/cell", client.get("/api/dataset/cell", params=cell))
            take("/api/images", client.post("/api/images", content=_png(), headers={"content-type": "image/png"}))
            take("/api/dataset/analyse", client.post("/api/dataset/analyse", json=REQUESTS["AnalysisRequest"]))
            take("/api/study/create", client.post("/api/study/create", json=REQUESTS["StudyPlan"]))
            take("/api/study", client.get("/api/study"))
            trial = take("/api/study/next", client.get("/api/study/next", params={"person": "ann"}))["trial"]
            examples["StudyAnswer"] = {
                **{"person": "ann", "position": trial["position"], "maps": trial["maps"], "answer": 1, "seconds": 4.2}
            }
            take("/api/study/answer", client.post("/api/study/answer", json=examples["StudyAnswer"]))
            take("/api/study/results", client.get("/api/study/results"))
    examples["Cells"] = {"cells": [examples["Cell"]]}  # both are sent in a stream
    examples["Expected"] = {"result": examples["ModelResult"], "cells": [examples["Cell"]]}
    examples["MaskOut"] = {"width": 2, "height": 2, "bits": "wA=="}
    examples["ImageTargetOut"] = {
        **{
            "spec": "box 1",
            "label": "dog (box 1)",
            "name": "dog",
            "probability": 0.93,
            "box": [12.0, 30.5, 60.0, 88.0],
        },
        **{"point": None, "mask": None},
    }
    examples["PredictedClassOut"] = {
        **{"index": 0, "name": "background", "colour": "#d0d0d4", "fraction": 0.75, "spec": "class:background"}
    }
    of_cat = {"index": 1, "name": "cat", "colour": "#0072b2", "fraction": 0.25, "spec": "class:cat"}
    examples["PredictedClassesOut"] = {
        **{"width": 2, "height": 2, "runs": [0, 3, 1, 1], "overlap": False},
        "classes": [examples["PredictedClassOut"], of_cat],
    }
    region = {"spec": "class:cat", "label": "cat", "name": "cat", "probability": None, "box": None, "point": None}
    examples["TargetsResponse"] = {
        **{
            "kind": "segmentation",
            "size": [96, 96],
            "targets": [region | {"mask": {**examples["MaskOut"], "bits": "EA=="}}],
        },
        "classes": examples["PredictedClassesOut"],
    }
    examples["SliceOut"] = {  # an audit of a few scenes has no slice
        **{"name": "class = cat", "n": 40, "n_listed": 40, "accuracy": 0.72, "rest_accuracy": 0.91, "is_worse": True}
    }
    examples["SampleQuery"] = {"n": 20, "prediction": "wrong", "low": 0.9}
    examples["Failed"] = {"name": "broken.png", "reason": "broken.png is not a complete image."}
    examples["Failure"] = _example(
        Failure(kind="TargetError", detail="no class 'cart' in this model. Did you mean 'cat'?")
    )
    _finish(examples)


def _finish(examples: dict[str, Any]) -> None:
    missing = sorted(cls.__name__ for cls in _schemas(Schema) if cls.__name__ not in examples)
    print("without an example:", missing)
    lines = [f"{json.dumps(name)}: {json.dumps(examples[name], ensure_ascii=False)}" for name in sorted(examples)]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _page(folder: Path) -> Page:
    model, data = load("toybox:permuted"), open_dataset("toybox:watermark", count=24)
    mistakes(model, data, out=folder / "mistakes")
    embed(model, data, out=folder / "embedding")
    evaluate(
        model,
        data,
        methods=["grad_cam", "layer_cam"],
        metrics=["energy", "deletion"],
        controls=baselines.standard_controls()[:1],
        limit=6,
        out=folder / "evaluation",
    )
    audit(model, data, folder / "audit")
    runs = tuple(folder / name for name in ("mistakes", "embedding", "evaluation"))
    return Page([load("toybox"), model], data, runs, folder / "study", (folder / "audit",))


def _png() -> bytes:
    from camlucida.data import toybox

    return png(toybox.scene(seed=4, kinds=["cat"], objects=1, size=96).picture())


def _response_models(app: Any) -> dict[str, type[Schema]]:
    """Return the model of the successful response by path."""
    found: dict[str, type[Schema]] = {}
    for path, methods in app.openapi()["paths"].items():
        for operation in methods.values():
            content = operation["responses"]["200"].get("content", {}).get("application/json", {})
            if "$ref" in content.get("schema", {}):
                found[path] = _class(content["schema"]["$ref"].rpartition("/")[2])
    return found


def _schemas(cls: type[Schema]) -> set[type[Schema]]:
    return {sub for child in cls.__subclasses__() for sub in (child, *_schemas(child))}


def _class(name: str) -> type[Schema]:
    return next(cls for cls in _schemas(Schema) if cls.__name__ == name)


def _collect(value: Any, examples: dict[str, Any]) -> None:
    """Add an example of the model and of every model inside it, unless there is one."""
    if isinstance(value, Schema):
        examples.setdefault(type(value).__name__, _example(value))
        for name in type(value).model_fields:
            _collect(getattr(value, name), examples)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, examples)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, examples)


def _example(value: Any) -> Any:
    """Return a model, shortened, as JSON."""
    if isinstance(value, EncodedMap):
        return packed(torch.tensor([[0.0, 0.25], [0.5, 1.0]])).model_dump()
    if isinstance(value, Schema):
        return {name: _example(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, dict):
        return {key: _example(item) for key, item in list(value.items())[:N_ENTRIES]}
    if isinstance(value, tuple):
        return [_example(item) for item in value]
    if isinstance(value, list):
        return [_example(item) for item in value[:N_ITEMS]]
    if isinstance(value, float):
        return float(np.format_float_positional(value, 4, fractional=False)) if value else 0.0
    if isinstance(value, str):
        return PIXEL if value.startswith("data:image/") else value[:120]
    return value


if __name__ == "__main__":
    main()
