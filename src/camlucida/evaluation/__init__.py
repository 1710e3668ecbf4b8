"""Metrics over a data set: streaming, resumable, with intervals and controls."""

from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary
from camlucida.evaluation.run import evaluate

__all__ = ["Evaluation", "Summary", "evaluate"]
