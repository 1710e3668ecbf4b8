"""Every CAM method that a peer also has: time in forwards of the same batch, and how far the maps are apart.

One row a method in `METHODS`. Methods whose time is one run a channel are timed on few channels or pictures at 64 px
(`SLOW`), on the network where all of them can be run in full.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import camlucida as cl
from interleaved import ratios, timed
from networks import forward, perturbed

NETWORKS = {
    "resnet50": "layer4",
    "vgg16": "features.29",
    "mobilenet_v3_large": "features",
    "convnext_tiny": "features",
    "vit_b_16": "encoder.layers.encoder_layer_11.ln_1",
}


@dataclass(frozen=True)
class Peer:
    """How a method is called elsewhere.

    options  of the peer's class
    equal    whether the maps should be the same up to post-processing (docs/parity.md says why where not)
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    equal: bool = True


METHODS: dict[str, tuple[Peer | None, Peer | None]] = {
    "grad_cam": (Peer("GradCAM"), Peer("GradCAM")),
    "grad_cam_plusplus": (Peer("GradCAMPlusPlus", equal=False), Peer("GradCAMpp", equal=False)),
    "xgrad_cam": (Peer("XGradCAM"), Peer("XGradCAM", equal=False)),
    "layer_cam": (Peer("LayerCAM"), Peer("LayerCAM")),
    "hires_cam": (Peer("HiResCAM"), None),
    "grad_cam_elementwise": (Peer("GradCAMElementWise"), None),
    "eigen_cam": (Peer("EigenCAM", equal=False), None),
    "eigen_grad_cam": (Peer("EigenGradCAM", equal=False), None),
    "kpca_cam": (Peer("KPCA_CAM", equal=False), None),
    "fem": (Peer("FEM", equal=False), None),
    "shapley_cam": (Peer("ShapleyCAM", equal=False), None),
    "finer_cam": (Peer("FinerCAM", equal=False), Peer("FinerCAM", equal=False)),
    "smooth_grad_cam_plusplus": (None, Peer("SmoothGradCAMpp", {"num_samples": 5}, equal=False)),
}
"""Ours; in grad-cam; in torchcam."""

SLOW: dict[str, tuple[Peer | None, Peer | None]] = {
    "score_cam": (Peer("ScoreCAM", equal=False), Peer("ScoreCAM", equal=False)),
    "ss_cam": (None, Peer("SSCAM", {"num_samples": 2}, equal=False)),
    "is_cam": (None, Peer("ISCAM", {"num_samples": 2}, equal=False)),
}
"""One run of the network a channel, or several."""
OF_THE_SLOW: dict[str, dict[str, Any]] = {"ss_cam": {"n": 2}, "is_cam": {"n": 2}}


def run(rounds: int, where: str = "") -> Iterator[dict[str, Any]]:
    """Five networks at batch 1 and 8, then the slow ones on ResNet-18 at 64 px.

    where   only these: "resnet50@1,vgg16@8,slow"
    """
    chosen = where.split(",") if where else [*(f"{name}@{batch}" for name in NETWORKS for batch in (1, 8)), "slow"]
    for place in chosen:
        if place == "slow":
            network, image = perturbed("resnet18"), torch.randn(1, 3, 64, 64)
            yield from _rows(network, "resnet18, 64 px", "layer4", image, SLOW, OF_THE_SLOW, 1)
        else:
            name, _, batch = place.partition("@")
            images = torch.randn(int(batch), 3, 224, 224)
            yield from _rows(perturbed(name), name, NETWORKS[name], images, METHODS, {}, rounds)


def _rows(
    network: nn.Module,
    name: str,
    layer: str,
    images: Tensor,
    methods: dict[str, tuple[Peer | None, Peer | None]],
    options: dict[str, dict[str, Any]],
    rounds: int,
) -> Iterator[dict[str, Any]]:
    """One entry a method; all of a network are timed against one baseline that runs in turns with each."""
    classes = forward(network, images).argmax(1).tolist()
    for method, peers in methods.items():
        candidates: dict[str, Callable[[], Any]] = {
            "forward": lambda: forward(network, images),
            "camlucida": lambda m=method: cl.attribute(network, images, layer=layer, method=m, **options.get(m, {})),
            **{who: job for who, job in _peers(network, layer, images, classes, peers) if _runs(job)},
        }
        numbers = ratios(timed(candidates, rounds=rounds), "forward")
        ours = candidates["camlucida"]()
        for who, peer in zip(("grad-cam", "torchcam"), peers, strict=True):
            if peer and peer.equal and who in candidates:
                numbers[who]["largest difference of maps"] = DIFFERENCE[who](candidates[who](), ours)
        yield {"what": f"{method} {name} {layer}, batch {len(images)}", "aim": "", "forwards": numbers}


def _runs(job: Callable[[], Any]) -> bool:
    """Whether a peer can do it at all: grad-cam's ShapleyCAM, for one, fails on attention."""
    try:
        job()
    except Exception as error:
        print(f"    a peer raised {type(error).__name__}: {str(error)[:80]}", flush=True)
        return False
    return True


def _peers(
    network: nn.Module, layer: str, images: Tensor, classes: list[int], peers: tuple[Peer | None, Peer | None]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Those that have the method and can run it here: torchcam has no reshape for tokens."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam import methods as torchcam

    module, tokens = network.get_submodule(layer), hasattr(network, "encoder")
    of_grad_cam, of_torchcam = peers

    def grad_cam(peer: Peer) -> Any:
        # FinerCAM chooses its targets itself.
        targets = None if peer.name == "FinerCAM" else [ClassifierOutputTarget(k) for k in classes]
        made = getattr(pytorch_grad_cam, peer.name)
        how = {"reshape_transform": _grid} if tokens else {}
        with contextlib.redirect_stderr(io.StringIO()), made(network, [module], **how) as cam:
            return cam(images, targets)

    def torch_cam(peer: Peer) -> Any:
        extra = {"batch_size": 32} if peer.name in ("ScoreCAM", "SSCAM", "ISCAM") else {}
        with getattr(torchcam, peer.name)(network, module, **peer.options, **extra) as extractor:
            return extractor(classes, network(images))[0]

    if of_grad_cam:
        yield "grad-cam", lambda: grad_cam(of_grad_cam)
    if of_torchcam and not tokens:
        yield "torchcam", lambda: torch_cam(of_torchcam)


def _grid(tensor: Tensor) -> Tensor:
    return tensor[:, 1:].transpose(1, 2).reshape(len(tensor), -1, 14, 14)


def _from_grad_cam(theirs: Any, ours: Tensor) -> float:
    from pytorch_grad_cam.utils.image import scale_cam_image

    size = (theirs.shape[-1], theirs.shape[-2])
    return float(abs(theirs - scale_cam_image(scale_cam_image(ours.relu().numpy(), size))).max())


def _from_torchcam(theirs: Any, ours: Tensor) -> float:
    low, high = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
    return float((theirs - (ours - low) / (high - low)).abs().max())


DIFFERENCE = {"grad-cam": _from_grad_cam, "torchcam": _from_torchcam}
"""How far a peer's map is from ours, both from 0 to 1, after the peer's own post-processing."""
