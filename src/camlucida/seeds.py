"""Seeds: one range for all of them, and generators made from them."""

from __future__ import annotations

import operator
from typing import Any

import torch

from camlucida.errors import CamlucidaError, DataError, MethodError

MAX_SEED = 2**63 - 1
"""The largest seed: what torch takes without wrapping it round."""


def check_seed(seed: Any, error: type[CamlucidaError] = DataError) -> int:
    """Return the seed as an int.

    Args:
        seed: What the user gave.
        error: The class of the error that is raised.

    Raises:
        CamlucidaError: The seed is no whole number from 0 to 2**63 - 1. NumPy refuses negative seeds and torch larger
            ones, each in its own words and only once something is drawn.
    """
    try:
        whole = operator.index(seed)
    except TypeError:
        whole = -1
    if not 0 <= whole <= MAX_SEED:
        raise error(f"a seed is a whole number from 0 to {MAX_SEED} (2**63 - 1), not {seed!r}.")
    return whole


def short_seed(seed: int) -> int:
    """Return the seed for scikit-learn and UMAP, which take 32 bits; seeds below 2**32 stay as they are."""
    return seed % 2**32


def generator(seed: Any) -> torch.Generator:
    """Return a generator on the processor, so that every device draws the same numbers.

    Args:
        seed: A whole number from 0 to 2**63 - 1.

    Raises:
        MethodError: The seed is not one.
    """
    return torch.Generator().manual_seed(check_seed(seed, MethodError))
