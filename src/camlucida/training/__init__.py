"""Training of image classifiers: a backbone with a new head, or a small network from scratch."""

from __future__ import annotations

from camlucida.training.run import Training, train
from camlucida.training.settings import Settings

__all__ = ["Settings", "Training", "train"]
