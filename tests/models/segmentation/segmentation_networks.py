"""Small segmentation networks of every family, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

SIZE = 64


class TinyUNet(nn.Module):
    """A network of the user's own: logits `(b, k, h, w)` at half of the input's resolution."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.up = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU())
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.up(self.down(x)))


def _torchvision(name: str) -> nn.Module:
    import torchvision.models.segmentation as zoo

    return getattr(zoo, name)(weights=None, weights_backbone=None, num_classes=4)


def _segformer() -> nn.Module:
    import transformers

    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 16, 32], decoder_hidden_size=16, num_attention_heads=[1, 1, 2, 2],
        num_labels=4,
    )  # fmt: skip
    return transformers.SegformerForSemanticSegmentation(config)


def _smp(name: str, **options: object) -> nn.Module:
    import segmentation_models_pytorch as smp

    return getattr(smp, name)("resnet18", encoder_weights=None, classes=4, **options)


def _monai() -> nn.Module:
    from monai.networks.nets import UNet

    return UNet(spatial_dims=2, in_channels=3, out_channels=4, channels=(8, 16, 32), strides=(2, 2), norm="batch")


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "deeplabv3_mobilenet_v3_large": lambda: _torchvision("deeplabv3_mobilenet_v3_large"),
    "fcn_resnet50": lambda: _torchvision("fcn_resnet50"),
    "lraspp_mobilenet_v3_large": lambda: _torchvision("lraspp_mobilenet_v3_large"),
    "segformer": _segformer,
    "smp_unet": lambda: _smp("Unet"),
    "smp_fpn": lambda: _smp("FPN"),
    "monai_unet": _monai,
}


def build(name: str) -> nn.Module:
    """Return a network in eval mode, the same on every call, whose class scores vary over the image."""
    torch.manual_seed(3)
    return FAMILIES[name]().eval()


def dense(output: object) -> Tensor:
    """Return the class scores per pixel of an output, by hand."""
    if isinstance(output, Tensor):
        return output
    return output["out"] if "out" in output else output["logits"]  # type: ignore[operator,index]
