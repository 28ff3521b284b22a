"""Stage 8: everything about an ensemble on one page and in one folder."""

from pyrobma.report.figures import Figure, figures, save_figure
from pyrobma.report.page import report_html
from pyrobma.report.tables import tables

__all__ = ["Figure", "figures", "report_html", "save_figure", "tables"]
