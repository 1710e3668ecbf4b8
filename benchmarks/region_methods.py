"""Which method shows the object of a region: toybox:segmenter on scenes with two objects.

    python benchmarks/region_methods.py [--scenes 48] [--tested 10] [--only objects,image,classes]

writes results/region_methods.json.

Scenes have two objects of one class, or of two classes. For every object, the targets are

class     "class:NAME": every pixel that is predicted as its class (in scenes of one class, both objects)
part      "class:NAME at x,y": the connected part at a pixel of the object
mask      the true mask of the object, with its class
pixel     that pixel alone, with its class
missed    "class:OTHER at x,y": that pixel, with a class that is not predicted there

image     "NAME": the class in the whole image, as in evaluations of the predicted class

All methods and layers read the same run of the network, in turns for each target. A map is compared with the true mask
of the object: the fraction of its positive part inside, and whether its maximum is inside (pointing game). Objects that
are not predicted, or whose connected part reaches into the other object, are left out and counted. On `--tested` of the
scenes, the importance of the positions is measured once for each target, and every map gets the p-value of the position
test. The scenes were used neither in training nor for any other benchmark.

The study "classes" asks whether a map depends on the class, as `trust` does: is its rank correlation with the maps of
random other classes below that with the maps of perturbed copies of the image? Once over the whole image, and once over
the pixels of the region only.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import camlucida as cl
from blind_verdicts import p_of_map, rate
from camlucida.attribution.bind_targets import bind_targets
from camlucida.attribution.explanation import Explanation
from camlucida.data import toybox
from camlucida.data.datasets import Item
from camlucida.errors import CamlucidaError
from camlucida.evaluation.model_input import prepare_input
from camlucida.maps import spearman, upsample
from camlucida.reliability.inputs import metric_inputs_of
from camlucida.reliability.position_test import PositionTest, position_test
from camlucida.reliability.similarity import noise_similarities, other_classes, shift_similarities
from interleaved import machine

SEED = 991_000
METHODS = ("grad_cam", "hires_cam", "layer_cam", "grad_cam_elementwise", "grad_cam_plusplus", "xgrad_cam")
LAYERS = ("up0", "up1", "up2", "bottleneck")
KINDS = ("class", "part", "mask", "pixel", "missed")
CLASS_METHODS = ("grad_cam", "hires_cam", "layer_cam")
CLASS_LAYERS = ("up0", "up2")
MAX_IN_OTHER = 0.1
"""An object is left out if more than this fraction of its connected part lies in the other object."""


@dataclass(frozen=True, eq=False)
class Asked:
    """One target of one object.

    Attributes:
        kind: As above.
        spec: The target.
        own: The object, or both for "class" in scenes of one class `(height, width)`.
        other: The other object; empty in that case.
    """

    kind: str
    spec: Any
    own: NDArray[np.bool_]
    other: NDArray[np.bool_]


def inner_pixel(mask: NDArray[np.bool_]) -> tuple[int, int]:
    """Return (x, y) of the pixel of a mask that is nearest to its centroid."""
    y, x = np.nonzero(mask)
    best = int(((x - x.mean()) ** 2 + (y - y.mean()) ** 2).argmin())
    return int(x[best]), int(y[best])


def asked_about(scene: toybox.Scene, drawing: toybox.Drawing, j: int) -> list[Asked]:
    """Return the targets of one object."""
    kind, masks = scene.objects[j].kind, [np.asarray(mask) for mask in drawing.masks]
    own, other = masks[j], masks[1 - j]
    same = kind == scene.objects[1 - j].kind
    x, y = inner_pixel(own)
    pixel = np.zeros_like(own)
    pixel[y, x] = True
    absent = toybox.CLASSES[(toybox.CLASSES.index(kind) + 3) % len(toybox.CLASSES)]
    missed = absent if same else scene.objects[1 - j].kind
    point = f"{x + 0.5},{y + 0.5}"
    of_class = (own | other, np.zeros_like(own)) if same else (own, other)
    return [
        Asked("class", f"class:{kind}", *of_class),
        Asked("part", f"class:{kind} at {point}", own, other),
        Asked("mask", cl.targets.RegionTarget(own, kind), own, other),
        Asked("pixel", cl.targets.RegionTarget(pixel, kind), own, other),
        Asked("missed", f"class:{missed} at {point}", own, other),
        Asked("image", kind, *of_class),
    ]


def objects(n: int, same: bool) -> Iterator[tuple[int, toybox.Drawing, list[Asked]]]:
    """Yield the number of the scene, its drawing and the targets of each object."""
    for i in range(n):
        kinds = [toybox.CLASSES[i % len(toybox.CLASSES)]] if same else None
        scene = toybox.scene((SEED + (0 if same else 1), i), kinds, objects=2)
        drawing = scene.draw()
        for j in range(2):
            yield i, drawing, asked_about(scene, drawing, j)


def is_separate(model: cl.Model, drawing: toybox.Drawing, part: Asked) -> bool:
    """Return whether the object is predicted, and its connected part does not reach into the other object."""
    inputs, geometry = model.preprocessing(drawing.image)
    try:
        (bound,) = bind_targets(model, inputs, [part.spec], geometry)
    except CamlucidaError:
        return False
    if bound.region is None or bound.region.mask is None:
        return False
    mask = bound.region.mask.cpu().numpy()
    return float(mask[part.other].sum() / max(mask.sum(), 1)) <= MAX_IN_OTHER


def tested(model: cl.Model, drawing: toybox.Drawing, asked: Asked, scene: int) -> PositionTest | None:
    """Return the position test of a target, whose importance does not depend on the map."""
    inputs, geometry = model.preprocessing(drawing.image)
    (bound,) = bind_targets(model, inputs, [asked.spec], geometry)
    index = model.labels.index(bound.target) if isinstance(bound.target, str) else bound.target
    own = prepare_input(bound.model, Item(drawing.image, f"scene {scene}"), index, target="true")
    return position_test(own, torch.rand(inputs.shape[-2:], generator=torch.Generator().manual_seed(scene)))


Row = tuple[float, float, bool, float | None]
"""In the object, in the other one, maximum in the object, p-value."""


def measured(
    model: cl.Model, n: int, n_tested: int, same: bool, kinds: Sequence[str]
) -> tuple[dict[tuple[str, ...], list[Row]], int]:
    """Return the rows of every kind of target, method and layer, and the number of objects left out."""
    rows: dict[tuple[str, ...], list[Row]] = {}
    left_out = 0
    for i, drawing, all_asked in objects(n, same):
        if not is_separate(model, drawing, all_asked[1]):
            left_out += 1
            continue
        for asked in (one for one in all_asked if one.kind in kinds):
            explained = cl.explain(model, drawing.image, target=[asked.spec], method=METHODS, layer=LAYERS)
            test = tested(model, drawing, asked, i) if i < n_tested else None
            for e in explained:
                rows.setdefault((asked.kind, e.method, e.layer), []).append(row_of(e, asked, test))
    return rows, left_out


def row_of(explanation: Explanation, asked: Asked, test: PositionTest | None) -> Row:
    values = np.clip(np.nan_to_num(explanation.landed), 0, None)
    total = float(values.sum())
    p = None
    if test is not None:
        size = explanation.geometry.input[::-1]
        p = p_of_map(test, upsample(explanation.map[None].float(), size)[0]) if total else 1.0
    if not total:
        return 0.0, 0.0, False, p
    inside, other = (float(values[mask].sum()) / total for mask in (asked.own, asked.other))
    return inside, other, bool(asked.own.flat[int(values.argmax())]), p


def summary(rows: list[Row]) -> dict[str, Any]:
    inside, other, hits, p_values = zip(*rows, strict=True)
    ps = [p for p in p_values if p is not None]
    return {
        "n": len(rows),
        "majority in the object": rate([v >= 0.5 for v in inside]),
        "more than in the other object": rate([a > b for a, b in zip(inside, other, strict=True)]),
        "pointing game": rate(list(hits)),
        "in the object, mean": round(float(np.mean(inside)), 4),
        "in the other object, mean": round(float(np.mean(other)), 4),
        "position test, p <= .05": rate([p <= 0.05 for p in ps]),
    }


def class_sensitivity(model: cl.Model, n: int) -> dict[str, Any]:
    """Return how often maps of one part depend on the class, in scenes with two classes."""
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _, drawing, all_asked in objects(n, same=False):
        part = all_asked[1]
        if not is_separate(model, drawing, part):
            continue
        inputs, geometry = model.preprocessing(drawing.image)
        (bound,) = bind_targets(model, inputs, [part.spec], geometry)
        assert bound.region is not None
        assert bound.region.mask is not None
        region = bound.region.mask.cpu()
        for method in CLASS_METHODS:
            for layer in CLASS_LAYERS:
                own = metric_inputs_of(bound.model, drawing.image, method=method, layer=layer, target=bound.target)
                others = own.explain_class(other_classes(own)[1:]).cpu()
                copies = [s.map for s in (*noise_similarities(own), *shift_similarities(own))]
                map_ = own.relevance.cpu()
                row = {"size": float(others.clamp_min(0).sum((1, 2)).median() / map_.clamp_min(0).sum())}
                for where, inside in (("image", torch.ones_like(region)), ("region", region)):
                    row[f"others, {where}"] = float(np.nanmedian([correlation(map_, m, inside) for m in others]))
                    row[f"copies, {where}"] = float(np.nanmin([correlation(map_, m, inside) for m in copies]))
                rows.setdefault((method, layer), []).append(row)
    return {
        f"{method} at {layer}": {
            "n": len(found),
            **{
                f"not class-sensitive over the {where}": rate(
                    [r[f"others, {where}"] >= r[f"copies, {where}"] for r in found]
                )
                for where in ("image", "region")
            },
            **{
                f"{name}, median": round(float(np.nanmedian([r[name] for r in found])), 3)
                for name in ("others, image", "copies, image", "others, region", "copies, region")
            },
            "sum of another class's map, of the own sum, median": round(
                float(np.median([r["size"] for r in found])), 4
            ),
        }
        for (method, layer), found in rows.items()
    }


def correlation(first: torch.Tensor, second: torch.Tensor, inside: torch.Tensor) -> float:
    """Return Spearman's rank correlation of two maps over some pixels."""
    return float(spearman(first[inside].double()[None], second[inside].double()[None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=48, help="scenes of each of the two sets")
    parser.add_argument("--tested", type=int, default=10, help="of them, scenes with the position test")
    parser.add_argument("--only", default="objects,image,classes")
    arguments = parser.parse_args()
    only = arguments.only.split(",")
    torch.set_num_threads(1)
    start = time.perf_counter()
    model = cl.load("toybox:segmenter")
    path = Path(__file__).parent / "results" / "region_methods.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    content |= {"machine": machine(), "seed": SEED, "scenes": arguments.scenes}
    kinds = [*(KINDS if "objects" in only else ()), *(["image"] if "image" in only else [])]
    for name, same in (("one class", True), ("two classes", False)) if kinds else ():
        rows, left_out = measured(model, arguments.scenes, arguments.tested, same, kinds)
        content.setdefault(name, {})["objects left out"] = left_out
        content[name] |= {kind: {} for kind in kinds}
        for (kind, method, layer), values in rows.items():
            content[name][kind][f"{method} at {layer}"] = summary(values)
        path.write_text(json.dumps(content, indent=1) + "\n")
        print(name, round(time.perf_counter() - start), "s", flush=True)
    if "classes" in only:
        content["class sensitivity of a part, two classes"] = class_sensitivity(model, arguments.tested)
        path.write_text(json.dumps(content, indent=1) + "\n")
        print("classes", round(time.perf_counter() - start), "s", flush=True)


if __name__ == "__main__":
    main()
