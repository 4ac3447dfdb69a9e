"""Where the file of a picture becomes pixels: as a person sees them, or an error."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from visattn.data.files.names import shown

BACKDROP = (255, 255, 255)
"""The colour that transparent pictures are laid on: white, as on a page."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_SUBFILE, _REDUCED_OR_MASK = 254, 0b101
STEPS = {"L;2": 85, "L;4": 17}
"""Between the grey levels of files of 2 and 4 bits, as Pillow scales them to 8."""

# Pixels of a float file may leave [0, 1] by the ringing of a resampling filter.
_RINGING = 1e-3


class UnreadableFileError(ValueError):
    """A file that should be a picture or a mask and cannot be read as one.

    Attributes:
        path: The file.
        what: What it should be.
        reason: What is wrong with it.
    """

    path: Path
    what: str
    reason: str


class RefusedError(ValueError):
    """What a file holds is understood, but it is not what was expected; says what to do."""


def unreadable(path: Path, *, what: str, reason: str) -> UnreadableFileError:
    """The error; its text alone makes another one, as it must to come out of a worker process."""
    error = UnreadableFileError(f"cannot read the {what} {shown(path)}: {reason}")
    error.path, error.what, error.reason = path, what, reason
    return error


@dataclass(frozen=True)
class Loaded:
    """A file's pixels as they are stored, but upright.

    Attributes:
        image: In the file's own mode.
        size: Width and height of the whole picture; ``image`` may be a smaller version of it.
        orientation: The one that was applied, 1 for none.
        kind: The format's name.
        raw: How the file stores a pixel, in Pillow's words, such as ``"L;2"``.
        white_is_zero: Whether the file's zero is white and Pillow did not turn it round.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int
    kind: str
    raw: str
    white_is_zero: bool

    @property
    def sixteen_bits(self) -> bool:
        """Whether the values of a grey file go from 0 to 65535."""
        mode = self.image.mode
        wide = self.raw.startswith("I;16") or self.kind in ("PNG", "PPM")
        return mode.startswith("I;16") or (mode == "I" and wide)


def load(path: Path, *, what: str, least: int | None = None) -> Loaded:
    """Open a file and decode it.

    Args:
        path: The file.
        what: What it should be, for the message.
        least: A large JPEG may be decoded at a half, a quarter or an eighth of its sides, but not
            below twice this many pixels.

    Raises:
        UnreadableFileError: There is no such file, it is no picture, a broken one, an animation,
            one of several pages, a line of single pixels, or larger than `PIL.Image` allows.
    """
    try:
        # By its name, Pillow would map the file, and turned grey TIFFs come out scrambled.
        with path.open("rb") as stream, Image.open(stream) as file:
            _refuse_several(file)
            raw, full, tags = _raw_mode(file), file.size, getattr(file, "tag_v2", {})
            orientation = _orientation(tags.get(_ORIENTATION, 1))
            white_is_zero = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
            if least is not None:
                file.draft("RGB", (2 * least, 2 * least))  # large JPEGs only
            smaller = file.size != full
            file.load()
            turn = None
            if file.format != "TIFF":  # Pillow turns those itself
                orientation = _orientation(_exif(file))
                turn = _TURNS.get(orientation)
            image = file.copy() if turn is None else file.transpose(turn)
            if raw in STEPS and isinstance(image.info.get("transparency"), int):
                image.info["transparency"] *= STEPS[raw]  # Pillow scales the pixels alone
            kind = file.format or ""
    except Exception as error:  # a broken file raises whatever its decoder stumbles over
        raise unreadable(path, what=what, reason=_reason(path, error)) from error
    size = (full[::-1] if orientation >= 5 else full) if smaller else image.size
    if min(size) < 2:
        found = f"expected at least 2 x 2 pixels, found {size[0]} x {size[1]} (width x height)"
        raise unreadable(path, what=what, reason=f"{found}; remove the file or get the whole one")
    wide = image.mode.startswith("I") or image.mode == "F"
    return Loaded(image, size, orientation, kind, raw, white_is_zero and wide)


class Picture(NamedTuple):
    """A picture in 8-bit RGB.

    Attributes:
        image: Upright, without transparency.
        size: Width and height of the whole picture; ``image`` may be a smaller version of it.
        orientation: The camera's (EXIF) that was applied, 1 for none.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int


def read_picture(path: Path, *, what: str = "picture", least: int | None = None) -> Picture:
    """A picture as a person sees it.

    The camera's orientation (EXIF) is applied. Transparency is laid on white (`BACKDROP`), 16 bits
    are scaled by their full range, and floating point goes from 0 to 1. CMYK becomes RGB by
    Pillow's formula; colour profiles are not applied.

    Args:
        path: The file.
        what: What it should be, for the message.
        least: As for `load`.

    Raises:
        UnreadableFileError: The file cannot be read, see `load`; nothing of it can be seen; or its
            values have no known range.
    """
    loaded = load(path, what=what, least=least)
    try:
        image = _as_rgb(loaded)
    except Exception as error:
        raise unreadable(path, what=what, reason=_reason(path, error)) from error
    return Picture(image, loaded.size, loaded.orientation)


def with_alpha(loaded: Loaded) -> Image.Image | None:
    """The picture as RGBA where the file says anything of transparency, else None.

    Raises:
        ValueError: The file names a transparent colour of 16 bits a channel, which is lost.
    """
    image, transparent = loaded.image, loaded.image.info.get("transparency")
    if not image.has_transparency_data or image.mode.startswith("I"):
        return None
    if transparent is not None and ";16" in loaded.raw:
        raise RefusedError(
            "has a transparent colour of 16 bits a channel, expected an alpha channel; save it "
            "with one, or with 8 bits"
        )
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _as_rgb(loaded: Loaded) -> Image.Image:
    image = loaded.image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(loaded)).convert("RGB")
    layered = with_alpha(loaded)
    if layered is None:
        return image.convert("RGB")
    least, most = layered.getchannel("A").getextrema()
    if most == 0:
        raise RefusedError(
            "expected something to be seen, found every pixel transparent; save it without alpha"
        )
    if least == 255:
        return layered.convert("RGB")
    page = Image.new("RGBA", layered.size, (*BACKDROP, 255))
    return Image.alpha_composite(page, layered).convert("RGB")


def _eight_bits(loaded: Loaded) -> npt.NDArray[np.uint8]:
    """A grey picture of more than 8 bits (H, W)."""
    values = np.asarray(loaded.image)
    if loaded.image.mode == "F":
        shares = values.astype(np.float64)
        low, high = float(shares.min()), float(shares.max())
        if not -_RINGING <= low <= high <= 1 + _RINGING:
            raise RefusedError(
                f"expected floating point from 0 (black) to 1 (white), found {low:g} to {high:g}; "
                "scale it, or save it with 8 or 16 bits"
            )
    elif not loaded.sixteen_bits:
        raise RefusedError(
            f"expected 8 or 16 bits a pixel, found 32 (values {int(values.min())} to "
            f"{int(values.max())}), whose white is not known; scale it and save it with 8 or 16"
        )
    else:
        whole = values.astype(np.int64)
        if 0 < whole.max() <= 255:
            raise RefusedError(
                f"expected 16 bits, values from 0 to 65535, found none above {int(whole.max())}: "
                "it would be black; save it with 8 bits"
            )
        shares = whole / 65535
    if loaded.white_is_zero:
        shares = 1 - shares
    grey = np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)
    transparent = loaded.image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = BACKDROP[0]
    return grey


def _refuse_several(file: Image.Image) -> None:
    """Refuse animations and files of several pages; a camera's extra views don't count."""
    if file.format == "MPO" or not getattr(file, "is_animated", False):
        return
    count = int(getattr(file, "n_frames", 1))
    if file.format == "TIFF":
        pages = 0
        for number in range(count):
            file.seek(number)
            tags: Any = getattr(file, "tag_v2", {})
            pages += not int(tags.get(_SUBFILE, 0)) & _REDUCED_OR_MASK
        file.seek(0)
        count = pages
    if count > 1:
        raise RefusedError(
            f"expected one picture, found {count} ({file.format}); save the one that is meant "
            "in a file of its own"
        )


def _raw_mode(file: Image.Image) -> str:
    tile = getattr(file, "tile", None) or [None]
    arguments = tile[0][3] if tile[0] is not None else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _exif(file: Image.Image) -> Any:
    try:
        return file.getexif().get(_ORIENTATION, 1)
    except Exception:  # as a viewer does: what can't be parsed says nothing
        return 1


def _orientation(value: Any) -> int:
    return value if isinstance(value, int) and value in _TURNS else 1


def _reason(path: Path, error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, Image.UnidentifiedImageError):
        with path.open("rb") as file:
            start = file.read(16)
        if not start:
            return (
                "cannot identify it as a picture: it is empty (0 bytes); get it anew or remove it"
            )
        return (
            f"cannot identify it as a picture: it begins with {start!r}; get it anew or remove it"
        )
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return f"{error}; make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust it"
    text = " ".join(str(error).replace(repr(str(path)), "").replace(str(path), "").split())
    text = text.removesuffix(":") or type(error).__name__
    return text if isinstance(error, RefusedError) else f"{text}; get it anew or remove it"
