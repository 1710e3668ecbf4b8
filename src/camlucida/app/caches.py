"""The caches of the app, so that a repeated request does not run the network again; all of them are bounded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from camlucida.app.cache import Cache
from camlucida.attribution.explanation_set import ExplanationSet
from camlucida.evaluation.metric_inputs import MetricInputs
from camlucida.features.activations import Activations
from camlucida.features.top_images_by_channel import ChannelTopImages

if TYPE_CHECKING:
    from camlucida.app.map_batch import Found

MB = 1 << 20


@dataclass(frozen=True, eq=False)
class Scan:
    """The highest activations of all channels of a layer over images of the data set.

    Attributes:
        found: The result.
        indices: Indices of the evaluated samples, in the order of the result.
        missed: The number of samples that the data set itself could not provide.
    """

    found: ChannelTopImages
    indices: tuple[int, ...]
    missed: int


@dataclass(eq=False)
class Memory:
    """One cache per kind of result, each with its own limit in bytes.

    Attributes:
        answers: Encoded responses.
        explanations: Explanations with their images, for downloads.
        maps: Maps of single methods, which several comparisons may need.
        evidence: Metric inputs of the map that is being occluded or perturbed, which each stroke requests again.
        channels: Activations of layers, so that paging through them does not run the network again.
        scans: The top images of all channels, so that another channel needs no further pass over the data set.
    """

    answers: Cache[bytes] = field(default_factory=lambda: Cache(64 * MB))
    explanations: Cache[ExplanationSet] = field(default_factory=lambda: Cache(128 * MB, _of_explanations))
    maps: Cache[list[Found]] = field(default_factory=lambda: Cache(64 * MB, _of_maps))
    evidence: Cache[MetricInputs] = field(default_factory=lambda: Cache(32 * MB, _of_evidence))
    channels: Cache[Activations] = field(default_factory=lambda: Cache(64 * MB, _of_channels))
    scans: Cache[Scan] = field(default_factory=lambda: Cache(192 * MB, _of_scan))


def _of_explanations(made: ExplanationSet) -> int:
    """Estimate the bytes of the image, which all maps share, and of each map, overlay and raw array."""
    width, height = made.items[0].image.size
    return 3 * width * height + sum(8 * width * height + 4 * e.raw.numel() for e in made)


def _of_maps(found: list[Found]) -> int:
    return sum(one.size for one in found)


def _of_evidence(one: MetricInputs) -> int:
    """Estimate the bytes: the inputs, and three times as much for what is derived from them."""
    return 4 * one.inputs.nbytes


def _of_channels(kept: Activations) -> int:
    return 4 * kept.maps.numel() + 3 * kept.image.width * kept.image.height


def _of_scan(scan: Scan) -> int:
    return scan.found.nbytes + 64 * len(scan.indices)
