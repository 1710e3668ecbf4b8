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
    from camlucida.app.map_batch import MapResult

MB = 1 << 20


@dataclass(frozen=True, eq=False)
class Scan:
    """The highest activations of all channels of a layer over images of the data set.

    Attributes:
        top_images: The top images of each channel.
        indices: Indices of the evaluated samples, in the order of the result.
        missed: The number of samples that the data set could not provide.
    """

    top_images: ChannelTopImages
    indices: tuple[int, ...]
    missed: int


@dataclass(eq=False)
class Caches:
    """One cache per kind of result, each with its own limit in bytes.

    Attributes:
        responses: Encoded responses.
        explanations: Explanations with their images, for downloads.
        maps: Maps of single methods, which several comparisons may need.
        metric_inputs: Metric inputs of the map being tested, which every occlusion or perturbation requests again.
        channels: Activations of layers, so that paging through them does not run the network again.
        displayed: Images encoded for display.
        thumbnails: The thumbnails of all points of an embedding in one image file.
        scans: The top images of all channels, so that another channel needs no further pass over the data set.
    """

    responses: Cache[bytes] = field(default_factory=lambda: Cache(64 * MB))
    explanations: Cache[ExplanationSet] = field(default_factory=lambda: Cache(128 * MB, _size_of_explanations))
    maps: Cache[list[MapResult]] = field(default_factory=lambda: Cache(64 * MB, _size_of_maps))
    metric_inputs: Cache[MetricInputs] = field(default_factory=lambda: Cache(32 * MB, _size_of_metric_inputs))
    channels: Cache[Activations] = field(default_factory=lambda: Cache(64 * MB, _size_of_activations))
    displayed: Cache[bytes] = field(default_factory=lambda: Cache(32 * MB))
    thumbnails: Cache[bytes] = field(default_factory=lambda: Cache(48 * MB))
    scans: Cache[Scan] = field(default_factory=lambda: Cache(192 * MB, _size_of_scan))


def _size_of_explanations(explanations: ExplanationSet) -> int:
    """Estimate the bytes of the image, which all maps share, and of each map, overlay and raw array."""
    width, height = explanations.items[0].image.size
    return 3 * width * height + sum(8 * width * height + 4 * e.raw.numel() for e in explanations)


def _size_of_maps(results: list[MapResult]) -> int:
    return sum(result.size for result in results)


def _size_of_metric_inputs(metric_inputs: MetricInputs) -> int:
    """Estimate the bytes: the inputs, and three times as much for what is derived from them."""
    return 4 * metric_inputs.inputs.nbytes


def _size_of_activations(activations: Activations) -> int:
    return 4 * activations.maps.numel() + 3 * activations.image.width * activations.image.height


def _size_of_scan(scan: Scan) -> int:
    return scan.top_images.nbytes + 64 * len(scan.indices)
