"""A small folder of pictures with masks and metadata."""

import csv

import numpy as np
from PIL import Image

SIDE = 32


def write_folder(root, *, splits):
    """Squares on noise: class a has red ones, class b blue ones; the square is the mask.

    The metadata say that every other one lies on a plate of another style.
    """
    random, rows = np.random.default_rng(0), []
    for split, count in splits.items():
        for name, colour in (("a", (220, 30, 30)), ("b", (30, 30, 220))):
            for number in range(count):
                image = random.integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
                mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
                top, left = random.integers(2, 14, 2)
                image[top : top + 16, left : left + 16] = colour
                mask[top : top + 16, left : left + 16] = 255
                for kind, pixels in (("images", image), ("masks", mask)):
                    path = root / split / kind / name / f"{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(pixels).save(path)
                    if kind == "images":
                        rows.append((split, name, number, f"plate_{number % 2}"))
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("split", "class", "id", "style"), *rows])
    return root
