"""Folders as people have them: torchvision's, classes without splits, masks beside or parallel."""

import logging
import shutil

import numpy as np
import pytest
from PIL import Image

import visattn
from visattn.annotation.pictures import pictures_of, place_of
from visattn.cli import main
from visattn.data import FolderData, FolderDataset, PictureDataset
from visattn.data.files.split_table import read_splits
from visattn.data.files.splits import ensure_splits
from visattn.data.layout import class_folders, scan_split, split_names
from visattn.data.sources import find_source


def picture(path, colour=(200, 30, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((32, 32, 3), 120, dtype=np.uint8)
    image[8:24, 8:24] = colour
    Image.fromarray(image).save(path)


def square(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[8:24, 8:24] = 255
    Image.fromarray(mask).save(path)


@pytest.fixture
def torchvision(tmp_path):
    """ROOT/SPLIT/CLASS/ID.png."""
    for split in ("train", "val", "test"):
        for kind, colour in (("a", (220, 30, 30)), ("b", (30, 30, 220))):
            for number in range(3):
                picture(tmp_path / "photos" / split / kind / f"{number}.png", colour)
    return tmp_path / "photos"


@pytest.fixture
def classes(tmp_path):
    """ROOT/CLASS/SERIES_NUMBER.png, five series of four pictures a class."""
    for kind, colour in (("a", (220, 30, 30)), ("b", (30, 30, 220))):
        for series in "vwxyz":
            for number in range(4):
                picture(tmp_path / "photos" / kind / f"{series}{kind}_{number}.png", colour)
    return tmp_path / "photos"


def test_the_layout_of_torchvision(torchvision):
    assert split_names(torchvision) == ("test", "train", "val")
    assert class_folders(torchvision, "train") == ("a", "b")
    square(torchvision / "masks/train/a/0.png")
    square(torchvision / "train/b/1_mask.png")
    items = scan_split(torchvision, "train", class_names=("a", "b"))
    assert [(i.class_name, i.path.stem, i.mask_path is not None) for i in items] == [
        ("a", "0", True),
        ("a", "1", False),
        ("a", "2", False),
        ("b", "0", False),
        ("b", "1", True),
        ("b", "2", False),
    ]
    data = FolderDataset(torchvision, split="train", size=32)
    assert float(data[4]["mask"].sum()) == 256
    assert find_source(torchvision, split=None, size=8, scenes=1) == (torchvision, "test")
    assert place_of(items[1], root=torchvision) == torchvision / "masks/train/a/1.png"


def test_a_mask_beside_is_one_only_beside_its_picture(torchvision):
    picture(torchvision / "train/a/gas_mask.png")
    found = scan_split(torchvision, "train", class_names=("a", "b"))
    assert "gas_mask" in {item.path.stem for item in found}
    square(torchvision / "masks/train/a/0.png")
    square(torchvision / "train/a/0_mask.png")
    with pytest.raises(ValueError, match="second mask"):
        scan_split(torchvision, "train", class_names=("a", "b"))


def test_masks_beside_pictures_of_the_usual_layout(tmp_path):
    picture(tmp_path / "train/images/a/1.png")
    square(tmp_path / "train/images/a/1_mask.png")
    (item,) = scan_split(tmp_path, "train", class_names=("a",))
    assert item.mask_path == tmp_path / "train/images/a/1_mask.png"


def test_other_folders_are_none_of_these(tmp_path):
    for name in ("2024/june/1.png", "2025/may/2.png"):
        picture(tmp_path / "album" / name)
    assert find_source(tmp_path / "album", split=None, size=8, scenes=1)[1] is None
    assert len(PictureDataset(tmp_path / "album", size=8)) == 2
    with pytest.raises(FileNotFoundError, match="train/CLASS/ID"):
        split_names(tmp_path / "album")


def test_classes_are_split_once_written_down_and_told(classes, caplog):
    with caplog.at_level(logging.INFO):
        data = FolderData(classes)
    told = " ".join(record.getMessage() for record in caplog.records)
    for word in ("40 pictures of 2 classes", "seed 0", "train 28", "splits.csv", "split_group"):
        assert word in told
    assert data.splits == ("test", "train", "val")
    whole = [item.path for split in data.splits for item in data.items(split)]
    assert len(whole) == len(set(whole)) == 40
    table = (classes / "splits.csv").read_text()
    caplog.clear()
    again = FolderData(classes, split_seed=1)
    assert [i.path for i in again.items("train")] == [i.path for i in data.items("train")]
    assert (classes / "splits.csv").read_text() == table
    assert not caplog.records
    (classes / "splits.csv").unlink()
    FolderData(classes, split_seed=1)
    assert (classes / "splits.csv").read_text() != table


def test_the_draw_is_the_same_on_every_machine(classes, tmp_path):
    other = shutil.copytree(classes, tmp_path / "elsewhere")
    for root in (classes, other):
        ensure_splits(root, seed=3)
    assert (classes / "splits.csv").read_bytes() == (other / "splits.csv").read_bytes()


@pytest.mark.parametrize("by", ["^[^_]+", "series"])
def test_a_group_stays_together(classes, by):
    if by == "series":
        rows = [f"{p.parent.name},{p.stem},{p.stem[0]}\n" for p in sorted(classes.glob("*/*.png"))]
        (classes / "metadata.csv").write_text(f"class,id,series\n{''.join(rows)}")
    ensure_splits(classes, group=by)
    of = {}
    for split, pictures in read_splits(classes).items():
        for _, stem in pictures:
            group = stem[0] if by == "series" else stem.partition("_")[0]
            assert of.setdefault(group, split) == split
    assert set(of.values()) == {"train", "val", "test"}


def test_groups_that_cannot_be_are_refused_and_nothing_is_written(classes):
    for by, message in (
        ("^q", r"40 of 40 pictures have no group"),
        ("(", "no regular expression"),
        ("_", "too few groups"),
    ):
        with pytest.raises(ValueError, match=message):
            ensure_splits(classes, group=by)
    assert not (classes / "splits.csv").exists()


def test_pictures_that_come_later_are_not_overlooked(classes):
    FolderData(classes)
    picture(classes / "a/new.png")
    with pytest.raises(ValueError, match=r"splits\.csv does not say the split of 1 pictures"):
        scan_split(classes, "train", class_names=("a", "b"))
    (classes / "a/new.png").unlink()
    kind, stem = sorted(read_splits(classes)["val"])[0]
    (classes / kind / f"{stem}.png").unlink()
    with pytest.raises(ValueError, match="names 1 pictures that are not there"):
        scan_split(classes, "val", class_names=("a", "b"))


def test_masks_of_classes_without_splits(classes):
    square(classes / "masks/a/va_0.png")
    square(classes / "b/vb_0_mask.png")
    FolderData(classes)
    masked = [item for item in pictures_of(classes) if item.mask_path is not None]
    assert sorted(item.path.stem for item in masked) == ["va_0", "vb_0"]
    assert len(pictures_of(classes)) == 40
    assert place_of(masked[0], root=classes) == classes / "masks/a/va_0.png"


def test_three_commands_each_of_which_names_the_next(
    classes, tmp_path, capsys, caplog, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    words = ["-c", "foreground/plain", "--data", "FolderData", "--data.root", str(classes)]
    words += ["--data.size", "32", "--data.batch_size", "4", "--data.workers", "0"]
    words += ["--trainer.max_epochs", "1", "--model.backbone", "resnet10t"]
    assert main(["fit", *words]) == 0
    assert "splits written to splits.csv" in caplog.text
    out = capsys.readouterr().out
    first = next(line for line in out.splitlines() if line.startswith("next: "))
    assert first.endswith("--masks grabcut")  # there are no masks
    assert main([*first.removeprefix("next: visattn ").split(), "--cases=0"]) == 0
    second = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("next: "))
    assert main([*second.removeprefix("next: visattn ").split(), "--images=2"]) == 0
    assert (tmp_path / "report.html").is_file()
    assert visattn.audit(lambda x: x[:, :2, 16, 16], classes, masks="grabcut", size=32, cases=0)
