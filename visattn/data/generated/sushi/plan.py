"""Which scenes a data set consists of: splits, seeds and styles, decided before any is rendered."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from visattn.data.generated.sushi.names import HELD_OUT_STYLES, KINDS, STYLES, check_name
from visattn.data.generated.sushi.parameters import TEST_VARIANTS, SushiParameters

ADVERSARIAL_BACKGROUNDS = 64

# Pools of seeds. A seed's top byte is its pool, so no two pools share a seed.
_POOLS = (
    "train",
    "val",
    "test",
    "train_random",
    "test_adversarial",
    *(f"test_{variant}" for variant in TEST_VARIANTS),
)

SHOWN = ("whole", "only_fg", "only_fg_grey", "only_bg", "no_fg")
"""What a scene shows: all; the sushi on black, on grey; all but the sushi; a hole in its place."""


@dataclass(frozen=True)
class Scene:
    """All that decides a picture but its size.

    Args:
        kind: of sushi, one of :data:`~visattn.data.generated.sushi.KINDS`.
        style: of plate and table; needed by what shows a background.
        foreground_seed: of the sushi, its place, the light and the camera's noise.
        background_seed: of plate and table.
        shows: one of :data:`SHOWN`.

    Raises:
        ValueError: for an unknown name.
    """

    kind: str
    style: str
    foreground_seed: int
    background_seed: int
    shows: str = "whole"

    def __post_init__(self) -> None:
        check_name(self.kind, KINDS, what="kind of sushi")
        check_name(self.style, STYLES + HELD_OUT_STYLES, what="style")
        check_name(self.shows, SHOWN, what="part of a scene")

    @property
    def has_background(self) -> bool:
        """Whether any plate is seen."""
        return not self.shows.startswith("only_fg")


@dataclass(frozen=True)
class Shot:
    """One picture of the data set: a scene and where it goes."""

    split: str
    id: str
    variant: str
    scene: Scene


def derived_seed(seed: int, pool: str, role: str, index: int) -> int:
    """A seed of 63 bits for one part of one picture; no two pools share one."""
    text = f"{seed}/{pool}/{role}/{index}".encode()
    digest = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")
    return (_POOLS.index(pool) << 56) | digest


def plan_shots(parameters: SushiParameters) -> Iterator[tuple[Shot, ...]]:
    """All shots, those with one foreground together, in a fixed order."""
    p = parameters
    for index in range(p.train):
        shots = [_shot(p, "train", index)]
        if p.train_random:
            shots.append(_shot(p, "train_random", index, variant="mixed_rand"))
        yield tuple(shots)
    for index in range(p.val):
        yield (_shot(p, "val", index),)
    for index in range(p.test):
        shots = [_shot(p, f"test_{name}", index, variant=name) for name in p.variants]
        if index < p.adversarial:
            shots += _adversarial(p, index)
        if shots:
            yield tuple(shots)


def _shot(p: SushiParameters, split: str, index: int, *, variant: str = "original") -> Shot:
    # Splits of one first word show the same foregrounds, parts of a scene that of the original.
    shows = variant if variant in SHOWN else "whole"
    pool = split if shows == "whole" else "test_original"
    scene = Scene(
        p.kinds[index % len(p.kinds)],
        _style(p, pool, index, variant=variant),
        derived_seed(p.seed, split.partition("_")[0], "foreground", index),
        derived_seed(p.seed, pool, "background", index),
        shows,
    )
    return Shot(split, f"{index:05d}", variant, scene)


def _style(p: SushiParameters, pool: str, index: int, *, variant: str) -> str:
    own, count = index % len(p.styles), len(p.styles)
    rng = np.random.default_rng(derived_seed(p.seed, pool, "style", index))
    if variant == "mixed_same":
        return p.styles[own]
    if variant == "mixed_rand":
        return p.styles[int(rng.integers(count))]
    if variant == "mixed_next":
        return p.styles[(own + 1) % count]
    if variant == "mixed_new":
        return HELD_OUT_STYLES[int(rng.integers(len(HELD_OUT_STYLES)))]
    # The kind's own style with probability rho, otherwise a random other one.
    further = 0 if rng.uniform() < p.rho else int(rng.integers(1, count))
    return p.styles[(own + further) % count]


def _adversarial(p: SushiParameters, index: int) -> list[Shot]:
    """One foreground over many backgrounds, each training style equally often."""
    split, shots = "test_adversarial", []
    same = _shot(p, split, index).scene
    for number in range(ADVERSARIAL_BACKGROUNDS):
        behind = derived_seed(p.seed, split, "background", index * ADVERSARIAL_BACKGROUNDS + number)
        style = p.styles[number % len(p.styles)]
        scene = replace(same, style=style, background_seed=behind)
        shots.append(Shot(split, f"{index:05d}_{number:02d}", "adversarial", scene))
    return shots
