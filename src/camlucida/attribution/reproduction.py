"""What computes an explanation again: the versions of the packages, and lines of Python and of the command line."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import camlucida

if TYPE_CHECKING:
    from camlucida.attribution.explanation import Explanation

SCORES = ("probability", "log_probability")
"""Scores other than the default."""


def reproduction_lines(explanations: Sequence[Explanation], file: str) -> list[tuple[str, str]]:
    """Return the lines as (name, line).

    Args:
        explanations: The explanations of one image, or of one network input each.
        file: Name of the file to write.

    Returns:
        The lines; none where the network takes several inputs, which a line cannot name.
    """
    first = explanations[0]
    if first.input:
        return []
    score = {"score": first.score_kind} if first.score_kind in SCORES else {}
    prefix = f"{first.score_kind.replace('_', ' ')} of " if score else ""  # the text of a target names its score
    several = {axis: [getattr(e, axis) for e in explanations] for axis in ("target", "layer", "method")}
    several["target"] = [target.removeprefix(prefix) for target in several["target"]]
    values = {axis: list(dict.fromkeys(texts)) for axis, texts in several.items()}
    if values["layer"] == ["input"]:
        del values["layer"]
    options = {key: value for key, value in first.options.items() if isinstance(value, str | int | float | bool)}
    arguments: dict[str, Any] = {
        **{axis: texts[0] if len(texts) == 1 else texts for axis, texts in values.items()},
        **score,
        **options,
    }
    call = ", ".join([repr(first.model), repr(first.source), *(f"{key}={value!r}" for key, value in arguments.items())])
    python = f"import camlucida as cl\n\ncl.explain({call}).save({file!r})"
    # a name that begins with a hyphen would be read as an option
    words = ["camlucida", "explain", f"./{first.source}" if first.source.startswith("-") else first.source]
    words += ["--model", first.model]
    for axis, texts in values.items():
        words += [word for text in texts for word in (f"--{axis}", text)]
    words += [word for key, value in score.items() for word in (f"--{key}", value)]
    words += [word for key, value in options.items() for word in ("--option", f"{key}={value}")]
    return [("Python", python), ("Command line", shlex.join([*words, "--output", file]))]


@cache
def versions() -> dict[str, str]:
    """Return the versions of the packages that take part in an explanation."""
    libraries = {name: importlib.metadata.version(name) for name in ("torch", "torchvision", "pillow", "numpy")}
    return {"camlucida": camlucida.__version__, **libraries}
