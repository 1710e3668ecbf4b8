"""Several explanations of one image as one value: a grid, a selection, and where they disagree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida._files import atomic_write, png
from camlucida.attribution import map_comparison
from camlucida.attribution.explanation import Explanation
from camlucida.attribution.figure_files import FigureFiles
from camlucida.attribution.map_regions import DEFAULT_THRESHOLD, export_text
from camlucida.errors import MethodError, TargetError
from camlucida.options import shown
from camlucida.render.map_grid import GridCell, RenderedMap, draw_grid
from camlucida.render.panel import draw_panel
from camlucida.render.signed_colour import draw_colour_sheet
from camlucida.render.stack import stack_pages
from camlucida.render.text import EMPTY_MAP, format_confidence
from camlucida.render.word_strip import WordFrame, draw_word_strip
from camlucida.types import Region


@dataclass(frozen=True, eq=False, repr=False)
class ExplanationSet(FigureFiles, Sequence[Explanation]):
    """Several explanations of one image (methods × targets × layers), from one run of the network.

    For a network that takes several images, the set holds the explanations of each: `explanations["left"]`.

    Attributes:
        items: The explanations, ordered by input, method, target and layer.
    """

    items: tuple[Explanation, ...]

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        first = self.items[0] if self.items else None
        of = f" of {first.source!r} by {first.model}" if first else ""
        axes = (f"{name}: {shown(self.axis(name))}" for name in ("method", "target", "layer"))
        return f"{type(self).__name__}: {len(self)} maps{of}\n  {', '.join(axes)}"

    @overload
    def __getitem__(self, position: int) -> Explanation: ...

    @overload
    def __getitem__(self, position: slice) -> ExplanationSet: ...

    @overload
    def __getitem__(self, position: str) -> Explanation | ExplanationSet: ...

    def __getitem__(self, position: int | slice | str) -> Explanation | ExplanationSet:
        """Return the explanation at a position, those of a slice, or those of an image by its name as an input."""
        if isinstance(position, str):
            selected = self.select(input=position)
            return selected.items[0] if len(selected) == 1 else selected
        return ExplanationSet(self.items[position]) if isinstance(position, slice) else self.items[position]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.items)

    def axis(self, name: str) -> list[str]:
        """Return the distinct values of "method", "target", "layer" or "input", in order."""
        return list(dict.fromkeys(getattr(item, name) for item in self.items))

    def select(self, **criteria: str) -> ExplanationSet:
        """Return the explanations with the given method, target, layer or input: `select(layer="layer4")`.

        Raises:
            TargetError: The criterion is unknown, or no explanation matches.
        """
        if unknown := sorted(set(criteria) - {"method", "target", "layer", "input"}):
            raise TargetError(f"explanations are selected by method, target, layer and input, not by {unknown[0]!r}.")
        matching = [e for e in self.items if all(getattr(e, key) == value for key, value in criteria.items())]
        if not matching:
            available = "; ".join(f"{key}: {', '.join(self.axis(key))}" for key in criteria)
            raise TargetError(f"no explanation with {criteria}. There are {available}.")
        return ExplanationSet(tuple(matching))

    @property
    def slugs(self) -> list[str]:
        """A unique part of a file name for each explanation."""
        slugs: list[str] = []
        for e in self.items:
            copies = sum(slug == e.slug or slug.startswith(f"{e.slug}.") for slug in slugs)
            slugs.append(f"{e.slug}.{copies + 1}" if copies else e.slug)
        return slugs

    def figure(self, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """Return all explanations in a labelled grid; those of several images below each other.

        The words of a generated text are a film strip: one panel per word, with the sentence below it.

        Args:
            colormap: Name of a palette for all maps; None for the default of each map.
            **style: Further arguments of `render.map_grid.draw_grid`.
        """
        if len(names := self.axis("input")) > 1:
            of_images = [self[name] for name in names]
            pages = [e.panel if isinstance(e, Explanation) else e.figure for e in of_images]
            return stack_pages([page(colormap=colormap, **style) for page in pages])
        if self._is_text:
            return self._word_strip(colormap, style)
        axes = self._varying_axes()
        items = self._stills().items
        column_axis = max(reversed(axes), key=lambda axis: len(self.axis(axis)))  # wide rather than tall
        row_axes = [axis for axis in axes if axis != column_axis]
        rows: dict[tuple[str, ...], dict[str, GridCell]] = {}
        for e in items:
            row = tuple(getattr(e, axis) for axis in row_axes)
            saliency, palette = e._styled_map(colormap)
            rows.setdefault(row, {})[getattr(e, column_axis)] = RenderedMap(
                saliency, self._caption(e), palette, e.region
            )
        first = items[0]
        single = [axis for axis in ("target", "method", "layer") if axis not in axes and len(self.axis(axis)) == 1]
        fixed = [getattr(first, axis) for axis in single]
        columns = self.axis(column_axis)
        return draw_grid(
            [[cells.get(column, "not asked for") for column in columns] for cells in rows.values()],
            rows=[" · ".join(row) or getattr(first, column_axis) for row in rows] if row_axes else [""],
            columns=columns,
            title=" · ".join(fixed) if fixed else first.source_label,
            subtitle=self._prediction_text(),
            original=first.image,
            classes=self._region_of_classes(first.region),
            footer="each map has its own scale"
            f" · {first.model} · {first.source_label} · camlucida {first.versions.get('camlucida', '')}",
            **style,
        )

    def colour_figure(self, *, density: float = 2.0) -> Image.Image:
        """Return a page with the image and all maps in colour, such as Guided Grad-CAM at each layer; grey is zero.

        Those of several images are below each other.

        Args:
            density: Pixels per point.

        Raises:
            MethodError: No explanation has a map in colour.
        """
        if len(names := self.axis("input")) > 1:
            return stack_pages([self.select(input=name).colour_figure(density=density) for name in names])
        coloured = ExplanationSet(tuple(e for e in self._stills() if e.colour is not None))
        if not coloured.items:
            self.items[0].colour_image()  # raises the error with its advice
        first = coloured.items[0]
        shared = [axis for axis in ("method", "target", "layer") if len(coloured.axis(axis)) == 1]
        varying = [axis for axis in ("method", "target", "layer") if axis not in shared] or ["layer"]
        labelled = [(" · ".join(getattr(e, axis) for axis in varying), e.colour_image()) for e in coloured]
        return draw_colour_sheet(
            [("Image", first.image), *labelled],
            title=" · ".join([*([first.input] if first.input else []), *(getattr(first, axis) for axis in shared)])
            or first.source_label,
            subtitle=self._prediction_text(),
            footer="grey is zero, 0.1 of the range is one standard deviation"
            f" · {first.model} · {first.source_label} · camlucida {first.versions.get('camlucida', '')}",
            density=density,
        )

    @property
    def labels(self) -> list[str]:
        """What distinguishes each explanation: "grad_cam", or "grad_cam · layer4 · cat" where all of them differ."""
        axes = [*(["input"] if len(self.axis("input")) > 1 else []), *self._varying_axes()]
        return [" · ".join(getattr(e, axis) for axis in axes) for e in self.items]

    def disagreement(self) -> NDArray[np.float32]:
        """Return the standard deviation over the maps `(height, width)`, each scaled to [0, 1].

        It is 0 where all maps are equal and at most 0.5; NaN outside the network input.

        Raises:
            MethodError: There is only one map.
        """
        return map_comparison.disagreement([e.landed for e in self._of_one_image().items])

    def rank_correlation(self) -> NDArray[np.float64]:
        """Return Spearman's rank correlation `(n, n)` between all maps on the image, in the order of `labels`.

        It is NaN for a constant map.

        Raises:
            MethodError: There is only one map.
        """
        return map_comparison.rank_correlation([e.landed for e in self._of_one_image().items])

    def _of_one_image(self) -> ExplanationSet:
        """Return the set itself. Raises `MethodError` if its maps are of different images."""
        if len(names := self.axis("input")) > 1:
            raise MethodError(
                f"the maps are of different images, {', '.join(names)}, and maps are compared on one: "
                f"explanations[{names[0]!r}]."
            )
        return self

    def disagreement_panel(self, **style: Any) -> Image.Image:
        """Return a page that shows where the maps differ.

        Args:
            **style: Further arguments of `render.panel.draw_panel`.
        """
        stills = self._of_one_image()._stills()
        deviation, first = stills.disagreement(), stills.items[0]
        peak = float(np.nan_to_num(deviation, nan=0.0).max(initial=0.0))
        off_diagonal = self.rank_correlation()[np.triu_indices(len(self), 1)]
        known = off_diagonal[~np.isnan(off_diagonal)]
        agreement = f"rank correlation {known.min():.2f} to {known.max():.2f}" if known.size else ""
        shared = [getattr(first, axis) for axis in ("target", "method", "layer") if len(self.axis(axis)) == 1]
        return draw_panel(
            first.image,
            deviation / peak if peak else deviation,
            title=f"Where {len(self)} maps disagree",
            subtitle=" · ".join([*shared, ", ".join(self.labels)]),
            score_label=agreement,
            note="" if peak else "They agree everywhere.",
            footer="standard deviation over the maps, each scaled by its maximum"
            f" · {first.model} · {first.source_label} · camlucida {first.versions.get('camlucida', '')}",
            scale=(0.0, peak),
            **style,
        )

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Save the grid as an image or a figure; or, with the suffix .npz, each map in a file of its own.

        Args:
            path: .png, .jpg or .webp; .pdf or .svg for the grid with text as text and images with 300 dpi; .html for a
                self-contained file in which the map is selected; or .npz.
            **style: As of `figure`, or for .html as of `html`.

        Returns:
            The paths of the files written.
        """
        path = Path(path)
        if path.suffix.lower() == ".npz":
            named_items = zip(self.slugs, self.items, strict=True)
            return [written for slug, e in named_items for written in e.save(path.with_name(f"{path.stem}.{slug}.npz"))]
        return self._write_figure(path, style)

    def _draw_figure(self, **style: Any) -> Image.Image:
        return self.figure(**style)

    def _stills_of_figure(self) -> Sequence[Explanation]:
        return self._stills().items

    def coco(self, path: str | Path, threshold: float = DEFAULT_THRESHOLD, image_path: str | None = None) -> Path:
        """Write the boxes and masks of all maps as annotations of COCO's JSON, one category per target.

        Args:
            path: The file, which is replaced.
            threshold: Fraction of a map's maximum that belongs to its region, as in `Explanation.box`.
            image_path: The path of the image in the file; None for the name of its source.

        Raises:
            MethodError: As of `Explanation.mask`.
            OutputError: The file cannot be written.
        """
        atomic_write(Path(path), export_text(self.items, "coco", threshold, image_path))
        return Path(path)

    def fiftyone(self, path: str | Path, threshold: float = DEFAULT_THRESHOLD, image_path: str | None = None) -> Path:
        """Write the boxes of all maps as a data set of FiftyOne: `fiftyone.Dataset.from_json(path)`.

        Args:
            path: The file, which is replaced.
            threshold: As of `coco`.
            image_path: As of `coco`.

        Raises:
            MethodError: As of `Explanation.mask`.
            OutputError: The file cannot be written.
        """
        atomic_write(Path(path), export_text(self.items, "fiftyone", threshold, image_path))
        return Path(path)

    @property
    def _is_text(self) -> bool:
        """Whether these are maps of different words of one text, by one method at one layer."""
        axes = [len(self.axis(name)) for name in ("method", "layer", "input")]
        specs = [e.spec for e in self.items]
        return (
            len(specs) > 1
            and axes == [1, 1, 1]
            and len(set(specs)) == len(specs)
            and all(re.fullmatch("word [0-9]+", spec) for spec in specs)
        )

    def _word_strip(self, colormap: str | None, style: dict[str, Any]) -> Image.Image:
        """Return the words of a text as a film strip."""
        first = self.items[0]
        sentence: list[str] = []
        frames: list[WordFrame] = []
        last = 0
        for e in self.items:
            number = int(e.spec.rpartition(" ")[2])
            if number != last + 1:
                sentence.append("…")  # words without a map
            word, last = e.target.rpartition(" (")[0], number
            saliency, palette = e._styled_map(colormap)
            probability = e.predictions[0].probability if e.predictions and e.predictions[0].index == e.index else None
            caption = e.score_label if probability is None else f"{probability:.0%}"
            frames.append(WordFrame(word, saliency, EMPTY_MAP if e.is_empty else caption, len(sentence), palette))
            sentence.append(word)
        return draw_word_strip(
            first.image,
            frames,
            sentence,
            title=" ".join(sentence),
            subtitle=f"{first.method} · {first.layer} · each map has its own scale, and each word its probability",
            footer=f"{first.model} · {first.source_label} · camlucida {first.versions.get('camlucida', '')}",
            **style,
        )

    def _stills(self) -> ExplanationSet:
        """Return the explanations of images; of volumes and videos, those of one slice or frame."""
        return ExplanationSet(tuple(e.still(self.items[0]) for e in self.items)) if self.items else self

    def _varying_axes(self) -> list[str]:
        """Return the axes that vary; not the layer where every method has its own, as with fused layers."""
        axes = [axis for axis in ("method", "target", "layer") if len(self.axis(axis)) > 1] or ["method"]
        if (
            "layer" in axes
            and "method" in axes
            and len({(e.method, e.layer) for e in self}) == len(self.axis("method"))
        ):
            axes.remove("layer")
        return axes

    def _region_of_classes(self, region: Region | None) -> Region | None:
        """Return the region whose predicted classes are drawn beside the image: that of the only target, or of none."""
        if region is None or region.classes is None:
            return None
        return region if len(self.axis("target")) == 1 else Region(classes=region.classes)

    def _caption(self, e: Explanation) -> str:
        implied = len(self.axis("layer")) > 1 and "layer" not in self._varying_axes()
        known = e.region is not None and e.region.probability is not None
        probability = [f"probability {format_confidence(e.region.probability, e.score)}"] if known and e.region else []
        parts = [*probability, e.score_label, *([e.layer] if implied else []), *([EMPTY_MAP] if e.is_empty else [])]
        return ", ".join(parts)

    def _prediction_text(self) -> str:
        if self.items[0].region is not None and len(self.axis("target")) > 1:
            return f"{len(self.axis('target'))} targets of one image"
        best = self.items[0].predictions[:2]
        if not best:
            return "no classes, a target of the user's own"
        return "predicted " + ", ".join(f"{p.name} {format_confidence(p.probability, p.logit)}" for p in best)

    def _repr_png_(self) -> bytes:
        return png(self.figure())
