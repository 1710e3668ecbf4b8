"""What can go wrong, in words a user can act on.

    CamlucidaError            catch this one to catch them all
    ├── ImageError            a picture that cannot be read
    │   └── OutputError       a file or folder that cannot be written
    ├── ModelError            a model that cannot be found, loaded or copied
    ├── LayerError            a layer that does not exist, was not reached, or has no place in the picture
    ├── TargetError           a class or score that the output does not have
    ├── MethodError           an unknown method, a wrong option, or a model the method does not fit
    ├── MetricError           an unknown metric, a wrong option, or a picture that lacks what it needs
    ├── DataError             a data set or scene that cannot be made as asked
    └── MissingExtra          an optional package that is not installed

A message says what was asked, what was found and what to do. The small function raises the fact;
`explain` and the command line add which model and picture it was about.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CamlucidaError(Exception):
    """The base of every error that Camlucida raises on purpose."""


class ImageError(CamlucidaError):
    """A picture that cannot be read."""


class OutputError(ImageError):
    """A file or folder that cannot be written: the disk is full, read-only, or something is in the way.

    An `ImageError` too, because the panels that could not be written always raised one.
    """


class ModelError(CamlucidaError):
    """A model that cannot be found, loaded or copied."""


class LayerError(CamlucidaError):
    """A layer that does not exist, was not reached, or has no place in the picture."""


class TargetError(CamlucidaError):
    """A class or score that the network's output does not have."""


class MethodError(CamlucidaError):
    """An unknown method, a wrong option, or a model the method does not fit."""


class MetricError(CamlucidaError):
    """An unknown metric, a wrong option, or a picture that lacks what the metric needs."""


class DataError(CamlucidaError):
    """A data set or scene that cannot be made as asked."""


class MissingExtra(CamlucidaError):
    """An optional package that is not installed."""


class CheckpointWarning(UserWarning):
    """Something in a checkpoint that is not part of the network was left out."""


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """A half sentence that offers the nearest known words, or nothing: " Did you mean 'layer4'?"."""
    close = difflib.get_close_matches(word, list(known), n=count, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
