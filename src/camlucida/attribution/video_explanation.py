"""The explanation of a video: one map per frame, as a film strip or an animation."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from camlucida._ambient import plain_arithmetic
from camlucida._files import atomic_write
from camlucida.attribution.explanation import Explanation
from camlucida.data.video import Video
from camlucida.errors import MethodError
from camlucida.maps import to_image_grid, upsample
from camlucida.options import shown
from camlucida.render.film_strip import Strip, StripFrame, draw_strips
from camlucida.render.overlay import overlay
from camlucida.render.text import format_confidence

FRAMES_PER_ROW = 8
"""Number of frames in one row of a strip."""

FRAME_MS = 200
"""Duration of a frame of an animation, in milliseconds."""


@dataclass(frozen=True, eq=False, repr=False)
class VideoExplanation(Explanation):
    """The saliency map of one score for one video. `raw` and `map` are `(t, h, w)`, on the layer's grid.

    `image` is the frame with the highest mean map value, and `geometry` that of every frame.

    Attributes:
        video: The frames.
    """

    video: Video = field(default_factory=lambda: Video((), ()))

    @cached_property
    @plain_arithmetic()
    def landed(self) -> NDArray[np.float32]:
        """The map on every frame `(t, height, width)`, in its own units; NaN outside the network input."""
        n, (_, height, width) = len(self.video.frames), self.map.shape
        per_frame = upsample(self.map[None].float(), (n, height, width))[0]
        landed: NDArray[np.float32] = torch.stack([to_image_grid(map_, self.geometry) for map_ in per_frame]).numpy()
        return landed

    @cached_property
    def peak_frame(self) -> int:
        """The frame with the highest mean map value (its magnitude, if the map shows signs)."""
        strength = np.abs(self.landed) if self.shows_signs else np.maximum(self.landed, 0)
        return int(np.nan_to_num(strength, nan=0.0).mean((1, 2)).argmax())

    @property
    def grid_label(self) -> str:
        """The resolution of the map itself: "2 × 7 × 7"."""
        return " × ".join(map(str, self.raw.shape))

    def overlay(
        self, opacity: float = 0.5, *, colormap: str | None = None, frame: int | None = None, **style: Any
    ) -> Image.Image:
        """Return one frame with its map.

        Args:
            opacity: Opacity of the map, in [0, 1].
            colormap: As of `Explanation.overlay`.
            frame: Number of the frame, from 0; None for `peak_frame`.
            **style: Further arguments of `render.overlay`.
        """
        saliency, colormap = self._styled_map(colormap)
        n = len(self.video.frames)
        i = self.peak_frame if frame is None else frame
        if not isinstance(i, int) or isinstance(i, bool) or not 0 <= i < n:
            raise MethodError(f"frame must be from 0 to {n - 1}, not {shown(frame)}.")
        return overlay(self.video.frames[i], saliency[i], opacity=opacity, colormap=colormap, **style)

    def panel(self, *, colormap: str | None = None, **style: Any) -> Image.Image:
        """Return a film strip with the map of every frame; all frames share one scale.

        Args:
            colormap: As of `Explanation.overlay`.
            **style: Further arguments of `render.film_strip.draw_strips`.
        """
        saliency, colormap = self._styled_map(colormap)
        frames = [
            StripFrame(map_, f"frame {index}", f"mean {np.nanmean(own):.3g}", image=image)
            for map_, own, index, image in zip(
                saliency, self.landed, self.video.indices, self.video.frames, strict=True
            )
        ]
        parts = [frames[start : start + FRAMES_PER_ROW] for start in range(0, len(frames), FRAMES_PER_ROW)]
        rows = [Strip("", "", False, part) for part in parts]
        rows[0] = Strip(self.method, self.score_label, False, parts[0])
        best = ", ".join(f"{p.name} {format_confidence(p.probability, p.logit)}" for p in self.predictions[:3])
        return draw_strips(
            rows,
            title=self.target,
            subtitle=" · ".join(filter(None, (f"{self.layer} · {self.grid_label}", best and f"predicted {best}"))),
            footer=" · ".join(
                filter(
                    None,
                    (self.remark, self.model, self.source_label, f"camlucida {self.versions.get('camlucida', '')}"),
                )
            ),
            colormap=colormap,
            **style,
        )

    @plain_arithmetic()
    def still(self, reference: Explanation) -> Explanation:
        """Return the frame on which another map is highest, as the explanation of an image."""
        assert isinstance(reference, VideoExplanation)
        i = reference.peak_frame
        image = self.video.frames[i]
        values = {f.name: getattr(self, f.name) for f in fields(Explanation)}
        values |= {
            "raw": torch.from_numpy(np.nan_to_num(self.landed[i], nan=0.0)),
            "relu": False,
            "image": image,
            "geometry": type(self.geometry)(image.size, image.size, (1.0, 1.0), (0.0, 0.0)),
            "source": f"{self.source}, frame {self.video.indices[i]}",
        }
        if self.colour is not None:
            landed = [to_image_grid(channel[i], self.geometry) for channel in self.colour]
            values["colour"] = torch.stack(landed).nan_to_num(nan=0.0)
        return Explanation(**values)

    def colour_image(self) -> Image.Image:
        """Return the map in colour on `peak_frame`: grey is zero.

        Raises:
            MethodError: The explanation has no map in colour.
        """
        return super().colour_image() if self.colour is None else self.still(self).colour_image()

    def animation(self, *, duration_ms: int = FRAME_MS, **style: Any) -> bytes:
        """Return the frames with their maps as the bytes of an animated GIF.

        Args:
            duration_ms: Duration of a frame in milliseconds.
            **style: As of `overlay`.
        """
        first, *rest = (self.overlay(frame=i, **style) for i in range(len(self.video.frames)))
        buffer = io.BytesIO()
        first.save(buffer, "GIF", save_all=True, append_images=rest, duration=duration_ms, loop=0)
        return buffer.getvalue()

    def save(self, path: str | Path, **style: Any) -> list[Path]:
        """Save the explanation; the suffix of the path decides how: as of `Explanation.save`, and .gif."""
        path = Path(path)
        if path.suffix.lower() == ".gif":
            atomic_write(path, self.animation(**style))
            return [path]
        return super().save(path, **style)

    def record(self) -> dict[str, Any]:
        """Return everything except the frames, ready for JSON."""
        return super().record() | {
            "upsampling": "trilinear over frames, half-pixel centres: grid to input, input to frames",
            "frames": list(self.video.indices),
            "peak_frame": self.video.indices[self.peak_frame],
        }
