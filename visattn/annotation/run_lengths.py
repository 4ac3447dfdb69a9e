"""Run lengths of COCO, CVAT, Darwin and Label Studio to bitmaps."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from visattn.annotation.shapes import Bitmap


def bitmap_of(runs: Sequence[int], *, size: tuple[int, int], by_columns: bool = False) -> Bitmap:
    """The bitmap (H, W) of runs that are false and true in turn, the first being false.

    Args:
        runs: Their lengths; they may end early.
        size: Width and height.
        by_columns: Whether they go down the columns, as COCO's do, or along the rows.

    Raises:
        ValueError: The runs are longer than the bitmap, or a length is negative.

    Example:
        >>> bitmap_of([1, 2, 1], size=(2, 2)).astype(int).tolist()
        [[0, 1], [1, 0]]
        >>> bitmap_of([1, 2, 1], size=(2, 2), by_columns=True).astype(int).tolist()
        [[0, 1], [1, 0]]
    """
    width, height = size
    lengths = np.asarray(runs, dtype=np.int64)
    if (lengths < 0).any() or lengths.sum() > width * height:
        raise ValueError(
            f"run lengths of {lengths.sum()} pixels do not fit a bitmap of {width} x {height} "
            "(width x height)"
        )
    values = np.zeros(width * height, dtype=bool)
    filled = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    values[: len(filled)] = filled
    return values.reshape(width, height).T if by_columns else values.reshape(height, width)


def coco_runs(text: str) -> list[int]:
    """The run lengths of COCO's compressed string.

    Each is a number in groups of five bits, the lowest first; from the fourth on it is the
    difference to the run before the last.

    Raises:
        ValueError: It is no such string.

    Example:
        >>> coco_runs("52203")
        [5, 2, 2, 2, 5]
    """
    runs: list[int] = []
    place = 0
    while place < len(text):
        number, shift, more = 0, 0, True
        while more:
            if place >= len(text) or not 0 <= ord(text[place]) - 48 < 64:
                raise ValueError(f"no COCO run lengths: {text[:40]!r}")
            group = ord(text[place]) - 48
            number |= (group & 31) << shift
            more = bool(group & 32)
            place, shift = place + 1, shift + 5
            if not more and group & 16:
                number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
    return runs


def darwin_values(pairs: Sequence[int], *, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """The numbers (H, W) of Darwin's dense run lengths: value and length in turn, along the rows.

    Raises:
        ValueError: They do not fill the picture.

    Example:
        >>> darwin_values([0, 1, 7, 3], size=(2, 2)).tolist()
        [[0, 7], [7, 7]]
    """
    width, height = size
    values = np.repeat(np.asarray(pairs[::2], dtype=np.int64), np.asarray(pairs[1::2]))
    if len(values) != width * height:
        raise ValueError(f"run lengths of {len(values)} pixels for a picture of {width} x {height}")
    return values.reshape(height, width)


def brush_values(data: Sequence[int]) -> npt.NDArray[np.uint8]:
    """The values that Label Studio's brush has packed: RGBA, pixel by pixel along the rows.

    The packing (rle-pack of thi.ng/umbrella) is a stream of bits: how many values, how many bits
    each has, four sizes of run lengths; then runs, which are one value repeated, or values as they
    are.

    Args:
        data: The bytes.

    Raises:
        ValueError: They end too early, or are no such stream.
    """
    bits = np.unpackbits(np.asarray(data, dtype=np.uint8))
    place = 0

    def read(count: int) -> int:
        nonlocal place
        if place + count > len(bits):
            raise ValueError("the brush's run lengths end too early")
        number = int("".join(map(str, bits[place : place + count])), 2)
        place += count
        return number

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    if word != 8:
        raise ValueError(f"the brush's values have {word} bits each, expected 8")
    values = np.zeros(total, dtype=np.uint8)
    done = 0
    while done < total:
        repeated = read(1)
        end = done + 1 + read(sizes[read(2)])
        if repeated:
            values[done:end] = read(8)
        else:
            end = min(end, total)
            count = (end - done) * 8
            if place + count > len(bits):
                raise ValueError("the brush's run lengths end too early")
            values[done:end] = np.packbits(bits[place : place + count])
            place += count
        done = end
    return values
