"""The exceptions of this package, with messages that users can act on.

    CamlucidaError            the base class of all others
    ├── ImageError            an image that cannot be read
    │   └── OutputError       a file or folder that cannot be written
    ├── ModelError            a model that cannot be found, loaded or copied
    ├── LayerError            a layer that does not exist, was not reached, or has no spatial position
    ├── TargetError           a class or score that the output does not have
    │   └── NothingFound      an image without a detection, region or word
    ├── MethodError           an unknown method, an invalid option, or a model that the method does not fit
    ├── MetricError           an unknown metric, an invalid option, or an image that lacks what it needs
    ├── DataError             a data set or scene that cannot be created as requested
    └── MissingExtra          an optional package that is not installed

A message names the request, the problem and what to do. The function that detects a problem raises the error; `explain`
and the command line add the names of the model and the image.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CamlucidaError(Exception):
    """The base class of every error that Camlucida raises on purpose."""


class ImageError(CamlucidaError):
    """An image cannot be read."""


class OutputError(ImageError):
    """A file or folder cannot be written: the disk is full or read-only, or something is in the way.

    Also an `ImageError`, because panels that could not be written raised one in earlier versions.
    """


class ModelError(CamlucidaError):
    """A model cannot be found, loaded or copied."""


class LayerError(CamlucidaError):
    """A layer does not exist, was not reached, or has no spatial position in the image."""


class TargetError(CamlucidaError):
    """A class or score does not exist in the network's output."""


class NothingFound(TargetError):
    """All targets of an image were asked for, and the network found no box, region or word in it.

    Attributes:
        summary: What was not found, for a row of a table: "no detection above 0.5".
    """

    def __init__(self, message: str = "", summary: str = "nothing found") -> None:
        super().__init__(message)
        self.summary = summary


class MethodError(CamlucidaError):
    """A method is unknown, an option is invalid, or the method does not fit the model."""


class MetricError(CamlucidaError):
    """A metric is unknown, an option is invalid, or an image lacks what the metric needs."""


class DataError(CamlucidaError):
    """A data set or scene cannot be created as requested."""


class MissingExtra(CamlucidaError):
    """An optional package is not installed."""


class CheckpointWarning(UserWarning):
    """Entries of a checkpoint that do not belong to the network were ignored."""


def nearest(word: str, known: Iterable[str], count: int = 3) -> str:
    """Return a half sentence that suggests similar words, such as " Did you mean 'layer4'?", or an empty string.

    Args:
        word: The unknown word.
        known: The known words.
        count: Maximum number of suggestions.
    """
    close = difflib.get_close_matches(word, list(known), n=count, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
