"""Visual question answering by classification, as in ViLT: with the question held, the answers are the classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor, nn

from camlucida.errors import TargetError
from camlucida.models.captions.targets import QUESTION_NEEDED, checked_question

if TYPE_CHECKING:
    from camlucida.models.image_targets import BoundTarget
    from camlucida.models.model import Model
    from camlucida.targets import TargetSpec


@dataclass(frozen=True, eq=False)
class QuestionTargets:
    """What a classifier of answers needs first: a question.

    Attributes:
        ask: Returns the further inputs of the network for a question.
    """

    ask: Callable[[str], Mapping[str, Any]] = field(repr=False)

    @property
    def kind(self) -> str:
        return "question"

    def with_question(self, model: Model, question: str) -> Model:
        """Return the classifier of the answers to a question: an ordinary model."""
        held = {**model.held, **self.ask(checked_question(question))}
        return replace(model, held=held, output=None, image_targets=None)

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Raise `TargetError`: without a question there are no answers."""
        raise TargetError(QUESTION_NEEDED)


def no_question(output: Any) -> NoReturn:
    """Raise the `TargetError` of a classifier of answers that is asked for class scores without a question."""
    raise TargetError(QUESTION_NEEDED)


class ViltAnswers(nn.Module):
    """`ViltForQuestionAnswering` from an image and a question to the logits of the answers `(b, k)`.

    ViLT itself shuffles the patches of an image at random, which its answers do not depend on, since each patch has its
    position added. Here they keep their order, so that they can be laid out as an image.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.vilt = network.vilt
        self.classifier = network.classifier

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        """Return the logits `(b, k)`."""
        image = self.image_embeddings(pixel_values)
        pooled = self.vilt(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            image_embeds=image,
            pixel_mask=torch.ones(image.shape[:2], dtype=torch.long, device=image.device),
        ).pooler_output
        logits: Tensor = self.classifier(pooled)
        return logits

    def image_embeddings(self, pixel_values: Tensor) -> Tensor:
        """Return the class token and the patches of images `(b, 1 + n, c)`, with their positions, row by row."""
        embeddings = self.vilt.embeddings
        patches = embeddings.patch_embeddings(pixel_values)
        positions = embeddings.position_embeddings
        side = round((positions.shape[1] - 1) ** 0.5)
        grid = positions[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        grid = nn.functional.interpolate(grid, size=patches.shape[-2:], mode="bilinear", align_corners=True)
        tokens = (patches + grid).flatten(2).transpose(1, 2)
        first = (embeddings.cls_token + positions[:, :1]).expand(len(tokens), -1, -1)
        return torch.cat([first, tokens], 1)
