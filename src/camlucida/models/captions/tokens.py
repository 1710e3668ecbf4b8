"""Texts as tokens of a network of transformers: its tokenizer, and what a question changes in its input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from camlucida.errors import ModelError
from camlucida.models.quoting import printable

PROMPT = "USER: {image}\n{question} ASSISTANT:"
"""The prompt of LLaVA 1.5, for networks whose tokenizer has no chat template."""

QUESTION = "question_ids"
"""The name of the network input that holds the tokens of a question."""


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
class QuestionTokens:
    """What a question changes for BLIP, which reads it beside the image."""

    tokens: Tokens
    start: int

    def __call__(self, question: str) -> tuple[tuple[int, ...], Mapping[str, Any]]:
        return (self.start,), {QUESTION: torch.tensor([self.tokens.prompt(question)])}


@dataclass(frozen=True)
class PromptTokens:
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


def load_tokenizer(transformers: Any, folder: Path, name: str) -> Any:
    """Return the tokenizer in a folder. Raises `ModelError` if there is none, or it would run code."""
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
