"""Can this map be believed? Tests of one explanation, and a verdict in words."""

from camlucida.trusting.judging import trust as trust
from camlucida.trusting.judging import trust_each as trust_each
from camlucida.trusting.value import Trust as Trust
