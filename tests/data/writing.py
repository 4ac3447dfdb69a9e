"""Files of every kind that people have, made from an array."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def png(path, rows, *, depth, colour=0, extra=()):
    """A PNG as written by hand: rows of packed bytes, a bit depth and chunks that Pillow can't."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    height, width = rows.shape[0], rows.shape[1] * 8 // depth // channels
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    Path(path).write_bytes(png_bytes(chunks))


def png_bytes(chunks):
    """A PNG of chunks."""
    data = b"\x89PNG\r\n\x1a\n"
    for name, body in chunks:
        data += struct.pack(">I", len(body)) + name + body
        data += struct.pack(">I", zlib.crc32(name + body))
    return data


def packed(labels, *, depth):
    """Labels (H, W) as the rows of a PNG of 1, 2 or 4 bits."""
    per = 8 // depth
    parts = labels.reshape(labels.shape[0], -1, per).astype(np.uint8)
    shifts = np.arange(per - 1, -1, -1) * depth
    return (parts << shifts).sum(axis=2).astype(np.uint8)


def photo(height=24, width=32, *, seed=0):
    """Smooth colours, so that a JPEG keeps them."""
    small = np.random.default_rng(seed).integers(30, 226, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def jpeg_bytes(height=24, width=32, **options):
    stream = io.BytesIO()
    Image.fromarray(photo(height, width)).save(stream, "JPEG", **options)
    return stream.getvalue()


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return found


TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture by the orientation that it then writes."""
