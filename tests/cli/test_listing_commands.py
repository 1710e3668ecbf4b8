"""The commands `layers`, `models` and `demo`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from camlucida.models.toybox_weights import load_network


def files(folder: str) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in Path(folder).rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("model", "parameters", "default"),
    [("toybox", "375,594", "layer4"), ("toybox:vit", None, "blocks"), ("resnet18", "11,689,512", "layer4")],
)
def test_layers(run: Callable[..., Any], model: str, parameters: str | None, default: str) -> None:
    """Random weights, so nothing is downloaded; the expected numbers are torchvision's."""
    code, out, err = run("layers", model)
    assert (code, err) == (0, "")
    network = load_network("vit")[0] if model == "toybox:vit" else None
    parameters = parameters or f"{sum(p.numel() for p in network.parameters()):,}"  # type: ignore[union-attr]
    assert f"{parameters} parameters ({parameters} trainable, 0 non-trainable)" in out
    assert f"Default (★): {default}" in out
    running = [line.split() for line in out.splitlines() if "★" in line]
    assert running[0][1].startswith(default)


def test_running_total_ends_at_the_number_of_parameters(run: Callable[..., Any]) -> None:
    out = run("layers", "resnet18").out
    fc = next(line for line in out.splitlines() if " fc " in line).split()
    assert fc[:5] == ["fc", "Linear", "1000", "513,000", "11,689,512"]
    assert "layer4 " in out
    assert "512×7×7" in out


def test_layers_of_another_size_and_depth(run: Callable[..., Any]) -> None:
    assert "512×4×4" in run("layers", "resnet18", "--size", "128").out
    out = run("layers", "resnet18", "--depth", "1").out
    assert "layer4.0" not in out.partition("parameters (")[0]
    assert "layer4" in out
    for name in ("toybox", "toybox:vgg"):
        code, _, err = run("layers", name, "--size", "1")
        assert code == 2
        assert "cannot run on an input of 3×1×1" in err


def test_models(run: Callable[..., Any]) -> None:
    code, out, _ = run("models")
    assert code == 0
    for name in ("toybox:resnet", "resnet50", "vit_b_16", "timm:…", "hf:…", "grad_cam", "ablation_cam"):
        assert name in out
    result = run("models", "--search", "squeeze").out
    assert "squeezenet1_1" in result
    assert "resnet50" not in result
    assert "Methods" not in result


def test_models_lists_segmentation_networks_and_detectors(run: Callable[..., Any]) -> None:
    names = {kind: _names(run("models", "--search", kind).out) for kind in ("segmentation", "detector")}
    assert {"toybox:segmenter", "deeplabv3_resnet50", "fcn_resnet101"} <= names["segmentation"]
    assert {"toybox:detector", "fasterrcnn_resnet50_fpn", "ssd300_vgg16"} <= names["detector"]
    assert not {"resnet50", "toybox:vgg"} & (names["segmentation"] | names["detector"])
    assert "segmentation, COCO_WITH_VOC_LABELS_V1" in run("models", "--search", "lraspp").out


def _names(table: str) -> set[str]:
    return {line.split()[0] for line in table.splitlines() if line}


def test_models_lists_which_weights_are_on_this_machine(run: Callable[..., Any]) -> None:
    assert "no, downloaded on first use" in run("models", "--search", "resnet18").out
    file = Path("torch-home/hub/checkpoints/resnet18-f37072fd.pth")
    file.parent.mkdir(parents=True)
    file.touch()
    line = next(line for line in run("models", "--search", "resnet18").out.splitlines() if line.startswith("resnet18 "))
    assert line.split()[-1] == "yes"


def test_demo(run: Callable[..., Any]) -> None:
    code, out, err = run("demo", "-o", "out")
    assert (code, err) == (0, "")
    assert files("out") == [
        "1-cat.png",
        "10-caption.png",
        "2-layers-classes.png",
        "3-methods.png",
        "4-clever-hans.png",
        "5-no-object.png",
        "6-vgg.png",
        "7-vit.png",
        "8-detections.png",
        "9-segmenter.png",
    ]
    for name in files("out"):
        assert f"→ out/{name}" in out
        with Image.open(f"out/{name}") as image:
            assert image.width > 1000
