"""How the network is run where it is run many times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from camlucida.errors import MethodError, nearest
from camlucida.options import shown

Precision: TypeAlias = Literal["exact", "bf16"]


@dataclass(frozen=True)
class RunOptions:
    """What a request says about the runs that some methods need hundreds of.

    precision  "exact": the network's own scores, to rounding. "bf16": convolutions and products of the runs on other
               pictures in bfloat16, which is off by about 1 % of a score, and slow on processors without bfloat16
    batch      the most pictures, or variants of a layer, that are run at once; never fewer than were given together.
               None: as many as help, and fit in half a gigabyte
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
                f"batch is how many pictures are run at once, a whole number from 1 on, not {shown(batch_size)}."
            )
