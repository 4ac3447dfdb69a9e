"""A page to explore what networks look at: one HTML file, offline, with everything inside."""

from visattn.report_page.assembly import build_report, report
from visattn.report_page.page import Report
from visattn.report_page.subjects import Subject

__all__ = ["Report", "Subject", "build_report", "report"]
