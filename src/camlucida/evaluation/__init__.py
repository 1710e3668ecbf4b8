"""Evaluation of metrics over a data set: streaming, resumable, with confidence intervals and control maps."""

from camlucida.evaluation.evaluate import evaluate
from camlucida.evaluation.evaluation import Evaluation
from camlucida.evaluation.records import Summary

__all__ = ["Evaluation", "Summary", "evaluate"]
