"""Scenes as arrays: pictures, where everything stands, and an answer for each sushi."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from visattn.basics.files import whole_file
from visattn.data.generated.folder import cache_root, digest, only_writer
from visattn.data.generated.tasty.composition import tasty_scenes
from visattn.data.generated.tasty.parameters import SceneSet, TastyParameters


@dataclass(frozen=True)
class SceneArrays:
    """Scenes, an entry each; four in a row are a group, see `draw_group`.

    Attributes:
        images: (count, size, size, 3), uint8, RGB.
        answers: (count, sushi), 1 where the diner smiles.
        plates: (count, sushi, 2), row and column of the middle of each plate, in pixels.
        rings: (count, diners, 2), the same of each ring.
        owners: (count, sushi), whose sushi it is.
    """

    images: NDArray[np.uint8]
    answers: NDArray[np.int64]
    plates: NDArray[np.float32]
    rings: NDArray[np.float32]
    owners: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.images)


def render_arrays(scenes: SceneSet, *, progress: bool = False) -> SceneArrays:
    """Render scenes.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> found = render_arrays(SceneSet(4, seed=0, sushi=2))
        >>> found.images.shape, found.answers.shape, found.rings.shape
        ((4, 64, 64, 3), (4, 2), (4, 4, 2))
    """
    rows: list[tuple[NDArray[np.generic], ...]] = []
    drawn = tasty_scenes(**asdict(scenes))
    for scene in track(drawn, "Rendering", total=scenes.count, disable=not progress):
        rings = [np.argwhere(ring > 127).mean(0) for ring in scene.rings]
        rows.append(
            (
                scene.image,
                np.array(scene.answers),
                scene.places.astype(np.float32),
                np.array(rings, np.float32),
                np.array(scene.plan.owners),
            )
        )
    return SceneArrays(*(np.stack(column) for column in zip(*rows, strict=True)))


def cached_arrays(
    scenes: SceneSet, *, root: str | Path | None = None, progress: bool = True
) -> SceneArrays:
    """Render scenes, or read those that were rendered before.

    Args:
        scenes: Which.
        root: Folder of the cache; if None, that of `visattn.data.generated.tasty.tasty_cache`.
        progress: Show a bar while rendering.
    """
    folder = cache_root("tasty") / "arrays" if root is None else Path(root).expanduser()
    named = {"renderer": TastyParameters.renderer_version, **asdict(scenes)}
    path = folder / f"{digest(named, size=8)}.npz"
    if not path.exists():
        with only_writer(path):
            if not path.exists():  # another process may just have done it
                found = render_arrays(scenes, progress=progress)
                with whole_file(path) as part:
                    np.savez(part, **vars(found))
    with np.load(path, allow_pickle=False) as arrays:
        return SceneArrays(**{name: arrays[name] for name in arrays.files})


def joined(parts: Sequence[SceneArrays]) -> SceneArrays:
    """Several sets, one after the other."""
    names = vars(parts[0])
    return SceneArrays(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
