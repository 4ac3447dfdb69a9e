"""What decides a data set of tasty scenes, checked."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, final

from visattn.data.generated.folder import SceneParameters, cache_root
from visattn.data.generated.tasty.layout import Layout
from visattn.data.generated.tasty.plan import GROUP

CLASSES = ("not_tasty", "tasty")
"""The classes, in the order of the answers."""

_POOLS = 4  # of seeds: train, val, test, and the training scenes without faces


@dataclass(frozen=True)
class SceneSet:
    """Scenes that are rendered alike, by the arguments of `tasty_scenes`."""

    count: int
    seed: int
    size: int = 64
    diners: int = 4
    sushi: int = 1
    distance: int | None = None
    without_faces: bool = False
    balanced: bool = True
    colours: int = 6

    @property
    def layout(self) -> Layout:
        """Sizes of rings and plates."""
        return Layout(self.size, self.diners, self.sushi, self.distance)


@final
@dataclass(frozen=True)
class TastyParameters(SceneParameters):
    """All that decides a data set's pixels; see `render_tasty`."""

    scenes: ClassVar[str] = "tasty"
    renderer_version: ClassVar[int] = 2

    size: int = 64
    diners: int = 4
    distance: int | None = None
    distances: tuple[int, ...] = ()
    train: int = 8000
    val: int = 800
    test: int = 800
    train_without_faces: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train", "val", "test"):
            count = getattr(self, name)
            if count < GROUP or count % GROUP:
                raise ValueError(f"{name} must be a multiple of {GROUP} above 0, got {count}")
        if self.train_without_faces < 0 or self.train_without_faces % GROUP:
            raise ValueError(
                f"train_without_faces must be 0 or a multiple of {GROUP}, got "
                f"{self.train_without_faces}"
            )
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")
        if len(set(self.distances)) != len(self.distances):
            raise ValueError(f"distances names one twice: {self.distances}")
        for distance in (self.distance, *self.distances):
            Layout(self.size, self.diners, distance=distance)

    @property
    def label(self) -> str:
        """Size, diners and seed."""
        return f"{self.size}px-{self.diners}diners-seed{self.seed}"

    @property
    def parts(self) -> tuple[tuple[str, SceneSet], ...]:
        """What is rendered, in this order: splits and their scenes."""
        train, val, test, empty = (
            SceneSet(
                count, _POOLS * self.seed + pool, self.size, self.diners, distance=self.distance
            )
            for pool, count in enumerate(
                (self.train, self.val, self.test, self.train_without_faces)
            )
        )
        without = replace(empty, without_faces=True)
        return (
            ("train", train),
            *([("train", without)] if self.train_without_faces else []),
            ("val", val),
            ("test", test),
            ("test_without_faces", replace(test, without_faces=True)),
            *((f"test_distance_{d}", replace(test, distance=d)) for d in self.distances),
        )


def tasty_cache(parameters: TastyParameters) -> Path:
    """The folder where `render_tasty` keeps a data set if no other is named.

    See `visattn.data.generated.sushi.sushi_cache`.
    """
    return cache_root(parameters.scenes) / parameters.key
