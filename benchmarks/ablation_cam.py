"""Ablation-CAM: one run of the rest of the network a channel, or none at all; in units of a batch-1 forward."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.engine import NetworkSuffix, copy_of, resolve, trace
from camlucida.methods import ablation_cam
from interleaved import ratios, timed
from networks import forward, perturbed

PEER_CHANNELS = 64
"""The peer runs the whole network once a channel: this many are timed and scaled up."""


def run(rounds: int) -> list[dict[str, Any]]:
    """layer4 with and without the closed form, layer3, and the peer on a share of the channels."""
    network, image = perturbed("resnet50"), torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    candidates = {
        "forward": lambda: forward(network, image),
        "camlucida layer4, closed form (aim ≤ 3)": lambda: _ours(network, image, "layer4"),
        "camlucida layer4, rest run (aim ≤ 8)": lambda: _without_closed_form(network, image, "layer4"),
    }
    rows = [
        {
            "what": "ablation_cam resnet50 layer4, 2048 channels",
            "aim": "",
            "forwards": ratios(timed(candidates, rounds=rounds), "forward"),
        }
    ]
    closed, rest = _ours(network, image, "layer4"), _without_closed_form(network, image, "layer4")
    rows[0]["largest difference of the two, of the maximum"] = float((closed - rest).abs().max() / rest.abs().max())
    candidates = {
        "forward": lambda: forward(network, image),
        "camlucida layer3 (aim ≤ 175)": lambda: _ours(network, image, "layer3"),
    }
    rows.append(
        {
            "what": "ablation_cam resnet50 layer3, 1024 channels",
            "aim": "≤ 175",
            "forwards": ratios(timed(candidates, rounds=1), "forward"),
        }
    )
    rows.append(_peer(network, image))
    return rows


def _ours(network: nn.Module, image: Tensor, layer: str) -> Tensor:
    return cl.attribute(network, image, layer=layer, method="ablation_cam")


def _without_closed_form(network: nn.Module, image: Tensor, layer: str) -> Tensor:
    """As `_ours`, but running the rest of the network for every channel."""
    twin = copy_of(network)
    with torch.no_grad():
        traced = trace(twin, image, resolve(twin, image, [layer]), rerun=True)
        rest = NetworkSuffix(traced, traced.layers[0], lambda output: output)
        best = traced.output.argmax(1)

        def ablate(infill: float) -> Tensor:
            return rest.ablate_channels(infill, closed_form=False)[..., best].flatten(1).T

        score = traced.output[:, best[0]]
        return ablation_cam(traced.layers[0].activations, score, ablate).relu()


def _peer(network: nn.Module, image: Tensor) -> dict[str, Any]:
    from pytorch_grad_cam import AblationCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    best = int(forward(network, image).argmax())
    share = PEER_CHANNELS / 1024

    def theirs() -> None:
        # The ratio counts from both ends: the best and the worst so many channels.
        with AblationCAM(network, [network.get_submodule("layer3")], ratio_channels_to_ablate=share / 2) as cam:
            cam.batch_size = 32
            cam(image, [ClassifierOutputTarget(best)])

    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar cannot be switched off
        measured = ratios(timed({"forward": lambda: forward(network, image), "grad-cam": theirs}, rounds=2), "forward")
    return {
        "what": f"grad-cam's AblationCAM resnet50 layer3, {PEER_CHANNELS} of 1024 channels timed, scaled up",
        "aim": "",
        "forwards": {"grad-cam": {key: round(value / share) for key, value in measured["grad-cam"].items()}},
    }
