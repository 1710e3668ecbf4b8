"""Saliency methods, one per file. Importing this package fills the registry, in the order of the list below."""

from camlucida.methods.combinators.base import Combinator, Combined, combinators
from camlucida.methods.combinators.parser import find
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
from camlucida.methods.smooth_grad_cam_plusplus import smooth_grad_cam_plusplus
from camlucida.methods.score_cam import score_cam
from camlucida.methods.ss_cam import ss_cam
from camlucida.methods.is_cam import is_cam
from camlucida.methods.eigen_grad_cam import eigen_grad_cam
from camlucida.methods.grad_cam_elementwise import grad_cam_elementwise
from camlucida.methods.shapley_cam import shapley_cam
from camlucida.methods.relevance_cam import relevance_cam
from camlucida.methods.kpca_cam import kpca_cam
from camlucida.methods.fem import fem
from camlucida.methods.recipro_cam import recipro_cam
from camlucida.methods.finer_cam import finer_cam
from camlucida.methods.opti_cam import opti_cam
from camlucida.methods.random_cam import random_cam
from camlucida.methods.attention_rollout import attention_rollout
from camlucida.methods.attention_relevance import attention_relevance
from camlucida.methods.gradient import gradient
from camlucida.methods.input_x_gradient import input_x_gradient
from camlucida.methods.lrp import lrp
from camlucida.methods.smooth_grad import smooth_grad
from camlucida.methods.var_grad import var_grad
from camlucida.methods.integrated_gradients import integrated_gradients
from camlucida.methods.deep_lift import deep_lift
from camlucida.methods.full_grad import full_grad
from camlucida.methods.guided_backprop import guided_backprop
from camlucida.methods.deconvnet import deconvnet
from camlucida.methods.guided_grad_cam import guided_grad_cam
from camlucida.methods.occlusion import occlusion
from camlucida.methods.rise import rise
from camlucida.methods.extremal_perturbation import extremal_perturbation
from camlucida.methods.lime import lime
from camlucida.methods.kernel_shap import kernel_shap

# isort: on
from camlucida.methods.combinators.builtin import (
    absolute,
    contrast,
    crops,
    eigen_smooth,
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
    "attention_relevance",
    "attention_rollout",
    "smooth_grad_cam_plusplus",
    "score_cam",
    "ss_cam",
    "is_cam",
    "eigen_grad_cam",
    "grad_cam_elementwise",
    "shapley_cam",
    "relevance_cam",
    "kpca_cam",
    "fem",
    "recipro_cam",
    "random_cam",
    "cam",
    "combinators",
    "contrast",
    "crops",
    "eigen_smooth",
    "extremal_perturbation",
    "finer_cam",
    "opti_cam",
    "deconvnet",
    "deep_lift",
    "full_grad",
    "eigen_cam",
    "find",
    "flips",
    "fuse_max",
    "fuse_mean",
    "grad_cam",
    "grad_cam_plusplus",
    "gradient",
    "guided_backprop",
    "guided_grad_cam",
    "hires_cam",
    "input_x_gradient",
    "lrp",
    "integrated_gradients",
    "kernel_shap",
    "layer_cam",
    "lime",
    "methods",
    "occlusion",
    "rise",
    "negative",
    "positive",
    "refine",
    "scales",
    "smooth",
    "smooth_grad",
    "var_grad",
    "xgrad_cam",
]
