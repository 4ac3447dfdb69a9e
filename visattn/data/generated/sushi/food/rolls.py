"""Sushi with a wall of nori: the gunkan of salmon roe and the cucumber roll."""

import numpy as np

from visattn.data.generated.sushi import variety
from visattn.data.generated.sushi.drawing.canvas import Canvas, Frame, dome, mix, swept
from visattn.data.generated.sushi.drawing.noise import Field, smoothstep
from visattn.data.generated.sushi.drawing.shading import Finish, Light, Planes, gleam, linear
from visattn.data.generated.sushi.drawing.shapes import coverage, disc, rounded_box, turned
from visattn.data.generated.sushi.food.nori import nori_surface
from visattn.data.generated.sushi.food.rice import rice_surface

ROE_TONES = ((0.95, 0.40, 0.12), (0.88, 0.24, 0.10), (0.96, 0.55, 0.26))


def draw_ikura(frame: Frame) -> Canvas:
    """Salmon roe: 20 to 40 glossy spheres on rice within an oval wall of nori."""
    rng = frame.rng
    canvas = Canvas(frame.rows, frame.columns)
    wide = rng.uniform(*variety.WIDTH_RATIO)
    high = rng.uniform(0.34, 0.44)
    bend = rng.uniform(-0.5, 0.5) * variety.CURVATURE
    wobble = variety.EDGE_NOISE * 0.7 * frame.noise(cells=(4, 4), octaves=2)

    def outline(u: Field, v: Field) -> Field:
        bent = v + bend * u * u
        return rounded_box(u, bent, a=0.90, b=0.48 * wide, radius=0.45 * wide) + wobble

    wall = swept(frame, outline, high=high)
    canvas.add(nori_surface(frame, 0.30 * dome(wall, 0.22)), coverage(wall, frame.unit))
    inside = outline(*frame.at(high)) + 0.055
    canvas.add(rice_surface(frame, 0.05 * dome(inside, 0.2)) * 0.55, coverage(inside, frame.unit))
    _draw_roe(canvas, frame, high=high, wide=wide, bend=bend)
    return canvas


def _roe_places(
    rng: np.random.Generator, *, count: int, wide: float, bend: float, radius: float
) -> list[tuple[float, float]]:
    """Centres of the spheres in (u, v), spread evenly by keeping the farthest of a few draws."""
    a, b = 0.80 - radius * 0.6, 0.40 * wide - radius * 0.35
    places: list[tuple[float, float]] = []
    for _ in range(count):
        u = rng.uniform(-a, a, 12)
        v = rng.uniform(-b, b, 12)
        fits = (np.abs(u) / a) ** 3 + (np.abs(v) / b) ** 3 <= 1
        if not fits.any():
            continue
        u, v = u[fits], v[fits]
        taken = np.reshape(places, (-1, 2))
        gaps = (u[:, None] - taken[:, 0]) ** 2 + (v[:, None] - taken[:, 1]) ** 2
        best = int(gaps.min(1, initial=np.inf).argmax())
        places.append((float(u[best]), float(v[best])))
    return [(u, v - bend * u * u) for u, v in places]


def _draw_roe(canvas: Canvas, frame: Frame, *, high: float, wide: float, bend: float) -> None:
    rng = frame.rng
    count = int(rng.integers(20, 41))
    radius = float(np.sqrt(0.62 / count)) * rng.uniform(0.95, 1.1)
    tone = frame.tone(ROE_TONES)
    depth = np.full((frame.rows, frame.columns), -1.0, np.float32)
    nx, ny, nz = (np.zeros_like(depth) for _ in range(3))
    bright = np.ones_like(depth)
    for u, v in _roe_places(rng, count=count, wide=wide, bend=bend, radius=radius):
        mound = 0.14 * max(0.0, 1 - u * u * 1.2 - (v / 0.5) ** 2)
        size, level = radius * rng.uniform(0.88, 1.1), high + mound + rng.uniform(-0.03, 0.03)
        shine = rng.uniform(0.82, 1.18)
        x = frame.centre[0] + frame.unit * (u * float(frame.cosine) - v * float(frame.sine))
        y = frame.centre[1] + frame.unit * (u * float(frame.sine) + v * float(frame.cosine) - level)
        r = size * frame.unit
        top, bottom = max(int(y - r), 0), min(int(y + r) + 2, frame.rows)
        left, right = max(int(x - r), 0), min(int(x + r) + 2, frame.columns)
        if top >= bottom or left >= right:
            continue
        px = ((np.arange(left, right) + 0.5 - x) / r).astype(np.float32)[None, :]
        py = ((np.arange(top, bottom) + 0.5 - y) / r).astype(np.float32)[:, None]
        lift = 1 - px * px - py * py
        pz = np.sqrt(np.maximum(lift, 0))
        here = (slice(top, bottom), slice(left, right))
        over = (lift > 0) & (level + size * pz > depth[here])
        depth[here] = np.where(over, level + size * pz, depth[here])
        for field, value in ((nx, px), (ny, py), (nz, pz), (bright, np.float32(shine))):
            field[here] = np.where(over, value, field[here])
    canvas.add(_roe_surface(tone * bright, nx, ny, nz, frame.light), (depth > 0).astype(np.float32))


def _roe_surface(tone: Planes, nx: Field, ny: Field, nz: Field, light: Light) -> Planes:
    """Translucent spheres: light gathers on the side away from the lamp, the rim is deep."""
    lx, ly, lz = (np.float32(value) for value in light.direction)
    cosine = nx * lx + ny * ly + nz * lz
    through = smoothstep(-0.2, 0.9, -(nx * lx + ny * ly))
    rim = 0.30 + 0.70 * smoothstep(0.05, 0.75, nz)
    glow = 0.50 + 0.32 * np.maximum(cosine, 0) + 0.60 * through * rim
    body = tone * (rim * glow) + linear((0.55, 0.22, 0.05)) * (through * rim)
    mirror = gleam(nx, ny, nz, cosine, light, Finish(specular=0.55, gloss=40, window=0.65))
    return (body + mirror).astype(np.float32)


def draw_kappa_maki(frame: Frame) -> Canvas:
    """Cucumber roll: one to three pieces side by side, nori around rice around a green core."""
    rng = frame.rng
    canvas = Canvas(frame.rows, frame.columns)
    count = int(rng.choice([1, 2, 3], p=variety.ROLL_COUNTS))
    radius = {1: 0.66, 2: 0.47, 3: 0.37}[count]
    gap = radius * rng.uniform(1.98, 2.12)
    high = radius * rng.uniform(0.75, 0.95)
    along = (np.arange(count) - (count - 1) / 2) * gap
    aside = rng.uniform(-0.10, 0.10, count)
    places = sorted(
        zip(along.tolist(), aside.tolist(), strict=True),
        key=lambda place: place[0] * frame.down[0] + place[1] * frame.down[1],
    )
    rice_tone_seed = rng.integers(2**32)
    for u, v in places:
        _draw_roll(canvas, frame, u0=u, v0=v, radius=radius, high=high, seed=int(rice_tone_seed))
    return canvas


def _draw_roll(
    canvas: Canvas,
    frame: Frame,
    *,
    u0: float,
    v0: float,
    radius: float,
    high: float,
    seed: int,
) -> None:
    rng = frame.rng
    wobble = 0.020 * frame.noise(cells=(4, 4), octaves=2)
    oval = rng.uniform(0.93, 1.07)

    def outline(u: Field, v: Field) -> Field:
        return disc((u - u0) * oval, (v - v0) / oval, radius=radius) + wobble

    wall = swept(frame, outline, high=high)
    canvas.add(nori_surface(frame, 0.35 * dome(wall, 0.24)), coverage(wall, frame.unit))
    u, v = frame.at(high)
    face = outline(u, v) + 0.035 * radius / 0.5 + 0.012
    canvas.add(rice_surface(frame, 0.06 * dome(face, 0.10)), coverage(face, frame.unit))
    _draw_cucumber(canvas, frame, u - u0, v - v0, radius=radius, seed=seed)


def _draw_cucumber(
    canvas: Canvas, frame: Frame, u: Field, v: Field, *, radius: float, seed: int
) -> None:
    rng = frame.rng
    shared = np.random.default_rng(seed)
    size = radius * shared.uniform(0.36, 0.50)
    ratio = shared.uniform(0.72, 1.0)
    turn = rng.uniform(0, 2 * np.pi)
    du, dv = (rng.uniform(-0.12, 0.12, 2) * radius).tolist()
    x, y = (along / size for along in turned(u - du, v - dv, turn))
    wobble = 0.05 * frame.noise(cells=(6, 6), octaves=2)
    core = rounded_box(x, y, a=1.0, b=ratio, radius=0.45) + wobble
    flesh = frame.tone(((0.72, 0.84, 0.48), (0.80, 0.88, 0.62), (0.64, 0.78, 0.42)))
    skin = frame.tone(((0.13, 0.36, 0.15), (0.20, 0.44, 0.18), (0.10, 0.30, 0.16)))
    noise = frame.noise(cells=(8, 8), octaves=3)
    # Skin on one side, seeds on the other.
    albedo = flesh * np.clip(1 + 0.10 * noise, 0.6, 1.4)
    albedo = mix(albedo, skin, smoothstep(0.62, 0.78, x))
    seeds = np.exp(-(((x + 0.55) / 0.16) ** 2)) * smoothstep(0.2, 0.9, np.cos(y * 9))
    albedo = mix(albedo, linear((0.92, 0.93, 0.76)), 0.8 * seeds)
    finish = Finish(specular=0.25, gloss=30, window=0.22, wrap=0.2)
    planes = frame.shade(albedo, 0.05 * dome(core, 0.4) + 0.006 * noise, finish)
    canvas.darken(1 - 0.35 * np.clip(1 - np.maximum(core, 0) * 5, 0, 1))
    canvas.add(planes, coverage(core, frame.unit * size))
