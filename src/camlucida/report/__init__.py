"""An evaluation as one page that stands for itself: no other file, no other host, no script."""

from camlucida.report.evaluation_page import report

__all__ = ["report"]
