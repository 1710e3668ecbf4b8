"""Deep Feature Factorisation: what a layer sees, as a few concepts that its pictures share."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import camlucida
from camlucida.data.images import Source, load_image
from camlucida.engine import LayerSpec
from camlucida.error_context import name_of, of_this
from camlucida.errors import CamlucidaError, MethodError
from camlucida.explaining import as_model, iterated, top_predictions, versions
from camlucida.extras import need
from camlucida.looking import ask, shrunk, small
from camlucida.models.model import Model
from camlucida.options import Count, Seed, checked_arguments
from camlucida.render.concepts import MOST, Entry, Shown, concept_page
from camlucida.render.text import percent
from camlucida.request import one_layer
from camlucida.saving import png, write_picture, writing
from camlucida.tensors import land
from camlucida.types import Geometry, Prediction

PAPER = "Collins et al., ECCV 2018: A = W H, both >= 0, least |A - W H| (Frobenius), eq. 1"
SHEET = 12
"""How many pictures a page has, unless asked otherwise."""
KEPT = 640
"""The longest side of a picture that is kept to be shown, in pixels."""
ANSWERED = 8
"""Of so many pictures the rest of the network is asked what a concept is."""
CLASSES = 3
"""How many classes a concept has in the legend."""
STARTS = 4
MOST_STEPS, TOLERANCE = 1000, 1e-5


@dataclass(frozen=True, eq=False)
class Factors:
    """W H, both non-negative, near a matrix V (places, channels).

    places    W, (places, k), the maximum of each column 1
    vectors   H, (k, channels), in the units of V
    error     |V - W H| / |V|, Frobenius
    converged whether no further step was worth it
    """

    places: NDArray[np.float64]
    vectors: NDArray[np.float64]
    error: float
    converged: bool


def factorise(values: NDArray[Any], k: int, *, seed: int = 0, starts: int = STARTS) -> Factors:
    """Non-negative matrix factorisation by coordinate descent: the best of several starts, the largest part first.

    values    (places, channels), none below zero
    starts    how many to try: the first from the singular vectors (NNDSVDa), the others at random; the least error is
              kept, since the problem is not convex

    The factors are fixed up to a scale for each part: here each part is 1 at its strongest place, so that a vector is
    what the layer gives out there of this part. A part that is zero everywhere is left out.
    """
    sklearn = need("sklearn.decomposition", extra="analysis", what="the factorisation into concepts")
    size = float(np.linalg.norm(values))
    best: Factors | None = None
    for start in range(starts):
        init = "random" if start else "nndsvda"
        nmf = sklearn.NMF(k, init=init, random_state=seed + start, max_iter=MOST_STEPS, tol=TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it did not converge is said in the result
            places = nmf.fit_transform(values)
        error = float(np.linalg.norm(values - places @ nmf.components_)) / size
        if best is None or error < best.error:
            best = Factors(places, nmf.components_, error, nmf.n_iter_ < MOST_STEPS)
    assert best is not None, "no start"
    return _in_order(best)


def _in_order(found: Factors) -> Factors:
    tops = found.places.max(0)
    worth = found.places.sum(0) * found.vectors.sum(1)
    order = [i for i in np.argsort(-worth, kind="stable") if worth[i] > 0]
    places, vectors = found.places[:, order] / tops[order], found.vectors[order] * tops[order, None]
    return Factors(places, vectors, found.error, found.converged)


@dataclass(frozen=True, eq=False)
class Concepts:
    """A layer's activations on some pictures as a few concepts. Shows itself in a notebook.

    vectors   (k, c) the concepts: what the layer gives out at the strongest place of each; the largest first
    maps      of every picture (k, h, w): how strong each concept is at each place, its maximum over all pictures 1
    shares    (k,) how much of the sum of W H each is; they add up to 1
    classes   for each concept, what the rest of the network says where the layer gives out that concept everywhere
    error     |A - W H| / |A|: what the concepts do not account for
    cut       the share of the activations' energy (sum of squares) that lay below zero and was left out
    failed    the pictures that could not be read, with the error
    """

    vectors: Tensor
    maps: tuple[Tensor, ...]
    shares: Tensor
    classes: tuple[tuple[Prediction, ...], ...]
    error: float
    cut: float
    converged: bool
    seed: int
    layer: str
    model: str
    sources: tuple[str, ...]
    pictures: tuple[Image.Image, ...] = field(repr=False)
    geometries: tuple[Geometry, ...] = field(repr=False)
    failed: tuple[tuple[str, CamlucidaError], ...] = ()

    def __len__(self) -> int:
        return len(self.vectors)

    def heatmap(self, concept: int, picture: int = 0) -> NDArray[np.float32]:
        """(height, width) of a picture as it is kept: how strong a concept is there; NaN where nobody looked."""
        for number, of, what in ((concept, len(self), "concept"), (picture, len(self.maps), "picture")):
            if not 0 <= number < of:
                raise MethodError(f"no {what} {number}: there are {of}, from 0 to {of - 1}.")
        landed: NDArray[np.float32] = land(self.maps[picture][concept], self.geometries[picture]).numpy()
        return landed.clip(0, 1)

    def figure(self, n: int = SHEET, **look: Any) -> Image.Image:
        """The first n pictures beside what is where in them. `look` as of `render.concept_page`."""
        drawn = min(len(self), MOST)
        told_apart = len(set(self.sources)) == len(self.sources)
        pages = [
            Shown(picture, np.stack([self.heatmap(k, i) for k in range(drawn)]), self.sources[i] * told_apart)
            for i, picture in enumerate(self.pictures[: max(1, n)])
        ]
        entries = [
            Entry(
                f"Concept {k + 1}", float(self.shares[k]), [(p.name, p.probability) for p in self.classes[k][:CLASSES]]
            )
            for k in range(drawn)
        ]
        h, w = self.maps[0].shape[1:]
        several = f"{len(pages)} of {len(self.pictures)} pictures · " if len(self.pictures) > 1 else ""
        drawn_of = f"the largest {drawn} of {len(self)}" if drawn < len(self) else f"{drawn}"
        return concept_page(
            pages,
            entries,
            title=f"Concepts of {self.layer}",
            subtitle=f"{several}{drawn_of} concepts, {h} × {w} · "
            f"they account for {1 - self.error**2:.0%} of the energy, relative error {self.error:.2g}",
            note=self._note(),
            footer=f"classes: what the rest of the network says to the concept everywhere · {self.model} · "
            f"camlucida {camlucida.__version__}",
            **look,
        )

    def record(self) -> dict[str, Any]:
        """Everything but the pixels, ready for JSON."""
        return {
            "sources": list(self.sources),
            "model": self.model,
            "layer": self.layer,
            "paper": PAPER,
            "concepts": len(self),
            "shares": self.shares.tolist(),
            "classes": [[asdict(p) for p in found] for found in self.classes],
            "error": self.error,
            "cut": self.cut,
            "converged": self.converged,
            "seed": self.seed,
            "failed": {source: str(error) for source, error in self.failed},
            "versions": versions(),
        }

    def save(self, path: str | Path, n: int = SHEET, **look: Any) -> list[Path]:
        """Write it down; returns the files written.

        .png, .jpg, .webp   the page (`n`, `look` as of `figure`)
        .npz                vectors, and maps_0, maps_1, … for the pictures, with a .json of `record()` beside it
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            write_picture(lambda: self.figure(n, **look), path)
            return [path]
        beside = path.with_suffix(".json")
        arrays: dict[str, Any] = {f"maps_{i}": maps.numpy() for i, maps in enumerate(self.maps)}
        with writing(path):
            np.savez_compressed(path, vectors=self.vectors.numpy(), **arrays)
            text = json.dumps(self.record(), indent=2, ensure_ascii=False) + "\n"
            beside.write_text(text, encoding="utf-8", errors="backslashreplace")
        return [path, beside]

    def _note(self) -> str:
        said = []
        if self.cut > 0:
            said.append(
                f"{percent(self.cut)} of the activations' energy lies below zero and was left out: "
                "concepts are made of what is above."
            )
        if not self.converged:
            said.append(f"After {MOST_STEPS} steps the concepts were still changing.")
        return " ".join(said)

    def _repr_png_(self) -> bytes:
        return png(self.figure())


@checked_arguments(MethodError)
def concepts(
    model: Model | nn.Module | str,
    images: Source | Iterable[Source],
    *,
    layer: LayerSpec = None,
    k: Count = 6,
    seed: Seed = 0,
    starts: Count = STARTS,
    tick: Callable[[Source, CamlucidaError | None], None] | None = None,
) -> Concepts:
    """What a layer sees on one or several pictures, as k concepts that they share (Deep Feature Factorisation).

    images   one picture or several; one that cannot be read is left out, and named in `failed`
    layer    a name or index, as for `explain`; one only
    k        how many concepts; fewer come back where fewer are enough
    seed     of the random starts; the same seed gives the same concepts
    starts   how many starts to try, for the least error
    tick     told after every picture, with the error if there was one

    The classes of a concept come from the rest of the network, run with the concept at every place. Where something
    goes past the layer (a class token, a shortcut), it is the picture's own: the scores are the mean over the first 8.
    Needs `camlucida[analysis]`.
    """
    one_layer(layer, "concepts are made of")
    wrapped = as_model(model)
    seen: list[_Seen] = []
    failed: list[tuple[str, CamlucidaError]] = []
    for image, found in _looked(wrapped, _sources(images), layer):
        if isinstance(found, CamlucidaError):
            failed.append((name_of(image), found))
        else:
            layer = found.layer
            seen.append(found)
        if tick:
            tick(image, found if isinstance(found, CamlucidaError) else None)
    if not seen:
        if failed:
            raise failed[0][1]
        raise MethodError("no picture was given: concepts are made of one or more.")
    values, cut = _above_zero(seen)
    _check_size(values, k, seen)
    factors = factorise(values, k, seed=seed, starts=starts)
    sizes = [one.maps.shape[1:] for one in seen]
    parts = np.split(factors.places, np.cumsum([h * w for h, w in sizes])[:-1])
    vectors = torch.from_numpy(factors.vectors).float()
    sums = factors.places.sum(0) * factors.vectors.sum(1)
    return Concepts(
        vectors=vectors,
        maps=tuple(
            torch.from_numpy(part.T.reshape(-1, *size).copy()).float() for part, size in zip(parts, sizes, strict=True)
        ),
        shares=torch.from_numpy(sums / sums.sum()).float(),
        classes=tuple(top_predictions(scores, wrapped.labels) for scores in _answers(wrapped, seen, vectors)),
        error=factors.error,
        cut=cut,
        converged=factors.converged,
        seed=seed,
        layer=seen[0].label,
        model=wrapped.name,
        sources=tuple(one.source for one in seen),
        pictures=tuple(one.picture for one in seen),
        geometries=tuple(one.geometry for one in seen),
        failed=tuple(failed),
    )


@dataclass(frozen=True)
class _Seen:
    """A picture, and what the layer gave out (c, h, w); its `inputs` are kept of the first few only."""

    source: str
    picture: Image.Image
    geometry: Geometry
    inputs: Tensor | None
    maps: Tensor
    layer: str
    label: str


def _sources(images: Any) -> Iterable[Source]:
    one = (str, os.PathLike, bytes, bytearray, Image.Image, np.ndarray)
    return [images] if isinstance(images, one) or hasattr(images, "read") else iterated(images)


def _looked(model: Model, images: Iterable[Source], layer: Any) -> Iterator[tuple[Source, _Seen | CamlucidaError]]:
    """A wrong layer stops everything; a wrong picture only itself."""
    kept = 0
    for image in images:
        try:
            with of_this(model, image):
                picture = load_image(image)
                inputs, geometry = model.preprocessing(picture)
        except CamlucidaError as error:
            yield image, error
            continue
        with of_this(model, image):
            where, found = ask(model, inputs, layer)
            maps = found.at_layers[0][0].activations[0].double().cpu()
        layer = where.name
        shown = small(picture, KEPT)
        again = inputs if kept < ANSWERED else None
        kept += 1
        yield (
            image,
            _Seen(name_of(image), shown, shrunk(geometry, shown), again, maps, where.name, where.label),
        )


def _above_zero(seen: Sequence[_Seen]) -> tuple[NDArray[np.float64], float]:
    """All places of all pictures (places, channels) without what is below zero, and how much of the energy that was."""
    values = torch.cat([one.maps.flatten(1).T for one in seen]).numpy()
    where = seen[0].label
    if not np.isfinite(values).all():
        raise MethodError(f"{where} gives out numbers that are not finite, which have no factors.")
    above = np.maximum(values, 0)
    energy = float((values**2).sum())
    if not above.any():
        raise MethodError(f"{where} gives out nothing above zero on these pictures: there is nothing to factorise.")
    cut = max(0.0, 1 - float((above**2).sum()) / energy)
    if cut > 0.5:
        raise MethodError(
            f"{percent(cut)} of the energy of {where} lies below zero, and concepts are made of what is above. "
            "Choose a layer after a ReLU or GELU; `camlucida layers` lists them."
        )
    return above, cut if (values < 0).any() else 0.0


def _check_size(values: NDArray[Any], k: int, seen: Sequence[_Seen]) -> None:
    (places, channels), (h, w) = values.shape, seen[0].maps.shape[1:]
    if k < min(places, channels):
        return
    pictures = "1 picture" if len(seen) == 1 else f"{len(seen)} pictures"
    raise MethodError(
        f"{k} concepts of {seen[0].label} would be nothing but its {min(places, channels)} "
        f"{'places' if places <= channels else 'channels'} ({h} × {w}, {channels} channels, {pictures}). "
        "Ask for fewer, or choose a layer with a finer grid, or more pictures."
    )


def _answers(model: Model, seen: Sequence[_Seen], vectors: Tensor) -> Tensor:
    """The class scores (k, classes) of the rest of the network with each concept at every place."""
    found = []
    for one in seen:
        if one.inputs is None:
            break
        with of_this(model, one.source):
            _, run = ask(model, one.inputs, one.layer, needs=["rerun"])
            place = run.at_layers[0][0].place
            h, w = place.activations.shape[2:]
            everywhere = vectors.to(place.activations)[:, None, :, None, None].expand(-1, 1, -1, h, w)
            found.append(place.rest.outputs(everywhere.__getitem__, len(vectors))[:, 0].float().cpu())
    return torch.stack(found).mean(0)
