"""Saliency methods, one a file. Importing this package fills the registry, in the order of the list below."""

from camlucida.methods.registry import Method, find, methods

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

__all__ = [
    "Method",
    "ablation_cam",
    "cam",
    "eigen_cam",
    "find",
    "grad_cam",
    "grad_cam_plusplus",
    "gradient",
    "hires_cam",
    "layer_cam",
    "methods",
    "xgrad_cam",
]
