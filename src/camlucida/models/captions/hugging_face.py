"""Captioners, visual question answering and vision-language models of transformers, from a folder; see `hf:`.

The network's class comes from the installed transformers, weights and preprocessing as of `models.hugging_face`, and
the tokenizer from the folder. Nothing in the folder is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from camlucida.errors import ModelError
from camlucida.models.captions.decoder_only import QwenVisionLanguageModel, VisionLanguageModel
from camlucida.models.captions.encoder_decoder import (
    BlipAnswerer,
    BlipCaptioner,
    VisionEncoderDecoderCaptioner,
    start_and_end,
)
from camlucida.models.captions.question import QuestionTargets, ViltAnswers, no_question
from camlucida.models.captions.targets import IDS, IMAGE, CaptionTargets, no_word
from camlucida.models.captions.tokens import QUESTION, PromptTokens, QuestionTokens, Tokens, load_tokenizer
from camlucida.models.hugging_face_preprocessing import measure_preprocessing, structured_image
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

KINDS = {
    "BlipForConditionalGeneration": "blip",
    "BlipForQuestionAnswering": "blip question",
    "VisionEncoderDecoderModel": "encoder decoder",
    "ViltForQuestionAnswering": "vilt",
    "LlavaForConditionalGeneration": "llava",
    "Qwen2VLForConditionalGeneration": "qwen",
    "Qwen2_5_VLForConditionalGeneration": "qwen",
}
"""The classes of transformers that are loaded here."""

TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "tokenizer.model"),
    *("special_tokens_map.json", "added_tokens.json", "generation_config.json", "chat_template.jinja"),
)
"""Files beside the weights that a text needs."""

DEFAULT_PROMPT = "Describe the image in one sentence."
"""What a vision-language model is asked if there is no question."""


def load(network: Any, processor: Any, folder: Path, name: str, transformers: Any) -> Model:
    """Return the model of a network with weights.

    Args:
        network: The network of transformers, in eval mode.
        processor: Its image processor.
        folder: The folder, which has the tokenizer.
        name: The specification of the model, for messages.
        transformers: The library.
    """
    kind = KINDS[type(network).__name__]
    tokens = Tokens(load_tokenizer(transformers, folder, name))
    if kind == "vilt":
        preprocessing = _square_preprocessing(processor, name)
        labels = tuple(str(network.config.id2label[i]) for i in range(len(network.config.id2label)))
        questions = QuestionTargets(lambda question: {IDS: torch.tensor([tokens.prompt(question)])})
        return Model(
            ViltAnswers(network).eval(),
            preprocessing,
            labels,
            output=no_question,
            image=(IMAGE,),
            held={IDS: torch.tensor([tokens.prompt("")])},
            image_targets=questions,
        )
    if kind == "qwen":
        adapter, preprocessing = _qwen(network, processor, name)
    else:
        adapter = {
            "blip": BlipCaptioner,
            "blip question": BlipAnswerer,
            "encoder decoder": VisionEncoderDecoderCaptioner,
            "llava": VisionLanguageModel,
        }[kind](network)
        preprocessing = measure_preprocessing(processor, name).preprocessing
    adapter = adapter.eval()
    generation = getattr(network, "generation_config", None)
    if isinstance(adapter, VisionLanguageModel):
        prompts = PromptTokens(tokens, adapter.image_token_id, _n_image_tokens(adapter, preprocessing), name)
        start, held = prompts(DEFAULT_PROMPT)
        end = frozenset({*start_and_end(network.config, generation)[1], *tokens.end})
        ask: Any = prompts
    else:
        first, end = start_and_end(network.config, None if kind.startswith("blip") else generation)
        if first is None:
            raise ModelError(
                f"{name}: its configuration names no token that begins a text (decoder_start_token_id or bos_token_id)."
            )
        start, held, ask = (first,), {}, None
        if kind == "blip question":
            held, ask = {QUESTION: torch.tensor([tokens.prompt("")])}, QuestionTokens(tokens, first)
    targets = CaptionTargets(start, end, tokens.decode, tokens.encode, ask=ask, needs_question=kind == "blip question")
    return Model(
        adapter,
        preprocessing,
        tokens.labels(),
        "image_tokens" if isinstance(adapter, VisionLanguageModel) else None,
        output=no_word,
        task="multiclass",
        image=(IMAGE,),
        held={IDS: torch.tensor([start]), **held},
        image_targets=targets,
    )


def _n_image_tokens(adapter: VisionLanguageModel, preprocessing: Preprocessing) -> int:
    """Return how many tokens the vision tower makes of an image, by running it."""
    with torch.inference_mode(False), torch.no_grad():
        return int(adapter.encode(torch.zeros(1, 3, *preprocessing.size)).shape[1])


class _OfSquares:
    """An image processor that receives every image resized to a square, for which it gives one size.

    ViLT and Qwen2-VL keep the aspect ratio, so that the size of their input varies; a map needs one size.
    """

    def __init__(self, processor: Any, side: int) -> None:
        self.processor, self.side = processor, side

    def __call__(self, image: Any) -> Any:
        return self.processor(images=[image.resize((self.side, self.side))], return_tensors="pt")


def _square_preprocessing(processor: Any, name: str) -> Preprocessing:
    """Return the preprocessing that squashes images to the square that the processor makes of square images.

    What the processor does to a square image is reproduced, and compared in numbers; of other images, whose aspect
    ratio it keeps, the whole is squashed instead.
    """
    side = _shortest_edge(processor)
    if side is None:
        return measure_preprocessing(processor, name).preprocessing
    values = [getattr(processor, field, None) for field in ("image_mean", "image_std")]
    mean, std = (tuple(map(float, value)) if value is not None else default for value, default in
                 zip(values, ((0.0,) * 3, (1.0,) * 3), strict=True))  # fmt: skip
    preprocessing = Preprocessing((side, side), None, "squash", mean, std, "bicubic")
    given = _OfSquares(processor, side)(structured_image(side, side))[IMAGE][0].float()
    _check_same(preprocessing(structured_image(side, side))[0], given, preprocessing, name)
    return preprocessing


def _check_same(own: Any, given: Any, preprocessing: Preprocessing, name: str) -> None:
    """Raise `ModelError` unless a preprocessing gives what the image processor gives."""
    if own.shape == given.shape:
        levels = float(((own - given) * torch.tensor(preprocessing.std)[:, None, None]).abs().max() * 255)
        if np.isfinite(levels) and levels <= 3.0:
            return
    raise ModelError(
        f"{name}: its image processor prepares a square image of {preprocessing.size[0]} pixels in another way than "
        "resizing and normalising it, so maps could not be aligned with the image."
    )


def _shortest_edge(processor: Any) -> int | None:
    size = getattr(processor, "size", None)
    value = size.get("shortest_edge") if isinstance(size, dict) else getattr(size, "shortest_edge", None)
    return value if isinstance(value, int) and 0 < value <= 4096 else None


QWEN_SIDE_PX = 448
"""Side of the network input of Qwen2-VL-type networks, which take any size, up to multiples of the merged patches."""


def _qwen(network: Any, processor: Any, name: str) -> tuple[nn.Module, Preprocessing]:
    """Return the adapter of a Qwen2-VL-type network, and its preprocessing, compared with the image processor."""
    vision = network.config.vision_config
    unit = int(vision.patch_size) * int(vision.spatial_merge_size)
    limits = [_pixels(processor, names) for names in (("min_pixels", "shortest_edge"), ("max_pixels", "longest_edge"))]
    side = max(1, round(QWEN_SIDE_PX / unit)) * unit
    if limits[1] is not None:
        while side > unit and side * side > limits[1]:
            side -= unit
    if limits[0] is not None:
        while side * side < limits[0] and side < 4096:
            side += unit
    mean, std = tuple(map(float, processor.image_mean)), tuple(map(float, processor.image_std))
    preprocessing = Preprocessing((side, side), None, "squash", mean, std, "bicubic")
    adapter = QwenVisionLanguageModel(network, (side, side))
    image = structured_image(side, side)
    given = processor(images=[image], return_tensors="pt")
    own = adapter.patches(preprocessing(image)[0][None])
    expected = given[IMAGE].float()
    if own.shape != expected.shape or not torch.allclose(own, expected, atol=3 / 255 / min(std)):
        raise ModelError(
            f"{name}: its image processor makes other patches of a square image of {side} pixels than were reproduced, "
            "so maps could not be aligned with the image."
        )
    return adapter, preprocessing


def _pixels(processor: Any, names: Sequence[str]) -> int | None:
    """Return a limit of the number of pixels of an image processor."""
    size = getattr(processor, "size", None)
    values = [getattr(processor, names[0], None)]
    values.append(size.get(names[1]) if isinstance(size, dict) else getattr(size, names[1], None))
    return next((value for value in values if isinstance(value, int) and value > 0), None)
