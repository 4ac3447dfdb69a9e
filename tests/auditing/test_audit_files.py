"""Every file that an audit may open is looked at before the first picture is asked about."""

import pytest
from coloured_squares import BACKGROUNDS, NAMES, OBJECTS, mask, picture, write

import visattn
from visattn.data import FolderDataset

FAST = {"size": 16, "noise": 0, "cases": 0, "progress": False}
PIXELS = picture(OBJECTS[0], BACKGROUNDS[0])


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate(NAMES):
        for place in range(6):
            pixels = picture(OBJECTS[label], BACKGROUNDS[label])
            for split in ("test", "test_original", "test_mixed_rand"):
                write(tmp_path, split, name, place, pixels, mask())
            write(tmp_path, "test_adversarial", name, f"{place}_00", pixels, mask())
    return tmp_path


def refuse(images):
    raise AssertionError("was asked before all files were looked at")


def write_broken(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("part", "split"),
    [
        ("test/images/{}/5.png", "test"),
        ("test/masks/{}/5.png", "test"),
        ("test_mixed_rand/images/{}/5.png", "test_original"),
        ("test_adversarial/images/{}/5_00.png", "test_original"),
    ],
    ids=["picture", "mask", "rendered", "adversarial"],
)
def test_broken_files_are_listed_at_the_beginning(part, split, folder):
    two = [folder / part.format(name) for name in ("b", "c")]
    for path in two:
        write_broken(path)
    with pytest.raises(ValueError, match=r"2 problems in ") as caught:
        visattn.audit(refuse, folder, split=split, **FAST)
    assert all(str(path) in str(caught.value) for path in two)


def test_backgrounds_too(folder, tmp_path):
    write(tmp_path, "behind", "none", "one", PIXELS, None)
    path = tmp_path / "behind" / "images" / "none" / "one.png"
    write_broken(path)
    with pytest.raises(ValueError, match=r"1 problem in .*\n.*one.png: a picture that cannot be"):
        visattn.audit(refuse, folder, split="test", backgrounds=path.parent, **FAST)


def test_a_broken_file_that_nobody_needs_is_no_matter(folder, reads_object):
    asked = {**FAST, "adversarial": 0, "limit": 2, "split": "test"}
    data = FolderDataset(folder, split="test", size=16)
    for item in data.items:
        if item.mask_path is not None and item.path.stem == "0":
            item.mask_path.unlink()  # without a mask a picture is left out, and lends nothing
            write_broken(item.path)
    assert visattn.audit(reads_object, folder, **asked).accuracies["original"].images == 2


def test_lenders_of_a_few_pictures_are_looked_at(folder):
    for name in NAMES:
        for place in range(6):
            write_broken(folder / "test" / "masks" / name / f"{place}.png")
    with pytest.raises(ValueError, match="problems in") as caught:
        visattn.audit(refuse, folder, split="test", limit=2, **FAST)
    assert int(str(caught.value).split()[0]) > 2
