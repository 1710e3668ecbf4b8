"""Explanations: the front door, the executor, and the inputs that methods may ask for."""

from camlucida.attribution import check_cache as check_cache  # registers the store of layout checks with the engine
