"""Arrays and pictures as short text: bytes, compressed, in base64."""

import base64
import io
import json
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

STEPS = 255
_UNKNOWN = 255
_FULL = 254


class Quantised(NamedTuple):
    """Values as bytes over a range of their own.

    Attributes:
        bytes: The values, 0 at ``low`` and 255 at ``high``.
        low: Smallest value of each range.
        high: Largest value of each range.
    """

    bytes: NDArray[np.uint8]
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def restored(self) -> NDArray[np.float64]:
        """The values, each at most half a step of its range beside the true one."""
        rest = tuple(range(self.low.ndim, self.bytes.ndim))
        low, high = (np.expand_dims(end.astype(float), rest) for end in (self.low, self.high))
        return low + self.bytes * (high - low) / STEPS


def quantise(values: NDArray[Any], *, leading: int) -> Quantised:
    """Round values to 256 levels between the smallest and the largest of each range.

    Args:
        values: Finite values.
        leading: How many of the first axes have a range for each entry.

    Returns:
        The bytes, and low and high with the shape of the leading axes.

    Example:
        >>> found = quantise(np.array([[0.0, 1.0], [5.0, 5.0]]), leading=1)
        >>> found.bytes.tolist(), found.low.tolist(), found.high.tolist()
        ([[0, 255], [0, 0]], [0.0, 5.0], [1.0, 5.0])
    """
    rest = tuple(range(leading, values.ndim))
    low = values.min(axis=rest, keepdims=True).astype(np.float32)
    high = values.max(axis=rest, keepdims=True).astype(np.float32)
    start = low.astype(np.float64)
    span = high.astype(np.float64) - start
    shares = np.divide(values - start, span, out=np.zeros(values.shape), where=span > 0)
    levels = np.rint(np.clip(shares, 0, 1) * STEPS).astype(np.uint8)
    return Quantised(levels, low.squeeze(rest), high.squeeze(rest))


def packed(array: NDArray[Any]) -> str:
    r"""An array's bytes (little-endian, in its own order), compressed with zlib, in base64.

    Example:
        >>> zlib.decompress(base64.b64decode(packed(np.arange(4, dtype=np.uint8))))
        b'\x00\x01\x02\x03'
    """
    ordered = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(ordered.tobytes(), 9)).decode("ascii")


def packed_mask(mask: NDArray[np.floating[Any]]) -> str:
    """A true mask (H, W) in [0, 1] in steps of 1 / 254; 255 where it is NaN.

    The steps round down, so that a pixel is at or above 0.5 (127 steps) exactly if it was before.
    """
    unknown = np.isnan(mask)
    steps = np.floor(np.where(unknown, 0.0, mask).astype(np.float64) * _FULL)
    return packed(np.where(unknown, _UNKNOWN, steps).astype(np.uint8))


def picture_address(picture: NDArray[np.uint8], *, quality: int = 88) -> str:
    """A picture (H, W, 3) as the address of an image that carries its own data (WebP or JPEG)."""
    kind = "WEBP" if features.check("webp") else "JPEG"
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, quality=quality)
    text = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{text}"


def safe_json(value: Any) -> str:
    r"""JSON that can stand inside of a script element: no sign in it ends or opens anything.

    Example:
        >>> safe_json("</script>")
        '"\\u003c/script\\u003e"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
