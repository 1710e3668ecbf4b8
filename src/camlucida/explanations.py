"""Several explanations of one picture as one value: a grid, a choice of them, where they disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camlucida import comparison
from camlucida._files import png, write_picture
from camlucida.errors import TargetError
from camlucida.explanation import Explanation
from camlucida.options import shown
from camlucida.render.figure import Cell, Painted, grid
from camlucida.render.panel import panel


@dataclass(frozen=True, eq=False, repr=False)
class Explanations(Sequence[Explanation]):
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
    def __getitem__(self, position: slice) -> Explanations: ...

    def __getitem__(self, position: int | slice) -> Explanation | Explanations:
        """Return the explanation at a position, or those of a slice."""
        return Explanations(self.items[position]) if isinstance(position, slice) else self.items[position]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self.items)

    def axis(self, name: str) -> list[str]:
        """The different values of "method", "target" or "layer", in order."""
        return list(dict.fromkeys(getattr(item, name) for item in self.items))

    def select(self, **wanted: str) -> Explanations:
        """Those with the given method, target or layer: `select(layer="layer4")`."""
        if unknown := sorted(set(wanted) - {"method", "target", "layer"}):
            raise TargetError(f"explanations are selected by method, target and layer, not by {unknown[0]!r}.")
        chosen = [e for e in self.items if all(getattr(e, key) == value for key, value in wanted.items())]
        if not chosen:
            have = "; ".join(f"{key}: {', '.join(self.axis(key))}" for key in wanted)
            raise TargetError(f"no explanation with {wanted}. There are {have}.")
        return Explanations(tuple(chosen))

    @property
    def slugs(self) -> list[str]:
        """A part of a file name for each, no two alike."""
        slugs: list[str] = []
        for e in self.items:
            twins = sum(slug == e.slug or slug.startswith(f"{e.slug}.") for slug in slugs)
            slugs.append(f"{e.slug}.{twins + 1}" if twins else e.slug)
        return slugs

    def figure(self, *, colormap: str | None = None, **look: Any) -> Image.Image:
        """All of them in a labelled grid. `look` as of `render.grid`; each in its own palette unless one is named."""
        axes = self._differing()
        across = max(reversed(axes), key=lambda axis: len(self.axis(axis)))  # wide rather than tall
        down = [axis for axis in axes if axis != across]
        rows: dict[tuple[str, ...], dict[str, Cell]] = {}
        for e in self.items:
            row = tuple(getattr(e, axis) for axis in down)
            heat, palette = e._look(colormap)
            rows.setdefault(row, {})[getattr(e, across)] = Painted(heat, self._caption(e), palette)
        first = self.items[0]
        single = [axis for axis in ("target", "method", "layer") if axis not in axes and len(self.axis(axis)) == 1]
        fixed = [getattr(first, axis) for axis in single]
        columns = self.axis(across)
        return grid(
            [[cells.get(column, "not asked for") for column in columns] for cells in rows.values()],
            rows=[" · ".join(row) or getattr(first, across) for row in rows] if down else [""],
            columns=columns,
            title=" · ".join(fixed) if fixed else first.source,
            subtitle=self._predicted(),
            original=first.picture,
            footer="each map has its own scale"
            f" · {first.model} · {first.source} · camlucida {first.versions.get('camlucida', '')}",
            **look,
        )

    @property
    def labels(self) -> list[str]:
        """What tells each from the others: "grad_cam", or "grad_cam · layer4 · cat" where all of them differ."""
        return [" · ".join(getattr(e, axis) for axis in self._differing()) for e in self.items]

    def disagreement(self) -> NDArray[np.float32]:
        """(height, width): the standard deviation over the maps, each scaled to [0, 1]; NaN where not seen.

        0 where all of them say the same, at most 0.5. Raises `MethodError` where there is one map only.
        """
        return comparison.disagreement([e.landed for e in self.items])

    def rank_correlation(self) -> NDArray[np.float64]:
        """(n, n) Spearman's rank correlation between all maps on the picture, in the order of `labels`.

        NaN for a map that is the same everywhere. Raises `MethodError` where there is one map only.
        """
        return comparison.rank_correlation([e.landed for e in self.items])

    def disagreement_panel(self, **look: Any) -> Image.Image:
        """Where the maps differ, on one page. `look` as of `render.panel`."""
        found, first = self.disagreement(), self.items[0]
        peak = float(np.nan_to_num(found, nan=0.0).max(initial=0.0))
        off_diagonal = self.rank_correlation()[np.triu_indices(len(self), 1)]
        known = off_diagonal[~np.isnan(off_diagonal)]
        agreement = f"rank correlation {known.min():.2f} to {known.max():.2f}" if known.size else ""
        alike = [getattr(first, axis) for axis in ("target", "method", "layer") if len(self.axis(axis)) == 1]
        return panel(
            first.picture,
            found / peak if peak else found,
            title=f"Where {len(self)} maps disagree",
            subtitle=" · ".join([*alike, ", ".join(self.labels)]),
            score_label=agreement,
            note="" if peak else "They agree everywhere.",
            footer="standard deviation over the maps, each scaled by its maximum"
            f" · {first.model} · {first.source} · camlucida {first.versions.get('camlucida', '')}",
            scale=(0.0, peak),
            **look,
        )

    def save(self, path: str | Path, **look: Any) -> list[Path]:
        """The grid as a picture, or with .npz every map in a file of its own beside."""
        path = Path(path)
        if path.suffix.lower() == ".npz":
            named = zip(self.slugs, self.items, strict=True)
            return [written for slug, e in named for written in e.save(path.with_name(f"{path.stem}.{slug}.npz"))]
        write_picture(lambda: self.figure(**look), path)
        return [path]

    def _differing(self) -> list[str]:
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
        implied = len(self.axis("layer")) > 1 and "layer" not in self._differing()
        return f"{e.score_label}, {e.layer}" if implied else e.score_label

    def _predicted(self) -> str:
        best = self.items[0].predictions[:2]
        return "predicted " + ", ".join(f"{p.name} {p.probability:.0%}" for p in best)

    def _repr_png_(self) -> bytes:
        return png(self.figure())
