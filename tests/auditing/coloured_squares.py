"""A set of pictures whose every number is known: a square of one colour on another colour."""

import numpy as np
import torch
from PIL import Image

SIDE, FIRST, LAST = 16, 5, 11
OBJECTS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
# The background of each class is nearest to the object of the next class.
BACKGROUNDS = ((51, 255, 51), (51, 51, 255), (255, 51, 51))
NAMES = ("a", "b", "c")
EACH = 40


def mask():
    found = np.zeros((SIDE, SIDE), np.uint8)
    found[FIRST:LAST, FIRST:LAST] = 255
    return found


def picture(obj, background):
    found = np.full((SIDE, SIDE, 3), background, np.uint8)
    found[FIRST:LAST, FIRST:LAST] = obj
    return found


def write(root, split, name, stem, pixels, alpha):
    for part, content in (("images", pixels), ("masks", alpha)):
        if content is not None:
            path = root / split / part / name / f"{stem}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)


class Nearest:
    """Answers with the class whose colour is nearest to one pixel; black is of the first class."""

    def __init__(self, place, palette):
        self.place = place
        self.palette = torch.tensor(palette) / 255

    def __call__(self, images):
        images = images * torch.tensor((0.229, 0.224, 0.225)).view(3, 1, 1)
        images = images + torch.tensor((0.485, 0.456, 0.406)).view(3, 1, 1)
        pixel = images[:, :, self.place, self.place]
        logits = -(pixel[:, None] - self.palette).square().sum(2) * 20
        logits[:, 0] += 0.01
        return logits
