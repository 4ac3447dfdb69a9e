"""Sushi scenes: a procedural data set in which the plate betrays the class, unless it doesn't.

Eight kinds of sushi on twelve styles of plate and table, with exact mattes. In the biased splits
each kind stands on its own style with probability rho; the test variants show the same pieces on
other backgrounds, so the accuracy that is lost is what the classifier read from the plate. Garnish
and chopsticks lie about at random; they belong to the background.

>>> from visattn.data.generated.sushi import KINDS, Scene, render_scene
>>> image, matte = render_scene(Scene("buri", "black_lacquer", 1, 2), size=64)
>>> image.shape
(64, 64, 3)
"""

from visattn.data.generated.sushi.composition import Scene, compose, render_scene
from visattn.data.generated.sushi.drawing.shading import Light, sample_light
from visattn.data.generated.sushi.folder import sushi_cache
from visattn.data.generated.sushi.food.pieces import foreground
from visattn.data.generated.sushi.names import HELD_OUT_STYLES, KINDS, STYLES, own_style
from visattn.data.generated.sushi.plan import TEST_VARIANTS, SushiParameters
from visattn.data.generated.sushi.rendering import render_sushi
from visattn.data.generated.sushi.sheet import contact_sheet, save_contact_sheet
from visattn.data.generated.sushi.table.styles import background

__all__ = [
    "HELD_OUT_STYLES",
    "KINDS",
    "STYLES",
    "TEST_VARIANTS",
    "Light",
    "Scene",
    "SushiParameters",
    "background",
    "compose",
    "contact_sheet",
    "foreground",
    "own_style",
    "render_scene",
    "render_sushi",
    "sample_light",
    "save_contact_sheet",
    "sushi_cache",
]
