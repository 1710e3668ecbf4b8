"""Figures of explanations as PDF, SVG and HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camlucida._files import atomic_write, write_image
from camlucida.attribution.reproduction import reproduction_lines
from camlucida.render.html_view import ViewMap, html_view
from camlucida.render.page import DENSITY, Page, record_pages
from camlucida.render.pdf import pdf_file
from camlucida.render.probability_bars import Bar
from camlucida.render.svg import svg_file

if TYPE_CHECKING:
    from PIL import Image

    from camlucida.attribution.explanation import Explanation

FIGURE_SUFFIXES = (".pdf", ".svg", ".html")


class FigureFiles:
    """What one explanation and a set have in common: their figure in three further formats."""

    def pdf(self, **style: Any) -> bytes:
        """Return the figure as a PDF file: text as text, images with 300 dpi; a page for each image.

        Args:
            **style: As of `panel`, or for a set as of `figure`, without `density`.

        Raises:
            MissingExtra: If fpdf2 is not installed.
        """
        first = self._stills_of_figure()[0]
        return pdf_file(self._pages(style), _title(first), f"camlucida {first.versions.get('camlucida', '')}".strip())

    def svg(self, **style: Any) -> bytes:
        """Return the figure as an SVG file: text as text, images as embedded PNG with 300 dpi.

        Args:
            **style: As of `pdf`.
        """
        return svg_file(self._pages(style), _title(self._stills_of_figure()[0]))

    def html(self, **style: Any) -> bytes:
        """Return an HTML file with the image, the maps, and controls, which needs neither a server nor a network.

        Opacity, palette, blend and contour can be changed; in a set, also the method, class, layer and input.

        Args:
            **style: What is displayed at first: `opacity`, `colormap`, `blend` and `contour`, as of `overlay`.
        """
        explanations = self._stills_of_figure()
        keys = [(e.image.size, e.image.mode, e.image.tobytes()) for e in explanations]
        images = dict(zip(keys, (e.image for e in explanations), strict=True))
        positions = {key: position for position, key in enumerate(images)}
        return html_view(
            list(images.values()),
            [_view_map(e, positions[key]) for e, key in zip(explanations, keys, strict=True)],
            name=explanations[0].slug,
            reproduce=reproduction_lines(explanations, "figure.html"),
            **style,
        )

    def _write_figure(self, path: Path, style: dict[str, Any]) -> list[Path]:
        """Write the figure in the format of the suffix."""
        writers: dict[str, Callable[..., bytes]] = {".pdf": self.pdf, ".svg": self.svg, ".html": self.html}
        if (writer := writers.get(path.suffix.lower())) is not None:
            atomic_write(path, writer(**style))
        else:
            write_image(lambda: self._draw_figure(**style), path, also=FIGURE_SUFFIXES)
        return [path]

    def _pages(self, style: dict[str, Any]) -> list[Page]:
        with record_pages() as pages:
            self._draw_figure(**{"density": DENSITY, **style})
        return pages

    def _draw_figure(self, **style: Any) -> Image.Image:
        raise NotImplementedError

    def _stills_of_figure(self) -> Sequence[Explanation]:
        raise NotImplementedError


def _title(e: Explanation) -> str:
    return f"{e.target}: {e.source_label} by {e.model}"


def _view_map(e: Explanation, image: int) -> ViewMap:
    return ViewMap(
        values=e.landed,
        peak=e.peak,
        signed=e.shows_signs,
        image=image,
        axes={**({"input": e.input} if e.input else {}), "method": e.method, "target": e.target, "layer": e.layer},
        title=e.target,
        subtitle=" · ".join([*([e.input] if e.input else []), e.method_label, e.layer, e.grid_label, e.score_label]),
        remark=e.remark,
        region=e.region,
        bars=[Bar(p.name, p.probability, p.index == e.index, p.logit) for p in e.predictions],
        facts={
            "image": e.source,
            "model": e.model,
            "weights": e.weights_hash,
            "method": e.method,
            "paper": e.paper,
            "layer": e.layer,
            "score": e.score_label,
            **{f"option {key}": str(value) for key, value in e.options.items()},
            **e.versions,
        },
    )
