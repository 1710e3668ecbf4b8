"""What is measured about a map, one measure a file. Importing this package fills the registry, in the order below."""

from camlucida.metrics.registry import Metric, Preset, Score, Value, find, groups, metric, metrics, preset, presets

# isort: off
from camlucida.metrics.energy import energy
from camlucida.metrics.pointing import pointing
from camlucida.metrics.pointing_recall import pointing_recall
from camlucida.metrics.box_iou import box_iou
from camlucida.metrics.mask_iou import mask_iou
from camlucida.metrics.localisation_error import localisation_error
from camlucida.metrics.max_box_acc import max_box_acc
from camlucida.metrics.max_box_acc_v2 import max_box_acc_v2
from camlucida.metrics.pxap import pxap
from camlucida.metrics.relevance_rank import relevance_rank
from camlucida.metrics.auroc import auroc
from camlucida.metrics.average_precision import average_precision

# isort: on
__all__ = [
    "Metric",
    "Preset",
    "Score",
    "Value",
    "auroc",
    "average_precision",
    "box_iou",
    "energy",
    "find",
    "groups",
    "localisation_error",
    "mask_iou",
    "max_box_acc",
    "max_box_acc_v2",
    "metric",
    "metrics",
    "pointing",
    "pointing_recall",
    "preset",
    "presets",
    "pxap",
    "relevance_rank",
]
