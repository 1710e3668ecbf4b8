"""What is measured about a map, one measure a file. Importing this package fills the registry, in the order below."""

from camlucida.metrics.registry import Metric, Preset, Score, Value, find, groups, metric, metrics, preset, presets

# isort: off
from camlucida.metrics.energy import energy

# isort: on
__all__ = [
    "Metric",
    "Preset",
    "Score",
    "Value",
    "energy",
    "find",
    "groups",
    "metric",
    "metrics",
    "preset",
    "presets",
]
