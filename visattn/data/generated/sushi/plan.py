"""Which scenes a data set consists of: splits, seeds and styles, decided before any is rendered."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from visattn.data.generated.sushi.composition import Scene
from visattn.data.generated.sushi.food.pieces import check_size
from visattn.data.generated.sushi.names import HELD_OUT_STYLES, KINDS, check_name, own_style

RENDERER_VERSION = 2
"""Raised whenever the same seed gives other pixels, so that no old cache is taken for a new one."""

TEST_VARIANTS = (
    "original",
    "mixed_same",
    "mixed_rand",
    "mixed_next",
    "mixed_new",
    "only_fg",
    "only_fg_grey",
    "only_bg",
    "no_fg",
)
"""Variants of the test set, all over the same foregrounds; split ``test_VARIANT``."""

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


def names(given: Sequence[str], *, field: str) -> tuple[str, ...]:
    """The names as a tuple; a single string is an error, not a sequence of letters."""
    if isinstance(given, str):
        raise TypeError(f"{field} must be a sequence of names, got the string {given!r}")
    return tuple(given)


@dataclass(frozen=True)
class SushiParameters:
    """All that decides a data set's pixels; see `visattn.data.generated.sushi.render_sushi`."""

    size: int = 96
    rho: float = 0.95
    train: int = 2400
    val: int = 400
    test: int = 480
    seed: int = 0
    variants: tuple[str, ...] = TEST_VARIANTS
    kinds: tuple[str, ...] = KINDS
    train_random: bool = False
    adversarial: int = 0

    def __post_init__(self) -> None:
        check_size(self.size)
        rho = float(self.rho)
        if not (math.isfinite(rho) and 0.0 <= rho <= 1.0):
            raise ValueError(
                f"rho must lie in [0, 1]: the share of pictures on their class's own style; "
                f"got {self.rho!r}"
            )
        object.__setattr__(self, "rho", rho)
        for name in ("train", "val", "test", "seed", "adversarial"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise TypeError(f"{name} must be a whole number, got {value!r}")
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
            object.__setattr__(self, name, int(value))
        if self.adversarial > self.test:
            raise ValueError(
                f"adversarial must be at most test, since it takes the first test foregrounds; "
                f"got adversarial={self.adversarial} with test={self.test}"
            )
        self._check_names("variants", TEST_VARIANTS, "test variant")
        self._check_names("kinds", KINDS, "kind of sushi")
        if len(self.kinds) < 2:
            raise ValueError(f"kinds must be at least 2 to be told apart, got {self.kinds}")

    def _check_names(self, field: str, known: Sequence[str], what: str) -> None:
        given = names(getattr(self, field), field=field)
        for name in given:
            check_name(name, known, what=what)
        if len(set(given)) != len(given):
            raise ValueError(f"{field} names one twice: {', '.join(given)}")
        object.__setattr__(self, field, given)

    def as_json(self) -> dict[str, object]:
        """The parameters as written beside the pictures."""
        values = dataclasses.asdict(self)
        values["variants"], values["kinds"] = list(self.variants), list(self.kinds)
        return {"renderer_version": RENDERER_VERSION, **values}

    @property
    def key(self) -> str:
        """A folder name that no other parameters have."""
        text = json.dumps(self.as_json(), sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return f"{self.size}px-rho{self.rho:g}-seed{self.seed}-{digest}"

    @property
    def styles(self) -> tuple[str, ...]:
        """The training styles: those of the chosen kinds."""
        return tuple(own_style(kind) for kind in self.kinds)


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
