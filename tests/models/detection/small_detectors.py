"""Small detectors of transformers with random weights, by the name of their family."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

NAMES = {0: "cat", 1: "dog", 2: "bus"}
SIZES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_queries": 6,
    "id2label": NAMES,
}


def resnet_config(hf: Any, *stages: str) -> Any:
    return hf.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], layer_type="basic", out_features=[*stages]
    )


def detr(hf: Any) -> Any:
    return hf.DetrForObjectDetection(hf.DetrConfig(backbone_config=resnet_config(hf, "stage4"), **SIZES))


def conditional_detr(hf: Any) -> Any:
    config = hf.ConditionalDetrConfig(backbone_config=resnet_config(hf, "stage4"), **SIZES)
    return hf.ConditionalDetrForObjectDetection(config)


def dab_detr(hf: Any) -> Any:
    names = {"d_model": "hidden_size"}
    config = hf.DabDetrConfig(
        backbone_config=resnet_config(hf, "stage4"), **{names.get(name, name): value for name, value in SIZES.items()}
    )
    return hf.DabDetrForObjectDetection(config)


def deformable_detr(hf: Any) -> Any:
    backbone = resnet_config(hf, "stage2", "stage3", "stage4")
    return hf.DeformableDetrForObjectDetection(hf.DeformableDetrConfig(backbone_config=backbone, **SIZES))


def deformable_detr_two_stage(hf: Any) -> Any:
    backbone = resnet_config(hf, "stage2", "stage3", "stage4")
    sizes = {"backbone_config": backbone, "two_stage": True, "with_box_refine": True, "two_stage_num_proposals": 6}
    return hf.DeformableDetrForObjectDetection(hf.DeformableDetrConfig(**sizes, **SIZES))


def table_transformer(hf: Any) -> Any:
    config = hf.TableTransformerConfig(backbone_config=resnet_config(hf, "stage4"), **SIZES)
    return hf.TableTransformerForObjectDetection(config)


def _rt_detr_sizes(hf: Any) -> dict[str, Any]:
    backbone = hf.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 32],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    return {
        "backbone_config": backbone,
        "encoder_hidden_dim": 32,
        "encoder_in_channels": [16, 16, 32],
        "encoder_ffn_dim": 32,
        "encoder_attention_heads": 2,
        "decoder_in_channels": [32, 32, 32],
        "d_model": 32,
        "num_queries": 6,
        "decoder_ffn_dim": 32,
        "decoder_layers": 2,
        "decoder_attention_heads": 2,
        "id2label": NAMES,
    }


def rt_detr(hf: Any) -> Any:
    return hf.RTDetrForObjectDetection(hf.RTDetrConfig(**_rt_detr_sizes(hf)))


def rt_detr_v2(hf: Any) -> Any:
    return hf.RTDetrV2ForObjectDetection(hf.RTDetrV2Config(**_rt_detr_sizes(hf)))


def d_fine(hf: Any) -> Any:
    sizes = {**_rt_detr_sizes(hf), "layer_scale": 1.0, "decoder_n_points": [3, 6, 3], "hidden_size": 32}
    return hf.DFineForObjectDetection(hf.DFineConfig(**sizes))


def yolos(hf: Any) -> Any:
    config = hf.YolosConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=[64, 96],
        num_detection_tokens=6,
        id2label=NAMES,
    )
    return hf.YolosForObjectDetection(config)


def _lightweight_sizes(hf: Any) -> dict[str, Any]:
    return {
        "d_model": 32,
        "decoder_layers": 2,
        "decoder_ffn_dim": 32,
        "decoder_self_attention_heads": 2,
        "decoder_cross_attention_heads": 2,
        "decoder_n_points": 2,
        "group_detr": 2,
        "num_queries": 6,
        "c2f_num_blocks": 1,
        "id2label": NAMES,
    }


def lw_detr(hf: Any, *scales: float) -> Any:
    backbone = hf.LwDetrViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=128,
        pretrain_image_size=64,
        num_windows=4,
        window_block_indices=[0],
        out_indices=[1, 3],
    )
    config = hf.LwDetrConfig(
        backbone_config=backbone, projector_scale_factors=list(scales or (1.0,)), **_lightweight_sizes(hf)
    )
    return hf.LwDetrForObjectDetection(config)


def lw_detr_two_levels(hf: Any) -> Any:
    return lw_detr(hf, 2.0, 0.5)


def rf_detr(hf: Any) -> Any:
    backbone = hf.RfDetrDinov2Config(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
        num_windows=2,
        out_indices=[1, 3],
    )
    return hf.RfDetrForObjectDetection(hf.RfDetrConfig(backbone_config=backbone, **_lightweight_sizes(hf)))


FAMILIES: dict[str, Callable[[Any], Any]] = {
    "conditional_detr": conditional_detr,
    "d_fine": d_fine,
    "dab_detr": dab_detr,
    "deformable_detr": deformable_detr,
    "deformable_detr_two_stage": deformable_detr_two_stage,
    "detr": detr,
    "lw_detr": lw_detr,
    "lw_detr_two_levels": lw_detr_two_levels,
    "rf_detr": rf_detr,
    "rt_detr": rt_detr,
    "rt_detr_v2": rt_detr_v2,
    "table_transformer": table_transformer,
    "yolos": yolos,
}


def small_detector(hf: Any, family: str) -> Any:
    """Return a detector in eval mode whose class scores are spread, so that boxes are detected with random weights."""
    torch.manual_seed(0)
    network = FAMILIES[family](hf).eval()
    generator = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1 and "norm" not in name and "sampling_offsets" not in name:
            fan = parameter[0].numel()
            with torch.no_grad():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan) ** 0.5)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:  # without statistics, the activations of RT-DETR are of the order of 1e-6
        norm.train().momentum = None
    with torch.no_grad():
        network(torch.randn(2, 3, 128, 96, generator=generator))
    for norm in norms:
        norm.eval()
    return network
