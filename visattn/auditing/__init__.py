"""The audit: does a classifier judge the object, or the background that it stands on?"""

from visattn.auditing.background_audit import audit
from visattn.auditing.classes import ClassMap
from visattn.auditing.flips import draw_flips
from visattn.auditing.results import Audit, FlipCase

__all__ = ["Audit", "ClassMap", "FlipCase", "audit", "draw_flips"]
