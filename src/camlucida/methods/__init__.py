"""Saliency methods, one a file. Importing this package fills the registry, in the order of the list below."""

from camlucida.methods.registry import Method, find, methods

# isort: off
from camlucida.methods import cam
from camlucida.methods import grad_cam
from camlucida.methods import grad_cam_plusplus
from camlucida.methods import hires_cam
from camlucida.methods import layer_cam
from camlucida.methods import xgrad_cam
from camlucida.methods import eigen_cam
from camlucida.methods import ablation_cam
# isort: on

__all__ = [
    "Method",
    "ablation_cam",
    "cam",
    "eigen_cam",
    "find",
    "grad_cam",
    "grad_cam_plusplus",
    "hires_cam",
    "layer_cam",
    "methods",
    "xgrad_cam",
]
