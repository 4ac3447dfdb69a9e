"""The scenes on disk: rendered once into a folder that is whole or not there."""

import contextlib
import csv
import dataclasses
import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.progress import track

from visattn.basics.lock import exclusive
from visattn.data.generated.sushi.composition import Picture
from visattn.data.generated.sushi.folder import CACHE_VARIABLE, write_png
from visattn.data.generated.tasty.composition import TastyScene, tasty_scenes
from visattn.data.generated.tasty.layout import Layout
from visattn.data.generated.tasty.palette import NAMES
from visattn.data.generated.tasty.plan import GROUP

RENDERER_VERSION = 2
"""Raised whenever the same seed gives other pixels, so that no old cache is taken for a new one."""

CLASSES = ("not_tasty", "tasty")
"""The classes, in the order of the answers."""

PARAMETERS_FILE = "tasty.json"
COLUMNS = ("split", "class", "id", "colour", "diner", "row", "column", "smiles", "colours")
_POOLS = 4  # of seeds: train, val, test, and the training scenes without faces


@dataclass(frozen=True)
class Part:
    """Scenes of one split that are rendered alike: see `tasty_scenes`."""

    split: str
    count: int
    seed: int
    distance: int | None
    without_faces: bool = False


@dataclass(frozen=True)
class TastyParameters:
    """All that decides a data set's pixels; see `render_tasty`."""

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

    def as_json(self) -> dict[str, object]:
        """The parameters as written beside the pictures."""
        values = {**dataclasses.asdict(self), "distances": list(self.distances)}
        return {"renderer_version": RENDERER_VERSION, **values}

    @property
    def key(self) -> str:
        """A folder name that no other parameters have."""
        text = json.dumps(self.as_json(), sort_keys=True)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return f"{self.size}px-{self.diners}diners-seed{self.seed}-{digest}"

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

    It lies in the folder that the environment variable ``VISATTN_CACHE`` names, or else in
    ``~/.cache/visattn``; its name is made from the parameters.
    """
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(named).expanduser() if named else Path.home() / ".cache" / "visattn"
    return base / "tasty" / parameters.key


def render_tasty(
    parameters: TastyParameters, root: str | Path | None = None, *, progress: bool = True
) -> Path:
    """Render a data set and return its folder; at once if it is there already.

    ======================  ====================================================================
    ``train``, ``val``      scenes of `tasty_scenes` with one sushi
    ``test``                the same, of other people on other tables
    ``test_without_faces``  the test scenes with empty rings: nothing tells the answer
    ``test_distance_D``     the test scenes with D rows between rings and plate, for ``distances``
    ======================  ====================================================================

    A network that has never seen an empty ring may be sure of itself before one. With
    ``train_without_faces`` so many scenes with empty rings are added to ``train``; each stands
    there with either answer, which teaches a probability of one half.

    The layout is ``ROOT/SPLIT/images/CLASS/ID.png`` with the classes ``not_tasty`` and ``tasty``,
    beside it ``masks`` (the head of the diner whose sushi it is), ``buri``, ``plates`` and
    ``faces`` (all heads), and ``ROOT/metadata.csv``: the plate's colour, the number of its diner
    from the left, the row and column of the plate's middle in pixels, who smiles (1 or 0 each) and
    the colours of the rings.

    Args:
        parameters: What to render.
        root: The folder; chosen by `tasty_cache` if None.
        progress: Whether to show a progress bar.

    Raises:
        FileExistsError: If the folder holds something else.

    >>> from tempfile import TemporaryDirectory
    >>> few = TastyParameters(train=4, val=4, test=4)
    >>> with TemporaryDirectory() as place:
    ...     folder = render_tasty(few, Path(place, "scenes"), progress=False)
    ...     sorted(path.name for path in (folder / "train").iterdir())
    ['buri', 'faces', 'images', 'masks', 'plates']
    """
    folder = tasty_cache(parameters) if root is None else Path(root).expanduser()
    if _is_complete(folder, parameters):
        return folder
    lock = folder.with_name(f".{folder.name}.lock")
    with exclusive(lock):
        if not _is_complete(folder, parameters):  # another process may just have done it
            partial = folder.with_name(f".{folder.name}.partial")
            if partial.exists():
                shutil.rmtree(partial)
            _render_all(partial, parameters, progress=progress)
            if folder.exists():
                folder.rmdir()  # empty, or _is_complete would have complained
            partial.rename(folder)
    with contextlib.suppress(OSError):  # some systems keep a file that another process has open
        lock.unlink()
    return folder


def _is_complete(folder: Path, parameters: TastyParameters) -> bool:
    marker = folder / PARAMETERS_FILE
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not marker.is_file():
        raise FileExistsError(
            f"{folder} exists and holds no tasty scenes (no {PARAMETERS_FILE}). Name a folder that "
            "doesn't exist yet, or an empty one."
        )
    found, wanted = json.loads(marker.read_text()), parameters.as_json()
    if found == wanted:
        return True
    differ = [name for name in wanted if found.get(name) != wanted[name]]
    raise FileExistsError(
        f"{folder} holds tasty scenes with other parameters: "
        + "; ".join(f"{name} is {found.get(name)!r}, wanted {wanted[name]!r}" for name in differ)
        + ". Name another folder or remove this one."
    )


def _render_all(root: Path, parameters: TastyParameters, *, progress: bool) -> None:
    root.mkdir(parents=True)
    with (root / "metadata.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        numbers: Counter[str] = Counter()
        for part in parameters.parts:
            scenes = tasty_scenes(
                part.count,
                size=parameters.size,
                diners=parameters.diners,
                distance=part.distance,
                without_faces=part.without_faces,
                seed=part.seed,
            )
            text = f"Rendering {part.split}"
            for scene in track(scenes, text, total=part.count, disable=not progress):
                writer.writerow(_write(root / part.split, f"{numbers[part.split]:05d}", scene))
                numbers[part.split] += 1
    (root / PARAMETERS_FILE).write_text(json.dumps(parameters.as_json(), indent=2) + "\n")


def _write(root: Path, name: str, scene: TastyScene) -> tuple[object, ...]:
    """Write a scene's files; returns its row of the metadata."""
    class_name = CLASSES[scene.answers[0]]
    parts: dict[str, Picture] = {
        "images": scene.image,
        "masks": scene.owner_faces[0],
        "buri": scene.buri[0],
        "plates": scene.plates[0],
        "faces": scene.faces.max(axis=0),
    }
    for part, picture in parts.items():
        folder = root / part / class_name
        folder.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"{name}.png", picture)
    (owner,) = scene.plan.owners
    (row, column) = scene.places[0]
    colours = [NAMES[colour] for colour in scene.plan.colours]
    smiles = "".join(str(int(smile)) for smile in scene.plan.smiles)
    place = (f"{row:.1f}", f"{column:.1f}")
    return (root.name, class_name, name, colours[owner], owner, *place, smiles, " ".join(colours))
