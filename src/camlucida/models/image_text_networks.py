"""Image towers and text encoders of CLIP-like networks: those of open_clip and those of transformers.

What is taken apart is checked on one noise image: the image tower must return the embedding that the whole network
computes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError
from camlucida.models.hugging_face_preprocessing import measure_preprocessing
from camlucida.models.image_text import PromptTargets
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing, make_preprocessing

TOLERANCE = 1e-3
"""Largest difference between the unit embeddings of the image tower and of the whole network."""


class ProjectedVisionModel(nn.Module):
    """The image tower of a network of transformers: its vision model, and the projection to the common space.

    Args:
        vision_model: Returns an output with `pooler_output` `(b, w)`.
        visual_projection: From `(b, w)` to embeddings `(b, d)`.
    """

    def __init__(self, vision_model: nn.Module, visual_projection: nn.Module) -> None:
        super().__init__()
        self.vision_model = vision_model
        self.visual_projection = visual_projection

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the embeddings `(b, d)` of images."""
        embedding: Tensor = self.visual_projection(self.vision_model(pixel_values=pixel_values).pooler_output)
        return embedding


def is_image_text_network(network: Any) -> bool:
    """Return whether a network embeds both images and texts, as those of open_clip and transformers do."""
    return (
        isinstance(network, nn.Module)
        and hasattr(network, "logit_scale")
        and (_is_open_clip(network) or _is_hf(network))
    )


def image_text_model(network: Any, tokenizer: Any, preprocessing: Preprocessing | None = None, **numbers: Any) -> Model:
    """Return the model of a network of open_clip or transformers and its tokenizer.

    Args:
        network: The network, which is not modified. It is expected in eval mode.
        tokenizer: Of open_clip: a callable from texts to tokens. Of transformers: a tokenizer, or a processor, whose
            image processor then determines the preprocessing.
        preprocessing: The preprocessing; None for that stored with the network.
        **numbers: Parameters of `make_preprocessing` that override it.

    Raises:
        ModelError: The network is none of them, its preprocessing is unknown, or its image tower returns something else
            than its embeddings.
    """
    name = type(network).__name__
    if not is_image_text_network(network):
        raise ModelError(
            f"{name} does not embed both images and texts in a known way. tokenizer= is for networks of open_clip "
            "(encode_image, encode_text, logit_scale) and of transformers (get_image_features, get_text_features)."
        )
    of_hf = not _is_open_clip(network)
    tower, encode = _hf_towers(network, tokenizer) if of_hf else _open_clip_towers(network, tokenizer)
    if preprocessing is None:
        stored = _hf_preprocessing(tokenizer, name) if of_hf else open_clip_preprocessing(network)
        if stored is None and "size" not in numbers:
            raise ModelError(
                f"how {name} prepares images is unknown: pass its processor as tokenizer=, or size=, mean= and std=."
            )
        preprocessing = stored
    preprocessing = make_preprocessing(preprocessing, **numbers)
    _check_tower(network, tower, preprocessing, name)
    bias = getattr(network, "logit_bias", None)
    targets = PromptTargets(
        encode,
        scale=math.exp(float(network.logit_scale.detach().float().mean())),
        bias=0.0 if bias is None else float(bias.detach().float().mean()),
        sigmoid=bias is not None,
    )
    return Model(tower, preprocessing, image_targets=targets)


def _is_open_clip(network: nn.Module) -> bool:
    return all(callable(getattr(network, part, None)) for part in ("encode_image", "encode_text", "visual"))


def _is_hf(network: nn.Module) -> bool:
    parts = ("get_image_features", "get_text_features", "vision_model")
    return all(callable(getattr(network, part, None)) for part in parts)


def _open_clip_towers(network: Any, tokenizer: Any) -> tuple[nn.Module, Any]:
    if not callable(tokenizer):
        raise ModelError("tokenizer= is a function from texts to tokens, such as open_clip.get_tokenizer('ViT-B-32').")

    def encode(texts: list[str]) -> Tensor:
        embedded: Tensor = _in_eval_mode(
            network, lambda: network.encode_text(tokenizer(texts).to(_text_device(network)))
        )
        return embedded

    tower: nn.Module = network.visual
    return tower, encode


def _text_device(network: nn.Module) -> torch.device:
    """Return the device of the text tower, which stays where it is when the image tower is moved."""
    devices = (p.device for name, p in network.named_parameters() if not name.startswith(("visual.", "vision_model.")))
    return next(devices, torch.device("cpu"))


def _hf_towers(network: Any, tokenizer: Any) -> tuple[nn.Module, Any]:
    of_texts = getattr(tokenizer, "tokenizer", tokenizer)
    if not callable(of_texts):
        raise ModelError("tokenizer= is a tokenizer or a processor of transformers, such as AutoProcessor returns it.")
    config = getattr(network, "config", None)
    text_config = getattr(config, "text_config", None)
    length = getattr(text_config, "max_position_embeddings", None)
    # SigLIP was trained on texts that are padded to the full length, and has no attention mask.
    padding = "max_length" if str(getattr(config, "model_type", "")).startswith("siglip") else True

    def encode(texts: list[str]) -> Tensor:
        tokens = of_texts(texts, padding=padding, truncation=True, max_length=length, return_tensors="pt")
        given = {key: value.to(_text_device(network)) for key, value in tokens.items() if key != "token_type_ids"}
        output = _in_eval_mode(network, lambda: network.get_text_features(**given))
        embedded: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return embedded

    projection = getattr(network, "visual_projection", None)
    return ProjectedVisionModel(
        network.vision_model, nn.Identity() if projection is None else projection
    ).eval(), encode


def _in_eval_mode(network: nn.Module, run: Any) -> Any:
    """Run in eval mode and restore the mode of every module."""
    training = [module for module in network.modules() if module.training]
    for module in training:
        module.training = False
    try:
        return run()
    finally:
        for module in training:
            module.training = True


def _hf_preprocessing(processor: Any, name: str) -> Preprocessing | None:
    of_images = getattr(processor, "image_processor", None)
    return None if of_images is None else measure_preprocessing(of_images, name).preprocessing


def open_clip_preprocessing(network: Any) -> Preprocessing | None:
    """Return the preprocessing that open_clip stores with a network; None if it stores none.

    Raises:
        ModelError: It contains steps through which maps cannot be projected back.
    """
    stored = getattr(network.visual, "preprocess_cfg", None)
    if not stored:
        side = getattr(network.visual, "image_size", None)
        return None if side is None else replace(_OPEN_CLIP, size=_pair(side), resize=None)
    height, width = _pair(stored["size"])
    mode = stored.get("resize_mode", "shortest")
    interpolation = stored.get("interpolation", "bicubic")
    fill = stored.get("fill_color", 0)
    if interpolation == "random" or not isinstance(fill, int | float):
        raise ModelError(f"open_clip stores a preprocessing that is unknown here: {stored}. Pass preprocess=….")
    if mode == "shortest" and height != width:
        raise ModelError(
            f"open_clip resizes images in its own way for inputs that are not square ({height}×{width}), which is not "
            "reproduced here. Pass preprocess=…."
        )
    fit: Any = {"shortest": "crop", "squash": "squash", "longest": "letterbox"}.get(mode)
    if fit is None:
        raise ModelError(f"open_clip has no resize mode {mode!r} that is known here. Pass preprocess=….")
    mean, std = (tuple(float(x) for x in stored[key]) for key in ("mean", "std"))
    return Preprocessing((height, width), None, fit, mean, std, interpolation, fill / 255)


def _pair(side: Any) -> tuple[int, int]:
    height, width = side if isinstance(side, tuple | list) else (side, side)
    return int(height), int(width)


_OPEN_CLIP = Preprocessing(
    (224, 224),
    None,
    "crop",
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    "bicubic",
)
"""The preprocessing of CLIP, which networks that store none were trained with."""


def _check_tower(network: Any, tower: nn.Module, preprocessing: Preprocessing, name: str) -> None:
    """Raise `ModelError` unless the image tower returns the embeddings of the whole network."""
    weight = next(tower.parameters())
    noise = torch.randn(1, len(preprocessing.mean), *preprocessing.size, generator=torch.Generator().manual_seed(0))

    def unit(output: Any) -> Tensor:
        embedding = output if isinstance(output, Tensor) else getattr(output, "pooler_output", None)
        embedding = output[0] if embedding is None else embedding
        return nn.functional.normalize(embedding.float(), dim=-1)

    embed = network.encode_image if _is_open_clip(network) else network.get_image_features
    with torch.inference_mode(False), torch.no_grad():
        noise = noise.to(weight.device, weight.dtype)
        whole, part = _in_eval_mode(network, lambda: (unit(embed(noise)), unit(tower(noise))))
    if whole.shape != part.shape or float((whole - part).abs().max()) > TOLERANCE:
        raise ModelError(
            f"the image tower of {name} could not be taken apart: it returns other embeddings than the whole network."
        )
