"""Metrics of explanations, one metric per module.

Importing this package fills the registry, in the order of the imports below.
"""

from camlucida.metrics.registry import (
    DatasetReduction,
    Metric,
    MetricOutput,
    Preset,
    Score,
    find,
    groups,
    metric,
    metrics,
    preset,
    presets,
)

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
from camlucida.metrics.grid_pointing import grid_pointing
from camlucida.metrics.centre_offset import centre_offset
from camlucida.metrics.class_discrimination import class_discrimination
from camlucida.metrics.part_effect import part_effect
from camlucida.metrics.insertion import insertion
from camlucida.metrics.deletion import deletion
from camlucida.metrics.road import road
from camlucida.metrics.average_drop import average_drop
from camlucida.metrics.adcc import adcc
from camlucida.metrics.arcc import arcc
from camlucida.metrics.single_deletion import single_deletion
from camlucida.metrics.mu_fidelity import mu_fidelity
from camlucida.metrics.sensitivity_n import sensitivity_n
from camlucida.metrics.infidelity import infidelity
from camlucida.metrics.saco import saco
from camlucida.metrics.aopc import aopc
from camlucida.metrics.max_sensitivity import max_sensitivity
from camlucida.metrics.noise_stability import noise_stability
from camlucida.metrics.shift_stability import shift_stability
from camlucida.metrics.entropy import entropy
from camlucida.metrics.gini import gini
from camlucida.metrics.effective_area import effective_area

# isort: on
__all__ = [
    "Metric",
    "DatasetReduction",
    "Preset",
    "Score",
    "MetricOutput",
    "adcc",
    "aopc",
    "arcc",
    "auroc",
    "average_drop",
    "average_precision",
    "box_iou",
    "centre_offset",
    "class_discrimination",
    "deletion",
    "effective_area",
    "energy",
    "entropy",
    "find",
    "gini",
    "grid_pointing",
    "groups",
    "infidelity",
    "insertion",
    "localisation_error",
    "mask_iou",
    "max_box_acc",
    "max_box_acc_v2",
    "max_sensitivity",
    "metric",
    "metrics",
    "mu_fidelity",
    "noise_stability",
    "part_effect",
    "pointing",
    "pointing_recall",
    "preset",
    "presets",
    "pxap",
    "relevance_rank",
    "road",
    "saco",
    "sensitivity_n",
    "shift_stability",
    "single_deletion",
]
