"""Learn to tell classes apart: a backbone with another head, or a network from nothing."""

from __future__ import annotations

from camlucida.training.run import Training, train
from camlucida.training.settings import Settings

__all__ = ["Settings", "Training", "train"]
