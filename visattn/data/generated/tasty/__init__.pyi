from .composition import TastyScene as TastyScene, tasty_scenes as tasty_scenes
from .folder import render_tasty as render_tasty
from .layout import Layout as Layout
from .palette import COLOURS as COLOURS
from .parameters import (
    CLASSES as CLASSES,
    TastyParameters as TastyParameters,
    tasty_cache as tasty_cache,
)
from .plan import (
    Plan as Plan,
    draw_group as draw_group,
    draw_independent as draw_independent,
)
from .sheet import tasty_sheet as tasty_sheet
