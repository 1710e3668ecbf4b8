"""From pictures and methods to a study: maps are drawn, names are taken off, pairs are drawn by lot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from camlucida._files import write_picture
from camlucida._locks import locked
from camlucida.data.images import Source
from camlucida.error_context import name_of
from camlucida.errors import CamlucidaError, DataError, OutputError
from camlucida.explaining import as_model, explain
from camlucida.explanation import Explanation
from camlucida.methods import Combined, Method, find
from camlucida.models.model import Model
from camlucida.render.display import shown_size
from camlucida.render.palettes import DEFAULT
from camlucida.seeds import check_seed
from camlucida.studying.store import Shown, Study, create
from camlucida.types import ProgressCallback

SIDE = 480
"""Of the pictures shown, in pixels; larger ones are shrunk."""
TINY = 256
"""Up to this side they are PNG: JPEG would blur them."""


def make_study(
    folder: str | Path,
    model: Model | nn.Module | str,
    images: Sequence[Source],
    *,
    methods: Sequence[Any],
    layer: Any = None,
    target: Any = None,
    pairs: int = 3,
    ratings: int = 1,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Study:
    """Draw every method's map of every picture, and ask about them without names.

    folder    study.sqlite and the pictures go there
    model     as of `explain`
    methods   two or more, by name
    layer     one layer, None for the default
    target    what is explained, None for the predicted class
    pairs     how many pairs of methods are compared on a picture, drawn by lot; at most all of them
    ratings   how many maps of a picture are rated by themselves, drawn by lot
    seed      of everything drawn
    progress  told how many of how many pictures are done, again and again while one takes long

    A picture that cannot be explained is left out. Raises `DataError` where none can, or a study lies there already.
    What goes wrong, or is stopped, leaves no pictures behind.
    """
    check_seed(seed)
    chosen = [find(method) for method in methods]
    if len(chosen) < 2:
        raise DataError(f"a study compares two methods or more, and {len(chosen)} was given.")
    twice = next((m.name for i, m in enumerate(chosen) if m.name in {other.name for other in chosen[:i]}), None)
    if twice is not None:
        raise DataError(f"{twice} was given twice: a study compares methods that differ.")
    if pairs < 1 and ratings < 1:
        raise DataError("a study asks for one pair or one rating of every picture, at least.")
    root = Path(folder)
    if (root / "study.sqlite").exists():
        raise DataError(f"{root / 'study.sqlite'} holds a study already, perhaps with answers. Choose another folder.")
    written: list[Path] = []
    with locked(root):
        try:
            return _made(root, as_model(model), images, chosen, layer, target, pairs, ratings, seed, progress, written)
        except BaseException:
            if not (root / "study.sqlite").exists():  # else they are those of a study that was made meanwhile
                for file in written:
                    file.unlink(missing_ok=True)
            raise


def _made(
    root: Path,
    wrapped: Model,
    images: Sequence[Source],
    chosen: Sequence[Method | Combined],
    layer: Any,
    target: Any,
    pairs: int,
    ratings: int,
    seed: int,
    progress: ProgressCallback | None,
    written: list[Path],
) -> Study:
    rng = np.random.default_rng(seed)
    maps: list[Shown] = []
    trials: list[tuple[Any, ...]] = []
    left_out: list[str] = []

    def tell(done: int) -> None:
        if progress:
            progress(done, len(images))

    for number, image in enumerate(images):
        try:
            made = explain(
                wrapped, image, method=chosen, layer=layer, target=target, progress=lambda *_, n=number: tell(n)
            )
            shown, original = _drawn(root, number, name_of(image), list(made), seed, written)
        except OutputError:  # a full disk: the other images would not fit either
            raise
        except CamlucidaError as error:
            left_out.append(str(error))
        else:
            maps += shown
            trials += _asked(shown, original, f"Why {made[0].target!r}?", pairs, ratings, rng)
        tell(number + 1)
    if not trials:
        why = f" The first: {left_out[0]}" if left_out else ""
        raise DataError(f"none of {len(images)} pictures could be explained.{why}")
    about = {
        "model": wrapped.name,
        "weights": wrapped.weights_hash,
        "methods": [method.name for method in chosen],
        "pictures": len(images) - len(left_out),
        "left_out": left_out,
        "seed": seed,
    }
    return create(root / "study.sqlite", about, maps, trials)


def _drawn(
    root: Path, number: int, name: str, made: Sequence[Explanation], seed: int, written: list[Path]
) -> tuple[list[Shown], str]:
    """Overlays under names that say nothing, and the picture itself. All in the same colours, which would tell, too."""
    first = made[0].picture
    size = shown_size(first.size, (min(SIDE, first.width), min(SIDE, first.height)))
    colormap = None if len({e.shows_signs for e in made}) == 1 else DEFAULT
    picture = f"{number:04d} {name}"

    def write(what: str, drawn: Callable[[], Image.Image]) -> tuple[str, str]:
        id_ = _nameless(seed, number, what)
        file = f"pictures/{id_}.{'png' if max(size) <= TINY else 'jpg'}"
        written.append(root / file)
        write_picture(lambda: drawn().resize(size), root / file)
        return id_, file

    _, original = write("original", lambda: first)
    shown = []
    for e in made:
        id_, file = write(e.method, lambda e=e: e.overlay(colormap=colormap))  # type: ignore[misc]
        shown.append(Shown(id_, picture, e.method, file))
    return shown, original


def _asked(
    shown: Sequence[Shown], original: str, question: str, pairs: int, ratings: int, rng: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    every = list(combinations(shown, 2))
    for i in sorted(rng.choice(len(every), min(pairs, len(every)), replace=False)):
        one, other = every[i] if rng.integers(2) else every[i][::-1]
        yield "pair", one.picture, question, original, one.id, other.id
    for i in sorted(rng.choice(len(shown), min(ratings, len(shown)), replace=False)):
        yield "rating", shown[i].picture, question, original, shown[i].id, None


def _nameless(seed: int, number: int, what: str) -> str:
    return hashlib.sha256(f"{seed}/{number}/{what}".encode()).hexdigest()[:16]
