"""Can this map be believed? Tests of one explanation, and a verdict in words."""

from camlucida.reliability.result import Trust as Trust
from camlucida.reliability.trust import trust as trust
from camlucida.reliability.trust import trust_each as trust_each
