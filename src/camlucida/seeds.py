"""Seeds: one valid range for all of them, and generators made from them."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from camlucida.errors import CamlucidaError, DataError, MethodError

if TYPE_CHECKING:
    import torch

MAX_SEED = 2**63 - 1
"""The largest seed that torch accepts without wrapping around."""


def check_seed(seed: Any, error: type[CamlucidaError] = DataError) -> int:
    """Return the seed as an int.

    NumPy rejects negative seeds and torch larger ones, with different messages and only when numbers are sampled.

    Args:
        seed: The seed.
        error: The class of the error that is raised.

    Raises:
        CamlucidaError: Of the class `error`: the seed is not an integer from 0 to 2**63 - 1.
    """
    try:
        whole = operator.index(seed)
    except TypeError:
        whole = -1
    if not 0 <= whole <= MAX_SEED:
        raise error(f"a seed is an integer from 0 to {MAX_SEED} (2**63 - 1), not {seed!r}.")
    return whole


def short_seed(seed: int) -> int:
    """Return a seed for scikit-learn and UMAP, which accept 32 bits; seeds below 2**32 are unchanged."""
    return seed % 2**32


def generator(seed: Any) -> torch.Generator:
    """Return a generator on the CPU, so that results are the same on every device.

    Args:
        seed: An integer from 0 to 2**63 - 1.

    Raises:
        MethodError: The seed is invalid.
    """
    import torch  # here, because the types of options need only MAX_SEED, and --help must not import torch

    return torch.Generator().manual_seed(check_seed(seed, MethodError))
