"""What of the masks reaches the training, and which background a picture shows."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from visattn.data import Augmentation, Augmenter, FolderData, FolderDataset
from visattn.data.masks import only_box

SIDE = 12


@pytest.fixture
def root(tmp_path):
    """Four training pictures of two classes: a triangle on a plate; a split without masks."""
    rows = []
    for split in ("train", "val", "test_bare"):
        for label, name in enumerate(("cat", "dog")):
            for number in range(2):
                image = np.full((SIDE, SIDE, 3), 40 * (1 + label), dtype=np.uint8)
                mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
                for row in range(3, 8):
                    mask[row, 2 : row + 1] = 255
                image[mask > 0] = 200
                for kind, pixels in (("images", image), ("masks", mask)):
                    if (split, kind) != ("test_bare", "masks"):
                        path = tmp_path / split / kind / name / f"{number}.png"
                        path.parent.mkdir(parents=True, exist_ok=True)
                        Image.fromarray(pixels).save(path)
                if split == "train":
                    rows.append((split, name, number, ("wood", "cloth", "", "wood")[len(rows)]))
    with (tmp_path / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("split", "class", "id", "style"), *rows])
    return tmp_path


def train(root, **options):
    return FolderDataset(root, split="train", size=SIDE, **options)


def test_a_box_by_hand():
    alpha = np.zeros((4, 5), dtype=np.uint8)
    alpha[1, 3], alpha[2, 1], alpha[3, 4] = 255, 128, 127  # the last is less than half covered
    box, unknown = only_box(alpha)
    expected = np.zeros((4, 5), dtype=np.uint8)
    expected[1:3, 1:4] = 255
    assert (box == expected).all()
    assert (unknown == expected).all()
    assert not only_box(np.zeros((2, 2), dtype=np.uint8))[0].any()


@pytest.mark.parametrize("cache", [False, True])
def test_of_a_mask_only_its_box_is_given(root, cache):
    data = train(root, mask_form="box", cache=cache)
    for _ in range(2):  # the second time from the cache
        mask = data[0]["mask"][0]
        assert mask[3:8, 2:8].isnan().all()
        assert mask.nansum() == 0
        assert mask.isnan().sum() == 30
    full = train(root)[0]["mask"][0]
    assert full.sum() == 20


def test_two_shapes_of_one_box_give_the_same_batch(root):
    """Nothing of the shape inside gets through: another mask with the same box changes nothing."""
    before = train(root, mask_form="box")[1]["mask"]
    path = root / "train" / "masks" / "cat" / "1.png"
    other = np.zeros((SIDE, SIDE), dtype=np.uint8)
    other[3:8, 7] = other[7, 2:8] = 255
    Image.fromarray(other).save(path)
    after = train(root, mask_form="box")[1]["mask"]
    assert torch.equal(before.isnan(), after.isnan())
    assert torch.equal(before.nan_to_num(2), after.nan_to_num(2))


def test_a_box_goes_through_the_augmentation(root):
    flipped = Augmenter(
        Augmentation(flip=True, rotate=0, scale=(1, 1), shift=0, jitter=0).transforms()
    )
    data = train(root, mask_form="box", augment=flipped)
    masks = [data[0, epoch]["mask"][0] for epoch in range(12)]
    left = [bool(mask[3:8, 2:8].isnan().all()) for mask in masks]
    right = [bool(mask[3:8, 4:10].isnan().all()) for mask in masks]
    assert any(left)
    assert any(right)
    assert all(mask.isnan().sum() == 30 and mask.nansum() == 0 for mask in masks)


def test_only_training_sees_boxes(root):
    data = FolderData(root, size=SIDE, mask_form="box", batch_size=2, workers=0)
    assert data.dataset("train")[0]["mask"].isnan().any()
    assert not data.dataset("val")[0]["mask"].isnan().any()


def test_a_masked_picture_shows_the_mean_colour_around_the_object(root):
    plain, masked = train(root)[0], train(root, masked=True)[0]
    torch.testing.assert_close(masked["image"], plain["image"] * plain["mask"])
    assert masked["image"][:, 0, 0].eq(0).all()
    assert masked["image"].abs().max() > 0


def test_masked_pictures_need_every_mask(root):
    with pytest.raises(ValueError, match="2 of 4 pictures of the split 'train' have none"):
        train(root, masked=True, mask_share=0.5)
    with pytest.raises(ValueError, match=r"mask_share must be 1, got 0\.5"):
        FolderData(root, size=SIDE, masked=True, mask_share=0.5)
    data = FolderData(root, size=SIDE, masked=True)
    assert data.dataset("val").masked
    with pytest.raises(ValueError, match="4 of 4 pictures of the split 'test_bare'"):
        data.dataset("test_bare")


def test_backgrounds_are_numbered_by_name(root):
    data = train(root)
    assert data.background_names == ("cloth", "wood")
    assert [data[row]["background"] for row in range(4)] == [1, 0, -1, 1]
    elsewhere = train(root, background_column="place")
    assert elsewhere.background_names == ()
    assert [elsewhere[row]["background"] for row in range(4)] == [-1] * 4


def test_the_form_of_masks_must_be_one_there_is(root):
    with pytest.raises(ValueError, match="mask_form must be 'mask' or 'box', got 'boxes'"):
        train(root, mask_form="boxes")
