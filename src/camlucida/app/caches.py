"""What the page keeps for a while, so that the same question does not run the network again; all of it bounded."""

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
    """What looking through pictures of the data set found for all channels of a layer.

    indices   of the samples that were looked at, in that order
    missed    how many samples the data set itself could not make
    """

    found: ChannelTopImages
    indices: tuple[int, ...]
    missed: int


@dataclass(eq=False)
class Memory:
    """One cache a kind of thing, each with its own room in bytes.

    answers       as they were sent
    explanations  with their pictures, to be drawn or saved as they were shown
    maps          of single methods, which several comparisons may need
    evidence      of maps that are being painted over or turned: every stroke asks about the same one
    channels      of layers, so that paging through them does not run the network again
    scans         the strongest pictures of all channels, so that the next channel needs no look at them
    """

    answers: Cache[bytes] = field(default_factory=lambda: Cache(64 * MB))
    explanations: Cache[ExplanationSet] = field(default_factory=lambda: Cache(128 * MB, _of_explanations))
    maps: Cache[list[Found]] = field(default_factory=lambda: Cache(64 * MB, _of_maps))
    evidence: Cache[MetricInputs] = field(default_factory=lambda: Cache(32 * MB, _of_evidence))
    channels: Cache[Activations] = field(default_factory=lambda: Cache(64 * MB, _of_channels))
    scans: Cache[Scan] = field(default_factory=lambda: Cache(192 * MB, _of_scan))


def _of_explanations(made: ExplanationSet) -> int:
    """The picture and what is drawn from it, a map landed on it and its heat; all of one picture share it."""
    width, height = made.items[0].image.size
    return 3 * width * height + sum(8 * width * height + 4 * e.raw.numel() for e in made)


def _of_maps(found: list[Found]) -> int:
    return sum(one.size for one in found)


def _of_evidence(one: MetricInputs) -> int:
    """About: the inputs, and as much again for what is derived from them."""
    return 4 * one.inputs.nbytes


def _of_channels(kept: Activations) -> int:
    return 4 * kept.maps.numel() + 3 * kept.image.width * kept.image.height


def _of_scan(scan: Scan) -> int:
    return scan.found.nbytes + 64 * len(scan.indices)
