from .composition import compose as compose, render_scene as render_scene
from .drawing.shading import Light as Light, sample_light as sample_light
from .folder import render_sushi as render_sushi
from .food.pieces import foreground as foreground
from .names import (
    HELD_OUT_STYLES as HELD_OUT_STYLES,
    KINDS as KINDS,
    STYLES as STYLES,
    own_style as own_style,
)
from .parameters import (
    TEST_VARIANTS as TEST_VARIANTS,
    SushiParameters as SushiParameters,
    sushi_cache as sushi_cache,
)
from .plan import Scene as Scene
from .sheet import contact_sheet as contact_sheet, save_contact_sheet as save_contact_sheet
from .table.styles import background as background
