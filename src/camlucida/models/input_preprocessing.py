"""Preprocessing of networks that are stored without it: the input size is known, the normalisation is assumed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from torch import nn

from camlucida.errors import CheckpointWarning, ModelError
from camlucida.models.model import Model
from camlucida.models.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, make_preprocessing
from camlucida.opaque_networks import OpaqueNetwork

GREY_MEAN, GREY_STD = (0.5,), (0.5,)
"""Assumed normalisation of grey images."""
DEFAULT_SIZE = Preprocessing().size


def input_preprocessing(network: nn.Module, preprocess: Any, numbers: Mapping[str, Any]) -> Preprocessing:
    """Return the preprocessing for a network, as `make_preprocessing` does, with what the network says of its input.

    Args:
        network: The network.
        preprocess: As of `make_preprocessing`.
        numbers: Parameters of `make_preprocessing`.

    Raises:
        ModelError: A value is invalid; or the network takes pixels, and a normalisation is given.
    """
    if not isinstance(network, OpaqueNetwork):
        return make_preprocessing(preprocess, **numbers)
    defaults: dict[str, Any] = {}
    if preprocess is None:
        if network.image_size not in (None, DEFAULT_SIZE):
            defaults["size"] = network.image_size
        if network.n_channels == 1:
            defaults |= {"mean": GREY_MEAN, "std": GREY_STD}
        elif network.n_channels != 3 and not {"mean", "std"} <= set(numbers):
            raise ModelError(
                f"{network.reason} takes images of {network.n_channels} channels: pass mean= and std= with one number "
                "per channel."
            )
    if network.takes_pixels:
        _refuse_normalisation(network, numbers)
        channels = IMAGENET_MEAN if network.n_channels == 3 else GREY_MEAN * network.n_channels
        return make_preprocessing(
            preprocess, **{**defaults, **numbers, "mean": channels, "std": (1.0,) * len(channels)}
        )
    return make_preprocessing(preprocess, **{**defaults, **numbers})


def check_normalisation(model: Model, given: Mapping[str, Any]) -> None:
    """Warn that the normalisation of a model that is stored without it is assumed, unless it is given.

    Args:
        model: The model, just loaded.
        given: Parameters of `make_preprocessing` that the user gave.

    Raises:
        ModelError: The network takes pixels, and a normalisation is given.
    """
    network, how = model.network, model.preprocessing
    if not isinstance(network, OpaqueNetwork):
        return
    if network.takes_pixels:
        _refuse_normalisation(network, given)
    elif (
        how.mean in (IMAGENET_MEAN, GREY_MEAN)
        and how.std in (IMAGENET_STD, GREY_STD)
        and not {"mean", "std"} & set(given)
    ):
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (how.mean, how.std))
        warnings.warn(
            f"{model.name} does not say how images are normalised: pixels in [0, 1] with mean {mean} and std {std} are "
            "assumed. Pass mean= and std= (--mean, --std) if it was trained otherwise.",
            CheckpointWarning,
            stacklevel=3,
        )


def _refuse_normalisation(network: OpaqueNetwork, given: Mapping[str, Any]) -> None:
    if wrong := sorted({"mean", "std"} & set(given)):
        raise ModelError(
            f"{wrong[0]}= does not apply to {network.reason}, which takes pixels of 8 bits and normalises them itself."
        )
