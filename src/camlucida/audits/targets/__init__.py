"""Audits of all targets of an image: one row for each box, region or word, and for each object that was missed."""
