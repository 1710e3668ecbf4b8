"""Grad-CAM: time in units of one inference forward of the same batch, against the peers, with the maps' difference."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import camlucida as cl
from interleaved import ratios, timed
from networks import forward, perturbed

CASES: list[tuple[str, str, int, str]] = [
    ("resnet50", "layer4", 8, "≤ 1.08"),
    ("resnet50", "layer4", 1, ""),
    ("resnet50", "layer1", 8, ""),
    ("vgg16", "features.29", 1, ""),
    ("mobilenet_v3_large", "features", 8, ""),
    ("convnext_tiny", "features", 1, ""),
    ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1", 1, ""),
]


def run(rounds: int) -> list[dict[str, Any]]:
    """One layer against the peers; then several layers, then several classes."""
    return [
        *(_one_layer(*case, rounds) for case in CASES),
        _four_layers(rounds),
        _eight_classes("layer4", "≤ 1.3", rounds),
        _eight_classes("layer3", "≤ 3.8", rounds),
    ]


def _one_layer(name: str, layer: str, batch: int, aim: str, rounds: int) -> dict[str, Any]:
    network, images = perturbed(name), torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    classes = forward(network, images).argmax(1).tolist()
    peers = _peers(network, layer, images, classes)
    candidates = {"forward": lambda: forward(network, images), "camlucida": lambda: _ours(network, images, layer)}
    measured = ratios(timed(candidates | {k: run for k, (run, _) in peers.items()}, rounds=rounds), "forward")
    ours = _ours(network, images, layer)
    for peer, (run, difference) in peers.items():
        measured[peer]["largest difference of maps"] = difference(run(), ours)
    return {"what": f"grad_cam {name} {layer}, batch {batch}", "aim": aim, "forwards": measured}


def _four_layers(rounds: int) -> dict[str, Any]:
    network, images = perturbed("resnet50"), torch.randn(4, 3, 224, 224)
    layers = [f"layer{i}" for i in (1, 2, 3, 4)]
    candidates = {
        "forward": lambda: forward(network, images),
        "camlucida": lambda: cl.attribute(network, images, layer=layers),
        "camlucida, one by one": lambda: [cl.attribute(network, images, layer=layer) for layer in layers],
    }
    return {
        "what": "grad_cam resnet50, four stages at once, batch 4",
        "aim": "≤ 2.0",
        "forwards": ratios(timed(candidates, rounds=rounds), "forward"),
    }


def _eight_classes(layer: str, aim: str, rounds: int) -> dict[str, Any]:
    network, images = perturbed("resnet50"), torch.randn(1, 3, 224, 224)
    classes = list(range(0, 800, 100))
    candidates = {
        "forward": lambda: forward(network, images),
        "camlucida": lambda: cl.attribute(network, images, layer=layer, target=classes),
        "camlucida, one by one": lambda: [cl.attribute(network, images, layer=layer, target=k) for k in classes],
    }
    return {
        "what": f"grad_cam resnet50 {layer}, eight classes, batch 1",
        "aim": aim,
        "forwards": ratios(timed(candidates, rounds=rounds), "forward"),
    }


def _ours(network: nn.Module, images: Tensor, layer: str) -> Tensor:
    return cl.attribute(network, images, layer=layer)


def _peers(network: nn.Module, layer: str, images: Tensor, classes: list[int]) -> dict[str, Any]:
    """Each peer as (a run, the largest difference of its result from ours after its own post-processing)."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import GradCAM as TorchCAM

    module = network.get_submodule(layer)
    tokens = "vit" in type(network).__name__.lower() or "Transformer" in type(network).__name__
    targets = [ClassifierOutputTarget(k) for k in classes]

    def grid(tensor: Tensor) -> Tensor:
        return tensor[:, 1:].transpose(1, 2).reshape(len(tensor), -1, 14, 14)

    def grad_cam() -> Any:
        with GradCAM(network, [module], reshape_transform=grid if tokens else None) as cam:
            return cam(images, targets)

    def grad_cam_difference(theirs: Any, ours: Tensor) -> float:
        mine = scale_cam_image(scale_cam_image(ours.numpy(), (224, 224)))
        return float(abs(theirs - mine).max())

    def torchcam() -> Any:
        with TorchCAM(network, module) as extractor:
            return extractor(classes, network(images))[0]

    def torchcam_difference(theirs: Any, ours: Tensor) -> float:
        low, high = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
        return float((theirs - (ours - low) / (high - low)).abs().max())

    peers: dict[str, Any] = {"grad-cam": (grad_cam, grad_cam_difference)}
    if not tokens:  # torchcam has no reshape for torchvision's ViT at a norm
        peers["torchcam"] = (torchcam, torchcam_difference)
    return peers
