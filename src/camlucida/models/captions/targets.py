"""Words of a caption or an answer as targets: every word is a classifier over the vocabulary.

The text of an image is generated greedily, so that it is always the same. A word is explained by its first token, the
one by which the network chose it; the class scores `(b, V)` are the logits of that token, given the image and all
tokens before it (teacher forcing). All words of one image are read from one run of the network on the whole text: its
tokens are held as a further input, and the words differ only in the position that is read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError, TargetError
from camlucida.models.captions.words import Word, WordChoice, choose_words, listed, words_of
from camlucida.models.image_targets import BoundTarget

if TYPE_CHECKING:
    from camlucida.models.model import Model
    from camlucida.targets import TargetSpec

MAX_TOKENS = 30
"""Largest number of tokens that are generated."""
IDS = "input_ids"
"""Name of the network's input for the tokens of the text."""
IMAGE = "pixel_values"
"""Name of the network's input for the image, as in transformers."""


@dataclass(frozen=True)
class WordScores:
    """Reads the class scores `(b, V)` of one word from the logits of all tokens `(b, t, V)`.

    Attributes:
        position: Index of the token before it in the sequence.
    """

    position: int

    def __call__(self, output: Tensor) -> Tensor:
        return output[:, self.position]


def no_word(output: Any) -> NoReturn:
    """Raise the `TargetError` of a network of texts that is asked for class scores without a word."""
    raise TargetError(
        "a network that writes a text has class scores for every word, and none of the whole image: use "
        "explain(model, image) for the map of each word, or a word in explain and trust, target='word 2'. Over a data "
        "set target='all' (--target all) means every word."
    )


@dataclass(frozen=True, eq=False)
class CaptionTargets:
    """The words that a network writes about an image.

    The network takes `pixel_values` `(b, c, H, W)` and `input_ids` `(b, t)`, and returns the logits of every next token
    `(b, t, V)`.

    Attributes:
        start: Tokens before the text: a start token, or a prompt.
        end: Tokens that end the text.
        decode: Returns the text of tokens, without special ones.
        encode: Returns the tokens of a word inside a text.
        max_tokens: Largest number of tokens that are generated.
        ask: Returns what a question changes, `(start, held)`; None for a network that takes no questions.
        held: Further inputs of the network for the question.
    """

    start: tuple[int, ...]
    end: frozenset[int]
    decode: Callable[[Sequence[int]], str] = field(repr=False)
    encode: Callable[[str], Sequence[int]] = field(repr=False)
    max_tokens: int = MAX_TOKENS
    ask: Callable[[str], tuple[tuple[int, ...], Mapping[str, Any]]] | None = field(default=None, repr=False)
    needs_question: bool = False

    @property
    def kind(self) -> str:
        return "question" if self.needs_question else "caption"

    def with_question(self, model: Model, question: str) -> Model:
        """Return the model of a network that answers questions, with a question held."""
        if self.ask is None:
            raise ModelError(f"{model.name} writes captions and takes no question: leave the question out.")
        start, held = self.ask(checked_question(question))
        targets = replace(self, start=start, needs_question=False)
        return replace(model, held={**model.held, **held, IDS: torch.tensor([start])}, image_targets=targets)

    def text(self, model: Model, inputs: Tensor) -> tuple[Word, ...]:
        """Return the words that the network writes about an image `(1, c, H, W)`."""
        return words_of(self._generate(model, inputs), self.decode)

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Return the words that a target means for one image; see `ImageTargets.bind`.

        Args:
            model: The model.
            inputs: Network input `(1, c, H, W)`.
            spec: None or "words" for all words, "word 3", the word itself, "word 3: cat rather than dog" or "word 3:
                dog" for what else might stand there, or "word 3 token 2" for a later token of a word.

        Raises:
            TargetError: There is no such word, or the network needs a question first.
            ModelError: Later tokens change the logits of earlier ones, so that words have no class scores.
        """
        if self.needs_question:
            raise TargetError(QUESTION_NEEDED)
        if callable(spec) and not isinstance(spec, Tensor):
            return ()
        ids = self._generate(model, inputs)
        words = words_of(ids, self.decode)
        choices = choose_words(spec, words)
        held = {**model.held, IDS: torch.tensor([[*self.start, *ids]], device=inputs.device)}
        bound = replace(model, held=held, image_targets=None)
        return tuple(self._bound(bound, ids, words, choice) for choice in choices)

    def _bound(self, model: Model, ids: Sequence[int], words: Sequence[Word], choice: WordChoice) -> BoundTarget:
        word = words[choice.number - 1]
        position = word.first + choice.token
        at_token = f" token {choice.token + 1}" if choice.token else ""
        spec = f"word {choice.number}{at_token}" + (f": {choice.rest}" if choice.rest else "")
        target: TargetSpec = ids[position]
        label = f"{word.text} ({spec})"
        if choice.rest:
            target = self._target(choice.rest)
            label = f"{choice.rest} (word {choice.number}{at_token})"
        # The output of the token before it is read.
        bound = replace(model, output=WordScores(len(self.start) + position - 1))
        return BoundTarget(bound, target, label, spec)

    def _target(self, rest: str) -> str:
        """Return "cat rather than dog", "not cat" or "cat" with the tokens of the words in place of the words."""
        this, separator, that = rest.partition(" rather than ")
        if separator:
            return f"{self._token(this)} rather than {self._token(that)}"
        if this.lower().startswith("not "):
            return f"not {self._token(this[4:])}"
        return str(self._token(this))

    def _token(self, word: str) -> int:
        tokens = [int(token) for token in self.encode(word.strip())]
        if not tokens:
            raise TargetError(f"the vocabulary of the network has no word {word.strip()!r}.")
        return tokens[0]

    @torch.no_grad()
    def _generate(self, model: Model, inputs: Tensor) -> list[int]:
        """Return the tokens of the text, without the prompt and the end, and verify that each is read where it is."""
        network = model.network
        if any(module.training for module in network.modules()):  # dropout is random, and batch norms would be updated
            network = copy.deepcopy(network).eval()
        held = {
            name: value.to(inputs.device) if isinstance(value, Tensor) else value
            for name, value in model.held.items()
            if name != IDS
        }
        logits_of = _Decoder(network, inputs, held)
        ids, kept = list(self.start), []
        for _ in range(self.max_tokens):
            kept.append(logits_of(ids)[-1])
            token = int(kept[-1].argmax())
            if token in self.end:
                break
            ids.append(token)
        generated = ids[len(self.start) :]
        if generated:
            _check_causal(logits_of(ids)[len(self.start) - 1 :], torch.stack(kept), model.name)
        return generated


QUESTION_NEEDED = (
    "the network answers questions about an image, and there is none: model.with_question('What animal is this?'), or "
    "--question on the command line."
)


def checked_question(question: Any) -> str:
    """Return a question unmodified. Raises `ModelError` if it is no text."""
    if not isinstance(question, str) or not question.strip():
        raise ModelError(f"a question is a text, such as 'What animal is this?', not {question!r}.")
    return question.strip()


@dataclass(frozen=True)
class _Decoder:
    """Computes the logits `(t, V)` of tokens for one image; the image is encoded once where the network allows it."""

    network: nn.Module
    inputs: Tensor
    held: Mapping[str, Any]
    _features: list[Any] = field(default_factory=list)

    def __call__(self, ids: Sequence[int]) -> Tensor:
        tokens = torch.tensor([list(ids)], device=self.inputs.device)
        encode: Any = getattr(self.network, "encode", None)
        decode: Any = getattr(self.network, "decode", None)
        if encode is None or decode is None:
            logits: Tensor = self.network(**{IMAGE: self.inputs, IDS: tokens, **self.held})
            return logits[0].float()
        if not self._features:
            self._features.append(encode(self.inputs, **self.held))
        logits = decode(self._features[0], tokens)
        return logits[0].float()


def _check_causal(whole: Tensor, stepwise: Tensor, name: str) -> None:
    """Raise `ModelError` unless the logits of the whole text are those of its beginnings."""
    n = min(len(whole), len(stepwise))
    scale = float(stepwise[:n].abs().max().clamp_min(1e-6))
    difference = float((whole[:n] - stepwise[:n]).abs().max())
    if difference > 1e-2 * scale:
        raise ModelError(
            f"{name}: later tokens change the logits of earlier ones (by {difference:.2g}, logits reach {scale:.2g}), "
            "so its words cannot be explained one by one: its decoder is not causal."
        )


__all__ = ["CaptionTargets", "WordScores", "checked_question", "listed", "no_word"]
