"""Options for methods that run the network many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from camlucida.errors import MethodError, nearest
from camlucida.options import shown

Precision: TypeAlias = Literal["exact", "bf16"]


@dataclass(frozen=True)
class RunOptions:
    """Options for the repeated runs of a network that some methods need.

    Attributes:
        precision: "exact" reproduces the network's own scores up to rounding. "bf16" computes the convolutions and
            matrix products of these runs in bfloat16: the scores are off by about 1 %, and processors without bfloat16
            are slow.
        batch_size: Maximum number of inputs, or variants of a layer, that run at once, but never fewer than the request
            contains. None: as many as improve the speed and fit in half a gigabyte.

    Raises:
        MethodError: If an option has an invalid value.
    """

    precision: Precision = "exact"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        choices = get_args(Precision)
        if not isinstance(self.precision, str) or self.precision not in choices:
            message = f"no precision {shown(self.precision)}.{nearest(str(self.precision), choices)}"
            raise MethodError(f"{message} Known: {', '.join(choices)}.")
        batch_size = self.batch_size
        if batch_size is not None and (
            not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1
        ):
            raise MethodError(
                f"batch_size is how many images run at once, an integer of at least 1, not {shown(batch_size)}."
            )
