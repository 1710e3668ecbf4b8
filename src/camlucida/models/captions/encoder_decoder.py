"""Captioners of transformers with a decoder that attends to the image: BLIP, and vision encoders with a text decoder.

Each is a module with `forward(pixel_values, input_ids)`, which returns the logits of every next token `(b, t, V)`. It
contains the parts of the network under their own names, so that the names of layers are those of transformers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from camlucida.models.captions.captioner import Captioner


class BlipDecoder(Captioner):
    """The text decoder that both networks of BLIP have."""

    text_decoder: nn.Module

    def decode(self, features: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, V)`."""
        logits: Tensor = self.text_decoder(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            encoder_hidden_states=features,
            encoder_attention_mask=_all(features),
            use_cache=False,
        ).logits
        return logits


class BlipCaptioner(BlipDecoder):
    """`BlipForConditionalGeneration` from an image and the tokens so far to logits."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision_model = network.vision_model
        self.text_decoder = network.text_decoder

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, V)`."""
        return self.decode(self.encode(pixel_values), input_ids)

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Return the tokens of images `(b, n, c)`."""
        tokens: Tensor = self.vision_model(pixel_values=pixel_values).last_hidden_state
        return tokens


class BlipAnswerer(BlipDecoder):
    """`BlipForQuestionAnswering`: the question is read with the image, and the answer is written from both."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vision_model = network.vision_model
        self.text_encoder = network.text_encoder
        self.text_decoder = network.text_decoder

    def forward(self, pixel_values: Tensor, input_ids: Tensor, question_ids: Tensor) -> Tensor:
        """Return the logits of the answer `(b, t, V)`."""
        return self.decode(self.encode(pixel_values, question_ids), input_ids)

    def encode(self, pixel_values: Tensor, question_ids: Tensor) -> Tensor:
        """Return the tokens of the question `(b, q, c)`, which have attended to the image."""
        image = self.vision_model(pixel_values=pixel_values).last_hidden_state
        tokens: Tensor = self.text_encoder(
            input_ids=question_ids,
            attention_mask=torch.ones_like(question_ids),
            encoder_hidden_states=image,
            encoder_attention_mask=_all(image),
        ).last_hidden_state
        return tokens


class VisionEncoderDecoderCaptioner(Captioner):
    """`VisionEncoderDecoderModel`, such as ViT and GPT-2, or TrOCR."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.encoder = network.encoder
        self.decoder = network.decoder
        self.enc_to_dec_proj = getattr(network, "enc_to_dec_proj", None)

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, V)`."""
        return self.decode(self.encode(pixel_values), input_ids)

    def encode(self, pixel_values: Tensor) -> Tensor:
        """Return the tokens of images `(b, n, c)`."""
        tokens: Tensor = self.encoder(pixel_values=pixel_values).last_hidden_state
        if tokens.ndim == 4:  # a convolutional encoder
            tokens = tokens.flatten(2).transpose(1, 2)
        return tokens if self.enc_to_dec_proj is None else self.enc_to_dec_proj(tokens)

    def decode(self, features: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, t, V)`."""
        logits: Tensor = self.decoder(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            encoder_hidden_states=features,
            use_cache=False,
        ).logits
        return logits


def start_and_end(config: Any, generation: Any = None) -> tuple[int | None, frozenset[int]]:
    """Return the token before a text, and those that end it; None where the configuration names none.

    Args:
        config: The configuration of the network.
        generation: Its configuration of the generation, which comes first.
    """
    text = getattr(config, "text_config", None) or getattr(config, "decoder", None) or config
    sources = [source for source in (generation, config, text) if source is not None]
    start = _first(sources, ("decoder_start_token_id", "bos_token_id"))
    names = ("sep_token_id",) if "blip" in str(getattr(config, "model_type", "")) else ("eos_token_id",)
    end = _first(sources if names[0] == "eos_token_id" else [text], names)
    ends = () if end is None else end if isinstance(end, list | tuple) else (end,)
    return (start if isinstance(start, int) else None), frozenset(int(one) for one in ends)


def _first(sources: Iterable[Any], names: Iterable[str]) -> Any:
    """Return the first of these fields that is set in a source."""
    sources = list(sources)
    return next((v for name in names for s in sources if (v := getattr(s, name, None)) is not None), None)


def _all(tokens: Tensor) -> Tensor:
    """Return a mask `(b, n)` of all tokens."""
    return torch.ones(tokens.shape[:2], dtype=torch.long, device=tokens.device)
