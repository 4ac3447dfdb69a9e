"""Pictures: maps to arrays and Matplotlib figures.

Every function returns what it draws and shows nothing; ``save`` writes it. No state of Matplotlib's
is read or changed beyond its own defaults, and PyTorch is not needed.
"""

from visattn.pictures.alignments import draw_alignment
from visattn.pictures.arrays import IMAGENET
from visattn.pictures.blending import overlay
from visattn.pictures.cases import panels
from visattn.pictures.choosing import choose_cases, chosen
from visattn.pictures.frames import frames, training_frames, word_frames
from visattn.pictures.gates import channel_bars
from visattn.pictures.layers import grid
from visattn.pictures.queries import query_map
from visattn.pictures.saving import save
from visattn.pictures.strips import word_strip
from visattn.pictures.words import alignment_frames, draw_highlighted

__all__ = [
    "IMAGENET",
    "alignment_frames",
    "channel_bars",
    "choose_cases",
    "chosen",
    "draw_alignment",
    "draw_highlighted",
    "frames",
    "grid",
    "overlay",
    "panels",
    "query_map",
    "save",
    "training_frames",
    "word_frames",
    "word_strip",
]
