"""Self-contained HTML reports: no other files, no other hosts."""

from camlucida.report.evaluation_page import report

__all__ = ["report"]
