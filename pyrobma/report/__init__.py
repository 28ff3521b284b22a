"""Stage 8: everything about an ensemble on one page and in one folder."""

from pyrobma.report.failures import Failure
from pyrobma.report.figures import Figure, figures
from pyrobma.report.page import Page, make_page, report_html
from pyrobma.report.tables import tables
from pyrobma.report.writing import write_report

__all__ = [
    "Failure",
    "Figure",
    "Page",
    "figures",
    "make_page",
    "report_html",
    "tables",
    "write_report",
]
