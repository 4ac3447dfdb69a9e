from .background_audit import audit as audit
from .flip_sheet import draw_flips as draw_flips
from .flips import FlipCase as FlipCase
from .options import ClassMap as ClassMap
from .results import Audit as Audit
