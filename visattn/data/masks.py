"""What the values in a mask file mean, and reading a mask file by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

# A soft mask whose largest value lies below this is almost surely a label map (0 and 1, say).
_LEAST_SOFT_MAXIMUM = 8
# JPEG masks saved as colour have channels that differ by rounding; a real colour picture differs
# by more than this.
_GREY_TOLERANCE = 8


@dataclass(frozen=True)
class MaskValues:
    """What the values 0 to 255 of a mask file stand for.

    Three readings, of which one is chosen by what is given:

    - **soft** (the default, neither ``foreground`` nor ``threshold``): alpha = value / 255;
    - **threshold**: alpha = 1 where value > ``threshold``, else 0 (right for JPEG masks);
    - **labels**: alpha = 1 where the value is in ``foreground``; 0 where it is in ``background``
      or, without ``background``, everywhere else.

    In each of them pixels whose value is in ``ignore`` are unlabelled (NaN in a batch).

    Args:
        foreground: Values that stand for the object.
        background: Values that stand for the background; left out, all that are nothing else.
        ignore: Values of pixels that nothing is known about, such as a trimap's border.
        threshold: The largest value that is still background.
        channel: Which channel of a colour file holds the values (0 is red); a grey file if None.

    Raises:
        ValueError: A value outside 0 to 255, one value with two meanings, or two readings at once.

    Example:
        >>> trimap = MaskValues(foreground=(1,), background=(2,), ignore=(3,))
        >>> alpha, unknown = trimap.read(np.array([[1, 2, 3]], dtype=np.uint8))
        >>> alpha.tolist(), unknown.tolist()
        ([[1.0, 0.0, 0.0]], [[False, False, True]])
    """

    foreground: tuple[int, ...] = ()
    background: tuple[int, ...] = ()
    ignore: tuple[int, ...] = ()
    threshold: int | None = None
    channel: int | None = None

    def __post_init__(self) -> None:
        seen: dict[int, str] = {}
        for name in ("foreground", "background", "ignore"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # a list from YAML
            for value in getattr(self, name):
                if not 0 <= value <= 255:
                    raise ValueError(f"mask value {value} under {name!r} is outside 0 to 255")
                if value in seen:
                    raise ValueError(
                        f"mask value {value} stands under both {seen[value]!r} and {name!r}; "
                        "a value has one meaning"
                    )
                seen[value] = name
        if self.threshold is not None:
            if self.foreground or self.background:
                raise ValueError(
                    "masks are read either by threshold or by their foreground and background "
                    f"values, but threshold={self.threshold} came with "
                    f"foreground={self.foreground} and background={self.background}"
                )
            if not 0 <= self.threshold < 255:
                raise ValueError(
                    f"threshold must lie in 0 to 254 (mask values, not shares), got "
                    f"{self.threshold}"
                )
        if self.channel not in (None, 0, 1, 2):
            raise ValueError(f"channel must be 0 (red), 1, 2 or left out, got {self.channel}")
        if self.background and not self.foreground:
            raise ValueError(
                f"background={self.background} came without foreground: say which values stand "
                "for the object"
            )

    def read(self, values: npt.NDArray[np.uint8]) -> tuple[np.ndarray, np.ndarray]:
        """Alpha in [0, 1] (float32) and whether a pixel is unknown (bool), both (H, W).

        Alpha is 0 where the pixel is unknown.

        Args:
            values: The file's values (H, W).

        Raises:
            ValueError: A value that has no meaning, or a soft mask that is surely a label map.
        """
        unknown = np.isin(values, self.ignore) if self.ignore else np.zeros(values.shape, bool)
        if self.threshold is not None:
            alpha = (values > self.threshold).astype(np.float32)
        elif self.foreground:
            inside = np.isin(values, self.foreground)
            if self.background:
                strange = ~(inside | unknown | np.isin(values, self.background))
                if strange.any():
                    found = np.unique(values[strange])[:5].tolist()
                    raise ValueError(
                        f"values {found} are neither foreground {self.foreground}, background "
                        f"{self.background} nor ignore {self.ignore}; name them, or leave "
                        "'background' out so that all other values are background"
                    )
            alpha = inside.astype(np.float32)
        else:
            largest = int(values[~unknown].max(initial=0))
            if 0 < largest < _LEAST_SOFT_MAXIMUM:
                raise ValueError(
                    f"the largest value is {largest} of 255, so as a soft mask it would be "
                    "almost empty; if its values are labels, name them, such as "
                    "MaskValues(foreground=(1,)), on the command line --mask_values "
                    "'{\"foreground\": [1]}' (--data.mask_values in a training)"
                )
            alpha = values.astype(np.float32) / 255.0
        alpha[unknown] = 0.0
        return alpha, unknown


SOFT = MaskValues()
"""Alpha = value / 255."""


@contextmanager
def opened(path: Path, what: str) -> Iterator[Image.Image]:
    """An image file for reading; whatever is wrong with it is a ValueError that names it.

    Args:
        path: The file.
        what: What it should be, for the message.
    """
    try:
        with Image.open(path) as file:
            yield file
    except (OSError, SyntaxError) as error:
        raise ValueError(f"cannot read the {what} {path}: {error}") from error


def read_mask_file(path: Path, *, channel: int | None = None) -> npt.NDArray[np.uint8]:
    """The values (H, W) of a grey, palette or black-and-white mask file, or of a NumPy file.

    A palette's indices are the values; 16-bit masks are brought to 0 to 255; of a colour file the
    three channels must agree (as they do in a grey JPEG saved as colour). In a ``.npy`` file
    integers are the values, true is 255, and numbers with a fraction go from 0 to 1.

    Args:
        path: The file.
        channel: Take this channel of a colour file, whatever the others hold.

    Raises:
        ValueError: The file is no picture, is broken, or is a real colour picture. It names the
            file.
    """
    if path.suffix == ".npy":
        return _read_array(path)
    with opened(path, "mask") as picture:
        picture.load()
        mode = picture.mode
        if channel is not None:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)[..., channel].copy()
        if mode in ("1", "LA"):
            return np.asarray(picture.convert("L"), dtype=np.uint8)
        if mode in ("L", "P"):
            return np.asarray(picture, dtype=np.uint8).copy()
        if mode.startswith("I"):
            wide = np.asarray(picture).astype(np.int64)
            return np.clip((wide * 255 + 32767) // 65535, 0, 255).astype(np.uint8)
        colour = np.asarray(picture.convert("RGB"), dtype=np.int16)
    if int((colour.max(axis=2) - colour.min(axis=2)).max()) > _GREY_TOLERANCE:
        raise ValueError(
            f"the mask {path} is a colour picture (mode {mode}); expected one channel, "
            "such as an 8-bit grey PNG; say with channel=0 that its red channel holds the values"
        )
    return np.rint(colour.mean(axis=2)).astype(np.uint8)


def _read_array(path: Path) -> npt.NDArray[np.uint8]:
    try:
        array = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"cannot read the mask {path}: {error}") from error
    if array.ndim != 2:
        raise ValueError(f"the mask {path} has the shape {array.shape}, expected (height, width)")
    if array.dtype.kind in "bf":
        array = np.rint(array.astype(np.float64) * 255)
    if array.size and not 0 <= array.min() <= array.max() <= 255:
        raise ValueError(
            f"the mask {path} holds values from {array.min()} to {array.max()}; expected integers "
            "in 0 to 255, true and false, or fractions in 0 to 1"
        )
    return array.astype(np.uint8)


def only_box(alpha: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """What a box around the object would have said: background outside, unknown inside.

    The box is the smallest that holds every pixel of the object (a value of 128 or more); nothing
    else of the mask is used. A mask without such a pixel is background everywhere.

    Args:
        alpha: The object's mask (H, W), 255 is the object.

    Returns:
        Alpha, 255 in the box, and what is unknown, 255 in the box; both (H, W).

    Example:
        >>> alpha = np.zeros((3, 4), dtype=np.uint8)
        >>> alpha[0, 1] = alpha[1, 2] = 255
        >>> only_box(alpha)[1].tolist()
        [[0, 255, 255, 0], [0, 255, 255, 0], [0, 0, 0, 0]]
    """
    inside = alpha >= 128
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside.any(axis=0))
    box = np.zeros_like(alpha)
    if len(rows):
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 255
    return box, box.copy()
