"""Who smiles, which colour is whose, and whose sushi it is: balanced in groups of four scenes."""

from dataclasses import dataclass

import numpy as np

from visattn.data.generated.tasty.palette import draw_colours

GROUP = 4
"""Scenes of a group."""


@dataclass(frozen=True)
class Plan:
    """What a scene is about.

    Args:
        smiles: for each diner.
        colours: of the rings, numbers of `palette.NAMES`; no two are alike.
        owners: for each sushi, the diner with a ring of its plate's colour.
    """

    smiles: tuple[bool, ...]
    colours: tuple[int, ...]
    owners: tuple[int, ...]

    @property
    def answers(self) -> tuple[int, ...]:
        """For each sushi 1 if its diner smiles, else 0."""
        return tuple(int(self.smiles[owner]) for owner in self.owners)


def draw_group(
    rng: np.random.Generator, *, diners: int, sushi: int, colours: int = 6
) -> tuple[Plan, ...]:
    """Draw four scenes of the same diners in the same rings.

    Half of the diners smile. From one scene to the next but one the plates keep their colours and
    every expression is turned round; from one to its neighbour the expressions stay and each plate
    has the colour of a diner of the other expression. So each set of faces and each set of plates
    has either answer equally often, and a sum of what the faces say and what the plates say, each
    on its own, tells nothing: the answers are their exclusive or.

    >>> group = draw_group(np.random.default_rng(0), diners=4, sushi=1)
    >>> [plan.answers for plan in group]
    [(1,), (0,), (0,), (1,)]
    """
    rings = draw_colours(rng, count=diners, colours=colours)
    order = [int(i) for i in rng.permutation(diners)]
    happy, unhappy = order[: diners // 2], order[diners // 2 :]
    other = dict(zip(happy + unhappy, unhappy + happy, strict=True))
    some = sushi // 2 + (int(rng.integers(2)) if sushi % 2 else 0)
    first = [*rng.permutation(happy)[:some], *rng.permutation(unhappy)[: sushi - some]]
    owners = tuple(int(i) for i in rng.permutation(first))
    others = tuple(other[i] for i in owners)
    smiles = tuple(i in happy for i in range(diners))
    turned = tuple(not smile for smile in smiles)
    return (
        Plan(smiles, rings, owners),
        Plan(smiles, rings, others),
        Plan(turned, rings, owners),
        Plan(turned, rings, others),
    )


def draw_independent(
    rng: np.random.Generator, *, diners: int, sushi: int, colours: int = 6
) -> tuple[Plan, ...]:
    """Draw four scenes of the same diners, of whom each smiles or not whatever the others do.

    So the number of smiles says something about the answers: where all smile, they are known
    without looking at a plate. It is what a network learns first, and from there it finds out which
    face counts. The plates ask the diners in turn, and when all have been asked, expressions and
    colours are drawn anew: with one sushi the four scenes differ in the plate alone. For training
    only: on the balanced scenes of `draw_group` the number says nothing.

    >>> plans = draw_independent(np.random.default_rng(0), diners=4, sushi=1)
    >>> [sum(plan.smiles) for plan in plans], sorted(plan.owners for plan in plans)
    ([2, 2, 2, 2], [(0,), (1,), (2,), (3,)])
    """
    plans: list[Plan] = []
    while len(plans) < GROUP:
        rings = draw_colours(rng, count=diners, colours=colours)
        smiles = tuple(bool(smile) for smile in rng.integers(2, size=diners))
        order = [int(i) for i in rng.permutation(diners)]
        for first in range(0, diners - sushi + 1, sushi):
            plans.append(Plan(smiles, rings, tuple(order[first : first + sushi])))
    return tuple(plans[:GROUP])
