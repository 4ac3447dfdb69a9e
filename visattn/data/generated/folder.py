"""The folder of rendered scenes: its name, whether it is whole, and one writer at a time."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from visattn.basics.files import write_whole
from visattn.basics.lock import exclusive

CACHE_VARIABLE = "VISATTN_CACHE"


@dataclasses.dataclass(frozen=True)
class SceneParameters(ABC):
    """All that decides the pixels of a data set of scenes.

    Attributes:
        scenes: What they show, in one word.
        renderer_version: Raised whenever the same seed gives other pixels, so that no old cache is
            taken for a new one.
    """

    scenes: ClassVar[str]
    renderer_version: ClassVar[int]

    @property
    @abstractmethod
    def label(self) -> str:
        """The parameters that are asked for most often, to tell folders apart by eye."""

    @property
    def key(self) -> str:
        """A folder name that no other parameters have."""
        return f"{self.label}-{digest(self.as_json(), size=6)}"

    @property
    def file(self) -> str:
        """Name of the file beside the pictures that holds the parameters."""
        return f"{self.scenes}.json"

    def as_json(self) -> dict[str, object]:
        """The parameters as written beside the pictures."""
        values = dataclasses.asdict(self).items()
        listed = {name: list(v) if isinstance(v, tuple) else v for name, v in values}
        return {"renderer_version": self.renderer_version, **listed}


def digest(values: object, *, size: int) -> str:
    """A name of so many bytes for what can be written as JSON."""
    text = json.dumps(values, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()


def cache_root(scenes: str) -> Path:
    """Where scenes of a kind are kept if no other folder is named.

    It lies in the folder that the environment variable ``VISATTN_CACHE`` names, or else in
    ``~/.cache/visattn``.
    """
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(named).expanduser() if named else Path.home() / ".cache" / "visattn"
    return base / scenes


def rendered_folder(
    parameters: SceneParameters,
    root: str | Path | None,
    *,
    renderer: Callable[[], Callable[[Path], None]],
) -> Path:
    """The folder of a data set, rendered if it is not there.

    The work goes into ``ROOT.partial`` and is renamed when it is whole, so a data set that is there
    is complete.

    Args:
        parameters: Which data set.
        root: The folder; chosen in the cache by the parameters if None.
        renderer: Gives the function that renders into a folder, which may hold some of the pictures
            already. Called before anything is written, and only if something is to be rendered.

    Raises:
        FileExistsError: The folder holds something else.
        ImportError: OpenCV is missing.
    """
    chosen = cache_root(parameters.scenes) / parameters.key if root is None else root
    folder = Path(chosen).expanduser()
    if _is_complete(folder, parameters):
        return folder
    from visattn.data.optional import cv2  # noqa: F401  # all pictures need it

    render = renderer()
    with only_writer(folder):
        if not _is_complete(folder, parameters):  # another process may just have done it
            partial = _open_partial(folder, parameters)
            render(partial)
            if folder.exists():
                folder.rmdir()  # empty, or _is_complete would have complained
            partial.rename(folder)
    return folder


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder that may have been written by the time it is held."""
    lock = path.with_name(f".{path.name}.lock")
    with exclusive(lock):
        yield
    # Who still waits on this lock finds all whole and has no need of it.
    with contextlib.suppress(OSError):  # some systems keep a file that another process has open
        lock.unlink()


def _is_complete(folder: Path, parameters: SceneParameters) -> bool:
    """Whether the folder holds this data set; an error if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    marker = folder / parameters.file
    if not marker.is_file():
        raise FileExistsError(
            f"{folder} exists and holds no {parameters.scenes} scenes (no {parameters.file}). "
            "Name a folder that doesn't exist yet, or an empty one."
        )
    found, wanted = json.loads(marker.read_text()), parameters.as_json()
    if found == wanted:
        return True
    differ = [name for name in wanted if found.get(name) != wanted[name]]
    raise FileExistsError(
        f"{folder} holds {parameters.scenes} scenes with other parameters: "
        + "; ".join(f"{name} is {found.get(name)!r}, wanted {wanted[name]!r}" for name in differ)
        + ". Name another folder or remove this one."
    )


def _open_partial(folder: Path, parameters: SceneParameters) -> Path:
    """The folder of the work in progress: taken up if it is of these parameters, else fresh."""
    partial = folder.with_name(folder.name + ".partial")
    marker = partial / parameters.file
    text = json.dumps(parameters.as_json(), indent=2) + "\n"
    if partial.exists():
        if not marker.is_file() and any(partial.iterdir()):
            raise FileExistsError(
                f"{partial} is in the way: unfinished scenes are kept under this name, and "
                f"what it holds is none (no {parameters.file}). Move it or name another folder."
            )
        if marker.is_file() and marker.read_text() == text:
            return partial
        shutil.rmtree(partial)
    write_whole(marker, text)
    return partial
