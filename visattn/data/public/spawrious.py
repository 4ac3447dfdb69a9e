"""Spawrious: four breeds of dogs at six places, which go with the breed in training alone.

Lynch, Dovonon, Kaddour and Silva, Spawrious, arXiv:2303.05470.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, final, get_args

from visattn.data.layout import Item, scan_pictures
from visattn.data.public.held_out import HeldOutData
from visattn.data.public.recognition import SPAWRIOUS_FOLDER, Publication

PUBLICATION = Publication("Spawrious", "https://github.com/aengusl/spawrious")

BREEDS = ("bulldog", "corgi", "dachshund", "labrador")
Benchmark = Literal["o2o_easy", "o2o_medium", "o2o_hard", "m2m_easy", "m2m_medium", "m2m_hard"]
_ORDER = ("bulldog", "dachshund", "labrador", "corgi")
# Places of the breeds in that order, in training and in testing, and one that all breeds share.
_PLACES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str | None]] = {
    "o2o_easy": (
        ("desert", "jungle", "dirt", "snow"),
        ("dirt", "snow", "desert", "jungle"),
        "beach",
    ),
    "o2o_medium": (
        ("mountain", "beach", "dirt", "jungle"),
        ("jungle", "dirt", "beach", "snow"),
        "desert",
    ),
    "o2o_hard": (
        ("jungle", "mountain", "snow", "desert"),
        ("mountain", "snow", "desert", "jungle"),
        "beach",
    ),
    "m2m_easy": (
        ("desert", "mountain", "dirt", "jungle"),
        ("dirt", "jungle", "mountain", "desert"),
        None,
    ),
    "m2m_medium": (
        ("beach", "snow", "mountain", "desert"),
        ("desert", "mountain", "beach", "snow"),
        None,
    ),
    "m2m_hard": (
        ("dirt", "jungle", "snow", "beach"),
        ("snow", "beach", "dirt", "jungle"),
        None,
    ),
}
_WHOLE = 3168
"""Pictures of a breed at a place in a folder; of the first two shares below the rest is shared."""
_SHARES = (0.97, 0.87)


def combinations(benchmark: Benchmark, *, split: str) -> Iterator[tuple[int, str, str, int | None]]:
    """The folders of a benchmark's split: number, place, breed, and how many pictures of it.

    Example:
        >>> list(combinations("o2o_easy", split="trainval"))[0]
        (0, 'desert', 'bulldog', 3072)
    """
    training, testing, shared = _PLACES[benchmark]
    for number in range(2):
        for row, breed in enumerate(_ORDER):
            if shared is None:  # two places for each pair of breeds, in the order that is its own
                places = training if split == "trainval" else testing
                place = places[row // 2 * 2 + (row + number) % 2]
                yield 0, place, breed, _WHOLE if split == "trainval" else None
            elif split == "trainval":
                own = int(_SHARES[number] * _WHOLE)
                yield number, training[row], breed, own
                yield number, shared, breed, _WHOLE - own
            else:
                yield number, testing[row], breed, None


@final
class SpawriousData(HeldOutData):
    """Spawrious: four breeds of dogs, where the place that went with a breed goes with another.

    In the *o2o* benchmarks each breed has a place of its own in 97 % and 87 % of the training and
    one that it shares; in *m2m* two breeds share two places, and so they do in testing, where the
    places are those of the other two. The place is the background, so ``test`` gives groups.
    There are no masks. Of a folder the first pictures by name are taken, where the authors' loader
    takes them in the order that the file system gives.

    Args:
        root: The folder that holds ``spawrious224``, or that folder itself.
        benchmark: Which of the six.
        options: ``val_share`` and those of `visattn.data.image_data.ImageData`.

    Raises:
        FileNotFoundError: The data set, or a folder that the benchmark needs, is not in ``root``.
        ValueError: An option out of its range, or an unknown benchmark.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     (Path(root) / "spawrious224").mkdir()
        ...     SpawriousData(root, benchmark="m2m_hard").class_names
        ('bulldog', 'corgi', 'dachshund', 'labrador')
    """

    def __init__(
        self, root: str | Path, *, benchmark: Benchmark = "o2o_easy", **options: Any
    ) -> None:
        super().__init__(**options)
        if benchmark not in _PLACES:
            known = ", ".join(get_args(Benchmark))
            raise ValueError(f"benchmark must be one of {known}, got {benchmark!r}")
        self.root, self.benchmark = Path(root), benchmark
        self.locate()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The four breeds."""
        return BREEDS

    def locate(self) -> Path:
        """The folder ``spawrious224``."""
        if self.root.resolve().name == SPAWRIOUS_FOLDER:
            return self.root
        PUBLICATION.require(self.root, SPAWRIOUS_FOLDER)
        return self.root / SPAWRIOUS_FOLDER

    def read(self, split: str) -> tuple[Item, ...]:
        """The pictures of ``trainval`` or ``test``."""
        root = self.locate()
        wanted = list(combinations(self.benchmark, split=split))
        PUBLICATION.require(
            root, *(f"{number}/{place}/{breed}" for number, place, breed, _ in wanted)
        )
        return tuple(
            Item(
                path=item.path,
                label=BREEDS.index(breed),
                class_name=breed,
                metadata={"style": place},
            )
            for number, place, breed, count in wanted
            for item in scan_pictures(root / str(number) / place / breed)[:count]
        )
