"""Architectures of the built-in networks: small examples of commonly explained families.

Network inputs are `(b, 3, 96, 96)`, normalised; outputs are logits `(b, k)`. Layer names follow torchvision and timm.
Strided convolutions have even kernels, so that cell (i, j) of a feature grid is centred on the square of the image that
it corresponds to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError, nearest
from camlucida.models.toybox_segmenter import ToyUNet

N_CLASSES = 10


class BasicBlock(nn.Module):
    """Residual block of two convolutions and a shortcut; `stride` 2 halves the grid."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        kernel = 4 if stride == 2 else 3
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or in_channels != out_channels:
            smaller = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
            project = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            self.downsample = nn.Sequential(smaller, project, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """Return `(b, out_channels, h / stride, w / stride)` for `(b, in_channels, h, w)`."""
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += shortcut  # in place, as in torchvision, so that explanations are tested with it
        out: Tensor = self.relu(y)
        return out


class ToyResNet(nn.Module):
    """A residual network that ends in global average pooling and a linear layer; layer4 returns `(b, 128, 12, 12)`."""

    def __init__(self, classes: int = N_CLASSES, widths: tuple[int, int, int, int] = (24, 48, 72, 128)) -> None:
        super().__init__()
        width1, width2, width3, width4 = widths
        self.conv1 = nn.Conv2d(3, width1, 4, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width1)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = nn.Sequential(BasicBlock(width1, width1, 1))
        self.layer2 = nn.Sequential(BasicBlock(width1, width2, 2))
        self.layer3 = nn.Sequential(BasicBlock(width2, width3, 1))
        self.layer4 = nn.Sequential(BasicBlock(width3, width4, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(width4, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(b, k)` of network inputs `(b, 3, h, w)`."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        out: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return out


class ToyVGG(nn.Module):
    """Convolutions followed by linear layers on the flattened grid; without a global average, CAM is not applicable."""

    def __init__(self, classes: int = N_CLASSES, hidden: int = 96) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        in_channels = 3
        for out_channels in (16, "M", 32, "M", 64, "M", 96, 96, "M"):
            if isinstance(out_channels, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False), nn.BatchNorm2d(out_channels)]
            layers.append(nn.ReLU(inplace=True))
            in_channels = out_channels
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(in_channels * 6 * 6, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(0.3),
            nn.Linear(hidden, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(b, k)` of network inputs `(b, 3, 96, 96)`."""
        out: Tensor = self.classifier(torch.flatten(self.features(x), 1))
        return out


class PatchEmbed(nn.Module):
    """Embedding of the patches of an image, one token per patch."""

    def __init__(self, patch: int, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens `(b, t, dim)` of `(b, 3, h, w)`, in row-major order."""
        out: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return out


class Attention(nn.Module):
    """Multi-head self-attention with an explicit softmax module, so that hooks can read its weights."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.softmax = nn.Softmax(dim=-1)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(b, t, dim)` for `(b, t, dim)`. The module `softmax` outputs the weights `(b, heads, t, t)`."""
        b, t, dim = x.shape
        q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        weights = self.softmax(q @ k.transpose(-2, -1) * self.scale)
        out: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(b, t, dim))
        return out


class Mlp(nn.Module):
    """Two linear layers applied to each token."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(b, t, dim)` for `(b, t, dim)`."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Block(nn.Module):
    """Pre-norm transformer block: attention and MLP, each with a residual connection."""

    def __init__(self, dim: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, ratio * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(b, t, dim)` for `(b, t, dim)`."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class ToyViT(nn.Module):
    """A vision transformer with 12 x 12 patches of 8 pixels and a class token; names follow timm."""

    def __init__(self, classes: int = N_CLASSES, dim: int = 96, depth: int = 6, heads: int = 3, ratio: int = 3) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(8, dim)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, 12 * 12 + 1, dim) * 0.02)
        self.blocks = nn.Sequential(*(Block(dim, heads, ratio) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(b, k)` of network inputs `(b, 3, 96, 96)`, computed from the class token."""
        x = self.patch_embed(x)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embed
        out: Tensor = self.head(self.norm(self.blocks(x))[:, 0])
        return out


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet": ToyResNet,
    "vgg": ToyVGG,
    "vit": ToyViT,
    "cleverhans": ToyResNet,
    "permuted": ToyResNet,
    "segmenter": ToyUNet,
}
"""Architecture of each network by name. cleverhans and permuted differ from resnet in their training data only."""


def build(name: str) -> nn.Module:
    """Return the untrained network of that name."""
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ModelError(f"Unknown built-in network {name!r}.{nearest(name, ARCHITECTURES)} Known: {known}.")
    return ARCHITECTURES[name]()
