"""A page to explore what networks look at: one HTML file, offline, with everything inside."""

from visattn.report_page.collecting import Subject
from visattn.report_page.page import Report
from visattn.report_page.reporting import build_report, report

__all__ = ["Report", "Subject", "build_report", "report"]
