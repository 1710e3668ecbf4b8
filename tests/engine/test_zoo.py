"""Is all of it exact on the networks people use?

Random weights, seeded, as if trained a little: batch statistics and gains are perturbed, zero heads filled. In
float64, so that rounding hides nothing. Networks with many parameters have fewer channels here, and the same modules
under the same names. For every network: the default layer by name; the copy's output; gradients
against autograd and reruns against a hook in the network itself, at the default, in the middle and inside a block.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import swin_transformer as swin
from torchvision.models.convnext import CNBlockConfig

from camlucida.engine import LayerTrace, copy_of, default_layer, nested, resolve, trace
from camlucida.methods import find


@dataclass(frozen=True)
class Net:
    """One network: how it is made, at which size, and the layers to look at; the first is the default.

    narrow   makes the network with fewer channels, where its named constructor cannot
    """

    name: str
    default: str
    middle: str
    inside: str
    size: int = 64
    options: dict[str, Any] = field(default_factory=dict)
    narrow: Callable[[], nn.Module] | None = None

    def make(self) -> nn.Module:
        library, _, name = self.name.partition(":")
        if self.narrow is not None:
            network = self.narrow()
        elif library == "torchvision":
            network = torchvision.models.get_model(name, weights=None, num_classes=10, **self.options)
        else:
            timm = pytest.importorskip("timm")
            network = timm.create_model(name, pretrained=False, num_classes=10, **self.options)
        return with_statistics(network).double().eval()


def with_statistics(network: nn.Module) -> nn.Module:
    """Nothing at its start value: no gain of one or zero, no empty statistics, no head of zeros."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        for parameter in network.parameters():
            if parameter.ndim < 2:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
            elif not parameter.any():
                parameter.normal_(0, 0.1)
    return network


def narrow_vgg() -> nn.Module:
    with torch.device("meta"):  # its linear layers have 120 million weights
        network = torchvision.models.vgg16(num_classes=10)
    network.features.to_empty(device="cpu")
    for module in network.features:
        if isinstance(module, nn.Conv2d):
            module.reset_parameters()
    for place, (inputs, outputs) in {0: (512 * 49, 64), 3: (64, 64), 6: (64, 10)}.items():
        network.classifier[place] = nn.Linear(inputs, outputs)
    return network


def narrow_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(64, 16, 12, 12, 96, 384, num_classes=10)


def narrow_swin(version: int) -> nn.Module:
    own: dict[str, Any] = (
        {} if version == 1 else {"block": swin.SwinTransformerBlockV2, "downsample_layer": swin.PatchMergingV2}
    )
    window = 7 if version == 1 else 8
    return torchvision.models.SwinTransformer(
        [4, 4], 24, [2, 2, 6, 2], [3, 6, 12, 24], [window, window], num_classes=10, **own
    )


def narrow_convnext() -> nn.Module:
    stages = [
        CNBlockConfig(24, 48, 3),
        CNBlockConfig(48, 96, 3),
        CNBlockConfig(96, 192, 9),
        CNBlockConfig(192, None, 3),
    ]
    return torchvision.models.ConvNeXt(stages, 0.1, num_classes=10)


def narrow_maxvit() -> nn.Module:
    return torchvision.models.MaxVit((64, 64), 16, 2, [16, 32, 64, 128], [2, 2, 5, 2], 8, 0.2, num_classes=10)


TORCHVISION = [
    Net("resnet18", "layer4", "layer2", "layer4.0.bn1"),
    Net("resnet50", "layer4", "layer3", "layer4.1.bn2"),
    Net("vgg16", "features.29", "features.15", "features.28", narrow=narrow_vgg),
    Net("alexnet", "features.11", "features.7", "features.10"),
    Net("densenet121", "features", "features.denseblock3", "features.denseblock4.denselayer8.norm2"),
    Net("googlenet", "inception5b", "inception4c", "inception5a.branch2.1.bn", options={"init_weights": False}),
    Net("inception_v3", "Mixed_7c", "Mixed_6c", "Mixed_7b.branch3x3_1.bn", 139, {"init_weights": False}),
    Net("mobilenet_v2", "features", "features.7", "features.14.conv.1"),
    Net("mobilenet_v3_large", "features", "features.8", "features.12.block.1.0"),
    Net("efficientnet_b0", "features", "features.4", "features.6.1.block.1.0"),
    Net("convnext_tiny", "features", "features.3", "features.5.4.block.2", narrow=narrow_convnext),
    Net(
        "vit_b_16",
        "encoder.layers.encoder_layer_11.ln_1",
        "encoder.layers.encoder_layer_6",
        "encoder.layers.encoder_layer_10.ln_2",
        narrow=narrow_vit,
    ),
    Net("swin_t", "norm", "features.3", "features.5.2.norm2", 112, narrow=lambda: narrow_swin(1)),
    Net("swin_v2_t", "norm", "features.3", "features.5.3.mlp", 96, narrow=lambda: narrow_swin(2)),
    Net("regnet_y_400mf", "trunk_output", "trunk_output.block2", "trunk_output.block4.block4-1.f.b"),
    Net("shufflenet_v2_x1_0", "conv5", "stage3", "stage4.1.branch2.1"),
    Net("squeezenet1_1", "features", "features.7", "features.10.expand3x3"),
    Net("mnasnet1_0", "layers", "layers.9", "layers.12.1.layers.4"),
    Net("maxvit_t", "blocks.3", "blocks.1", "blocks.2.layers.1.layers.MBconv", narrow=narrow_maxvit),
]


def narrow_mixer() -> nn.Module:
    mixer = pytest.importorskip("timm.models.mlp_mixer")
    network: nn.Module = mixer.MlpMixer(num_classes=10, img_size=96, patch_size=32, num_blocks=8, embed_dim=128)
    return network


QUARTER_NFNET = {"channels": (64, 128, 384, 384), "stem_chs": 32, "group_size": 32, "num_features": 768}

TIMM = [
    Net("deit_tiny_patch16_224", "blocks.11.norm1", "blocks.5", "blocks.10.mlp.fc1", options={"img_size": 64}),
    Net("efficientnetv2_rw_t", "bn2", "blocks.3", "blocks.4.1.bn2"),
    Net(
        "swin_tiny_patch4_window7_224",
        "norm",
        "layers.1",
        "layers.0.blocks.1.attn.proj",
        112,
        {"img_size": 112, "embed_dim": 24},
    ),
    Net("convnextv2_atto", "stages", "stages.1", "stages.2.blocks.3.mlp"),
    Net("mobilenetv4_conv_small", "blocks", "blocks.2", "blocks.3.1.pw_exp"),
    Net("eva02_tiny_patch14_224", "blocks.11", "blocks.6", "blocks.10.norm2", 56, {"img_size": 56}),
    Net("resnext26ts", "stages", "stages.1", "stages.3.0.conv1_1x1"),
    Net("nfnet_f0", "final_conv", "stages.1", "stages.3.1.conv2", options=QUARTER_NFNET),
    Net("levit_128s", "stages.1.downsample.attn_downsample.q", "stages.1", "stages.2.blocks.1.mlp", 224),
    Net("xcit_nano_12_p16_224", "cls_attn_blocks.1.norm1", "blocks.5", "blocks.10.norm2"),
    Net("mixer_s32_224", "norm", "blocks.3", "blocks.6.mlp_channels", 96, narrow=narrow_mixer),
    Net("mobilevit_xxs", "final_conv", "stages.2", "stages.3.1.conv_kxk"),
    Net("vit_base_patch16_siglip_224", "norm", "blocks.5", "blocks.10.mlp", options={"img_size": 64, "embed_dim": 192}),
    Net(
        "vit_small_patch14_reg4_dinov2",
        "blocks.11.norm1",
        "blocks.5",
        "blocks.10.norm2",
        56,
        {"img_size": 56, "embed_dim": 96},
    ),
]


def _named(library: str, nets: list[Net]) -> list[Any]:
    return [
        pytest.param(Net(f"{library}:{n.name}", n.default, n.middle, n.inside, n.size, n.options, n.narrow), id=n.name)
        for n in nets
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:timm")
@pytest.mark.parametrize("net", _named("torchvision", TORCHVISION) + _named("timm", TIMM))
def test_exact(net: Net, close: Callable[..., None]) -> None:
    network = net.make()
    images = torch.randn(1, 3, net.size, net.size, dtype=torch.float64)
    check(network, images, (net.default, net.middle, net.inside), close, lambda output: output)
    del network
    gc.collect()


def check(
    network: nn.Module,
    images: Tensor,
    names: tuple[str, ...],
    close: Callable[..., None],
    scores: Callable[[Any], Tensor],
) -> None:
    copied = copy_of(network)
    assert default_layer(copied, images).name == names[0]
    run = trace(copied, images, resolve(copied, images, names), gradients=True, rerun=True)
    output, activations, expected = by_autograd(network, images, names, scores)
    close(scores(run.output).detach(), output)
    gradients = run.gradients(scores(run.output)[:, 3][None])
    for result, (gradient,), name in zip(run.layers, gradients, names, strict=True):
        close(result.activations, result.layout.to_grid(activations[name]))
        close(gradient, result.layout.to_grid(expected[name]))
        grid = result.activations[0]
        variants = torch.stack([grid * torch.rand_like(grid), torch.randn_like(grid) * grid.std()])
        again, rerun = scores(run.rerun(result, variants, 0)), scores(by_hook(network, images, result, variants))
        close(again, rerun)
        close(again[0] - again[1], rerun[0] - rerun[1])  # what the layer does, however small beside the output
        saliency = find("grad_cam")(result.activations, gradient)
        assert saliency.isfinite().all()
        assert saliency.shape == (1, *result.layout.grid)


def by_autograd(
    network: nn.Module, images: Tensor, names: tuple[str, ...], scores: Callable[[Any], Tensor]
) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The output, and activation and gradient of the last call of every layer, by plain autograd."""
    network.requires_grad_(False)
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            old = first_tensor(output)
            kept[name] = old.clone() if old.requires_grad else old.clone().requires_grad_()
            return nested.replace_tensor(output, old, kept[name].clone())

        return hook

    handles = [network.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        output = scores(network(images))
        gradients = torch.autograd.grad(output[:, 3].sum(), [kept[name] for name in names])
    finally:
        for handle in handles:
            handle.remove()
    activations = {name: tensor.detach() for name, tensor in kept.items()}
    return output.detach(), activations, dict(zip(names, gradients, strict=True))


def by_hook(network: nn.Module, images: Tensor, found: LayerTrace, variants: Tensor) -> Any:
    """The network's output with the layer's exchanged, all of it run."""

    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        old = first_tensor(output)
        return nested.replace_tensor(output, old, found.layout.from_grid(variants, old))

    handle = network.get_submodule(found.layer.name).register_forward_hook(hook)
    try:
        with torch.no_grad():
            return network(images.expand(len(variants), -1, -1, -1))
    finally:
        handle.remove()


def first_tensor(output: Any) -> Tensor:
    return next(t for _, t in nested.tensors(output) if t.ndim >= 3)


# --- transformers: outputs are objects ----------------------------------------------------------------------

SMALL = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
STAGES = {"hidden_sizes": [8, 12, 16, 20], "depths": [1, 1, 2, 1]}

TRANSFORMERS: dict[str, tuple[int, dict[str, Any], tuple[str, str, str]]] = {
    "ViT": (
        32,
        SMALL | {"intermediate_size": 32},
        ("vit.layers.2.layernorm_before", "vit.layers.1", "vit.layers.1.mlp.fc1"),
    ),
    "Dinov2": (32, SMALL, ("dinov2", "dinov2.encoder.layer.1", "dinov2.encoder.layer.1.norm2")),
    "ResNet": (
        64,
        STAGES | {"embedding_size": 8, "layer_type": "basic"},
        ("resnet.encoder", "resnet.encoder.stages.1", "resnet.encoder.stages.2.layers.0.layer.1.normalization"),
    ),
    "ConvNext": (
        64,
        STAGES,
        ("convnext.encoder", "convnext.encoder.stages.1", "convnext.encoder.stages.2.layers.0.pwconv1"),
    ),
    "Swin": (
        56,
        {
            "image_size": 56,
            "patch_size": 4,
            "embed_dim": 8,
            "depths": [2, 2],
            "num_heads": [2, 2],
            "window_size": 7,
        },
        ("swin.layernorm", "swin.encoder.layers.0", "swin.encoder.layers.0.blocks.1.layernorm_after"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_exact_where_outputs_are_objects(name: str, close: Callable[..., None]) -> None:
    transformers = pytest.importorskip("transformers")
    size, options, layers = TRANSFORMERS[name]
    configuration = getattr(transformers, f"{name}Config")(num_labels=10, **options)
    network = getattr(transformers, f"{name}ForImageClassification")(configuration)
    images = torch.randn(1, 3, size, size, dtype=torch.float64)
    check(with_statistics(network).double().eval(), images, layers, close, lambda output: output.logits)
