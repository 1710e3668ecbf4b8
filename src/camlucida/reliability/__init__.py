"""Reliability of one explanation: tests of a single saliency map, and a verdict as text."""

from camlucida.reliability.result import Trust as Trust
from camlucida.reliability.trust import trust as trust
from camlucida.reliability.trust import trust_each as trust_each
