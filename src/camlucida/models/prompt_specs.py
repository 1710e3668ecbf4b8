"""Targets that name prompts, as text: "text:a dog", "text:a dog rather than a cat", "text:a dog among a cat, a car"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from camlucida.errors import TargetError

PREFIX = "text:"
_SPEC = re.compile(r"\s*(not\s+)?text:(.*)", re.DOTALL)


@dataclass(frozen=True)
class PromptSpec:
    """A target that names prompts.

    Attributes:
        prompt: The prompt.
        against: The prompt it is contrasted with ("rather than"); empty without one.
        competitors: Prompts that compete with it, without being explained ("among").
        negated: Whether the negative evidence is asked for ("not text:a dog").
    """

    prompt: str
    against: str = ""
    competitors: tuple[str, ...] = ()
    negated: bool = False

    @property
    def prompts(self) -> tuple[str, ...]:
        """All prompts that the target names."""
        return (self.prompt, *([self.against] if self.against else []), *self.competitors)

    @property
    def label(self) -> str:
        """The target as text."""
        text = f"{self.prompt} rather than {self.against}" if self.against else self.prompt
        return f"not {text}" if self.negated else text

    def target(self, prompts: Sequence[str]) -> str:
        """Return the target of a model whose classes are `prompts`, by index, since a prompt may be any text."""
        index = f"{'not ' if self.negated else ''}{prompts.index(self.prompt)}"
        return f"{index} rather than {prompts.index(self.against)}" if self.against else index

    def with_competitors(self, prompts: Sequence[str]) -> str:
        """Return the text that means this target among `prompts`, which compete with it."""
        others = [name for name in prompts if name not in (self.prompt, self.against)]
        text = f"{'not ' if self.negated else ''}{PREFIX}{self.prompt}"
        if self.against:
            text += f" rather than {self.against}"
        if any("," in name or " among " in name for name in others):
            return ""  # no text means it
        return f"{text} among {', '.join(others)}" if others else text


def is_prompt_spec(spec: Any) -> bool:
    """Return whether a target names prompts."""
    return isinstance(spec, str) and _SPEC.fullmatch(spec) is not None


def parse_prompt_spec(spec: str) -> PromptSpec:
    """Return the prompts that a target names.

    Args:
        spec: "text:A", "text:A rather than B", "text:A among B, C" or "not text:A".

    Raises:
        TargetError: A prompt is empty.
    """
    match = _SPEC.fullmatch(spec)
    assert match is not None
    rest, _, among = match[2].partition(" among ")
    this, contrast, that = rest.partition(" rather than ")
    this, that = this.strip(), that.strip().removeprefix(PREFIX).strip()
    competitors = tuple(name.strip().removeprefix(PREFIX).strip() for name in among.split(",")) if among else ()
    if not this or (contrast and not that) or any(not name for name in competitors):
        raise TargetError(f"{spec!r} has an empty prompt. Write text:a dog, text:a dog rather than a cat, …")
    if contrast and (this == that or match[1]):
        raise TargetError(f"{spec!r}: a contrast is of two different prompts: text:a dog rather than a cat.")
    distinct = tuple(dict.fromkeys(name for name in competitors if name not in (this, that)))
    return PromptSpec(this, that, distinct, match[1] is not None)
