"""Creation of a study: maps are rendered under anonymous names, and trials are sampled at random."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import nn

from camlucida._files import atomic_path, write_image
from camlucida._locks import locked
from camlucida.attribution.error_context import source_name
from camlucida.attribution.explain import explain
from camlucida.attribution.explanation import Explanation
from camlucida.data.images import Source
from camlucida.errors import CamlucidaError, DataError, OutputError
from camlucida.methods import Combined, Method, find
from camlucida.models.load import as_model
from camlucida.models.model import Model
from camlucida.render.palettes import DEFAULT_COLORMAP
from camlucida.render.resize import display_size
from camlucida.seeds import check_seed
from camlucida.types import ProgressCallback
from camlucida.user_study.sqlite import SCHEMA, open_database
from camlucida.user_study.study import Study, StudyMap

MAX_SIDE_PX = 480
"""Maximum side of the displayed images in pixels; larger ones are reduced."""
MAX_PNG_PX = 256
"""Images up to this side are stored as PNG, because JPEG would blur them."""


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
    """Render the map of every image by every method, and create a blind study of them.

    On an error or interruption, the rendered images are removed.

    Args:
        folder: Output folder, for study.sqlite and the images.
        model: As in `explain`.
        images: The images. Those that cannot be explained are left out.
        methods: Two or more attribution methods, by name.
        layer: One layer; None for the default layer.
        target: What is explained; None for the predicted class.
        pairs: Number of pairs of methods compared per image, sampled at random; at most all pairs.
        ratings: Number of maps rated individually per image, sampled at random.
        seed: Seed of all random choices.
        progress: Called with the number of images done and the total number, repeatedly while an image takes long.

    Returns:
        The new study.

    Raises:
        DataError: If no image can be explained, the folder already holds a study, or the methods or numbers are
            invalid.
    """
    check_seed(seed)
    chosen_methods = [find(method) for method in methods]
    names = [method.name for method in chosen_methods]
    if len(chosen_methods) < 2:
        raise DataError(f"a study compares at least two methods, not {len(chosen_methods)}.")
    duplicate = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if duplicate is not None:
        raise DataError(f"{duplicate} is given twice. A study compares different methods.")
    if pairs < 1 and ratings < 1:
        raise DataError("a study needs at least one pair or one rating per image.")
    root = Path(folder)
    if (root / "study.sqlite").exists():
        raise DataError(f"{root / 'study.sqlite'} holds a study already, perhaps with answers. Choose another folder.")
    written: list[Path] = []
    with locked(root):
        try:
            return _create_study(
                root, as_model(model), images, chosen_methods, layer, target, pairs, ratings, seed, progress, written
            )
        except BaseException:
            if not (root / "study.sqlite").exists():  # otherwise the images belong to a study created meanwhile
                for file in written:
                    file.unlink(missing_ok=True)
            raise


def _create_study(
    root: Path,
    model: Model,
    images: Sequence[Source],
    methods: Sequence[Method | Combined],
    layer: Any,
    target: Any,
    pairs: int,
    ratings: int,
    seed: int,
    progress: ProgressCallback | None,
    written: list[Path],
) -> Study:
    """Explain the images, sample the trials and write the study."""
    rng = np.random.default_rng(seed)
    maps: list[StudyMap] = []
    trials: list[tuple[Any, ...]] = []
    left_out: list[str] = []

    def report(done: int) -> None:
        if progress:
            progress(done, len(images))

    for number, image in enumerate(images):
        try:
            explanations = explain(
                model, image, method=methods, layer=layer, target=target, progress=lambda *_, n=number: report(n)
            )
            study_maps, original = _write_images(root, number, source_name(image), list(explanations), seed, written)
        except OutputError:  # disk full: the other images would not fit either
            raise
        except CamlucidaError as error:
            left_out.append(str(error))
        else:
            maps += study_maps
            trials += _make_trials(study_maps, original, f"Why {explanations[0].target!r}?", pairs, ratings, rng)
        report(number + 1)
    if not trials:
        reason = f" The first: {left_out[0]}" if left_out else ""
        raise DataError(f"none of the {len(images)} images could be explained.{reason}")
    metadata = {
        "model": model.name,
        "weights": model.weights_hash,
        "methods": [method.name for method in methods],
        "n_images": len(images) - len(left_out),
        "left_out": left_out,
        "seed": seed,
    }
    return create_study(root / "study.sqlite", metadata, maps, trials)


def create_study(
    path: Path, metadata: Mapping[str, Any], maps: Sequence[StudyMap], trials: Sequence[tuple[Any, ...]]
) -> Study:
    """Create a study file, completely or not at all.

    Args:
        path: The new file.
        metadata: How the study was created.
        maps: The maps.
        trials: For each trial: kind, image, question, original file, id of the left map, id of the right map or None.

    Returns:
        The new study.

    Raises:
        DataError: If the file exists, because it may hold answers.
    """
    if path.exists():
        raise DataError(f"{path} holds a study already, perhaps with answers. Choose another folder.")
    with atomic_path(path) as temporary, open_database(temporary, new=True) as data:
        data.executescript(SCHEMA)
        data.executemany("insert into about values (?, ?)", [(k, json.dumps(v)) for k, v in metadata.items()])
        data.executemany("insert into maps values (?, ?, ?, ?)", [(m.id, m.image, m.method, m.file) for m in maps])
        data.executemany(
            "insert into trials (kind, image, question, original, left_map, right_map) values (?, ?, ?, ?, ?, ?)",
            trials,
        )
    return Study(path)


def _write_images(
    root: Path, number: int, name: str, explanations: Sequence[Explanation], seed: int, written: list[Path]
) -> tuple[list[StudyMap], str]:
    """Write the overlays under anonymous names, and the original image.

    All maps have the same colour map, because different ones would reveal the method.
    """
    original_image = explanations[0].image
    size = display_size(
        original_image.size, (min(MAX_SIDE_PX, original_image.width), min(MAX_SIDE_PX, original_image.height))
    )
    colormap = None if len({e.shows_signs for e in explanations}) == 1 else DEFAULT_COLORMAP
    image = f"{number:04d} {name}"

    def write(name: str, render: Callable[[], Image.Image]) -> tuple[str, str]:
        id_ = _anonymous_id(seed, number, name)
        file = f"images/{id_}.{'png' if max(size) <= MAX_PNG_PX else 'jpg'}"
        written.append(root / file)
        write_image(lambda: render().resize(size), root / file)
        return id_, file

    _, original = write("original", lambda: original_image)
    study_maps = []
    for e in explanations:
        id_, file = write(e.method, lambda e=e: e.overlay(colormap=colormap))  # type: ignore[misc]
        study_maps.append(StudyMap(id_, image, e.method, file))
    return study_maps, original


def _make_trials(
    study_maps: Sequence[StudyMap], original: str, question: str, pairs: int, ratings: int, rng: np.random.Generator
) -> Iterator[tuple[Any, ...]]:
    """Yield the sampled pairs, in random order of left and right, and the sampled ratings of one image."""
    map_pairs = list(combinations(study_maps, 2))
    for i in sorted(rng.choice(len(map_pairs), min(pairs, len(map_pairs)), replace=False)):
        left, right = map_pairs[i] if rng.integers(2) else map_pairs[i][::-1]
        yield "pair", left.image, question, original, left.id, right.id
    for i in sorted(rng.choice(len(study_maps), min(ratings, len(study_maps)), replace=False)):
        yield "rating", study_maps[i].image, question, original, study_maps[i].id, None


def _anonymous_id(seed: int, number: int, kind: str) -> str:
    """Return a name that does not reveal the method."""
    return hashlib.sha256(f"{seed}/{number}/{kind}".encode()).hexdigest()[:16]
