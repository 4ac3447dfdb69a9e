"""Scenes: diners along the top, sushi far below, and whose it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from visattn.data.generated.pictures import Picture, to_bytes
from visattn.data.generated.sushi.composition import camera_noise, cast_shadow
from visattn.data.generated.sushi.drawing.noise import Field
from visattn.data.generated.tasty.cutouts import Cutout
from visattn.data.generated.tasty.layout import Corners, Layout, place
from visattn.data.generated.tasty.palette import check_colours
from visattn.data.generated.tasty.plan import GROUP, Plan, draw_group, draw_independent
from visattn.data.generated.tasty.plate import draw_plate
from visattn.data.generated.tasty.portraits import draw_portrait, sample_person
from visattn.data.generated.tasty.settings import Setting, render_setting


@dataclass(frozen=True)
class TastyScene:
    """One picture and all that is known about it.

    Attributes:
        image: (size, size, 3), RGB.
        buri: (sushi, size, size), the matte of each sushi, 0 to 255.
        plates: (sushi, size, size), of each plate, the sushi on it included.
        faces: (diners, size, size), of each diner's head; all 0 without faces.
        rings: (diners, size, size), of each ring with all that is in it.
        plan: who smiles, the colours, whose sushi it is.
    """

    image: Picture
    buri: Picture
    plates: Picture
    faces: Picture
    rings: Picture
    plan: Plan

    @property
    def answers(self) -> tuple[int, ...]:
        """For each sushi 1 if its diner smiles, else 0. Without faces nothing tells it."""
        return self.plan.answers

    @property
    def owner_faces(self) -> Picture:
        """(sushi, size, size), the head of the diner whose sushi it is."""
        return self.faces[list(self.plan.owners)]

    @property
    def places(self) -> NDArray[np.float64]:
        """(sushi, 2), the row and the column of the middle of each plate, in pixels."""
        return np.array([np.argwhere(plate > 127).mean(0) for plate in self.plates])

    def answer_grid(self, stride: int) -> NDArray[np.int64]:
        """The answers where the sushi lie, on a grid of every ``stride`` pixels, -1 elsewhere.

        A cell is a sushi's if at least half of it lies on its plate.
        """
        size = self.image.shape[0]
        if stride < 1 or size % stride:
            raise ValueError(f"stride must divide the side of {size} pixels, got {stride}")
        cells = size // stride
        grid = np.full((cells, cells), -1, np.int64)
        for plate, answer in zip(self.plates, self.answers, strict=True):
            share = plate.reshape(cells, stride, cells, stride).mean((1, 3)) / 255
            grid[share >= 0.5] = answer
        return grid


def tasty_scenes(
    count: int,
    *,
    size: int = 64,
    diners: int = 4,
    sushi: int = 1,
    distance: int | None = None,
    without_faces: bool = False,
    balanced: bool = True,
    colours: int = 6,
    seed: int = 0,
    settings: int = 72,
) -> Iterator[TastyScene]:
    """Render scenes: is this buri tasty? Ask the diner in the ring of its plate's colour.

    Diners sit along the top, half of them smiling, each in a ring of one colour. Far below lies a
    buri on a plate of one of these colours; the answer is that diner's expression. Scenes come in
    groups of four with the same people in the same places, see `draw_group`: each arrangement of
    faces and each plate has either answer equally often, so a network that relates no plate to a
    face is at chance.

    Args:
        count: number of scenes, a multiple of 4.
        size: side of the pictures in pixels.
        diners: number of diners, even.
        sushi: number of plates, each of another diner's colour; above 1, each has its own answer.
        distance: rows of bare table between rings and plates; nearly all there is room for if None.
            Scenes of one seed that differ in distance alone show the same people and plates.
        without_faces: leave the rings empty.
        balanced: draw groups as said; if not, each diner smiles or not by chance, see
            `draw_independent`, and the number of smiles says something about the answer.
        colours: of how many colours those of a scene are drawn: 6, told apart with any kind of
            colour vision, or 24, the circle of hues.
        seed: of everything; two seeds share no table, no sushi and no people.
        settings: how many tables are rendered, each with its light and its buri.

    Raises:
        ValueError: a number out of its range.

    Example:
        >>> scene = next(tasty_scenes(4, settings=1))
        >>> scene.image.shape, scene.faces.shape, scene.plan.smiles, scene.answers
        ((64, 64, 3), (4, 64, 64), (False, False, True, True), (1,))
    """
    if count < GROUP or count % GROUP:
        raise ValueError(
            f"count must be a multiple of {GROUP}, since scenes are balanced in groups of {GROUP}; "
            f"got {count}"
        )
    if settings < 1:
        raise ValueError(f"settings must be at least 1, got {settings}")
    check_colours(colours)
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    layout = Layout(size, diners, sushi, distance)
    settings = min(settings, count // GROUP)
    draw = draw_group if balanced else draw_independent

    def render() -> Iterator[TastyScene]:
        pool = [
            render_setting(
                number + seed,
                int(np.random.default_rng([seed, 0x5E77, number]).integers(2**40)),
                size=size,
                plate=layout.plate,
                pieces=sushi,
            )
            for number in range(settings)
        ]
        for group in range(count // GROUP):
            rng = np.random.default_rng([seed, 0x7A57E, group])
            plans = draw(rng, diners=diners, sushi=sushi, colours=colours)
            yield from _render_group(
                plans, pool[group % settings], layout, rng, without_faces=without_faces
            )

    return render()


def _render_group(
    plans: tuple[Plan, ...],
    setting: Setting,
    layout: Layout,
    rng: np.random.Generator,
    *,
    without_faces: bool,
) -> Iterator[TastyScene]:
    """Scenes of the same people in the same places; what several show is drawn once."""
    people = [sample_person(rng) for _ in range(layout.diners)]
    corners = place(layout, rng)
    noise = camera_noise(int(rng.integers(2**40)), (layout.size, layout.size, 3))

    @cache
    def portrait(diner: int, smiles: bool, colour: int) -> Cutout:
        person = None if without_faces else people[diner]
        return draw_portrait(
            person, colour=colour, smiles=smiles, diameter=layout.ring, light=setting.light
        )

    for plan in plans:
        looks = zip(range(layout.diners), plan.smiles, plan.colours, strict=True)
        rings = [portrait(*look) for look in looks]
        yield _compose(plan, rings, setting, corners, layout, noise)


def _compose(
    plan: Plan,
    rings: list[Cutout],
    setting: Setting,
    corners: Corners,
    layout: Layout,
    noise: Field,
) -> TastyScene:
    """Lay rings and plates on the table and the buri on the plates, each with its shadow."""
    size = layout.size
    plates = [
        draw_plate(colour=plan.colours[owner], diameter=layout.plate, light=setting.light)
        for owner in plan.owners
    ]
    served = [
        (
            row + (layout.plate - piece.alpha.shape[0]) // 2,
            column + (layout.plate - piece.alpha.shape[1]) // 2,
        )
        for (row, column), piece in zip(corners.plates, setting.buri, strict=True)
    ]
    faces = _masks([ring.part for ring in rings], corners.rings, size)
    framed = _masks([ring.alpha for ring in rings], corners.rings, size)
    dishes = _masks([plate.alpha for plate in plates], corners.plates, size)
    buri = _masks([piece.alpha for piece in setting.buri], served, size)
    picture = setting.table
    for cutouts, places, masks in (
        ([*rings, *plates], [*corners.rings, *corners.plates], np.concatenate([framed, dishes])),
        (setting.buri, served, buri),
    ):
        picture = picture * cast_shadow(masks.max(axis=0), setting.light)[..., None]
        for cutout, (row, column) in zip(cutouts, places, strict=True):
            height, width = cutout.alpha.shape
            box = slice(row, row + height), slice(column, column + width)
            share = cutout.alpha[..., None]
            picture[box] = cutout.rgb * share + picture[box] * (1 - share)
    return TastyScene(
        image=to_bytes(picture + noise),
        buri=to_bytes(buri),
        plates=to_bytes(dishes),
        faces=to_bytes(faces),
        rings=to_bytes(framed),
        plan=plan,
    )


def _masks(alphas: list[Field], corners: Sequence[tuple[int, int]], size: int) -> Field:
    """Small masks in their places in the picture (number, size, size)."""
    out = np.zeros((len(alphas), size, size), np.float32)
    for mask, alpha, (row, column) in zip(out, alphas, corners, strict=True):
        mask[row : row + alpha.shape[0], column : column + alpha.shape[1]] = alpha
    return out
