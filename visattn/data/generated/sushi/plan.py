"""Which scenes a data set consists of: splits, seeds and styles, decided before any is rendered."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Shot:
    """One picture of the data set: a scene and where it goes."""

    split: str
    id: str
    variant: str
    scene: Scene

    @property
    def has_background(self) -> bool:
        """Whether any plate is seen."""
        return not self.scene.shows.startswith("only_fg")


def derived_seed(seed: int, pool: str, role: str, index: int) -> int:
    """A seed of 63 bits for one part of one picture; no two pools share one."""
    text = f"{seed}/{pool}/{role}/{index}".encode()
    digest = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")
    return (_POOLS.index(pool) << 56) | digest


def plan_shots(parameters: SushiParameters) -> Iterator[tuple[Shot, ...]]:
    """All shots, those with one foreground together, in a fixed order."""
    p = parameters
    for index in range(p.train):
        foreground_seed = derived_seed(p.seed, "train", "foreground", index)
        shots = [_biased(p, "train", index, foreground_seed)]
        if p.train_random:
            style = _random_style(p, "train_random", index)
            shots.append(
                _shot(p, "train_random", index, foreground_seed, style, variant="mixed_rand")
            )
        yield tuple(shots)
    for index in range(p.val):
        yield (_biased(p, "val", index, derived_seed(p.seed, "val", "foreground", index)),)
    for index in range(p.test):
        foreground_seed = derived_seed(p.seed, "test", "foreground", index)
        shots = [_variant(p, variant, index, foreground_seed) for variant in p.variants]
        if index < p.adversarial:
            shots += _adversarial(p, index, foreground_seed)
        if shots:
            yield tuple(shots)


def _kind(p: SushiParameters, index: int) -> str:
    return p.kinds[index % len(p.kinds)]


def _draw(p: SushiParameters, pool: str, index: int) -> np.random.Generator:
    return np.random.default_rng(derived_seed(p.seed, pool, "style", index))


def _random_style(p: SushiParameters, pool: str, index: int) -> str:
    return p.styles[int(_draw(p, pool, index).integers(len(p.styles)))]


def _biased_style(p: SushiParameters, pool: str, index: int) -> str:
    """The kind's own style with probability rho, otherwise a random other one."""
    rng = _draw(p, pool, index)
    own = index % len(p.kinds)
    if rng.uniform() < p.rho:
        return p.styles[own]
    return p.styles[(own + int(rng.integers(1, len(p.styles)))) % len(p.styles)]


def _shot(
    p: SushiParameters,
    pool: str,
    index: int,
    foreground_seed: int,
    style: str,
    *,
    variant: str,
    shows: str = "whole",
    split: str | None = None,
) -> Shot:
    """A shot whose background seed comes from a pool."""
    background_seed = derived_seed(p.seed, pool, "background", index)
    scene = Scene(_kind(p, index), style, foreground_seed, background_seed, shows)
    return Shot(split or pool, f"{index:05d}", variant, scene)


def _biased(p: SushiParameters, pool: str, index: int, foreground_seed: int) -> Shot:
    style = _biased_style(p, pool, index)
    return _shot(p, pool, index, foreground_seed, style, variant="original")


def _variant(p: SushiParameters, variant: str, index: int, foreground_seed: int) -> Shot:
    split, pool, shows = f"test_{variant}", f"test_{variant}", "whole"
    if variant == "mixed_same":
        style = p.styles[index % len(p.styles)]
    elif variant == "mixed_rand":
        style = _random_style(p, pool, index)
    elif variant == "mixed_next":
        style = p.styles[(index + 1) % len(p.styles)]
    elif variant == "mixed_new":
        style = HELD_OUT_STYLES[int(_draw(p, pool, index).integers(len(HELD_OUT_STYLES)))]
    else:
        # The same scene as the original, or a part of it.
        pool = "test_original"
        style = _biased_style(p, pool, index)
        shows = "whole" if variant == "original" else variant
    return _shot(p, pool, index, foreground_seed, style, variant=variant, shows=shows, split=split)


def _adversarial(p: SushiParameters, index: int, foreground_seed: int) -> list[Shot]:
    """One foreground over many backgrounds, each training style equally often."""
    shots = []
    for number in range(ADVERSARIAL_BACKGROUNDS):
        style = p.styles[number % len(p.styles)]
        background_seed = derived_seed(
            p.seed, "test_adversarial", "background", index * ADVERSARIAL_BACKGROUNDS + number
        )
        scene = Scene(_kind(p, index), style, foreground_seed, background_seed)
        shots.append(Shot("test_adversarial", f"{index:05d}_{number:02d}", "adversarial", scene))
    return shots
