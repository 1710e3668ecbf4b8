"""Spurious cues: found by clusters of explanations, verified by intervention."""

from camlucida.audits.hypotheses.find import find_hypotheses as find_hypotheses
from camlucida.audits.hypotheses.result import Effect as Effect
from camlucida.audits.hypotheses.result import Hypotheses as Hypotheses
from camlucida.audits.hypotheses.result import Hypothesis as Hypothesis
from camlucida.audits.hypotheses.settings import Settings as Settings
