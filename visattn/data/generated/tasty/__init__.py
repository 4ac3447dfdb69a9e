"""Is this buri tasty? Scenes whose answer lies far away, on the face of a diner.

>>> from visattn.data.generated.tasty import tasty_scenes
>>> [scene.answers for scene in tasty_scenes(4, size=64, settings=1)]
[(1,), (0,), (0,), (1,)]
"""

from visattn.data.generated.tasty.composition import TastyScene, tasty_scenes
from visattn.data.generated.tasty.folder import CLASSES, TastyParameters, render_tasty, tasty_cache
from visattn.data.generated.tasty.layout import Layout
from visattn.data.generated.tasty.palette import COLOURS
from visattn.data.generated.tasty.plan import Plan, draw_group, draw_independent
from visattn.data.generated.tasty.sheet import tasty_sheet

__all__ = [
    "CLASSES",
    "COLOURS",
    "Layout",
    "Plan",
    "TastyParameters",
    "TastyScene",
    "draw_group",
    "draw_independent",
    "render_tasty",
    "tasty_cache",
    "tasty_scenes",
    "tasty_sheet",
]
