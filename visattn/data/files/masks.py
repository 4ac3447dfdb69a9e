"""Where the file of a mask becomes numbers: those that are stored, and the grey that is seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from visattn.data.files.names import shown
from visattn.data.files.pictures import (
    STEPS,
    Loaded,
    RefusedError,
    UnreadableFileError,
    load,
    unreadable,
    with_alpha,
)

# JPEG masks saved as colour have channels that differ by rounding; a real colour picture differs
# by more than this. In a dark one, a difference may be all that it says (labels in colours).
_GREY_TOLERANCE = 8
_BRIGHT = 128
_BLACK_AND_WHITE = frozenset((0, 255))

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class MaskPixels:
    """What a mask file holds, before anything is known of its meaning.

    Attributes:
        stored: The numbers of the file (H, W), unscaled; None where only shares are known.
        shown: How bright a pixel is seen, (H, W) from 0 to 255; None where colours are arbitrary.
        top: The stored number that is white.
        levels: Labels may be meant as they are seen, where each of them is one of these levels.
        lossy: Whether the numbers are rounded, as those of a JPEG.
        orientation: The one (EXIF) that was applied, 1 for none.
    """

    stored: Numbers | None
    shown: Numbers | None
    top: int = 255
    levels: frozenset[int] = frozenset()
    lossy: bool = False
    orientation: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        plane = self.shown if self.stored is None else self.stored
        if plane is None:
            raise TypeError("a mask has stored numbers, brightness or both")
        return plane.shape[1], plane.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Numbers:
        """The stored numbers, or else the brightness."""
        plane = self.shown if self.stored is None else self.stored
        return np.array(plane, dtype=dtype)

    def labels(self, named: frozenset[int]) -> Numbers:
        """The numbers (H, W) that labels are compared with.

        Args:
            named: The labels.

        Raises:
            ValueError: There are only shares.
        """
        if self.shown is not None and named <= self.levels:
            return self.shown
        if self.stored is None:
            raise ValueError(
                f"expected labels such as {sorted(named)[:3]}, found shares (an alpha channel, or "
                "fractions); read it without foreground, background and ignore, or save its labels "
                "as whole numbers without alpha"
            )
        return self.stored


def read_mask_file(path: Path, *, channel: int | None = None) -> MaskPixels:
    """What a mask file holds, upright: grey, palette, black-and-white, or a NumPy array.

    Numbers are never scaled: those of 16-bit files and a palette's indices are the labels; a
    palette of greys alone is read through. Of a colour file the three channels must agree (as they
    do in a grey JPEG saved as colour). Where a file has transparency that says anything, one colour
    on nothing or a cut-out picture, it is the mask. In a ``.npy`` file integers are the labels,
    true is 1 (and 255), and numbers with a fraction go from 0 to 1.

    Args:
        path: The file.
        channel: Take this channel of a colour file, whatever the others hold.

    Raises:
        UnreadableFileError: The file is no picture, is broken, is a real colour picture, or says
            two things at once. It names the file.
    """
    if path.suffix.lower() == ".npy":
        return _read_array(path)
    loaded = load(path, what="mask")
    try:
        return _pixels(loaded, channel=channel)
    except RefusedError as error:
        raise _refused(path, error) from error
    except Exception as error:  # modes that Pillow cannot convert
        reason = f"{' '.join(str(error).split())}; save it as an 8-bit grey PNG"
        raise unreadable(path, what="mask", reason=reason) from error


def array_pixels(array: Numbers) -> MaskPixels:
    """What an array (H, W) holds, by its type.

    Raises:
        ValueError: It has another shape or type, or values outside of their range.
    """
    if array.ndim != 2:
        raise RefusedError(f"has the shape {array.shape}, expected (height, width)")
    if array.dtype.kind not in "biuf":
        raise RefusedError(f"has the type {array.dtype}, expected numbers, or true and false")
    if array.dtype.kind == "f":
        whole = bool((array == np.floor(array)).all())  # false for NaN
        if not whole or array.max(initial=0) <= 1:
            return _shares(array.astype(np.float64), whole=whole)
    low, high = array.min(initial=0), array.max(initial=0)
    if low < 0:
        raise RefusedError(_outside(array))
    if array.dtype.kind == "b":
        return _two_tone(array)
    return _integers(array.astype(np.int64), wide=array.dtype == np.uint16 and high > 255)


def _pixels(loaded: Loaded, *, channel: int | None) -> MaskPixels:
    image, orientation = loaded.image, loaded.orientation
    lossy = loaded.kind in ("JPEG", "MPO")
    if image.mode == "F" or image.mode.startswith("I"):
        found = array_pixels(np.asarray(image))
        if loaded.sixteen_bits and image.mode != "F":
            found = _integers(np.asarray(image).astype(np.int64), wide=True)
        if "transparency" in image.info or loaded.white_is_zero:
            raise RefusedError(
                "has white as zero or a transparent value, expected plain numbers; save it as an "
                "8-bit grey PNG"
            )
        return _turned(found, orientation)
    if channel is not None and image.mode not in ("1", "L"):
        numbers = np.array(image.convert("RGB"), dtype=np.uint8)[..., channel]
        return MaskPixels(numbers, numbers, lossy=lossy, orientation=orientation)
    layered = with_alpha(loaded)
    alpha = None if layered is None else _meaningful_alpha(layered)
    if image.mode == "P":
        return _palette(image, alpha=alpha, orientation=orientation)
    if alpha is not None:
        return MaskPixels(None, alpha, levels=_BLACK_AND_WHITE, orientation=orientation)
    if image.mode == "1":
        return _turned(_two_tone(np.asarray(image)), orientation)
    if loaded.raw in STEPS:
        grey, step = np.array(image, dtype=np.uint8), STEPS[loaded.raw]
        levels = frozenset(range(0, 256, step))
        return MaskPixels(grey // step, grey, 255 // step, levels, orientation=orientation)
    if image.mode == "L":
        grey = np.array(image, dtype=np.uint8)
    else:
        grey = _grey(np.asarray(image.convert("RGB"), dtype=np.int16), mode=image.mode)
    return MaskPixels(grey, grey, lossy=lossy, orientation=orientation)


def _turned(pixels: MaskPixels, orientation: int) -> MaskPixels:
    return MaskPixels(
        pixels.stored, pixels.shown, pixels.top, pixels.levels, orientation=orientation
    )


def _two_tone(array: Numbers) -> MaskPixels:
    truth = array.astype(np.uint8)
    return MaskPixels(truth, truth * np.uint8(255), 1, _BLACK_AND_WHITE)


def _shares(array: npt.NDArray[np.float64], *, whole: bool) -> MaskPixels:
    if whole and array.min(initial=0) >= 0:
        return _two_tone(array)
    if not (array.min(initial=0) >= 0 and array.max(initial=0) <= 1):  # NaN, too
        raise RefusedError(_outside(array))
    return MaskPixels(None, np.rint(array * 255), levels=_BLACK_AND_WHITE)


def _integers(array: npt.NDArray[np.int64], *, wide: bool) -> MaskPixels:
    """Whole numbers, of a file of 16 bits or of any other number of them."""
    if array.min(initial=0) < 0:
        raise RefusedError(_outside(array))
    high = int(array.max(initial=0))
    if wide:
        white = set(np.unique(array).tolist()) <= {0, 65535}
        levels = _BLACK_AND_WHITE if white else frozenset()
        return MaskPixels(array, array / 257, 65535, levels)
    if high > 255:
        return MaskPixels(array, None)
    return MaskPixels(array.astype(np.uint8), array.astype(np.uint8))


def _palette(
    image: Image.Image, *, alpha: npt.NDArray[np.uint8] | None, orientation: int
) -> MaskPixels:
    indices = np.array(image, dtype=np.uint8)
    if alpha is not None:
        return MaskPixels(indices, alpha, levels=_BLACK_AND_WHITE, orientation=orientation)
    colours = np.zeros((256, 3), dtype=np.uint8)
    known = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    colours[: len(known)] = known
    used = np.unique(indices)
    if (colours[used].max(axis=1) != colours[used].min(axis=1)).any():
        return MaskPixels(indices, None, orientation=orientation)
    greys = known[known.max(axis=1) == known.min(axis=1)][:, 0]
    levels = frozenset(greys.tolist())
    return MaskPixels(indices, colours[indices][..., 0], levels=levels, orientation=orientation)


def _meaningful_alpha(layered: Image.Image) -> npt.NDArray[np.uint8] | None:
    """The alpha of a mask, where that is the mask; None where it says nothing.

    It is the mask where there is one colour on nothing, where it is the brightness itself, and
    where the rest is no mask but a coloured picture, cut out.

    Raises:
        RefusedError: Both the alpha and the grey values say something.
    """
    pixels = np.array(layered, dtype=np.uint8)
    alpha, colour = pixels[..., 3], pixels[..., :3].astype(np.int16)
    if int(alpha.min()) == int(alpha.max()) > 0:
        return None
    visible = colour[alpha > 0] if alpha.any() else colour.reshape(-1, 3)
    spread = int((colour.max(axis=2) - colour.min(axis=2))[(alpha > 0) | ~alpha.any()].max())
    one_colour = bool((visible == visible[0]).all())
    same = int(np.abs(colour - alpha[..., None]).max()) <= _GREY_TOLERANCE
    if one_colour or same or (alpha.any() and spread > _GREY_TOLERANCE):
        return alpha
    raise RefusedError(
        f"holds grey values from {int(visible.min())} to {int(visible.max())} under an alpha from "
        f"{int(alpha.min())} to {int(alpha.max())}, expected one of them to be the mask; save that "
        "one as an 8-bit grey PNG"
    )


def _grey(colour: npt.NDArray[np.int16], *, mode: str) -> npt.NDArray[np.uint8]:
    spread = int((colour.max(axis=2) - colour.min(axis=2)).max())
    if spread > (_GREY_TOLERANCE if colour.max() >= _BRIGHT else 0):
        raise RefusedError(
            f"is a colour picture (mode {mode}); expected one channel, such as an 8-bit grey PNG; "
            "say with channel=0 that its red channel holds the values"
        )
    return np.rint(colour.mean(axis=2)).astype(np.uint8)


def _outside(array: Numbers) -> str:
    return (
        f"holds values from {array.min()} to {array.max()}; expected integers in 0 to 255, true "
        "and false, or fractions in 0 to 1"
    )


def _read_array(path: Path) -> MaskPixels:
    try:
        # Mapped, a header that promises more than the file holds costs no memory.
        array = (
            np.load(path, mmap_mode="r", allow_pickle=False)
            if path.is_file()
            else np.load(path.open("rb"), allow_pickle=False)
        )
        if not isinstance(array, np.ndarray):
            raise RefusedError("is an archive of arrays, expected one array (numpy.save)")
        array = np.array(array)
    except Exception as error:  # a broken file raises whatever its header makes of it
        reason = " ".join(str(error).replace(repr(str(path)), "").split())
        raise unreadable(path, what="mask", reason=reason or type(error).__name__) from error
    try:
        return array_pixels(array)
    except RefusedError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: RefusedError) -> UnreadableFileError:
    refused = UnreadableFileError(f"the mask {shown(path)} {error}")
    refused.path, refused.what, refused.reason = path, "mask", str(error)
    return refused
