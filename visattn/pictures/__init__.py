"""Pictures: maps to arrays and Matplotlib figures.

Every function returns what it draws and shows nothing; ``save`` writes it. No state of Matplotlib's
is read or changed beyond its own defaults, and PyTorch is not needed.
"""

from visattn.pictures.arrays import IMAGENET
from visattn.pictures.blending import overlay
from visattn.pictures.cases import panels
from visattn.pictures.gates import channel_bars
from visattn.pictures.layers import grid
from visattn.pictures.queries import query_map
from visattn.pictures.saving import save

__all__ = ["IMAGENET", "channel_bars", "grid", "overlay", "panels", "query_map", "save"]
