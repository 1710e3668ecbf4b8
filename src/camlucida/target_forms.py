"""The forms of targets that are parts of one image, as text: a point, a box, a region, a word, a prompt.

Which network has which of them is decided where they are bound (`models.image_targets`). Here is what they have in
common: how a point is written, and the correct form for a text that is none of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NUMBER = r"-?[0-9.]+(?:[eE][+-]?[0-9]+)?"
POINT = re.compile(rf"(?:^|\s+)at\s+({_NUMBER})\s*,\s*({_NUMBER})\s*$")
"""The end of a target that names a point: "dog at 120,80", or the whole of "at 120,80"."""

_PARTS: tuple[tuple[str, str], ...] = (
    (
        r"(?:.*\s)?at(?:\s+-?[0-9.xX].*|\s*)",
        "A point is x,y in pixels of the image, for detectors and segmentation networks: '{name} at 120,80'.",
    ),
    (
        r"class:.*|region:.*",
        "Regions are targets of segmentation networks: 'class:{name}', 'class:{name} at 120,80', 'region:mask.png'.",
    ),
    (
        r"box(?:es)?\b.*|(?:\w+\s+)?edge\b.*",
        "Boxes are targets of detectors: 'box 3', 'box 3: {name}', 'edge left of box 3'.",
    ),
    (r"words?\b.*", "Words are targets of networks that write a text: 'word 2', 'word 2: cat rather than dog'."),
    (r"(?:not\s+)?text:.*", "Prompts are targets of image-text models: 'text:a dog', 'text:a dog among a cat, a car'."),
)
"""Beginnings of texts that are meant as a part of an image, each with the correct form."""
_CLASSES: tuple[tuple[str, str], ...] = (
    (r"class\s+[0-9]+", "The index of a class is written as a number only, such as '1'."),
    (r"rather than\b.*|.*\brather than", "A comparison names two classes: 'cat rather than dog'."),
    (r"not", "The negative evidence of a class is 'not {name}'."),
    (r"top", "The most likely classes are 'top3'."),
)
"""Texts that are meant as a class or a comparison, each with the correct form."""


def form_hint(text: str, names: Sequence[str] = (), *, has_classes: bool = True) -> str:
    """Return the correct form of what a text seems to mean, as a sentence that begins with a space; "" if none does.

    It is for the messages about a text that is no class: "box turtle" may be one.

    Args:
        text: The text.
        names: Class names, of which the first is the example, apart from a background.
        has_classes: Whether a class of the whole image may have been meant.
    """
    stripped = text.strip()
    objects = [name for name in names if name.strip("_ ").lower() not in ("", "background") and "," not in name]
    name = objects[0] if objects else "dog"
    for pattern, sentence in (*_PARTS, *(_CLASSES if has_classes else ())):
        if re.fullmatch(pattern, stripped, re.IGNORECASE | re.DOTALL):
            return " " + sentence.format(name=name)
    return ""
