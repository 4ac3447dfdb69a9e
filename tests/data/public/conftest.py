"""Small files in the very layout of each public data set."""

import csv

import numpy as np
import pytest
from PIL import Image

SIDE = 32
IN9 = (
    "00_dog",
    "01_bird",
    "02_wheeled vehicle",
    "03_reptile",
    "04_carnivore",
    "05_insect",
    "06_musical instrument",
    "07_primate",
    "08_fish",
)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path)


def photo(draw, side=SIDE):
    return draw.integers(0, 256, (side, side, 3))


def square(draw, side=SIDE):
    """True on a square somewhere."""
    inside = np.zeros((side, side), dtype=bool)
    top, left = draw.integers(2, side // 2 - 2, 2)
    inside[top : top + side // 2, left : left + side // 2] = True
    return inside


@pytest.fixture
def pets(tmp_path):
    """``oxford-iiit-pet`` with three breeds, four pictures each to train on and two to test on."""
    draw = np.random.default_rng(0)
    folder = tmp_path / "oxford-iiit-pet"
    lines = {"trainval": [], "test": []}
    breeds = (("Abyssinian", 1, 1), ("american_bulldog", 2, 1), ("Bengal", 1, 2))
    for label, (breed, species, within) in enumerate(breeds, start=1):
        for number in range(1, 7):
            name = f"{breed}_{number}"
            inside = square(draw)
            trimap = np.full((SIDE, SIDE), 2)
            trimap[inside] = 3
            inner = inside & np.roll(inside, 2, 0) & np.roll(inside, 2, 1)
            trimap[inner] = 1
            save(folder / "images" / f"{name}.jpg", photo(draw))
            save(folder / "annotations" / "trimaps" / f"{name}.png", trimap)
            split = "trainval" if number <= 4 else "test"
            lines[split].append(f"{name} {label} {species} {within}")
    for split, listed in lines.items():
        (folder / "annotations" / f"{split}.txt").write_text("\n".join(listed) + "\n")
    return tmp_path


@pytest.fixture
def waterbirds(tmp_path):
    """Waterbirds with CUB's segmentations beside it; 4, 2 and 10 pictures a group."""
    draw = np.random.default_rng(0)
    root = tmp_path / "waterbird_complete95_forest2water2"
    species = {0: "004.Groove_billed_Ani", 1: "001.Black_footed_Albatross"}
    rows = []
    for split, count in ((0, 4), (1, 2), (2, 10)):
        for y, place in ((0, 0), (0, 1), (1, 0), (1, 1)):
            for _ in range(count):
                number = len(rows) + 1
                name = f"{species[y]}/{species[y][4:]}_{number:04}_{796000 + number}"
                alpha = square(draw) * 255
                alpha[16] = alpha[16] * 3 // 5  # four of five workers drew it
                save(root / f"{name}.jpg", photo(draw))
                save(tmp_path / "segmentations" / f"{name}.png", alpha)
                where = ("/b/bamboo_forest/00001.jpg", "/o/ocean/00001.jpg")[place]
                rows.append((number, f"{name}.jpg", y, split, place, where))
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("img_id", "img_filename", "y", "split", "place", "place_filename"))
        writer.writerows(rows)
    return root


@pytest.fixture
def imagenet9(tmp_path):
    """The release with all variants, two foregrounds a class, and ``in9l`` to train on."""
    draw = np.random.default_rng(0)
    test = tmp_path / "bg_challenge"
    for label, name in enumerate(IN9):
        ids = [f"n0208{label}936_{number}" for number in (10023, 433)]
        others = [f"n0144{label}764_{number}" for number in (7, 10)]
        for own, other in zip(ids, others, strict=True):
            mask = test / "fg_mask" / "val" / name / f"{own}.npy"
            mask.parent.mkdir(parents=True, exist_ok=True)
            np.save(mask, square(draw))
            for variant in ("original", "only_fg", "only_bg_b", "only_bg_t", "no_fg"):
                save(test / variant / "val" / name / f"{own}.JPEG", photo(draw))
            for variant in ("mixed_same", "mixed_rand", "mixed_next"):
                behind = other if variant != "mixed_rand" else f"n0200{label}111_5"
                composed = f"fg_{own}_bg_{behind}.JPEG"
                save(test / variant / "val" / name / composed, photo(draw))
        for split, count in (("train", 3), ("val", 1)):
            for number in range(count):
                path = tmp_path / "in9l" / split / name / f"n0208{label}936_{900 + number}.JPEG"
                save(path, photo(draw))
    return tmp_path


@pytest.fixture
def uecfoodpix(tmp_path):
    """``UECFOODPIXCOMPLETE`` with rice (1), sushi (7) and beverages (102)."""
    draw = np.random.default_rng(0)
    data = tmp_path / "UECFOODPIXCOMPLETE" / "data"
    number = 0
    for split, count in (("train", 4), ("test", 2)):
        for food, other in ((1, 7), (7, 1), (102, 7)):
            for _ in range(count):
                number += 1
                mask = np.zeros((SIDE, SIDE, 3))
                mask[square(draw), 0] = food
                mask[:3, :, 0] = other  # three rows of something else
                root = data / "UECFoodPIXCOMPLETE" / split
                save(root / "img" / f"{number}.jpg", photo(draw))
                save(root / "mask" / f"{number}.png", mask)
    names = {1: "rice", 2: "eels on rice", 7: "sushi", 100: "goya chanpuru"}
    lines = ["id\tname", *(f"{key}\t{value}" for key, value in names.items())]
    (data / "category.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "UECFOODPIXCOMPLETE"
