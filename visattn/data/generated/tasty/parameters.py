"""What decides a data set of tasty scenes, checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

from visattn.data.generated.folder import SceneParameters, cache_root
from visattn.data.generated.tasty.layout import Layout
from visattn.data.generated.tasty.plan import GROUP

CLASSES = ("not_tasty", "tasty")
"""The classes, in the order of the answers."""

_POOLS = 4  # of seeds: train, val, test, and the training scenes without faces


@dataclass(frozen=True)
class Part:
    """Scenes of one split that are rendered alike: see `tasty_scenes`."""

    split: str
    count: int
    seed: int
    distance: int | None
    without_faces: bool = False


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
    def parts(self) -> tuple[Part, ...]:
        """What is rendered, in this order."""
        train, val, test, empty = (_POOLS * self.seed + pool for pool in range(_POOLS))
        parts = [Part("train", self.train, train, self.distance)]
        if self.train_without_faces:
            parts.append(Part("train", self.train_without_faces, empty, self.distance, True))
        parts.append(Part("val", self.val, val, self.distance))
        parts.append(Part("test", self.test, test, self.distance))
        parts.append(Part("test_without_faces", self.test, test, self.distance, True))
        parts += [Part(f"test_distance_{d}", self.test, test, d) for d in self.distances]
        return tuple(parts)


def tasty_cache(parameters: TastyParameters) -> Path:
    """The folder where `render_tasty` keeps a data set if no other is named.

    See `visattn.data.generated.sushi.sushi_cache`.
    """
    return cache_root(parameters.scenes) / parameters.key
