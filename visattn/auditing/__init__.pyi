from .background_audit import audit as audit
from .flips import (
    FlipCase as FlipCase,
    draw_flips as draw_flips,
)
from .options import ClassMap as ClassMap
from .results import Audit as Audit
