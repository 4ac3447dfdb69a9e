"""Diners: a face that smiles or doesn't, in a round frame, the ring."""

from dataclasses import dataclass

import numpy as np

from visattn.data.generated.pictures import Colour
from visattn.data.generated.sushi.drawing.noise import Field, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Light
from visattn.data.generated.sushi.drawing.shapes import coverage, disc, lobed_disc, oval, turned
from visattn.data.generated.tasty.cutouts import SUPERSAMPLING, Cutout, Sheet
from visattn.data.generated.tasty.palette import CLOTHES, CUSHION, HAIRS, RGB, SKINS

RING_WIDTH = 0.19  # in radii of the ring
HAIR_STYLES = ("short", "bob", "bun", "curls", "parting")
INK: Colour = (0.13, 0.08, 0.07)
_ENAMEL = Finish(specular=0.22, gloss=30, window=0.08)
_SKIN = Finish(specular=0.03, gloss=12, wrap=0.35)
_HAIR = Finish(specular=0.10, gloss=14, wrap=0.2)


@dataclass(frozen=True)
class Person:
    """Who sits there, but for the expression.

    Args:
        skin: place in the list of skins.
        hair: place in the list of hair colours.
        style: place in `HAIR_STYLES`.
        clothes: place in the list of clothes.
        tilt: of the head, in radians.
        width: factor on the width of the head.
        shift: of the head from the middle, (right, down), in radii of the ring.
    """

    skin: int
    hair: int
    style: int
    clothes: int
    tilt: float
    width: float
    shift: tuple[float, float]


def sample_person(rng: np.random.Generator) -> Person:
    """Draw a person."""
    return Person(
        skin=int(rng.integers(len(SKINS))),
        hair=int(rng.integers(len(HAIRS))),
        style=int(rng.integers(len(HAIR_STYLES))),
        clothes=int(rng.integers(len(CLOTHES))),
        tilt=float(rng.uniform(-0.16, 0.16)),
        width=float(rng.uniform(0.94, 1.05)),
        shift=(float(rng.uniform(-0.04, 0.04)), float(rng.uniform(-0.03, 0.03))),
    )


def draw_portrait(
    person: Person | None, *, colour: int, smiles: bool, diameter: int, light: Light
) -> Cutout:
    """Draw a ring with the face of a person in it.

    Args:
        person: who; None for an empty ring.
        colour: of the ring, its number in `palette.NAMES`.
        smiles: or not.
        diameter: of the ring in pixels.
        light: of the scene.

    >>> light = Light((0.3, -0.4, 0.87))
    >>> person = sample_person(np.random.default_rng(0))
    >>> draw_portrait(person, colour=0, smiles=True, diameter=20, light=light).rgb.shape
    (20, 20, 3)
    """
    fine = diameter * SUPERSAMPLING
    sheet = Sheet(fine, light)
    sheet.lay(CUSHION, disc(sheet.x, sheet.y, radius=0.97), finish=_SKIN)
    part: Field = np.zeros((fine, fine), np.float32)
    if person is not None:
        part = _draw_person(sheet, person, smiles=smiles)
    radius = 1 - RING_WIDTH / 2
    away = np.abs(np.sqrt(sheet.x**2 + sheet.y**2) - np.float32(radius)) / (RING_WIDTH / 2)
    relief = 0.5 * RING_WIDTH * np.sqrt(np.maximum(1 - 0.9 * away * away, 0))
    band = (away - 1) * np.float32(RING_WIDTH / 2)
    sheet.lay(RGB[colour], band, finish=_ENAMEL, relief=relief)
    part = part * (1 - coverage(band, fine / 2))
    return sheet.cutout(part, size=diameter)


def _draw_person(sheet: Sheet, person: Person, *, smiles: bool) -> Field:
    """Shoulders, hair and face; returns the alpha of the head."""
    hair, style = HAIRS[person.hair], HAIR_STYLES[person.style]
    opening = coverage(disc(sheet.x, sheet.y, radius=0.97), sheet.unit)
    shoulders = oval(sheet.x, sheet.y - 1.0, a=0.72, b=0.42)
    sheet.lay(CLOTHES[person.clothes], shoulders, finish=_SKIN, inside=opening)
    x, y = sheet.x - np.float32(person.shift[0]), sheet.y - np.float32(person.shift[1])
    u, v = turned(x, y, person.tilt)
    u = u / np.float32(person.width)
    behind = _hair_behind(style, u, v)
    covered = sheet.lay(hair, behind, finish=_HAIR, relief=0.3 * _bulge(behind), inside=opening)
    head = oval(u, v - 0.05, a=0.54, b=0.58)
    skin = SKINS[person.skin]
    for side in (-1, 1):
        sheet.lay(skin, disc(u - side * 0.54, v - 0.08, radius=0.10), finish=_SKIN)
    face = sheet.lay(skin, head, finish=_SKIN, relief=0.45 * _bulge(head))
    _draw_face(sheet, u, v, smiles=smiles)
    front = np.maximum(oval(u, v - 0.02, a=0.58, b=0.62), _hair_line(style, u, v))
    top = sheet.lay(hair, front, finish=_HAIR, relief=0.3 * _bulge(front), inside=opening)
    return np.maximum(np.maximum(covered, face), top)


def _bulge(distance: Field) -> Field:
    """Height of a soft solid with this outline."""
    t = np.clip(1 + distance / np.float32(0.45), 0, 1)
    return np.float32(0.45) * np.sqrt(np.maximum(1 - t * t, 0))


def _hair_behind(style: str, u: Field, v: Field) -> Field:
    if style == "bob":
        return np.maximum(oval(u, v - 0.10, a=0.68, b=0.74), v - np.float32(0.52))
    if style == "curls":
        return lobed_disc(u, v + 0.08, radius=0.74, lobes=11, depth=0.10)
    cap = oval(u, v + 0.02, a=0.59, b=0.62)
    if style == "bun":
        return np.minimum(cap, disc(u, v + 0.62, radius=0.20))
    return cap


def _hair_line(style: str, u: Field, v: Field) -> Field:
    """Below the hair line is the face."""
    if style == "bob":
        return v + np.float32(0.30)
    if style == "parting":
        return v + np.float32(0.34) - 0.42 * np.abs(u - 0.16)
    if style == "bun":
        return v + np.float32(0.46) - 0.50 * u * u
    return v + np.float32(0.34) - 0.30 * u * u


def _draw_face(sheet: Sheet, u: Field, v: Field, *, smiles: bool) -> None:
    if smiles:
        blush = np.sqrt((np.abs(u) - 0.36) ** 2 + (v - 0.20) ** 2)
        soft = smoothstep(0.17, 0.04, blush)
        sheet.lay((0.93, 0.42, 0.40), np.full_like(u, -1), inside=soft, strength=0.45)
        for side in (-1, 1):
            eye = np.abs(disc(u - side * 0.23, v - 0.02, radius=0.12)) - np.float32(0.052)
            sheet.lay(INK, np.maximum(eye, v - 0.02))
        mouth = np.maximum(disc(u, v - 0.19, radius=0.345), np.float32(0.19) - v)
        inside = sheet.lay((0.50, 0.07, 0.09), mouth - np.float32(0.01))
        teeth = np.maximum(mouth + np.float32(0.035), v - np.float32(0.325))
        sheet.lay((1.0, 0.99, 0.96), teeth, inside=inside)
        return
    for side in (-1, 1):
        along, across = side * u - 0.24, v + 0.16
        brow = np.maximum(np.abs(across + 0.38 * along) - 0.045, np.abs(along) - 0.15)
        sheet.lay(INK, brow.astype(np.float32))
        sheet.lay(INK, disc(u - side * 0.22, v - 0.03, radius=0.075))
    mouth = np.abs(disc(u, v - 0.62, radius=0.29)) - np.float32(0.058)
    sheet.lay(INK, np.maximum(mouth, v - np.float32(0.50)))
