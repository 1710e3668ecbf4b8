"""Comparison of an audit with an earlier one of the same images: what changed, and conditions on it."""
