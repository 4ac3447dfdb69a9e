import csv

import hypothesis
import numpy as np
import pytest
import torch
from PIL import Image

SIDE = 32

# Quick in every run of the tests, long with --hypothesis-profile=long.
_EITHER = {
    "deadline": None,
    "suppress_health_check": [
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
}
hypothesis.settings.register_profile("quick", max_examples=25, derandomize=True, **_EITHER)
hypothesis.settings.register_profile("long", max_examples=2500, **_EITHER)
hypothesis.settings.load_profile("quick")


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


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """A data set of 8 training and 4 images for each of the other splits."""
    splits = {"train": 4, "val": 2, "test_same": 2, "test_rand": 2}
    return write_folder(tmp_path_factory.mktemp("tiny"), splits=splits)


@pytest.fixture(autouse=True)
def _process_as_it_is(monkeypatch):
    monkeypatch.setenv("VISATTN_TUNE_PROCESS", "0")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)
