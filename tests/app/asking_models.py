"""Tiny models that need a question or a text first."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from camlucida.models.captions.question import QuestionTargets, no_question
from camlucida.models.captions.targets import CaptionTargets, no_word
from camlucida.models.image_text import PromptTargets
from camlucida.models.model import Model
from camlucida.models.preprocessing import Preprocessing

SIZE_PX = 32
WIDTH = 8
ANSWERS = ("yes", "no", "cat", "dog")


def embedded(texts: Sequence[str]) -> Tensor:
    """Return an embedding of each text, `(n, 8)`."""
    seeds = [zlib.crc32(text.encode()) for text in texts]
    return torch.stack([torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


class Tower(nn.Module):
    """Embeds images `(b, 8)`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Conv2d(3, WIDTH, 5, padding=2), nn.ReLU(), nn.MaxPool2d(4))

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.features(x)
        return maps.mean((2, 3))


class Answerer(nn.Module):
    """Scores four answers to a question, `(b, 4)`."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = Tower()
        self.head = nn.Linear(WIDTH, len(ANSWERS))

    def forward(self, pixel_values: Tensor, question: Tensor) -> Tensor:
        scores: Tensor = self.head(self.tower(pixel_values) * question)
        return 5 * scores


def question_model(name: str = "answers") -> Model:
    """Return a model that classifies the answer to a question."""
    targets = QuestionTargets(lambda question: {"question": embedded([question])})
    return Model(
        Answerer().eval(),
        Preprocessing(size=(SIZE_PX, SIZE_PX), resize=(SIZE_PX, SIZE_PX)),
        ANSWERS,
        output=no_question,
        spec=name,
        image=("pixel_values",),
        held={"question": embedded([""])},
        image_targets=targets,
    )


class Writer(Answerer):
    """Scores of four tokens for each token of the text, `(b, t, 4)`: the text ends after its third token."""

    def forward(self, pixel_values: Tensor, question: Tensor, input_ids: Tensor) -> Tensor:  # type: ignore[override]
        scores = super().forward(pixel_values, question)[:, None].repeat(1, input_ids.shape[1], 1)
        scores[:, :, 0] = -10.0
        scores[:, 3:, 0] = 100.0
        return scores


def written_answers(name: str = "words") -> Model:
    """Return a model that writes the answer to a question, of the words "no", "cat" and "dog"."""

    def asked(question: str) -> tuple[tuple[int, ...], dict[str, Tensor]]:
        return (0,), {"question": embedded([question])}

    targets = CaptionTargets(
        (0,),
        frozenset({0}),
        lambda ids: " ".join(ANSWERS[i] for i in ids),
        lambda word: [ANSWERS.index(word)] if word in ANSWERS else [],
        ask=asked,
        needs_question=True,
    )
    return Model(
        Writer().eval(),
        Preprocessing(size=(SIZE_PX, SIZE_PX), resize=(SIZE_PX, SIZE_PX)),
        ANSWERS,
        output=no_word,
        spec=name,
        task="multiclass",
        image=("pixel_values",),
        held={"question": embedded([""]), "input_ids": torch.tensor([[0]])},
        image_targets=targets,
    )


def text_model(name: str = "texts") -> Model:
    """Return a model that compares an image with texts."""
    preprocessing = Preprocessing(size=(SIZE_PX, SIZE_PX), resize=(SIZE_PX, SIZE_PX))
    return Model(Tower().eval(), preprocessing, spec=name, image_targets=PromptTargets(lambda t: embedded(t), scale=5))
