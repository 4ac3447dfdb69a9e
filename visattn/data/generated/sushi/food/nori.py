"""Nori: a dark green-black sheet of seaweed, as a wall around a roll or a belt around a slice."""

import numpy as np

from visattn.data.generated.sushi.drawing.canvas import Frame
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.sushi.drawing.shading import Finish, Planes

NORI_TONES = ((0.10, 0.13, 0.11), (0.15, 0.17, 0.12), (0.08, 0.09, 0.11))


def nori_surface(frame: Frame, body: Field) -> Planes:
    """Shaded seaweed on a body whose height, in half-lengths, is given."""
    fibres = frame.noise(cells=(12, 12), octaves=3)
    albedo = frame.tone(NORI_TONES) * np.clip(1 + 0.35 * fibres, 0.3, 2.5)
    finish = Finish(specular=0.10, gloss=10, window=0.02)
    return frame.shade(albedo, body + 0.010 * fibres, finish)
