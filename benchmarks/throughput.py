"""What `audit_throughput.py` and `explain_throughput.py` share: plain inference, options, and stored rows."""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from PIL import Image
from torch import nn
from torchvision import transforms

from audit_images import write_scenes
from camlucida.cli.allocator import keep_freed_memory
from camlucida.data.datasets import Dataset, folder
from interleaved import machine
from networks import perturbed

BATCH_SIZE = 16
SCENE_PX = 480
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Measure: TypeAlias = Callable[[nn.Module, Dataset, list[str], Path, int], dict[str, Any]]
"""Measures a network on the files of a data set, with a folder to write to and a number of rounds; returns a row."""


def measure_networks(
    description: str | None, results: Path, networks: Iterable[str], n_images: int, measure: Measure
) -> None:
    """Read the options of the command line, measure each network, and store a row for each in the results.

    Args:
        description: The docstring of the benchmark.
        results: The JSON file of the rows; those of other networks and images are kept.
        networks: Names of the networks that are measured by default.
        n_images: Number of images by default.
        measure: See `Measure`.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n", type=int, default=n_images, help="number of images")
    parser.add_argument("--images", default="", help="a folder of photographs; its name is stored")
    parser.add_argument("--weights", action="append", default=[], help="NETWORK=FILE.safetensors")
    parser.add_argument("--only", default=",".join(networks))
    parser.add_argument("--default-allocator", action="store_true", help="return freed memory to the system")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    weights = dict(pair.split("=", 1) for pair in arguments.weights)
    stored = json.loads(results.read_text()) if results.exists() else {"rows": []}
    rows = {row["what"]: row for row in stored["rows"]}
    with tempfile.TemporaryDirectory() as temporary:
        images = Path(arguments.images or temporary) / ("" if arguments.images else "scenes")
        data = folder(images) if arguments.images else write_scenes(images, arguments.n, SCENE_PX)
        files = [str(data[i].image) for i in range(len(data))][: arguments.n]
        is_kept = not arguments.default_allocator and keep_freed_memory()
        memory = "freed memory kept" if is_kept else "allocator as it is"
        kind = "photographs" if arguments.images else f"scenes of {SCENE_PX} px"
        for name in arguments.only.split(","):
            network = perturbed(name)
            if name in weights:
                from safetensors.torch import load_file

                network.load_state_dict(load_file(weights[name]))
            measured = measure(network, data, files, Path(temporary) / name, arguments.rounds)
            row = {"what": f"{name}, {len(files)} {kind}, {memory}", **measured}
            print(json.dumps(row), flush=True)
            rows[row["what"]] = row
            content = {"machine": machine(), "rows": list(rows.values())}
            results.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def plain_inference(network: nn.Module, files: list[str]) -> Callable[[], list[int]]:
    """Return the loop that a user would write."""
    prepare = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )

    def run() -> list[int]:
        classes: list[int] = []
        with torch.inference_mode():
            for start in range(0, len(files), BATCH_SIZE):
                batch = files[start : start + BATCH_SIZE]
                inputs = torch.stack([prepare(Image.open(file).convert("RGB")) for file in batch])
                classes += network(inputs).argmax(1).tolist()
        return classes

    return run
