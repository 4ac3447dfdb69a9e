"""What the values in a mask file mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from visattn.data.files.masks import (
    MaskPixels,
    array_pixels,
    read_mask_file as read_mask_file,
)

# A soft mask whose largest value lies below this is almost surely a label map (0 and 1, say).
_LEAST_SOFT_MAXIMUM = 8
_LABELS = 8  # so few values, all below the middle, are those of a label map
_NAMING = (
    "such as MaskValues(foreground=(1,)), on the command line --mask_values "
    "'{\"foreground\": [1]}' (--data.mask_values in a training)"
)


@dataclass(frozen=True)
class MaskValues:
    """What the values of a mask file stand for.

    Three readings, of which one is chosen by what is given:

    - **soft** (the default, neither ``foreground`` nor ``threshold``): alpha is the brightness, 0
      for black and 1 for white, value / 255 in a file of 8 bits;
    - **threshold**: alpha = 1 where value > ``threshold``, else 0 (right for JPEG masks);
    - **labels**: alpha = 1 where the value is in ``foreground``; 0 where it is in ``background``
      or, without ``background``, everywhere else. Values are compared as they are stored, whatever
      the file's bits; 255 means white in files of 1 or 16 bits, too.

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

    @classmethod
    def of(cls, given: "MaskValues | Mapping[str, Any]") -> "MaskValues":
        """The same, or those of a mapping, as YAML has them.

        Example:
            >>> MaskValues.of({"foreground": [1]}).foreground
            (1,)
        """
        return given if isinstance(given, MaskValues) else cls(**given)

    def read(
        self, values: MaskPixels | npt.NDArray[Any]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Alpha in [0, 1] (float32) and whether a pixel is unknown (bool), both (H, W).

        Alpha is 0 where the pixel is unknown.

        Args:
            values: What `read_mask_file` found, or an array (H, W) as a ``.npy`` file would hold.

        Raises:
            ValueError: A value that has no meaning, or a mask that can't be what it is read as: a
                soft mask that is surely a label map, labels in a JPEG, which are rounded.
        """
        pixels = values if isinstance(values, MaskPixels) else array_pixels(np.asarray(values))
        if self.foreground:
            inside, unknown = self._labelled(pixels)
            alpha = inside.astype(np.float32)
        else:
            named = frozenset(self.ignore)
            unknown = np.zeros(pixels.size[::-1], bool)
            if named:
                unknown = np.isin(pixels.labels(named), self.ignore)
            if self.threshold is not None:
                alpha = (_levels(pixels, self.threshold) > self.threshold).astype(np.float32)
            else:
                alpha = _softly(pixels, known=~unknown)
        alpha[unknown] = 0.0
        return alpha, unknown

    def _labelled(self, pixels: MaskPixels) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which pixels are foreground, and which are unknown."""
        named = (*self.foreground, *self.background, *self.ignore)
        values = pixels.labels(frozenset(named))
        strange = ~np.isin(values, named)
        if pixels.lossy and (strange & (values > 0)).any():
            found = np.unique(values[strange & (values > 0)])[:5].tolist()
            raise ValueError(
                f"a JPEG's values are rounded, so labels are lost: values {found} are none of "
                f"{sorted(named)}; save label maps as PNG, or read this one by a threshold, such "
                "as MaskValues(threshold=127)"
            )
        if self.background and strange.any():
            found = np.unique(values[strange])[:5].tolist()
            raise ValueError(
                f"values {found} are neither foreground {self.foreground}, background "
                f"{self.background} nor ignore {self.ignore}; name them, or leave "
                "'background' out so that all other values are background"
            )
        return np.isin(values, self.foreground), np.isin(values, self.ignore)


def _levels(pixels: MaskPixels, threshold: int) -> npt.NDArray[Any]:
    """What a threshold of 0 to 254 is compared with: brightness, or numbers as they are stored.

    Numbers of a 16-bit file stand as they are where they'd fit into 8 bits, and where all that
    matters is whether they are above 0.
    """
    stored, shown = pixels.stored, pixels.shown
    small = stored is not None and int(stored.max(initial=0)) <= 255
    if shown is None:
        if stored is None or not small:
            raise ValueError(_too_large(stored))
        return stored
    if stored is not None and pixels.top > 255 and (small or threshold == 0):
        return stored
    return np.rint(shown)


def _softly(pixels: MaskPixels, *, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    if pixels.shown is None:
        if pixels.stored is not None and int(pixels.stored.max(initial=0)) > 255:
            raise ValueError(_too_large(pixels.stored))
        raise ValueError(
            "its palette is of colours, so its values are labels and no soft mask; name those of "
            f"the object, {_NAMING}"
        )
    numbers, top = (pixels.shown, 255) if pixels.stored is None else (pixels.stored, pixels.top)
    brightest = float(pixels.shown[known].max(initial=0))
    largest = int(numbers[known].max(initial=0))
    few = top < 255 and largest < min(_LEAST_SOFT_MAXIMUM, top)
    dim = brightest < 128 and len(np.unique(numbers[known])) <= _LABELS
    if brightest > 0 and (brightest < _LEAST_SOFT_MAXIMUM or few or dim):
        raise ValueError(
            f"the largest value is {largest} of {top}, so as a soft mask it would be almost "
            f"empty; if its values are labels, name them, {_NAMING}; if all above 0 is the object, "
            "say threshold=0"
        )
    return pixels.shown.astype(np.float32) / 255.0


def _too_large(stored: npt.NDArray[Any] | None) -> str:
    found = (0, 0) if stored is None else (stored.min(), stored.max())
    return (
        f"holds values from {found[0]} to {found[1]}; expected integers in 0 to 255, or "
        f"in 16 bits; if they are labels, name them, {_NAMING}"
    )


SOFT = MaskValues()
"""Alpha = value / 255."""


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
