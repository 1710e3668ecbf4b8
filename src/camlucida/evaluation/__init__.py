"""Metrics over a data set: streaming, resumable, with intervals and controls."""

from camlucida.evaluation.result import Evaluation, Summary
from camlucida.evaluation.run import evaluate

__all__ = ["Evaluation", "Summary", "evaluate"]
