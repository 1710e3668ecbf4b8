"""Several explanations of one picture as one value: a grid, a choice of them, where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida._files import png, write_image
from camlucida.attribution import map_comparison
from camlucida.attribution.explanation import Explanation
from camlucida.errors import TargetError
from camlucida.options import shown
from camlucida.render.map_grid import GridCell, RenderedMap, draw_grid
from camlucida.render.panel import draw_panel


@dataclass(frozen=True, eq=False, repr=False)
class ExplanationSet(Sequence[Explanation]):
    """Several explanations of one picture: methods × targets × layers, from one run of the network."""

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

    def __getitem__(self, position: int | slice) -> Explanation | ExplanationSet:
        """Return the explanation at a position, or those of a slice."""
        return ExplanationSet(self.items[position]) if isinstance(position, slice) else self.items[position]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.items)

    def axis(self, name: str) -> list[str]:
        """The different values of "method", "target" or "layer", in order."""
        return list(dict.fromkeys(getattr(item, name) for item in self.items))

    def select(self, **criteria: str) -> ExplanationSet:
        """Those with the given method, target or layer: `select(layer="layer4")`."""
        if unknown := sorted(set(criteria) - {"method", "target", "layer"}):
            raise TargetError(f"explanations are selected by method, target and layer, not by {unknown[0]!r}.")
        matching = [e for e in self.items if all(getattr(e, key) == value for key, value in criteria.items())]
        if not matching:
            available = "; ".join(f"{key}: {', '.join(self.axis(key))}" for key in criteria)
            raise TargetError(f"no explanation with {criteria}. There are {available}.")
        return ExplanationSet(tuple(matching))

    @property
    def slugs(self) -> list[str]:
        """A part of a file name for each, no two alike."""
        slugs: list[str] = []
        for e in self.items:
            copies = sum(slug == e.slug or slug.startswith(f"{e.slug}.") for slug in slugs)
            slugs.append(f"{e.slug}.{copies + 1}" if copies else e.slug)
        return slugs

    def figure(self, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """All of them in a labelled grid. `look` as of `render.grid`; each in its own palette unless one is named."""
        axes = self._varying_axes()
        column_axis = max(reversed(axes), key=lambda axis: len(self.axis(axis)))  # wide rather than tall
        row_axes = [axis for axis in axes if axis != column_axis]
        rows: dict[tuple[str, ...], dict[str, GridCell]] = {}
        for e in self.items:
            row = tuple(getattr(e, axis) for axis in row_axes)
            saliency, palette = e._styled_map(colormap)
            rows.setdefault(row, {})[getattr(e, column_axis)] = RenderedMap(saliency, self._caption(e), palette)
        first = self.items[0]
        single = [axis for axis in ("target", "method", "layer") if axis not in axes and len(self.axis(axis)) == 1]
        fixed = [getattr(first, axis) for axis in single]
        columns = self.axis(column_axis)
        return draw_grid(
            [[cells.get(column, "not asked for") for column in columns] for cells in rows.values()],
            rows=[" · ".join(row) or getattr(first, column_axis) for row in rows] if row_axes else [""],
            columns=columns,
            title=" · ".join(fixed) if fixed else first.source,
            subtitle=self._prediction_text(),
            original=first.image,
            footer="each map has its own scale"
            f" · {first.model} · {first.source} · camlucida {first.versions.get('camlucida', '')}",
            **style,
        )

    @property
    def labels(self) -> list[str]:
        """What tells each from the others: "grad_cam", or "grad_cam · layer4 · cat" where all of them differ."""
        return [" · ".join(getattr(e, axis) for axis in self._varying_axes()) for e in self.items]

    def disagreement(self) -> NDArray[np.float32]:
        """(height, width): the standard deviation over the maps, each scaled to [0, 1]; NaN where not seen.

        0 where all of them say the same, at most 0.5. Raises `MethodError` where there is one map only.
        """
        return map_comparison.disagreement([e.landed for e in self.items])

    def rank_correlation(self) -> NDArray[np.float64]:
        """(n, n) Spearman's rank correlation between all maps on the picture, in the order of `labels`.

        NaN for a map that is the same everywhere. Raises `MethodError` where there is one map only.
        """
        return map_comparison.rank_correlation([e.landed for e in self.items])

    def disagreement_panel(self, **style: Any) -> Image.Image:
        """Where the maps differ, on one page. `look` as of `render.panel`."""
        deviation, first = self.disagreement(), self.items[0]
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
            f" · {first.model} · {first.source} · camlucida {first.versions.get('camlucida', '')}",
            scale=(0.0, peak),
            **style,
        )

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """The grid as a picture, or with .npz every map in a file of its own beside."""
        path = Path(path)
        if path.suffix.lower() == ".npz":
            named_items = zip(self.slugs, self.items, strict=True)
            return [written for slug, e in named_items for written in e.save(path.with_name(f"{path.stem}.{slug}.npz"))]
        write_image(lambda: self.figure(**style), path)
        return [path]

    def _varying_axes(self) -> list[str]:
        """The axes that tell them apart: not the layer where every method has one of its own, as fused layers are."""
        axes = [axis for axis in ("method", "target", "layer") if len(self.axis(axis)) > 1] or ["method"]
        if (
            "layer" in axes
            and "method" in axes
            and len({(e.method, e.layer) for e in self}) == len(self.axis("method"))
        ):
            axes.remove("layer")
        return axes

    def _caption(self, e: Explanation) -> str:
        implied = len(self.axis("layer")) > 1 and "layer" not in self._varying_axes()
        return f"{e.score_label}, {e.layer}" if implied else e.score_label

    def _prediction_text(self) -> str:
        best = self.items[0].predictions[:2]
        return "predicted " + ", ".join(f"{p.name} {p.probability:.0%}" for p in best)

    def _repr_png_(self) -> bytes:
        return png(self.figure())
