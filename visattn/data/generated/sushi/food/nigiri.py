"""Nigiri: a slice over a ball of rice. Six kinds share this silhouette; the slice differs."""

from dataclasses import replace

import numpy as np

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import Canvas, Frame, dome, swept
from visattn.data.generated.sushi.drawing.noise import Field, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish
from visattn.data.generated.sushi.drawing.shapes import coverage, leaf, rounded_box, turned
from visattn.data.generated.sushi.food.nori import nori_surface
from visattn.data.generated.sushi.food.rice import grains, rice_surface
from visattn.data.generated.sushi.food.slices import SLICES
from visattn.data.optional import cv2

RICE_HEIGHT = 0.30


def draw_nigiri(frame: Frame, kind: str) -> Canvas:
    """Draw a nigiri of the given kind on a fresh canvas."""
    rng = frame.rng
    canvas = Canvas(frame.rows, frame.columns)
    bend = rng.uniform(-1, 1) * variety.CURVATURE
    wide = rng.uniform(*variety.WIDTH_RATIO)
    stretch = rng.uniform(*variety.STRETCH)
    wobble = variety.EDGE_NOISE * frame.noise(cells=(5, 5), octaves=2)
    bias = rng.uniform(-0.22, 0.22)  # slices are cut at a slant
    slice_ = SLICES[kind](frame)
    square = slice_.squareness

    def rice_outline(u: Field, v: Field) -> Field:
        return (
            rounded_box(u, v + bend * u * u, a=0.90, b=0.45 * wide, radius=0.40 * wide)
            + wobble * 0.8
        )

    def slice_outline(u: Field, v: Field) -> Field:
        bent = v + bend * u * u
        radius = (0.10 if square else 0.34) * wide
        along = u + bias * bent * (0.3 if square else 1.0)
        taper = 1 + (0.0 if square else 0.10) * u
        return rounded_box(along, bent * taper, a=1.02 * stretch, b=0.455 * wide, radius=radius) + (
            wobble * (0.4 if square else 1.0)
        )

    # Rice.
    cut = grains(frame)
    rice = swept(frame, rice_outline, high=RICE_HEIGHT - 0.04) - 0.07 * (cut[0] - 0.5)
    rice_alpha = coverage(rice, frame.unit)
    canvas.add(rice_surface(frame, 0.34 * dome(rice, 0.30), cut), rice_alpha)

    # The slice hangs down at its ends.
    droop = 0.12 if square else 0.42
    height = RICE_HEIGHT * (1 - droop * np.minimum(frame.u * frame.u, 1.3))
    u, v = frame.at(height)
    top = slice_outline(u, v)
    low = slice_outline(*frame.at(height - slice_.thickness))
    middle = slice_outline(*frame.at(height - slice_.thickness / 2))
    body = np.minimum(np.minimum(top, middle), low)
    alpha = coverage(body, frame.unit)
    _shade_rice_under(canvas, frame, alpha)
    if slice_.tail:
        _draw_tail(canvas, frame)

    across = v + bend * u * u
    albedo, bump = slice_.paint(u, across)
    fresh = rng.uniform(*variety.DRYNESS)
    finish = replace(
        slice_.finish, specular=slice_.finish.specular * fresh, window=slice_.finish.window * fresh
    )
    rise = dome(body, 0.10 if square else 0.26) * (0.12 if square else 0.20)
    crown = (0.05 if square else 0.16) * np.clip(1 - (across / 0.5) ** 2, 0, 1)
    relief = rise + crown - 0.05 * u * u + bump
    # The cut side below the top is a little darker.
    side = smoothstep(-0.01, 0.035, top) * 0.22
    canvas.add(frame.shade(albedo * (1 - side), relief, finish), alpha)
    if slice_.belt:
        _draw_belt(canvas, frame, np.minimum(body, rice), rise + crown)
    return canvas


def _shade_rice_under(canvas: Canvas, frame: Frame, alpha: Field) -> None:
    """Let the slice darken the rice just below it."""
    shift = np.array([[1, 0, 0], [0, 1, 0.05 * frame.unit]], np.float32)
    moved = cv2.warpAffine(alpha, shift, (frame.columns, frame.rows))
    blurred = cv2.GaussianBlur(moved, (0, 0), max(0.05 * frame.unit, 0.6))
    canvas.darken(1 - 0.50 * blurred)


def _draw_tail(canvas: Canvas, frame: Frame) -> None:
    """The prawn's tail: a fan of three shells beyond one end."""
    rng = frame.rng
    tone = frame.tone(((0.90, 0.36, 0.16), (0.84, 0.28, 0.15), (0.93, 0.48, 0.26)))
    u0, v0 = frame.at(0.10)
    for angle in (0.50, -0.50, 0.0):
        turn = angle * rng.uniform(0.75, 1.2)
        u, v = turned(u0 - 0.92, v0, turn)
        u = u - 0.20
        blade = leaf(u, v, a=0.30, b=0.105)
        ribs = 0.5 + 0.5 * np.cos(v * 90)
        albedo = tone * (0.75 + 0.25 * ribs - 0.5 * smoothstep(0.05, 0.32, u))
        relief = 0.10 * dome(blade, 0.08) + 0.006 * ribs
        finish = Finish(specular=0.25, gloss=30, window=0.10)
        planes = frame.shade(np.clip(albedo, 0.01, 1), relief, finish)
        canvas.add(planes, coverage(blade, frame.unit))


def _draw_belt(canvas: Canvas, frame: Frame, body: Field, relief: Field) -> None:
    """A belt of nori around slice and rice."""
    rng = frame.rng
    half = rng.uniform(0.12, 0.19)
    centre = rng.uniform(-0.10, 0.10)
    ragged = 0.008 * frame.noise(cells=(10, 10), octaves=2)
    distance = np.maximum(np.abs(frame.u - centre + 0.10 * frame.v) - half + ragged, body - 0.012)
    alpha = coverage(distance, frame.unit)
    canvas.add(nori_surface(frame, relief), alpha)
