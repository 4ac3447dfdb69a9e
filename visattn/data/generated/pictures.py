"""Pictures as they are drawn and written."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visattn.basics.files import whole_file

Picture = NDArray[np.uint8]

Colour = tuple[float, float, float]
"""Red, green and blue as the eye names them, in [0, 1]."""


def to_bytes(values: NDArray[np.floating[Any]]) -> Picture:
    """Display values in [0, 1] as bytes."""
    return (np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8)


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture so that it is there whole or not at all; folders above are made."""
    from visattn.data.optional import cv2

    ordered = picture if picture.ndim == 2 else picture[..., ::-1]
    _, encoded = cv2.imencode(".png", ordered, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
