"""Small random networks of texts of transformers, saved as `save_pretrained` does, with a tokenizer of 31 words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "<image>", "a", "the", "cat", "dog", "and", "what", "animal", "is", "this"),
    *("on", "mat", "?", "##s", "user", ":", "assistant", "describe", "image", "in", "one", "sentence", "."),
    *("red", "blue", "green"),
]
IMAGE_TOKEN = WORDS.index("<image>")
SIDE_PX = 32
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
VISION = {**SMALL, "image_size": SIDE_PX, "patch_size": 8}
TEXT = {
    **SMALL,
    "vocab_size": len(WORDS),
    "bos_token_id": 2,
    "sep_token_id": 3,
    "pad_token_id": 0,
    "eos_token_id": 3,
    "max_position_embeddings": 128,
}
SQUARE = {"height": SIDE_PX, "width": SIDE_PX}


def tokenizer() -> Any:
    """Return a WordPiece tokenizer, which knows the words of `WORDS` only."""
    own = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    own.normalizer = normalizers.Lowercase()
    own.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    own.decoder = decoders.WordPiece(cleanup=False)
    own.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=own,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[SEP]",
        additional_special_tokens=["<image>"],
    )


def blip(network_class: Any) -> Any:
    text = {**TEXT, "encoder_hidden_size": 32}
    return network_class(hf.BlipConfig(text_config=text, vision_config=VISION, projection_dim=32))


def vit_gpt2() -> Any:
    decoder = hf.GPT2Config(
        vocab_size=len(WORDS),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=64,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=2,
        eos_token_id=3,
    )
    config = hf.VisionEncoderDecoderConfig.from_encoder_decoder_configs(hf.ViTConfig(**VISION), decoder)
    config.decoder_start_token_id, config.pad_token_id = 2, 0
    return hf.VisionEncoderDecoderModel(config=config)


def vilt() -> Any:
    names = {0: "yes", 1: "no", 2: "cat"}
    config = hf.ViltConfig(
        **VISION, vocab_size=len(WORDS), max_position_embeddings=40, id2label=names, max_image_length=-1
    )
    return hf.ViltForQuestionAnswering(config)


def llava() -> Any:
    config = hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**{**VISION, "num_hidden_layers": 3}),
        text_config=hf.LlamaConfig(**{k: v for k, v in TEXT.items() if k != "sep_token_id"}, num_key_value_heads=2),
        image_token_id=IMAGE_TOKEN,
    )
    return hf.LlavaForConditionalGeneration(config)


def qwen() -> Any:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    text = {k: v for k, v in TEXT.items() if k != "sep_token_id"}
    vision = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 32,
        "num_heads": 2,
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "mlp_ratio": 2,
    }
    config = hf.Qwen2VLConfig(
        text_config={**text, "num_key_value_heads": 2, "rope_parameters": rope},
        vision_config=vision,
        image_token_id=IMAGE_TOKEN,
        video_token_id=len(WORDS) - 1,
    )
    return hf.Qwen2VLForConditionalGeneration(config)


NETWORKS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "BLIP": (lambda: blip(hf.BlipForConditionalGeneration), lambda: hf.BlipImageProcessor(size=SQUARE)),
    "BLIP, questions": (lambda: blip(hf.BlipForQuestionAnswering), lambda: hf.BlipImageProcessor(size=SQUARE)),
    "ViT and GPT-2": (vit_gpt2, lambda: hf.ViTImageProcessor(size=SQUARE)),
    "ViLT": (vilt, lambda: hf.ViltImageProcessor(size={"shortest_edge": SIDE_PX}, size_divisor=8)),
    "LLaVA": (llava, lambda: hf.CLIPImageProcessor(size={"shortest_edge": SIDE_PX}, crop_size=SQUARE)),
    "Qwen2-VL": (
        qwen,
        lambda: hf.Qwen2VLImageProcessor(
            patch_size=4, merge_size=2, temporal_patch_size=2, min_pixels=SIDE_PX**2, max_pixels=SIDE_PX**2
        ),
    ),
}
"""Makes a network, and its image processor."""


def save(name: str, folder: Path, seed: int = 1) -> Any:
    """Save a network with weights that let the image matter, its image processor and a tokenizer; return the network.

    The initial weights of some are so small that all images give the same output.
    """
    torch.manual_seed(seed)
    make, processor = NETWORKS[name]
    network = make().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.25)
        for key, parameter in network.named_parameters():
            if "patch_embed" in key and parameter.ndim > 1:  # positions are fixed, and the image varies
                parameter.normal_(0, 1.0)
        if hasattr(network, "lm_head"):
            network.lm_head.weight[IMAGE_TOKEN] = 0  # is not written
    network.save_pretrained(folder)
    processor().save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return network
