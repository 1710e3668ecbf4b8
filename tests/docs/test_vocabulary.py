"""Words that the project no longer uses are counted over the code, the documentation and the texts of the page.

The project writes as its field does: an image, a gradient, a random draw. Each entry below names a retired expression
and what stands for it. What is left of it is counted in `REMAINING`.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

RETIRED = {
    r"pictures?": "image (what a person sees) or network input (the tensor)",
    r"g(?:a|i)ves? out|give out": "return, output",
    r"told": "reported, predicted",
    r"slopes?": "gradient",
    r"by lot|drawn anew|anew": "at random, re-initialised, again",
    r"knows? nothing": "uninformative baseline",
    r"speaks? (?:for|against)": "positive or negative evidence",
    r"way back": "backward pass",
    r"untouched": "unmodified",
    r"looked at|looks at": "evaluated, read, uses",
    r"put over": "overlaid",
    r"surest": "most confident",
    r"rivals?": "competing classes",
    r"in words": "as text",
    r"(?:a|one) (?:row|file|line) an?": "one row per image",
    r"goes on|go on": "resumes, continues",
    r"kin|relatives": "variants",
    r"coat": "opacity",
    r"the same everywhere": "constant",
    r"errands?": "job",
    r"twins?": "network copy",
    r"sights?": "model input",
    r"heat": "saliency, map value",
    r"nobody|somebody": "no one; name the person or part",
    r"worth": "weight, value",
    r"(?<!takes )(?<!take )places?(?! of\b)(?<!in place)(?<!in-place)": "position, location",
    r"shares? of": "fraction, contribution",
}
"""A regular expression, without its word boundaries, and what the field says."""

REMAINING = {
    r"pictures?": 24,  # `Scene.picture()` draws one; symbols of the front end in template strings
    r"told": 9,  # symbols of the front end in template strings
    r"slopes?": 1,  # an old name in CHANGELOG.md
    r"rivals?": 1,  # a key of the data hash: another one would change every hash
    r"in words": 8,  # Python: `for word in words`
    r"goes on|go on": 1,  # the page: an offer to continue
    r"coat": 1,  # an architecture
    r"twins?": 1,  # an architecture
    r"(?<!takes )(?<!take )places?(?! of\b)(?<!in place)(?<!in-place)": 5,  # a symbol of the front end, a random stream
}
"""How often an expression still occurs, and why. The numbers only go down."""

TEXTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
FOLDERS = {"src": ("*.py", "*.html"), "docs": ("*.md", "*.py"), "frontend/src": ("*.ts",), "examples": ("*.py",)}


def files() -> list[Path]:
    """Every file whose words count; in TypeScript only what stands in quotes is read by people."""
    paths = [ROOT / name for name in TEXTS]
    for folder, patterns in FOLDERS.items():
        for pattern in patterns:
            paths += [p for p in sorted((ROOT / folder).rglob(pattern)) if "static" not in p.parts]
    return paths


def text_of(path: Path) -> str:
    """The words of a file: all of it, or the string literals with a space in them of a TypeScript file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ts":
        return text
    quoted = re.findall(r"\"([^\"\n]*)\"|'([^'\n]*)'|`([^`]*)`", re.sub(r"import [^;]*;", "", text))
    return "\n".join(part for parts in quoted for part in parts if " " in part)


@pytest.mark.parametrize("expression", RETIRED, ids=lambda e: re.sub(r"\W+", "-", e)[:30])
def test_retired_expression(expression: str) -> None:
    pattern = re.compile(rf"\b(?:{expression})\b", re.IGNORECASE)
    uses = Counter({path.relative_to(ROOT).as_posix(): len(pattern.findall(text_of(path))) for path in files()})
    limit = REMAINING.get(expression, 0)
    worst = dict(uses.most_common(5))
    assert uses.total() <= limit, f"{uses.total()} uses, {limit} before; write “{RETIRED[expression]}”: {worst}"
