"""Write docs/architectures.md: what the checks of `engine` say about many architectures, on random weights.

    python docs/architectures.py [--only swin] [--print]

For every architecture: the default layer and its grid, how the grid was verified (by the convolutions that made it, or
by a moving patch of noise), the influence of its positions on the class scores, whether Grad-CAM equals autograd by
hand, and whether all bytes of the network are unmodified. Needs torchvision, timm, transformers and, with
KERAS_BACKEND=torch, keras; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import camlucida as cl
from camlucida.attribution.output_reader import output_reader
from camlucida.attribution.outputs import class_scores
from camlucida.engine import copy_of, default_layer, profile_calls, resolve
from camlucida.engine.call_profile import CallProfile, main_tensor
from camlucida.engine.influence import find_influences
from camlucida.engine.layer_checks import Influence
from camlucida.engine.layers import Layer
from camlucida.errors import CamlucidaError

PAGE = Path(__file__).with_name("architectures.md")

TORCHVISION = """
alexnet vgg16_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121 inception_v3 googlenet
squeezenet1_1 mobilenet_v2 mobilenet_v3_large mnasnet1_0 shufflenet_v2_x1_0 efficientnet_b0 efficientnet_v2_s
regnet_y_400mf convnext_tiny vit_b_32 swin_t swin_v2_t maxvit_t
"""

TIMM = """
resnet26d resnetv2_50 seresnet50 ecaresnet26t res2net50_26w_4s resnest14d nfnet_f0 hrnet_w18_small dla34
vovnet39a cspresnet50 dpn68 xception41 repvgg_a0 mobilenetv4_conv_small ghostnet_100 fbnetv3_b rexnet_100
hardcorenas_a efficientnetv2_rw_t tinynet_e lcnet_050 convnextv2_atto convmixer_768_32 inception_next_tiny
vit_tiny_patch16_224 vit_small_patch14_reg4_dinov2 deit_tiny_distilled_patch16_224 deit3_small_patch16_224
beit_base_patch16_224 eva02_tiny_patch14_224 vit_base_patch16_siglip_224 cait_xxs24_224 xcit_nano_12_p16_224
crossvit_9_240 levit_128s hiera_tiny_224 mvitv2_tiny pvt_v2_b0 twins_svt_small coat_lite_tiny convit_tiny
swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 davit_tiny focalnet_tiny_srf poolformer_s12 caformer_s18
mixer_s32_224 resmlp_12_224 gmlp_s16_224 mobilevit_xxs mobilevitv2_050 efficientformer_l1 fastvit_t8
edgenext_xx_small visformer_tiny nest_tiny tnt_s_patch16_224 volo_d1_224 sequencer2d_s gcvit_xxtiny
maxvit_rmlp_pico_rw_256 coatnet_pico_rw_224 tiny_vit_5m_224 repvit_m0_9
"""

KERAS = """
VGG16 ResNet50 ResNet50V2 DenseNet121 InceptionV3 Xception MobileNet MobileNetV2 MobileNetV3Small EfficientNetB0
EfficientNetV2B0 InceptionResNetV2 ConvNeXtTiny
"""

VIDEO = "r3d_18 mc3_18 r2plus1d_18"
"""Classifiers of videos in torchvision, whose maps are volumes."""

DETECTORS = """
fasterrcnn_resnet50_fpn fasterrcnn_mobilenet_v3_large_320_fpn retinanet_resnet50_fpn fcos_resnet50_fpn ssd300_vgg16
ssdlite320_mobilenet_v3_large
"""
"""Detectors of torchvision."""

YOLO = "yolov8n yolov10n yolo11n yolo26n"
SEGMENTATION = "deeplabv3_resnet50 deeplabv3_mobilenet_v3_large fcn_resnet50 lraspp_mobilenet_v3_large"
SMP = "Unet FPN DeepLabV3Plus"
"""Segmentation networks of torchvision, and of segmentation_models_pytorch."""

N_CLASSES = 7


@dataclass(frozen=True)
class Architecture:
    """An architecture of a library.

    Attributes:
        name: Its name, `library:name`.
        make: Builds it with random weights.
        size: Size of its input without channels: (height, width), or (frames, height, width), in pixels.
        layer: The layer that `load` gives the model as its default; empty to choose it automatically.
    """

    name: str
    make: Callable[[], nn.Module]
    size: tuple[int, ...]
    layer: str = ""


@dataclass(frozen=True)
class Row:
    """A row of the table; `reason` says why a cell is ✗."""

    name: str
    layer: str = "✗"
    grid: str = "✗"
    geometry: str = "✗"
    influence: str = "✗"
    equal: str = "✗"
    unmodified: str = "✗"
    reason: str = ""


def architectures() -> Iterator[Architecture]:
    """Yield all architectures, in the order of the table."""
    import timm
    import torchvision

    for name in TORCHVISION.split():
        options: dict[str, Any] = {"weights": None, "num_classes": N_CLASSES}
        if name in ("inception_v3", "googlenet"):
            options |= {"init_weights": False}
        size = 299 if name == "inception_v3" else 224
        yield Architecture(
            f"torchvision:{name}", lambda n=name, o=options: torchvision.models.get_model(n, **o), (size, size)
        )
    for name in TIMM.split():
        height, width = timm.get_pretrained_cfg(name).input_size[-2:]  # type: ignore[union-attr]
        if name == "vit_small_patch14_reg4_dinov2":  # 518 px would take a minute
            options, height, width = {"img_size": 224}, 224, 224
        else:
            options = {}
        yield Architecture(
            f"timm:{name}",
            lambda n=name, o=options: timm.create_model(n, pretrained=False, num_classes=N_CLASSES, **o),
            (height, width),
        )
    yield from _transformers()
    yield from _image_text()
    yield from _segmentation()
    yield from _text_networks()
    for name in VIDEO.split():
        yield Architecture(
            f"torchvision.video:{name}",
            lambda n=name: torchvision.models.get_model(n, weights=None, num_classes=N_CLASSES),
            (8, 112, 112),
        )
    for name in KERAS.split():
        side = {"InceptionV3": 299, "InceptionResNetV2": 299, "Xception": 299}.get(name, 224)
        yield Architecture(f"keras:{name}", lambda n=name, s=side: _keras_application(n, s), (side, side))

    yield from _detectors()


def _detectors() -> Iterator[Architecture]:
    """Yield detectors, explained by the class scores of the whole image: the maximum over their candidates."""
    import torchvision
    import transformers as hf

    for name in DETECTORS.split():
        options: dict[str, Any] = {"weights": None, "weights_backbone": None, "num_classes": N_CLASSES}
        side = 320 if "320" in name or "300" in name else 224
        yield Architecture(
            f"torchvision.detection:{name}",
            lambda n=name, o=options: torchvision.models.get_model(n, **o),
            (side, side),
        )
    resnet = hf.ResNetConfig(depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"])
    last = hf.ResNetConfig(depths=[1, 1, 1, 1], out_features=["stage4"])
    rt_detr_resnet = hf.RTDetrResNetConfig(depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"])
    tokens = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "out_indices": [2, 4]}
    lw_detr = hf.LwDetrViTConfig(
        image_size=224, pretrain_image_size=224, num_windows=4, window_block_indices=[0], **tokens
    )
    rf_detr = hf.RfDetrDinov2Config(image_size=224, patch_size=16, num_windows=2, **tokens)
    queries = {"decoder_layers": 2, "num_queries": 100}  # at most one for each of the 196 positions
    small = {"encoder_layers": 2, "decoder_layers": 2}
    yolos = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 192}
    configs: list[tuple[str, Any, Any]] = [
        ("DETR", hf.DetrConfig(backbone_config=last, **small), hf.DetrForObjectDetection),
        (
            "conditional DETR",
            hf.ConditionalDetrConfig(backbone_config=last, **small),
            hf.ConditionalDetrForObjectDetection,
        ),
        (
            "deformable DETR",
            hf.DeformableDetrConfig(backbone_config=resnet, **small),
            hf.DeformableDetrForObjectDetection,
        ),
        ("DAB DETR", hf.DabDetrConfig(backbone_config=last, **small), hf.DabDetrForObjectDetection),
        (
            "Table Transformer",
            hf.TableTransformerConfig(backbone_config=last, **small),
            hf.TableTransformerForObjectDetection,
        ),
        ("RT-DETR", hf.RTDetrConfig(backbone_config=rt_detr_resnet, decoder_layers=2), hf.RTDetrForObjectDetection),
        (
            "RT-DETR v2",
            hf.RTDetrV2Config(backbone_config=rt_detr_resnet, decoder_layers=2),
            hf.RTDetrV2ForObjectDetection,
        ),
        ("D-FINE", hf.DFineConfig(backbone_config=rt_detr_resnet, decoder_layers=2), hf.DFineForObjectDetection),
        (
            "LW-DETR",
            hf.LwDetrConfig(backbone_config=lw_detr, projector_scale_factors=[1.0], **queries),
            hf.LwDetrForObjectDetection,
        ),
        ("RF-DETR", hf.RfDetrConfig(backbone_config=rf_detr, **queries), hf.RfDetrForObjectDetection),
        ("YOLOS", hf.YolosConfig(image_size=[224, 224], **yolos), hf.YolosForObjectDetection),
    ]
    for name, config, kind in configs:
        config.num_labels = N_CLASSES
        yield Architecture(f"transformers.detection:{name}", lambda k=kind, c=config: k(c), (224, 224))
    for name in YOLO.split():
        yield Architecture(f"ultralytics:{name}", lambda n=name: _yolo(n), (224, 224))


def _yolo(name: str) -> nn.Module:
    """Return a network of ultralytics; without a connection, and with its settings in a temporary folder."""
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp())
    from ultralytics.nn.tasks import DetectionModel

    network: nn.Module = DetectionModel(f"{name}.yaml", nc=N_CLASSES, verbose=False)
    return network


def _keras_application(name: str, side: int) -> nn.Module:
    """Return a network of keras.applications as the module that is explained."""
    import keras

    keras.utils.set_random_seed(0)
    make = getattr(keras.applications, name)
    model = make(weights=None, classes=N_CLASSES, input_shape=(side, side, 3), classifier_activation=None)
    return cl.wrap(model, mean=(0, 0, 0), std=(1, 1, 1)).network


def _transformers() -> Iterator[Architecture]:
    """Yield image classifiers of transformers, small ones by their configuration."""
    import transformers as hf

    size = {"image_size": 96}
    small = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 192}
    configs: list[tuple[str, Any, Any, int]] = [
        ("ViT", hf.ViTConfig(**size, **small), hf.ViTForImageClassification, 96),
        ("DeiT", hf.DeiTConfig(**size, **small), hf.DeiTForImageClassification, 96),
        ("BEiT", hf.BeitConfig(**size, **small), hf.BeitForImageClassification, 96),
        ("DINOv2", hf.Dinov2Config(image_size=98, **small), hf.Dinov2ForImageClassification, 98),
        (
            "DINOv2 with registers",
            hf.Dinov2WithRegistersConfig(image_size=98, **small),
            hf.Dinov2WithRegistersForImageClassification,
            98,
        ),
        ("SigLIP", hf.SiglipConfig(vision_config={**size, **small}), hf.SiglipForImageClassification, 96),
        ("CLIP", hf.CLIPConfig(vision_config={**size, **small}), hf.CLIPForImageClassification, 96),
        ("Data2Vec", hf.Data2VecVisionConfig(**size, **small), hf.Data2VecVisionForImageClassification, 96),
        ("I-JEPA", hf.IJepaConfig(**size, **small), hf.IJepaForImageClassification, 96),
        ("Swin", hf.SwinConfig(image_size=224, embed_dim=48, depths=[2, 2, 2, 2]), hf.SwinForImageClassification, 224),
        ("Swin v2", hf.Swinv2Config(image_size=256, embed_dim=48, window_size=8), hf.Swinv2ForImageClassification, 256),
        ("Hiera", hf.HieraConfig(embed_dim=48, depths=[1, 1, 2, 1]), hf.HieraForImageClassification, 224),
        ("LeViT", hf.LevitConfig(), hf.LevitForImageClassification, 224),
        ("ConvNeXt V2", hf.ConvNextV2Config(hidden_sizes=[24, 48, 96, 192]), hf.ConvNextV2ForImageClassification, 224),
        ("FocalNet", hf.FocalNetConfig(embed_dim=48), hf.FocalNetForImageClassification, 224),
        ("PVT", hf.PvtConfig(), hf.PvtForImageClassification, 224),
        ("ConvNeXt", hf.ConvNextConfig(hidden_sizes=[24, 48, 96, 192]), hf.ConvNextForImageClassification, 224),
        ("ResNet", hf.ResNetConfig(), hf.ResNetForImageClassification, 224),
        ("RegNet", hf.RegNetConfig(), hf.RegNetForImageClassification, 224),
        ("PVTv2", hf.PvtV2Config(), hf.PvtV2ForImageClassification, 224),
        ("SegFormer", hf.SegformerConfig(), hf.SegformerForImageClassification, 224),
        ("MobileViT", hf.MobileViTConfig(image_size=256), hf.MobileViTForImageClassification, 256),
        ("PoolFormer", hf.PoolFormerConfig(), hf.PoolFormerForImageClassification, 224),
    ]
    for name, config, kind, side in configs:
        config.num_labels = N_CLASSES
        yield Architecture(f"transformers:{name}", lambda k=kind, c=config: k(c), (side, side))


class PromptClassifier(nn.Module):
    """The image tower of an image-text network, and the scores of prompts, as one network."""

    def __init__(self, model: cl.Model) -> None:
        super().__init__()
        classes = model.with_prompts([f"a photo of {i}" for i in range(N_CLASSES)])
        assert callable(classes.output)
        self.image_tower, self.scores = classes.network, classes.output

    def forward(self, x: Tensor) -> Tensor:
        """Return the scores of the prompts `(b, k)`."""
        scores: Tensor = self.scores(self.image_tower(x))
        return scores


def _image_text() -> Iterator[Architecture]:
    """Yield CLIP and SigLIP with prompts as classes; of transformers with a vocabulary that is only numbers."""
    import open_clip
    import transformers as hf

    def of_open_clip(name: str) -> nn.Module:
        network = open_clip.create_model(name)
        return PromptClassifier(cl.wrap(network.eval(), tokenizer=open_clip.get_tokenizer(name)))

    def of_transformers(kind: Any, config: Any) -> nn.Module:
        def tokens(texts: list[str], **_: Any) -> dict[str, Tensor]:
            numbers = torch.tensor([[int(text.rpartition(" ")[2]) % 90 + 3, 2] for text in texts])
            return {"input_ids": numbers}

        return PromptClassifier(cl.wrap(kind(config).eval(), tokenizer=tokens, size=96))

    for name in ("ViT-B-32", "RN50"):
        yield Architecture(f"openclip:{name} with prompts", lambda n=name: of_open_clip(n), (224, 224))
    small = {"hidden_size": 96, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 192}
    vision = {**small, "image_size": 96}
    text = {**small, "vocab_size": 100, "max_position_embeddings": 8, "eos_token_id": 2, "bos_token_id": 1}
    configs: list[tuple[str, Any, Any]] = [
        ("CLIP", hf.CLIPModel, hf.CLIPConfig(text_config=text, vision_config=vision)),
        ("SigLIP", hf.SiglipModel, hf.SiglipConfig(text_config=text, vision_config=vision)),
    ]
    for name, kind, config in configs:
        yield Architecture(
            f"transformers:{name} with prompts", lambda k=kind, c=config: of_transformers(k, c), (96, 96)
        )


def _segmentation() -> Iterator[Architecture]:
    """Yield segmentation networks, whose class scores are those of the whole image."""
    import segmentation_models_pytorch as smp
    import torchvision.models.segmentation as zoo
    import transformers as hf

    for name in SEGMENTATION.split():
        yield Architecture(
            f"torchvision.segmentation:{name}",
            lambda n=name: getattr(zoo, n)(weights=None, weights_backbone=None, num_classes=N_CLASSES),
            (224, 224),
        )
    config = hf.SegformerConfig(num_labels=N_CLASSES)
    yield Architecture(
        "transformers:SegFormer (masks)", lambda: hf.SegformerForSemanticSegmentation(config), (224, 224)
    )
    for name in SMP.split():
        yield Architecture(
            f"smp:{name}",
            lambda n=name: getattr(smp, n)("resnet18", encoder_weights=None, classes=N_CLASSES),
            (224, 224),
        )
    yield Architecture("monai:UNet", _monai_unet, (96, 96))


def _monai_unet() -> nn.Module:
    from monai.networks.nets import UNet

    network: nn.Module = UNet(2, 3, N_CLASSES, channels=(8, 16, 32), strides=(2, 2), norm="batch")
    return network


class WithText(nn.Module):
    """A network of images and text with its text held, which returns the logits of the last token `(b, V)`."""

    def __init__(self, network: nn.Module, **held: Tensor) -> None:
        super().__init__()
        self.network = network
        self.held = held

    def forward(self, pixel_values: Tensor) -> Tensor:
        held = {name: value.expand(len(pixel_values), -1) for name, value in self.held.items()}
        logits: Tensor = self.network(pixel_values, **held)
        return logits if logits.ndim == 2 else logits[:, -1]


def _text_networks() -> Iterator[Architecture]:
    """Yield networks of transformers that write or answer about an image, small ones with random weights."""
    import transformers as hf

    from camlucida.models.captions.decoder_only import QwenVisionLanguageModel, VisionLanguageModel
    from camlucida.models.captions.encoder_decoder import BlipCaptioner, VisionEncoderDecoderCaptioner
    from camlucida.models.captions.question import ViltAnswers

    small = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 192}
    vision = {**small, "image_size": 96, "patch_size": 16}
    text = {**small, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    words = torch.tensor([[1, 7, 8, 9]])
    gpt2 = {"n_embd": 96, "n_layer": 2, "n_head": 3, "vocab_size": 50, "add_cross_attention": True, "is_decoder": True}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
    qwen_vision = {"depth": 2, "embed_dim": 96, "hidden_size": 96, "num_heads": 3, "patch_size": 8, "mlp_ratio": 2}
    llm = {**text, "num_key_value_heads": 3}

    def prompt(n: int) -> Tensor:
        return torch.tensor([[1, *[3] * n, 7, 8, 9]])

    def make(adapter: Callable[[Any], nn.Module], network: Any, ids: Tensor) -> nn.Module:
        for key, parameter in network.named_parameters():  # those of BLIP are so small that the image has no effect
            if parameter.ndim > 1:
                nn.init.normal_(parameter, 0, 0.3 if "patch_embed" in key else 0.08)
        adapted = adapter(network.eval())
        with torch.no_grad():
            adapted(torch.zeros(1, 3, 96, 96), ids)  # as `load` does, to count the tokens of the image
        return WithText(adapted, input_ids=ids)

    networks: list[tuple[str, Callable[[], nn.Module]]] = [
        (
            "BLIP, words",
            lambda: make(
                BlipCaptioner,
                hf.BlipForConditionalGeneration(
                    hf.BlipConfig(text_config={**text, "encoder_hidden_size": 96}, vision_config=vision)
                ),
                words,
            ),
        ),
        (
            "ViT and GPT-2, words",
            lambda: make(
                VisionEncoderDecoderCaptioner,
                hf.VisionEncoderDecoderModel(
                    config=hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(
                        hf.ViTConfig(**vision), hf.GPT2Config(**gpt2)
                    )
                ),
                words,
            ),
        ),
        (
            "ViLT, answers",
            lambda: make(
                ViltAnswers,
                hf.ViltForQuestionAnswering(hf.ViltConfig(**vision, vocab_size=50, num_labels=N_CLASSES)),
                words,
            ),
        ),
        (
            "LLaVA, words",
            lambda: make(
                VisionLanguageModel,
                hf.LlavaForConditionalGeneration(
                    hf.LlavaConfig(
                        vision_config=hf.CLIPVisionConfig(**vision),
                        text_config=hf.LlamaConfig(**llm),
                        image_token_id=3,
                    )
                ),
                prompt(36),
            ),
        ),
        (
            "Qwen2-VL, words",
            lambda: make(
                lambda network: QwenVisionLanguageModel(network, (96, 96)),
                hf.Qwen2VLForConditionalGeneration(
                    hf.Qwen2VLConfig(
                        text_config={**llm, "rope_parameters": rope},
                        vision_config=qwen_vision,
                        image_token_id=3,
                        video_token_id=49,
                    )
                ),
                prompt(36),
            ),
        ),
    ]
    for name, function in networks:
        layer = "network.image_tokens" if name.startswith(("LLaVA", "Qwen")) else ""
        yield Architecture(f"transformers:{name}", function, (96, 96), layer)


def row_of(architecture: Architecture) -> Row:
    """Return the row of an architecture."""
    torch.manual_seed(0)
    model = cl.wrap(architecture.make().eval())
    network = model.network
    images = torch.randn(2, 3, *architecture.size, generator=torch.Generator().manual_seed(0))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    copy = copy_of(network)
    try:
        read = output_reader(model, copy, images)
        named = architecture.layer or model.layer
        if named is None:
            layer = default_layer(copy, images, read)
        else:
            (layer,) = resolve(copy, images, [named], read)
            find_influences(
                copy, images, profile_calls(copy, images), [_position(profile_calls(copy, images), layer)], read
            )
        profile = profile_calls(copy, images)
        geometry, influence = _geometry(profile, layer), profile.influences_on(read)[_position(profile, layer)]
        error = _error(model, images, layer, profile)
    except CamlucidaError as problem:
        return Row(architecture.name, reason=str(problem))
    after = network.state_dict()
    is_unmodified = all(torch.equal(before[name], after[name]) for name in before) and before.keys() == after.keys()
    return Row(
        architecture.name,
        layer.label,
        "×".join(map(str, layer.grid or ())),
        geometry,
        "✓" if influence is Influence.POSITIONS else f"✗ {influence.value}",
        f"✓ {error:.0e}" if error < 1e-3 else f"✗ {error:.1e}",
        "✓" if is_unmodified else "✗",
    )


def _position(profile: CallProfile, layer: Layer) -> int:
    module_call = profile.find_call(layer.module, layer.call)
    assert module_call is not None
    return module_call.position


def _geometry(profile: CallProfile, layer: Layer) -> str:
    """Return how the grid of the layer was verified."""
    check = profile.checks.get(_position(profile, layer))
    if check is None:
        return "convolution"
    return f"{check.correlation:.3f}" if check.outcome == "verified" else f"✗ {check.outcome}"


def _error(model: cl.Model, images: Tensor, layer: Layer, profile: CallProfile) -> float:
    """Return the largest difference of Grad-CAM to autograd by hand, relative to the map's maximum."""
    network = model.network
    module = dict(network.named_modules())[layer.name.partition("#")[0]]
    layout = profile.module_calls[_position(profile, layer)].layout
    assert layout is not None
    outputs: list[Any] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        outputs.append(output)
        return output.clone() if isinstance(output, Tensor) else None  # the next operation may overwrite its input

    handle = module.register_forward_hook(keep)
    scores = class_scores(network(images.clone().requires_grad_()), model.output)
    handle.remove()
    output = outputs[layer.call - 1]
    tensor = main_tensor(output)
    assert tensor is not None
    gradient = layout.to_grid(torch.autograd.grad(scores[:, 1].sum(), tensor)[0])
    weights = gradient.flatten(2).mean(2)
    expected = torch.einsum("bc...,bc->b...", layout.to_grid(tensor.detach()), weights)
    result = cl.attribute(model, images, target=1, method="grad_cam", layer=layer.name, signed=True)
    return float((result - expected).abs().max() / expected.abs().max().clamp_min(1e-30))


def table(rows: list[Row]) -> str:
    """Return the page."""
    lines = [
        "# Architectures",
        "",
        "<!-- Written by docs/architectures.py. -->",
        "",
        f"What Camlucida verifies on {len(rows)} architectures with random weights and {N_CLASSES} classes.",
        "",
        "- **Geometry**: how the positions of the default layer's grid were verified: by the convolutions and pooling "
        "layers that made it, or by the correlation of the response with the position of a moving patch.",
        "- **Influence**: the class scores depend on the layer at positions of its grid, and the layer is not the "
        "class scores themselves.",
        "- **Autograd**: largest difference of Grad-CAM to autograd by hand, relative to the map's maximum.",
        "- **Unmodified**: all parameters and buffers are the same bytes as before.",
        "",
        "| architecture | default layer | grid | geometry | influence | autograd | unmodified |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = (row.name, f"`{row.layer}`", row.grid, row.geometry, row.influence, row.equal, row.unmodified)
        lines.append("| " + " | ".join(cells) + " |")
    if reasons := [row for row in rows if row.reason]:
        lines += ["", "Reasons of ✗:", "", *(f"- {row.name}: {row.reason}" for row in reasons)]
    return "\n".join(lines) + "\n"


def rows_of_page() -> dict[str, Row]:
    """Return the rows of the page that have no ✗, by the name of the architecture."""
    lines = [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "✗" not in line
    ]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    found = {}
    for name, layer, grid, geometry, influence, equal, unmodified in cells[1:]:
        found[name] = Row(name, layer.strip("`"), grid, geometry, influence, equal, unmodified)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="architectures whose name contains this")
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    parser.add_argument("--new", action="store_true", help="compute only architectures that the page does not list")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    written = rows_of_page() if given.new else {}
    rows = []
    for architecture in architectures():
        if architecture.name in written:
            rows.append(written[architecture.name])
        elif given.only in architecture.name:
            rows.append(row_of(architecture))
            print(*vars(rows[-1]).values(), sep=" | ", file=sys.stderr, flush=True)
            gc.collect()
    if given.print:
        print(table(rows))
    else:
        PAGE.write_text(table(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
