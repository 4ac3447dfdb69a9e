"""`BackgroundSwap`, a transform of albumentations: another background behind a foreground."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from visattn.data.background_swap import (
    LEAST_BACKGROUND,
    LEAST_FOREGROUND,
    composite,
    remove_foreground,
)
from visattn.data.decoding import Decoded, to_bytes
from visattn.data.files.pictures import read_picture
from visattn.data.layout import Item, scan_pictures
from visattn.data.optional import albumentations as A, cv2

# A folder's pictures are kept in memory at no more than this side.
_LARGEST_SIDE = 512


class Backgrounds(Protocol):
    """A row of pictures, uint8 (H, W, 3), without a foreground."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> npt.NDArray[np.uint8]: ...


class PictureBackgrounds:
    """The pictures of a folder as backgrounds, read when first needed and then kept in memory.

    Args:
        folder: A folder of pictures, sub-folders included, or one picture.

    Raises:
        FileNotFoundError: The folder is missing or holds no picture.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     Image.new("RGB", (40, 30)).save(Path(root) / "table.png")
        ...     backgrounds = PictureBackgrounds(root)
        ...     len(backgrounds), backgrounds[0].shape
        (1, (30, 40, 3))
    """

    def __init__(self, folder: str | Path) -> None:
        self.paths = tuple(item.path for item in scan_pictures(Path(folder)))
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        if index not in self._kept:
            path = self.paths[index]
            picture = read_picture(path, what="background", least=_LARGEST_SIDE // 2).image
            picture.thumbnail((_LARGEST_SIDE, _LARGEST_SIDE), Image.Resampling.BILINEAR)
            self._kept[index] = np.array(picture, dtype=np.uint8)
        return self._kept[index]


class RemovedForegrounds:
    """The pictures of a data set that have a mask, with their foreground filled, as backgrounds.

    Filled when first needed and then kept in memory.

    Args:
        items: The data set's items; those without a mask are left out.
        decode: From a row of the items to the picture and its mask.
        rim: Pixels beside the mask that are not trusted to be background.

    Raises:
        ValueError: No item has a mask.

    Example:
        >>> picture, alpha = np.full((8, 8, 3), 90, np.uint8), np.zeros((8, 8), np.uint8)
        >>> picture[3:5, 3:5], alpha[3:5, 3:5] = 255, 255
        >>> mask_path = Path("1_mask.png")
        >>> item = Item(path=Path("1.png"), label=0, class_name="buri", mask_path=mask_path)
        >>> backgrounds = RemovedForegrounds([item], decode=lambda row: Decoded(picture, alpha))
        >>> int(backgrounds[0].max())
        90
    """

    def __init__(
        self, items: Sequence[Item], *, decode: Callable[[int], Decoded], rim: int = 1
    ) -> None:
        self.rows = tuple(row for row, item in enumerate(items) if item.mask_path is not None)
        if not self.rows:
            raise ValueError(
                "backgrounds from the data set's own pictures need masks, and no picture has one; "
                "give a folder of background pictures, or masks"
            )
        self.rim = rim
        self._decode = decode
        self._kept: dict[int, npt.NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> npt.NDArray[np.uint8]:
        if index not in self._kept:
            decoded = self._decode(self.rows[index])
            if decoded.alpha is None:
                raise ValueError(f"row {self.rows[index]} has no mask")
            alpha = decoded.alpha.astype(np.float32) / 255.0
            if 1.0 - float(alpha.mean()) < LEAST_BACKGROUND:
                # All foreground: its fill would be the foreground's own colour.
                self._kept[index] = np.full_like(decoded.image, 128)
            else:
                filled = remove_foreground(_floats(decoded.image), alpha, rim=self.rim)
                self._kept[index] = _like(decoded.image, filled)
        return self._kept[index]


class BackgroundSwap(A.DualTransform):  # type: ignore[misc]  # has no types
    r"""Put the foreground on another background: alpha F + (1 - alpha) B.

    The mask given with the picture is alpha: uint8 with 255 for the object, or float in [0, 1];
    it comes out unchanged. F is not the picture itself but its foreground alone, so that no halo
    of the old background remains at soft edges (see `visattn.data.background_swap`). B is drawn
    from ``backgrounds``, cut to the picture's shape at random and mirrored half the time. A
    picture that comes without a mask, or with an empty one, stays as it is.

    Random numbers come from albumentations' generators, so that the ``seed`` of a
    ``Compose`` repeats them.

    Args:
        backgrounds: A folder of pictures, or pictures: uint8 arrays (H, W, 3), or anything with
            ``len`` and an index that gives such arrays.
        rim: Pixels on either side of the mask's edge whose colour is not trusted.
        crop: Least and largest side of the cut, as a share of the largest cut that fits.
        p: How likely a picture gets another background.

    Raises:
        ValueError: No background, or ``crop`` or ``rim`` out of range.
        FileNotFoundError: The folder is missing or holds no picture.

    Example:
        >>> grass = np.zeros((8, 8, 3), np.uint8) + np.array([0, 128, 0], np.uint8)
        >>> picture = np.full((8, 8, 3), 200, np.uint8)
        >>> mask = np.zeros((8, 8), np.uint8)
        >>> mask[2:6, 2:6] = 255
        >>> swapped = BackgroundSwap([grass], p=1.0)(image=picture, mask=mask)["image"]
        >>> swapped[0, 0].tolist(), swapped[4, 4].tolist()
        ([0, 128, 0], [200, 200, 200])
    """

    _targets = (A.core.type_definitions.Targets.IMAGE, A.core.type_definitions.Targets.MASK)

    # albumentations' own check of the arguments (InitSchema) knows plain values only; it sees to p.
    def __init__(
        self,
        backgrounds: str | Path | Sequence[npt.NDArray[np.uint8]] | Backgrounds,
        rim: int = 1,
        crop: tuple[float, float] = (0.6, 1.0),
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        if rim < 0:
            raise ValueError(f"rim is a number of pixels, at least 0, got {rim}")
        if len(crop) != 2 or not 0.0 < crop[0] <= crop[1] <= 1.0:
            raise ValueError(f"crop needs 0 < least <= largest <= 1, got {tuple(crop)}")
        self.backgrounds = backgrounds
        self.rim, self.crop = rim, (float(crop[0]), float(crop[1]))
        self._pool: Backgrounds = (
            PictureBackgrounds(backgrounds) if isinstance(backgrounds, str | Path) else backgrounds
        )
        if len(self._pool) == 0:
            raise ValueError("expected at least one background, got none")

    @property
    def targets(self) -> dict[str, Callable[..., Any]]:
        """What this changes (the picture) and what it leaves (its masks), by key."""
        return {"image": self.apply, "mask": self.apply_to_mask, "masks": self.apply_to_mask}

    def get_params_dependent_on_data(
        self, params: dict[str, Any], data: dict[str, Any]
    ) -> dict[str, Any]:
        """Draw the background and cut it to the picture's shape."""
        mask = data.get("mask")
        if mask is None:
            return {"alpha": None}
        height, width = params["shape"][:2]
        alpha = np.asarray(mask, dtype=np.float32).reshape(height, width)
        if np.asarray(mask).dtype == np.uint8:
            alpha = alpha / 255.0
        if not float(alpha.mean()) >= LEAST_FOREGROUND:
            return {"alpha": None}
        picture = self._pool[self.py_random.randrange(len(self._pool))]
        background = self._cut(picture, height=height, width=width)
        return {"alpha": alpha, "background": background}

    def apply(
        self,
        img: npt.NDArray[Any],
        alpha: npt.NDArray[np.float32] | None = None,
        background: npt.NDArray[np.uint8] | None = None,
        **params: Any,
    ) -> npt.NDArray[Any]:
        """The picture on its new background; itself where it has no mask."""
        if alpha is None or background is None:
            return img
        return _like(img, composite(_floats(img), alpha, _floats(background), rim=self.rim))

    def apply_to_mask(self, mask: npt.NDArray[Any], **params: Any) -> npt.NDArray[Any]:
        """The mask, unchanged: the foreground does not move."""
        return mask

    def _cut(
        self, picture: npt.NDArray[np.uint8], *, height: int, width: int
    ) -> npt.NDArray[np.uint8]:
        """A random cut of a background at the picture's shape, mirrored half the time."""
        rows, columns = picture.shape[:2]
        largest = min(rows / height, columns / width)
        scale = largest * self.py_random.uniform(*self.crop)
        cut_rows = min(rows, max(1, round(height * scale)))
        cut_columns = min(columns, max(1, round(width * scale)))
        top = self.py_random.randint(0, rows - cut_rows)
        left = self.py_random.randint(0, columns - cut_columns)
        part = picture[top : top + cut_rows, left : left + cut_columns]
        how = cv2.INTER_AREA if cut_rows > height else cv2.INTER_LINEAR
        sized = np.asarray(cv2.resize(part, (width, height), interpolation=how), dtype=np.uint8)
        return sized[:, ::-1] if self.py_random.random() < 0.5 else sized


def _floats(picture: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """uint8, or float in [0, 1], to float32 in [0, 1]."""
    floats = picture.astype(np.float32)
    return floats * np.float32(1 / 255) if picture.dtype == np.uint8 else floats


def _like(picture: npt.NDArray[Any], floats: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Float32 in [0, 1] to the type of a picture."""
    return to_bytes(floats) if picture.dtype == np.uint8 else floats.astype(picture.dtype)
