"""Tiny image-text networks and tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
WORDS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]", "a", "dog", "cat", "car", "photo", "of", "the")
PROMPTS = ["a dog", "a cat", "a car"]
LENGTH = 12

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


def open_clip_vit(**options: Any) -> Any:
    """A CLIP of open_clip with a ViT, 32 pixels."""
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    return _open_clip(vision, **options)


def open_clip_resnet() -> Any:
    """A CLIP of open_clip with a ResNet and attention pooling, 64 pixels."""
    return _open_clip({"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16})


def _open_clip(vision: dict[str, Any], **options: Any) -> Any:
    import open_clip

    torch.manual_seed(0)
    text = {"context_length": LENGTH, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    return open_clip.CLIP(embed_dim=16, vision_cfg=vision, text_cfg=text, **options).eval()


def open_clip_tokenizer() -> Any:
    import open_clip

    return open_clip.SimpleTokenizer(context_length=LENGTH)


def hf_tokenizer() -> Any:
    """A tokenizer of transformers that knows a dozen words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    tokens = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 2), ("[EOS]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, **names)


def save_hf(kind: str, folder: Path, *, tokenizer: bool = True) -> Any:
    """Save a CLIP or SigLIP of transformers with its processor and tokenizer, and return the network."""
    import transformers as hf

    torch.manual_seed(0)
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    text = {**SMALL, "vocab_size": 12, "max_position_embeddings": LENGTH}
    text |= {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    network: Any
    processor: Any
    if kind == "clip":
        network = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
        processor = hf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    else:
        network = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
        processor = hf.SiglipImageProcessor(size={"height": 32, "width": 32})
    network.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    if tokenizer:
        hf_tokenizer().save_pretrained(folder)
    return network
