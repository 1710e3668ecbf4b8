"""Black boxes: a function from images to class scores as a network without layers and gradients."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from camlucida.errors import CamlucidaError, ModelError
from camlucida.models.array_outputs import are_close, as_tensors, join_rows, select_rows
from camlucida.opaque_networks import OpaqueNetwork

ROW_TOLERANCE = 1e-3
"""Tolerated difference of a row of a batch from the scores of the same image alone, relative to the largest score."""
MAX_CAUSE_LETTERS = 300
"""Maximum number of characters of the function's own error message that are repeated."""


class BlackBox(OpaqueNetwork):
    """A function of the user as a network.

    On the first batch of several images it is verified that the rows follow the images: a batch of two different
    images must have the scores that each of them has alone. Where it does not, or where the function cannot run on
    several images, they are run one by one.

    Args:
        function: Takes float32 images `(b, c, H, W)`, as the preprocessing returns them, and returns scores `(b, k)`
            or `(b,)` as a tensor, an array or a list; or a dict or tuple of these, of which `output` selects one.
        reason: What the function is, as a noun phrase for messages.
        title: The name to display.
        batch_size: The only number of images that the function takes; None for any.
    """

    def __init__(
        self, function: Callable[[Tensor], Any], *, reason: str, title: str, batch_size: int | None = None
    ) -> None:
        super().__init__()
        self.reason, self.title, self.is_fixed = reason, title, False
        self._sealed = _Sealed(function, batch_size)

    def digest(self) -> str:
        """Return random digits: a function may change at any time, so no result may be reused."""
        return uuid.uuid4().hex[:16]

    def forward(self, images: Tensor) -> Any:
        """Return the scores of images `(b, c, H, W)`, as the function returns them but as tensors.

        Raises:
            ModelError: The function raised an exception, or did not return one row of scores per image.
        """
        self._check_images(images)
        with torch.no_grad():
            rows = images.detach().to("cpu", torch.float32)
            return self._sealed.scores(rows, self.reason)

    def _check_images(self, images: Any) -> None:
        if not isinstance(images, Tensor) or images.ndim != 4:
            found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ModelError(f"{self.reason} takes one batch of images (b, c, H, W), not {found}.")


class _Sealed:
    """The function, and how many images it takes at once, which all copies share."""

    def __init__(self, function: Callable[[Tensor], Any], batch_size: int | None) -> None:
        self.function, self.batch_size, self.is_verified = function, batch_size, batch_size is not None
        self.lock = threading.Lock()

    def scores(self, images: Tensor, reason: str) -> Any:
        n = len(images)
        if n > 1 and not self.is_verified:
            with self.lock:
                if not self.is_verified:
                    self.batch_size = self._verified_size(images, reason)
                    self.is_verified = True
        size = self.batch_size
        if size is None or size == n:
            return self._call(images, reason)
        outputs = []
        for part in torch.split(images, size):
            padded = torch.cat([part, part[-1:].expand(size - len(part), -1, -1, -1)]) if len(part) < size else part
            outputs.append(select_rows(self._call(padded, reason), len(part)))
        return join_rows(outputs)

    def _verified_size(self, images: Tensor, reason: str) -> int | None:
        """Return None if the rows of a batch of two images are those of the single images, else 1."""
        noise = torch.randn(images[:1].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
        pair = torch.cat([images[:1], 0.5 * (images[:1] + noise)])
        singles = [self._call(image[None], reason) for image in pair]
        try:
            together = self._call(pair, reason)
        except CamlucidaError:
            return 1
        return None if are_close(together, join_rows(singles), ROW_TOLERANCE) else 1

    def _call(self, images: Tensor, reason: str) -> Any:
        try:
            output = self.function(images.clone())  # the function may write to its argument
        except CamlucidaError:
            raise
        except Exception as error:
            shape, cause = "×".join(map(str, images.shape)), " ".join(str(error).split())[:MAX_CAUSE_LETTERS]
            raise ModelError(
                f"{reason} cannot run on a batch of {shape}; it raised {type(error).__name__}: {cause}"
                f"{'' if cause.endswith(('.', '!', '?')) else '.'} It takes float32 images (b, c, H, W), as the "
                "preprocessing returns them: see size=, mean= and std=."
            ) from error
        return as_tensors(output, len(images), reason)


def black_box(function: Callable[[Any], Any]) -> BlackBox:
    """Return a function of the user as a network."""
    name = getattr(function, "__name__", "") or type(function).__name__
    return BlackBox(function, reason="a function", title="function" if name == "<lambda>" else name)
