"""Does the map lie on the object that was asked for? Every method on two-object scenes with exact masks.

    python benchmarks/toybox_energy.py [--scenes 500] [--only grad_cam,rise]

Energy inside is the share of the map's positive part that lies in the asked object's mask (Score-CAM's energy-based
pointing game); a map that is zero everywhere counts as 0. The controls know nothing of the network: a uniform map
scores the object's area, a centre Gaussian what lies in the middle. `random_cam` is a method like any other. Methods
that say nothing of the class by their own account (`Method.class_blind`) are marked: no more can be asked of them than
to lie on some object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import camlucida as cl
from camlucida.data import toybox
from camlucida.maps import upsample
from camlucida.methods import Method, methods
from interleaved import machine

BATCH = 25
SLOW = 20
"""Scenes for methods that run the network hundreds of times a picture."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=1000)
    arguments = parser.parse_args()
    model = cl.load("toybox")
    wanted = [m for m in methods().values() if not arguments.only or m.name in arguments.only.split(",")]
    rows: dict[str, dict[str, Any]] = {}
    for name, found in controls(scenes(arguments.seed, arguments.scenes)).items():
        rows[name] = summary(found)
    for method in wanted:
        slow = {"score_inputs", "score_activations"} & set(method.needs) or "steps" in method.options
        count = min(arguments.scenes, SLOW) if slow else arguments.scenes
        rows[method.name] = summary(list(energies(model, method, scenes(arguments.seed, count))))
        rows[method.name]["asks for the class"] = not method.class_blind
        print(f"{method.name:28s} {rows[method.name]}", flush=True)
    print(table(rows))
    results = Path(__file__).parent / "results" / "toybox_energy.json"
    if not arguments.only:
        results.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


def scenes(seed: int, count: int) -> list[toybox.Sample]:
    """Two different objects a scene."""
    return list(toybox.Toybox(count, seed, objects=2))


def energies(model: cl.Model, method: Method, samples: list[toybox.Sample]) -> Iterator[float]:
    """For every scene and each of its two objects, the share of the map inside the object."""
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        pictures = torch.stack([model.preprocessing(sample.image)[0] for sample in batch])
        for which in range(2):
            target = torch.tensor([sample.labels[which] for sample in batch])
            maps = upsample(cl.attribute(model, pictures, target=target, method=method).relu(), (96, 96))
            for map_, sample in zip(maps, batch, strict=True):
                yield inside(map_, torch.from_numpy(sample.drawing.masks[which]))


def controls(samples: list[toybox.Sample]) -> dict[str, list[float]]:
    """Maps that know nothing."""
    y, x = np.mgrid[:96, :96] / 95 - 0.5
    blind = {"(uniform)": torch.ones(96, 96), "(centre)": torch.from_numpy(np.exp(-(x**2 + y**2) / (2 * 0.25**2)))}
    masks = [torch.from_numpy(mask) for sample in samples for mask in sample.drawing.masks]
    return {name: [inside(map_, mask) for mask in masks] for name, map_ in blind.items()}


def inside(map_: Tensor, mask: Tensor) -> float:
    """The share of the map in the mask; 0 for a map of zeros."""
    total = float(map_.sum())
    return float(map_[mask].sum()) / total if total > 0 else 0.0


def summary(found: list[float]) -> dict[str, Any]:
    """Mean with its standard error, and of how many."""
    values = np.array(found)
    error = values.std(ddof=1) / len(values) ** 0.5
    return {"energy inside": round(float(values.mean()), 3), "±": round(float(error), 3), "maps": len(values)}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Best first."""
    ordered = sorted(rows.items(), key=lambda row: -row[1]["energy inside"])
    lines = ["| method | energy inside the asked object | ± | maps |", "|---|---|---|---|"]
    lines += [
        f"| {name}{'' if row.get('asks for the class', True) else ' (class-blind)'} | {row['energy inside']:.3f} | "
        f"{row['±']:.3f} | {row['maps']} |"
        for name, row in ordered
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
