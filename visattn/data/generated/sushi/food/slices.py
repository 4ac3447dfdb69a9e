"""The slices on nigiri: what makes buri buri and ika ika. Colours, structure and gloss."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import Frame, mix
from visattn.data.generated.sushi.drawing.noise import Field, lines, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Planes, linear


@dataclass(frozen=True)
class Slice:
    """A kind of slice.

    Args:
        paint: from coordinates on the slice (along, across) to its linear colours (3, height,
            width) and its fine relief in half-lengths.
        finish: how it answers light when it is fresh.
        thickness: in half-lengths.
        squareness: whether it is cut as a block.
        belt: whether a belt of nori holds it.
        tail: whether a prawn's tail shows.
    """

    paint: Callable[[Field, Field], tuple[Planes, Field]]
    finish: Finish
    thickness: float
    squareness: bool = False
    belt: bool = False
    tail: bool = False


def _mottled(frame: Frame, tone: Planes, noise: Field) -> Planes:
    return tone * np.clip(1 + variety.MOTTLE * noise, 0.5, 1.5)


def buri(frame: Frame) -> Slice:
    """Yellowtail: pink-beige flesh, pale seams, a dark red edge along one side."""
    rng = frame.rng
    tone = frame.tone(((0.92, 0.68, 0.62), (0.95, 0.88, 0.83), (0.88, 0.66, 0.50)))
    blood = frame.tone(((0.58, 0.12, 0.14), (0.50, 0.17, 0.14), (0.70, 0.24, 0.24)))
    edge = rng.uniform(0.10, 0.24)
    side = float(rng.choice([-1.0, 1.0]))
    slant = rng.uniform(0.5, 1.1) * float(rng.choice([-1.0, 1.0]))
    pitch = rng.uniform(2.0, 2.8)

    def paint(u: Field, v: Field) -> tuple[Planes, Field]:
        noise = frame.noise(cells=(3, 3), octaves=4)
        w = np.float32(side) * v
        seams = lines(pitch * (u * slant + 0.9 * np.abs(v + 0.5)) + 0.22 * noise, 0.24)
        albedo = mix(_mottled(frame, tone, noise), linear((0.99, 0.92, 0.88)), 0.42 * seams)
        red = smoothstep(edge - 0.09, edge + 0.06, w + 0.035 * noise + 0.05 * u * u)
        deep = 1 - 0.35 * smoothstep(edge, edge + 0.3, w)
        albedo = mix(albedo, blood * deep, red)
        skin = smoothstep(0.40, 0.46, w)
        albedo = mix(albedo, linear((0.80, 0.72, 0.70)), 0.55 * skin)
        return albedo, 0.006 * noise - 0.006 * seams

    finish = Finish(specular=0.30, gloss=36, window=0.30, wrap=0.25)
    return Slice(paint, finish, thickness=0.10)


def maguro(frame: Frame) -> Slice:
    """Tuna: deep red, from lean to fatty pink, with fine straight seams."""
    rng = frame.rng
    tone = frame.tone(((0.62, 0.09, 0.13), (0.80, 0.20, 0.18), (0.93, 0.62, 0.56)))
    slant = rng.uniform(0.35, 0.9) * float(rng.choice([-1.0, 1.0]))
    pitch = rng.uniform(4.2, 6.0)
    fat = rng.uniform(0.25, 0.55)

    def paint(u: Field, v: Field) -> tuple[Planes, Field]:
        noise = frame.noise(cells=(3, 3), octaves=4)
        seams = lines(pitch * (v + slant * u) + 0.16 * noise, 0.30)
        albedo = _mottled(frame, tone, 1.6 * noise)
        pale = np.minimum(tone * 1.25 + 0.16, 1.0)
        albedo = mix(albedo, pale, np.float32(fat) * seams)
        return albedo, 0.006 * noise - 0.005 * seams

    finish = Finish(specular=0.32, gloss=40, window=0.34, wrap=0.25)
    return Slice(paint, finish, thickness=0.11)


def salmon(frame: Frame) -> Slice:
    """Salmon: orange, with white chevrons of fat."""
    rng = frame.rng
    tone = frame.tone(((0.96, 0.54, 0.32), (0.96, 0.74, 0.62), (0.82, 0.24, 0.18)))
    point = rng.uniform(-0.18, 0.18)
    slope = rng.uniform(0.7, 1.3) * float(rng.choice([-1.0, 1.0]))
    pitch = rng.uniform(2.4, 3.4)

    def paint(u: Field, v: Field) -> tuple[Planes, Field]:
        noise = frame.noise(cells=(3, 3), octaves=4)
        bow = np.sqrt((v - point) ** 2 + 0.004)
        phase = pitch * (u + slope * bow) + 0.10 * noise
        seams = smoothstep(0.0, 0.8, lines(phase, 0.42))
        halo = lines(phase, 0.9)
        albedo = _mottled(frame, tone, noise)
        albedo = mix(albedo, linear((1.0, 0.88, 0.78)), 0.78 * seams + 0.12 * halo)
        return albedo, 0.005 * noise + 0.008 * seams

    finish = Finish(specular=0.30, gloss=36, window=0.32, wrap=0.25)
    return Slice(paint, finish, thickness=0.11)


def tamago(frame: Frame) -> Slice:
    """Omelette: a yellow block of rolled layers, held by a belt of nori."""
    rng = frame.rng
    tone = frame.tone(((0.98, 0.82, 0.38), (0.96, 0.90, 0.70), (0.92, 0.66, 0.34)))
    pitch = rng.uniform(4.5, 6.5)
    toasted = rng.uniform(0.1, 0.6)

    def paint(u: Field, v: Field) -> tuple[Planes, Field]:
        noise = frame.noise(cells=(5, 5), octaves=4)
        layers = lines(pitch * v + 0.10 * noise, 0.35)
        albedo = _mottled(frame, tone, 1.2 * noise)
        albedo = mix(albedo, linear((0.86, 0.60, 0.20)), 0.28 * layers)
        brown = smoothstep(0.4, 1.8, noise) * np.float32(toasted)
        albedo = mix(albedo, linear((0.74, 0.47, 0.18)), brown)
        return albedo, 0.007 * noise - 0.008 * layers

    finish = Finish(specular=0.14, gloss=14, window=0.06, wrap=0.25)
    belt = rng.uniform() < variety.TAMAGO_BELT
    return Slice(paint, finish, thickness=0.22, squareness=True, belt=belt)


def ebi(frame: Frame) -> Slice:
    """Prawn: white flesh in orange bands, a seam along the middle, a tail fan."""
    rng = frame.rng
    flesh = frame.tone(((0.97, 0.91, 0.87), (0.96, 0.84, 0.76), (0.95, 0.88, 0.80)))
    band = frame.tone(((0.93, 0.48, 0.26), (0.95, 0.62, 0.42), (0.86, 0.36, 0.20)))
    pitch = rng.uniform(2.3, 3.1)
    bow = rng.uniform(0.3, 0.9)
    phase0 = rng.uniform()

    def paint(u: Field, v: Field) -> tuple[Planes, Field]:
        noise = frame.noise(cells=(4, 4), octaves=4)
        phase = pitch * (u - bow * v * v) + phase0 + 0.09 * noise
        wave = 0.5 + 0.5 * np.cos(2 * np.pi * phase)
        share = smoothstep(0.25, 0.85, wave) * (0.55 + 0.45 * smoothstep(0.05, 0.35, np.abs(v)))
        share = np.maximum(share, 0.75 * smoothstep(0.34, 0.46, np.abs(v)))
        albedo = mix(_mottled(frame, flesh, noise), band, share)
        threads = lines(9 * v + 0.2 * noise, 0.5)
        albedo = mix(albedo, linear((1.0, 0.95, 0.92)), 0.12 * threads)
        seam = np.exp(-((v / 0.03) ** 2))
        albedo = albedo * (1 - 0.22 * seam)
        return albedo, 0.020 * wave - 0.035 * seam + 0.004 * noise

    finish = Finish(specular=0.24, gloss=28, window=0.22, wrap=0.25)
    return Slice(paint, finish, thickness=0.08, tail=True)


def ika(frame: Frame) -> Slice:
    """Squid: off-white and glossy, scored crosswise; now and then a thin belt of nori."""
    rng = frame.rng
    tone = frame.tone(((0.95, 0.94, 0.93), (0.95, 0.89, 0.76), (0.94, 0.81, 0.77)))
    pitch = rng.uniform(3.0, 4.2)
    slant = rng.uniform(0.75, 1.25)
    cross = rng.uniform(0.0, 0.8)

    def paint(u: Field, v: Field) -> tuple[Planes, Field]:
        noise = frame.noise(cells=(3, 3), octaves=3)
        one = lines(pitch * (u * slant + v) + 0.05 * noise, 0.24)
        other = lines(0.8 * pitch * (u * slant - v) + 0.05 * noise, 0.20)
        scores = np.maximum(one, np.float32(cross) * other)
        # Squid is translucent: thick in the middle, bluish where it thins out.
        albedo = _mottled(frame, tone, 0.8 * noise)
        albedo = mix(albedo, albedo * linear((0.88, 0.91, 0.95)), smoothstep(0.15, 0.5, np.abs(v)))
        albedo = mix(albedo, albedo * linear((0.80, 0.79, 0.81)), 0.8 * scores)
        return albedo, 0.005 * noise - 0.013 * scores

    finish = Finish(specular=0.42, gloss=50, window=0.60, wrap=0.25)
    return Slice(paint, finish, thickness=0.11, belt=rng.uniform() < variety.IKA_BELT)


SLICES: dict[str, Callable[[Frame], Slice]] = {
    "buri": buri,
    "maguro": maguro,
    "salmon": salmon,
    "tamago": tamago,
    "ebi": ebi,
    "ika": ika,
}
"""Kinds of slice by name."""
