import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Two splits of two classes, pictures of 40 x 30 without masks: a red disc on green noise."""
    root, random = tmp_path / "photos", np.random.default_rng(0)
    rows, columns = np.mgrid[0:30, 0:40]
    disc = (rows - 14.5) ** 2 + (columns - 19.5) ** 2 < 8**2
    for split, names in (("train", "ab"), ("test", "c")):
        for kind in ("buri", "ebi"):
            for name in names:
                path = root / split / "images" / kind / f"{name}_{kind}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                image = random.integers(0, 40, (30, 40, 3), dtype=np.uint8) + np.uint8(
                    [20, 140, 60]
                )
                image[disc] = (220, 40, 40)
                Image.fromarray(image).save(path, quality=95)
    return root


@pytest.fixture
def disc():
    rows, columns = np.mgrid[0:30, 0:40]
    return (rows - 14.5) ** 2 + (columns - 19.5) ** 2 < 8**2
