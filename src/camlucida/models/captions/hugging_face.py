"""Captioners, visual question answering and vision-language models of transformers, from a folder; see `hf:`.

The network's class comes from the installed transformers, weights and preprocessing as of `models.hugging_face`, and
the tokenizer from the folder. Nothing in the folder is executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from camlucida.models.hugging_face_preprocessing import measure_preprocessing, structured_image
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing
from camlucida.models.quoting import printable

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

PROMPT = "USER: {image}\n{question} ASSISTANT:"
"""The prompt of LLaVA 1.5, for networks whose tokenizer has no chat template."""


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
    tokens = Tokens(_tokenizer(transformers, folder, name))
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
        prompts = _Prompts(tokens, adapter.image_token_id, _n_image_tokens(adapter, preprocessing), name)
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
            held, ask = {QUESTION: torch.tensor([tokens.prompt("")])}, _Questions(tokens, first)
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


QUESTION = "question_ids"


@dataclass(frozen=True)
class Tokens:
    """The tokenizer of a network.

    Attributes:
        tokenizer: The tokenizer of transformers.
    """

    tokenizer: Any

    def prompt(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text with the special ones around it."""
        return tuple(int(i) for i in self.tokenizer(text)["input_ids"])

    def plain(self, text: str) -> list[int]:
        """Return the tokens of a text; special tokens are recognised where the text has them."""
        return [int(i) for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]] if text else []

    def encode(self, word: str) -> Sequence[int]:
        """Return the tokens of a word inside a text."""
        inside = self.plain(f" {word}")
        unknown = self.tokenizer.unk_token_id
        return [] if unknown in inside else inside

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, without special ones."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def labels(self) -> tuple[str, ...]:
        """Return every token as text, by its index."""
        names = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return tuple(_readable(str(name)) for name in names)

    @property
    def end(self) -> tuple[int, ...]:
        """Return the token that ends a text, if there is one."""
        end = self.tokenizer.eos_token_id
        return () if end is None else (int(end),)


@dataclass(frozen=True)
class _Questions:
    """What a question changes for BLIP, which reads it beside the image."""

    tokens: Tokens
    start: int

    def __call__(self, question: str) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        return (self.start,), {QUESTION: torch.tensor([self.tokens.prompt(question)])}


@dataclass(frozen=True)
class _Prompts:
    """What a question changes for a decoder that reads the image between the tokens of the prompt.

    Attributes:
        tokens: The tokenizer.
        image_token: The token that stands for one token of the image.
        n_image_tokens: Number of tokens of the image.
        name: The specification of the model, for messages.
    """

    tokens: Tokens
    image_token: int
    n_image_tokens: int
    name: str

    def __call__(self, question: str) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        tokenizer = self.tokens.tokenizer
        image = str(tokenizer.convert_ids_to_tokens(self.image_token))
        if getattr(tokenizer, "chat_template", None):
            content = [{"type": "image"}, {"type": "text", "text": question}]
            try:
                text = tokenizer.apply_chat_template(
                    [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
                )
            except Exception as error:  # a template may raise anything
                raise ModelError(
                    f"{self.name}: its chat template cannot be used: {printable(error, 200)}. Remove "
                    "chat_template.jinja from the folder, and the prompt of LLaVA is used."
                ) from None
        else:
            text = PROMPT.format(image=image, question=question)
        ids = self.tokens.plain(str(text))
        if ids.count(self.image_token) != 1:
            raise ModelError(
                f"{self.name}: the prompt must have the token {image!r} of the image once, and has it "
                f"{ids.count(self.image_token)} times. The question must not contain it."
            )
        at = ids.index(self.image_token)
        ids[at : at + 1] = [self.image_token] * self.n_image_tokens
        begin = tokenizer.bos_token_id
        adds_begin = begin is not None and begin in self.tokens.prompt("") and ids[0] != begin
        return (*([int(begin)] if adds_begin else []), *ids), {}


def _readable(token: str) -> str:
    """Return a token without the marks of a space, or of a continuation, that tokenizers put before it."""
    return token.replace("\u2581", " ").replace("\u0120", " ").strip() or token


def _tokenizer(transformers: Any, folder: Path, name: str) -> Any:
    if not any((folder / file).is_file() for file in ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer.model")):
        raise ModelError(
            f"{name} has no tokenizer (tokenizer.json), which turns its tokens into words. Save it beside the model: "
            "tokenizer.save_pretrained(folder)."
        )
    try:
        return transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # of any type for a damaged or unknown file
        if "trust_remote_code" in str(error):
            raise ModelError(
                f"{name}: the code of its tokenizer lies in its repository. Camlucida never runs code of a repository."
            ) from None
        raise ModelError(f"{name}: its tokenizer cannot be loaded: {' '.join(printable(error, 300).split())}") from None


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
