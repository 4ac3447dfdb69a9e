"""Contact sheets: pictures side by side with captions, and the command that draws a sheet."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from visattn.basics.files import whole_file
from visattn.data.generated.pictures import Picture
from visattn.data.optional import cv2

GAP = 4
CAPTION = 18
PAPER = 255
INK = (70, 70, 70)


def captioned(tiles: Sequence[Picture], names: Sequence[str] | None) -> Picture:
    """Tiles side by side, with captions above them if given."""
    size = tiles[0].shape[0]
    top = 0 if names is None else CAPTION
    strip = np.full((top + size + GAP, len(tiles) * (size + GAP) + GAP, 3), PAPER, np.uint8)
    for i, tile in enumerate(tiles):
        left = GAP + i * (size + GAP)
        strip[top : top + size, left : left + size] = tile
        if names is not None:
            text, where = names[i].replace("_", " "), (left + 1, top - 5)
            cv2.putText(strip, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.40, INK, 1, cv2.LINE_AA)
    return strip


def save_contact_sheet(path: str | Path, sheet: Picture) -> None:
    """Write a sheet as a PNG with 32 levels a channel, which keeps it small enough for a README."""
    from PIL import Image

    levels = np.clip((sheet.astype(np.int16) + 4) // 8 * 8, 0, 255).astype(np.uint8)
    with whole_file(path) as part:
        Image.fromarray(levels).save(part, format="PNG", optimize=True)


def sheet_command(
    draw: Callable[..., Picture],
    arguments: Sequence[str] | None,
    *,
    scenes: str,
    size: int,
    rows: int | None = None,
) -> None:
    """Draw a contact sheet as the command line says.

    Args:
        draw: From size, seed and, where ``rows`` is given, rows to the sheet.
        arguments: The words of the command line; the process's own if None.
        scenes: What they show, the name of the module that is run.
        size: Default of the option.
        rows: The same; no such option if None.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m visattn.data.generated.{scenes}",
        description=f"Draw a contact sheet of {scenes} scenes.",
    )
    parser.add_argument("--contact-sheet", metavar="PATH", required=True, help="PNG to write")
    parser.add_argument("--size", type=int, default=size, help="side of a tile in pixels")
    if rows is not None:
        parser.add_argument("--rows", type=int, default=rows, help="rows of kinds, 1 to 9")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes")
    options = vars(parser.parse_args(arguments))
    path = options.pop("contact_sheet")
    try:
        sheet = draw(**options)
    except ValueError as error:
        parser.error(str(error))
    save_contact_sheet(path, sheet)
    print(f"{path}: {sheet.shape[1]} x {sheet.shape[0]} pixels")
