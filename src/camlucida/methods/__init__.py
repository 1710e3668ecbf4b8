"""Saliency methods, one a file. Importing this package fills the registry, in the order of the list below."""

from camlucida.methods.combined import Combinator, Combined, combinators
from camlucida.methods.expression import find
from camlucida.methods.registry import Method, methods

# isort: off
from camlucida.methods.cam import cam
from camlucida.methods.grad_cam import grad_cam
from camlucida.methods.grad_cam_plusplus import grad_cam_plusplus
from camlucida.methods.hires_cam import hires_cam
from camlucida.methods.layer_cam import layer_cam
from camlucida.methods.xgrad_cam import xgrad_cam
from camlucida.methods.eigen_cam import eigen_cam
from camlucida.methods.ablation_cam import ablation_cam
from camlucida.methods.gradient import gradient
# isort: on
from camlucida.methods.combining import (
    absolute,
    crops,
    flips,
    fuse_max,
    fuse_mean,
    negative,
    positive,
    refine,
    scales,
    smooth,
)

__all__ = [
    "Combinator",
    "Combined",
    "Method",
    "ablation_cam",
    "absolute",
    "cam",
    "combinators",
    "crops",
    "eigen_cam",
    "find",
    "flips",
    "fuse_max",
    "fuse_mean",
    "grad_cam",
    "grad_cam_plusplus",
    "gradient",
    "hires_cam",
    "layer_cam",
    "methods",
    "negative",
    "positive",
    "refine",
    "scales",
    "smooth",
    "xgrad_cam",
]
