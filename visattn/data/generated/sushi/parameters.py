"""What decides a data set of sushi scenes, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np

from visattn.data.generated.folder import SceneParameters, cache_root
from visattn.data.generated.sushi.names import KINDS, check_name, check_size, own_style

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


@final
@dataclass(frozen=True)
class SushiParameters(SceneParameters):
    """All that decides a data set's pixels; see `visattn.data.generated.sushi.render_sushi`.

    Args:
        size: side of the pictures in pixels, at least 32.
        rho: share of biased pictures on their class's own style, in [0, 1].
        train: pictures in ``train``, over all classes in turn.
        val: pictures in ``val``.
        test: foregrounds in the test set.
        seed: of the whole data set.
        variants: test variants to render, of :data:`TEST_VARIANTS`.
        kinds: the classes, of :data:`KINDS`.
        train_random: whether to render ``train_random``.
        adversarial: foregrounds of ``test_adversarial``.

    Raises:
        ValueError, TypeError: for parameters out of range or unknown names.
    """

    scenes: ClassVar[str] = "sushi"
    renderer_version: ClassVar[int] = 2

    size: int = 96
    rho: float = 0.95
    train: int = 2400
    val: int = 400
    test: int = 480
    seed: int = 0
    variants: Sequence[str] = TEST_VARIANTS
    kinds: Sequence[str] = KINDS
    train_random: bool = False
    adversarial: int = 0

    def __post_init__(self) -> None:
        check_size(self.size)
        rho = float(self.rho)
        if not 0.0 <= rho <= 1.0:
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
        given = getattr(self, field)
        if isinstance(given, str):
            raise TypeError(f"{field} must be a sequence of names, got the string {given!r}")
        for name in given:
            check_name(name, known, what=what)
        if len(set(given)) != len(given):
            raise ValueError(f"{field} names one twice: {', '.join(given)}")
        object.__setattr__(self, field, tuple(given))

    @property
    def label(self) -> str:
        """Size, rho and seed."""
        return f"{self.size}px-rho{self.rho:g}-seed{self.seed}"

    @property
    def styles(self) -> tuple[str, ...]:
        """The training styles: those of the chosen kinds."""
        return tuple(own_style(kind) for kind in self.kinds)


def sushi_cache(parameters: SushiParameters) -> Path:
    """The folder where `render_sushi` keeps a data set if no other is named.

    It lies in the folder that the environment variable ``VISATTN_CACHE`` names, or else in
    ``~/.cache/visattn``; its name is made from the parameters.
    """
    return cache_root(parameters.scenes) / parameters.key
