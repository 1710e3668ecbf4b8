"""Image-text models: prompts as classes, targets and contrasts of a network that embeds images (CLIP, SigLIP).

The network of such a model is the image tower, from images to embeddings `(b, d)`. The class score of a prompt is the
scaled cosine between the embedding of the image and that of the text. Texts are embedded once, by a text tower that
explaining neither copies nor runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from camlucida.errors import ModelError, TargetError
from camlucida.models.image_targets import BoundTarget
from camlucida.models.prompt_specs import PromptSpec, is_prompt_spec, parse_prompt_spec
from camlucida.options import shown

if TYPE_CHECKING:
    from camlucida.models.model import Model
    from camlucida.targets import TargetSpec

TextEncoder: TypeAlias = Callable[[list[str]], Tensor]
"""Returns the embeddings `(n, d)` of n texts, of any length."""

HASH_LETTERS = 16


@dataclass(frozen=True, eq=False, repr=False)
class PromptScores:
    """Reads the class scores of prompts from the output of an image tower: scaled cosines.

    Attributes:
        embeddings: Text embeddings `(k, d)` of length 1.
        scale: Factor of the cosines: the exponential of the network's logit scale.
        bias: Added to the scaled cosines, where the network has a logit bias (SigLIP).
        templates: Templates that the prompts were put into, for records.
    """

    embeddings: Tensor
    scale: float = 1.0
    bias: float = 0.0
    templates: tuple[str, ...] = ("{}",)

    def __call__(self, output: Any) -> Tensor:
        """Return the scores `(b, k)` of an output: embeddings `(b, d)`, alone or as the first part."""
        images = output if isinstance(output, Tensor) else output[0]
        if images.dtype in (torch.float16, torch.bfloat16):
            images = images.float()
        cosines = nn.functional.normalize(images, dim=-1) @ self.embeddings.to(images).T
        return self.scale * cosines + self.bias

    def __repr__(self) -> str:
        digest = hashlib.sha256(self.embeddings.detach().cpu().double().numpy().tobytes()).hexdigest()[:HASH_LETTERS]
        return f"PromptScores(embeddings={digest}, scale={self.scale:.6g}, bias={self.bias:.6g}, {self.templates})"


@dataclass(frozen=True, eq=False)
class PromptTargets:
    """Prompts of an image-text model as targets: "text:a dog", "text:a dog rather than a cat".

    Attributes:
        encode: The text encoder, with its tokenizer.
        scale: As of `PromptScores`.
        bias: As of `PromptScores`.
        sigmoid: Whether each prompt has a probability of its own (SigLIP); else they compete (CLIP).
        kind: The kind of targets.
    """

    encode: TextEncoder = field(repr=False)
    scale: float = 1.0
    bias: float = 0.0
    sigmoid: bool = False
    kind: str = "image-text"
    _known: dict[tuple[Any, ...], PromptScores] = field(default_factory=dict, repr=False)

    def scores(self, prompts: Sequence[str], templates: Sequence[str] = ("{}",)) -> PromptScores:
        """Return what reads the scores of prompts; the texts are embedded on the first call only.

        Args:
            prompts: The prompts.
            templates: Each prompt is put into every template at its "{}"; the embeddings, of length 1, are averaged.

        Raises:
            ModelError: The text encoder returns something other than finite embeddings.
        """
        key = (*prompts, None, *templates)
        if key not in self._known:
            texts = [template.replace("{}", prompt) for prompt in prompts for template in templates]
            with torch.inference_mode(False), torch.no_grad():
                embedded = self.encode(texts).detach().cpu()
                if embedded.ndim != 2 or len(embedded) != len(texts) or not bool(embedded.isfinite().all()):
                    raise ModelError(
                        f"the text encoder returned {tuple(embedded.shape)} for {len(texts)} texts; it must return "
                        "finite embeddings (texts, d)."
                    )
                unit = nn.functional.normalize(embedded.float(), dim=-1)
                mean = unit.reshape(len(prompts), len(templates), -1).mean(1)
                embeddings = nn.functional.normalize(mean, dim=-1)
            self._known[key] = PromptScores(embeddings, self.scale, self.bias, tuple(templates))
        return self._known[key]

    def of_prompts(self, model: Model, prompts: Sequence[str], templates: Sequence[str] = ("{}",)) -> Model:
        """Return an ordinary model whose classes are prompts.

        One prompt alone has a value without a probability, unless the model has a sigmoid per prompt.
        """
        alone = len(prompts) == 1
        task: Any = ("binary" if alone else "multilabel") if self.sigmoid else ("regression" if alone else "multiclass")
        return replace(
            model,
            output=self.scores(prompts, templates),
            labels=tuple(prompts),
            task=task,
            probabilities=False,
            image_targets=None,
        )

    def bind(self, model: Model, inputs: Tensor, spec: TargetSpec) -> tuple[BoundTarget, ...]:
        """Return what one target means, see `ImageTargets`."""
        return self.bind_all(model, inputs, [spec])[0]

    def bind_all(
        self, model: Model, inputs: Tensor, specs: Sequence[TargetSpec]
    ) -> tuple[tuple[BoundTarget, ...], ...]:
        """Return what the targets of one request mean; all prompts among them compete.

        Args:
            model: The model that has these targets.
            inputs: Network input `(1, c, H, W)`.
            specs: Targets as the user gave them.

        Raises:
            TargetError: A target is a class, and there are no classes.
        """
        del inputs
        parsed = [parse_prompt_spec(str(spec)) if is_prompt_spec(spec) else None for spec in specs]
        prompts = tuple(dict.fromkeys(name for one in parsed if one is not None for name in one.prompts))
        bound: list[tuple[BoundTarget, ...]] = []
        for spec, one in zip(specs, parsed, strict=True):
            if one is not None:
                bound.append((self._bound(model, prompts, one),))
            elif callable(spec) and not isinstance(spec, Tensor):
                bound.append(())
            else:
                what = "no target was given" if spec is None else f"{shown(spec)} is none of them"
                raise TargetError(
                    f"{model.name} compares images with texts and has no classes, and {what}. Give target='text:a dog' "
                    "(--target \"text:a dog\"), or make classes of prompts: model.with_prompts(['a dog', 'a cat']) "
                    '(--prompts "a dog, a cat").'
                )
        return tuple(bound)

    def _bound(self, model: Model, prompts: Sequence[str], one: PromptSpec) -> BoundTarget:
        return BoundTarget(
            self.of_prompts(model, prompts), one.target(prompts), one.label, one.with_competitors(prompts)
        )


def with_prompts(model: Model, prompts: Sequence[str] | str, template: str | Sequence[str] = "{}") -> Model:
    """Return an image-text model with prompts as its classes, see `Model.with_prompts`."""
    targets = model.image_targets
    if not isinstance(targets, PromptTargets):
        raise ModelError(
            f"{model.name} has no text encoder, so prompts cannot be its classes. Image-text models are "
            "openclip:ViT-B-32, hf:/path of a CLIP or SigLIP, or wrap(clip, tokenizer=tokenizer)."
        )
    names = [prompts] if isinstance(prompts, str) else list(prompts)
    templates = (template,) if isinstance(template, str) else tuple(template)
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise ModelError(f"prompts are texts, one per class, such as ['a dog', 'a cat'], not {shown(prompts)}.")
    names = [name.strip() for name in names]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ModelError(f"the prompt {repeated[0]!r} is given twice.")
    if not templates or not all(isinstance(one, str) and "{}" in one for one in templates):
        raise ModelError(
            f"a template contains {{}} where the prompt goes, such as 'a photo of {{}}': {shown(template)}."
        )
    return targets.of_prompts(model, names, templates)
