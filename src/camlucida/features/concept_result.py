"""The result of a concept factorisation: rendering, saving and display in a notebook."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import camlucida
from camlucida._files import atomic_stream, atomic_write, png, write_image
from camlucida.attribution.reproduction import versions
from camlucida.errors import CamlucidaError, MethodError
from camlucida.features.factorise import MAX_STEPS
from camlucida.maps import to_image_grid
from camlucida.render.concepts import MAX_CONCEPTS, ConceptImage, LegendEntry, concept_page
from camlucida.render.text import format_number, format_percent
from camlucida.types import Geometry, Prediction

PAPER = "Collins et al., ECCV 2018, eq. 1: minimise |A - W H| (Frobenius norm) with W, H >= 0"
N_SHEET_IMAGES = 12
"""Default number of images on a page."""
N_LEGEND_CLASSES = 3
"""Number of classes per concept in the legend."""


@dataclass(frozen=True, eq=False)
class Concepts:
    """A layer's activations on some images, factorised into a few concepts. Displays itself in a notebook.

    Attributes:
        vectors: `(k, c)` the concepts: the layer's output at the position where each is strongest; the largest first.
        maps: For every image `(k, h, w)`, the strength of each concept at each position; the maximum over all images is
            1.
        contributions: `(k,)` the fraction of the sum of W H that each concept contributes; they sum to 1.
        classes: For each concept, the predictions of the suffix of the network if the layer outputs that concept at all
            positions.
        error: |A - W H| / |A|, the relative reconstruction error.
        negative_fraction: Fraction of the activations' energy (sum of squares) that is negative and was clipped.
        converged: Whether the factorisation converged.
        seed: Seed of the random starts.
        layer: Name of the layer.
        model: Name of the model.
        sources: Names of the images.
        images: Thumbnails of the images.
        geometries: Position of the network input on each thumbnail.
        failed: The images that could not be read, with the error.
    """

    vectors: Tensor
    maps: tuple[Tensor, ...]
    contributions: Tensor
    classes: tuple[tuple[Prediction, ...], ...]
    error: float
    negative_fraction: float
    converged: bool
    seed: int
    layer: str
    model: str
    sources: tuple[str, ...]
    images: tuple[Image.Image, ...] = field(repr=False)
    geometries: tuple[Geometry, ...] = field(repr=False)
    failed: tuple[tuple[str, CamlucidaError], ...] = ()

    def __len__(self) -> int:
        return len(self.vectors)

    def heatmap(self, concept: int, image: int = 0) -> NDArray[np.float32]:
        """Return the strength of a concept on a thumbnail, `(height, width)`.

        NaN outside the crop that the network processes.

        Raises:
            MethodError: If there is no such concept or image.
        """
        for index, n, kind in ((concept, len(self), "concept"), (image, len(self.maps), "image")):
            if not 0 <= index < n:
                raise MethodError(f"there is no {kind} {index}: there are {n}, numbered from 0 to {n - 1}.")
        on_image: NDArray[np.float32] = to_image_grid(self.maps[image][concept], self.geometries[image]).numpy()
        return on_image.clip(0, 1)

    def figure(self, n: int = N_SHEET_IMAGES, **style: Any) -> Image.Image:
        """Render the first n images next to the maps of their concepts.

        Args:
            n: Number of images.
            **style: Style options of `camlucida.render.concepts.concept_page`.
        """
        n_drawn = min(len(self), MAX_CONCEPTS)
        distinct = len(set(self.sources)) == len(self.sources)
        pages = [
            ConceptImage(image, np.stack([self.heatmap(k, i) for k in range(n_drawn)]), self.sources[i] * distinct)
            for i, image in enumerate(self.images[: max(1, n)])
        ]
        entries = [
            LegendEntry(
                f"Concept {k + 1}",
                float(self.contributions[k]),
                [
                    (p.name, format_number(p.logit) if p.probability is None else format_percent(p.probability))
                    for p in self.classes[k][:N_LEGEND_CLASSES]
                ],
            )
            for k in range(n_drawn)
        ]
        h, w = self.maps[0].shape[1:]
        image_count = f"{len(pages)} of {len(self.images)} images · " if len(self.images) > 1 else ""
        concept_count = f"the largest {n_drawn} of {len(self)}" if n_drawn < len(self) else f"{n_drawn}"
        return concept_page(
            pages,
            entries,
            title=f"Concepts of {self.layer}",
            subtitle=f"{image_count}{concept_count} concepts, {h} × {w} · "
            f"{1 - self.error**2:.0%} of the energy explained, relative error {self.error:.2g}",
            note=self._note(),
            footer=f"classes: predictions for a constant map of the concept · {self.model} · "
            f"camlucida {camlucida.__version__}",
            **style,
        )

    def record(self) -> dict[str, Any]:
        """Return everything except the pixels, as JSON-serialisable values."""
        return {
            "sources": list(self.sources),
            "model": self.model,
            "layer": self.layer,
            "paper": PAPER,
            "concepts": len(self),
            "contributions": self.contributions.tolist(),
            "classes": [[asdict(p) for p in predictions] for predictions in self.classes],
            "error": self.error,
            "negative_fraction": self.negative_fraction,
            "converged": self.converged,
            "seed": self.seed,
            "failed": {source: str(error) for source, error in self.failed},
            "versions": versions(),
        }

    def save(self, path: str | Path, n: int = N_SHEET_IMAGES, **style: Any) -> list[Path]:
        """Save the concepts, and return the paths of the files written.

        Args:
            path: The file. .png, .jpg, .webp or .tif: the page. .npz: `vectors`, and `maps_0`, `maps_1`, … of the
                images, with a .json file of `record()` next to it.
            n: Number of images on the page, as for `figure`.
            **style: Style options of the page, as for `figure`.
        """
        path = Path(path)
        if path.suffix.lower() != ".npz":
            write_image(lambda: self.figure(n, **style), path)
            return [path]
        json_path = path.with_suffix(".json")
        arrays: dict[str, Any] = {f"maps_{i}": maps.numpy() for i, maps in enumerate(self.maps)}
        with atomic_stream(path) as stream:
            np.savez_compressed(stream, vectors=self.vectors.numpy(), **arrays)
        atomic_write(json_path, json.dumps(self.record(), indent=2, ensure_ascii=False) + "\n")
        return [path, json_path]

    def _note(self) -> str:
        sentences = []
        if self.negative_fraction > 0:
            sentences.append(
                f"{format_percent(self.negative_fraction)} of the activations' energy is negative and was "
                "clipped: concepts are factors of non-negative activations."
            )
        if not self.converged:
            sentences.append(f"The factorisation did not converge within {MAX_STEPS} steps.")
        return " ".join(sentences)

    def _repr_png_(self) -> bytes:
        return png(self.figure())
