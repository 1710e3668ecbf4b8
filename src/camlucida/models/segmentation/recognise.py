"""Make a model of a segmentation network, and recognise the networks of the usual libraries."""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from camlucida.errors import ModelError
from camlucida.models.model import Model
from camlucida.models.segmentation.pixel_scores import Key, whole_image_scores
from camlucida.models.segmentation.targets import SegmentationTargets, background_index

SEGMENTATION, MULTILABEL_SEGMENTATION = "segmentation", "multilabel-segmentation"
"""The values of `task` in `wrap` and `load` for a segmentation network: the classes of a pixel exclude each other (the
class with the highest score), or do not (a sigmoid per class).
"""
_MODULES = (
    "torchvision.models.segmentation.",
    "segmentation_models_pytorch.",
    "camlucida.models.toybox_segmenter",
)
_MONAI = frozenset({
    "UNet", "BasicUNet", "BasicUNetPlusPlus", "AttentionUnet", "DynUNet", "SegResNet", "SegResNetVAE", "UNETR",
    "SwinUNETR", "VNet", "FlexibleUNet", "FlexUNet", "HighResNet", "DiNTS", "SegResNetDS",
})  # fmt: skip


def is_segmentation_network(network: nn.Module) -> bool:
    """Return whether a network is of a class that segments images, in torchvision, transformers, smp or MONAI.

    That its output is class scores per pixel is checked on the first image, see `check.check_dense`.
    """
    for cls in type(network).__mro__:
        module = f"{cls.__module__}."
        if module.startswith("torch.nn."):
            return False
        if module.startswith(_MODULES) and (
            not module.startswith("segmentation_models_pytorch.") or hasattr(network, "segmentation_head")
        ):
            return True
        if module.startswith("transformers.") and cls.__name__.endswith("ForSemanticSegmentation"):
            return True
        if module.startswith("monai.networks.nets.") and cls.__name__ in _MONAI:
            return not any(isinstance(child, nn.Conv3d) for child in network.modules())
    return False


def as_segmentation(model: Model, output: object = None, *, multilabel: bool = False) -> Model:
    """Return a model whose targets are the regions of an image.

    Its own class scores, of the target "bus" and in evaluations, are those of `WholeImageScores`.

    Args:
        model: The model of the network.
        output: The part of the output that holds the class scores per pixel: a key or an index; None to find it.
        multilabel: Whether the classes of a pixel do not exclude each other: a sigmoid per class.

    Raises:
        ModelError: The output is a callable.
    """
    if output is not None and (isinstance(output, bool) or not isinstance(output, str | int)):
        raise ModelError(
            "for task='segmentation', output is the key or the index of the class scores per pixel, not a callable. "
            "Return them from a module around the network."
        )
    key: Key = output
    whole = whole_image_scores(background_index(model.labels), key, None)
    targets = SegmentationTargets(key, is_segmentation_network(model.network), is_multilabel=multilabel)
    return replace(model, output=whole, image_targets=targets, task="multilabel" if multilabel else model.task)


def model_of(network: nn.Module) -> Model:
    """Return the model of a bare network, with regions as targets if it is a known segmentation network."""
    model = Model(network)
    return as_segmentation(model) if is_segmentation_network(model.network) else model
