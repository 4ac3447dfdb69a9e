"""Data sets from folders: reading, masks, the share of masks, errors that name the file."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from visattn.data import FolderDataset, Item, MaskValues, PictureDataset, keep_masks

GREEN = (0, 255, 0)


def save(path: Path, array, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path, **options)
    return path


def picture(value=128, *, side=8):
    return np.full((side, side, 3), value, np.uint8)


def disc(side=8):
    mask = np.zeros((side, side), np.uint8)
    mask[2:6, 2:6] = 255
    return mask


@pytest.fixture
def root(tmp_path):
    """Two classes, three splits, masks for all of training but one."""
    for split, count in (("train", 4), ("val", 2), ("test_same", 2)):
        for label, name in enumerate(("cat", "dog")):
            for number in range(count):
                stem = f"{number:03d}"
                value = 10 * number + 100 * label
                save(tmp_path / split / "images" / name / f"{stem}.png", picture(value))
                if (split, name, number) != ("train", "dog", 3):
                    save(tmp_path / split / "masks" / name / f"{stem}.png", disc())
    return tmp_path


def dataset(root, split="train", *, size=8, **options):
    return FolderDataset(root, split=split, size=size, **options)


def test_items_and_tensors(root):
    data = dataset(root)
    assert data.class_names == ("cat", "dog")
    assert len(data) == 8
    entry = data[5]
    assert entry["label"] == 1
    assert entry["index"] == 5
    assert data.items[5].path == root / "train" / "images" / "dog" / "001.png"
    assert data.items[5].class_name == "dog"
    assert entry["image"].dtype == torch.float32
    expected = (110 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    torch.testing.assert_close(
        entry["image"], torch.tensor(expected).float().view(3, 1, 1).expand(3, 8, 8)
    )
    assert torch.equal(entry["mask"][0], torch.from_numpy(disc() / 255).float())


def test_a_missing_mask_means_unlabelled(root):
    data = dataset(root)
    assert data.items[7].mask_path is None
    assert data[7]["mask"].shape == (1, 8, 8)
    assert data[7]["mask"].isnan().all()
    assert (data.masks_found, data.masks_kept) == (7, 7)


def test_batches_collate(root):
    batch = next(iter(torch.utils.data.DataLoader(dataset(root), batch_size=8)))
    assert batch["image"].shape == (8, 3, 8, 8)
    assert batch["mask"].shape == (8, 1, 8, 8)
    assert batch["label"].dtype == batch["index"].dtype == torch.int64


def test_soft_masks_are_alpha(root):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    save(root / "train" / "masks" / "cat" / "000.png", ramp)
    torch.testing.assert_close(dataset(root)[0]["mask"][0], torch.from_numpy(ramp / 255).float())


def test_threshold(root):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    save(root / "train" / "masks" / "cat" / "000.png", ramp)
    mask = dataset(root, mask_values=MaskValues(threshold=100))[0]["mask"][0]
    assert np.array_equal(mask.numpy(), ramp > 100)


def test_label_masks_with_ignored_pixels(root):
    trimap = np.full((8, 8), 2, np.uint8)
    trimap[2:6, 2:6], trimap[:, 0] = 1, 3
    for path in (root / "train" / "masks").rglob("*.png"):
        save(path, trimap)
    values = MaskValues(foreground=(1,), background=(2,), ignore=(3,))
    mask = dataset(root, mask_values=values)[0]["mask"][0]
    assert mask[:, 0].isnan().all()
    assert mask[:, 1:].isfinite().all()
    assert mask[3, 3] == 1
    assert mask[1, 1] == 0
    # Values that mean nothing are an error that names the file and the values.
    trimap[0, 5] = 7
    save(root / "train" / "masks" / "cat" / "000.png", trimap)
    with pytest.raises(ValueError, match=r"000\.png.*\[7\] are neither foreground"):
        dataset(root, mask_values=values)[0]


def test_palette_masks_are_read_by_index(root):
    indices = Image.fromarray(disc() // 255, mode=None).convert("P")
    indices.putpalette([0, 0, 0, 200, 10, 10])
    indices.save(root / "train" / "masks" / "cat" / "000.png")
    with Image.open(root / "train" / "masks" / "cat" / "000.png") as opened:
        present = sorted(set(np.asarray(opened).ravel().tolist()))
    values = MaskValues(foreground=(present[-1],))
    mask = dataset(root, mask_values=values)[0]["mask"][0]
    assert mask.mean() == pytest.approx(16 / 64)


def test_sixteen_bit_masks(root):
    wide = disc().astype(np.uint16) * 257
    Image.fromarray(wide).save(root / "train" / "masks" / "cat" / "000.png")
    assert torch.equal(dataset(root)[0]["mask"][0], torch.from_numpy(disc() / 255).float())


def test_a_label_map_read_as_soft_is_an_error(root):
    save(root / "train" / "masks" / "cat" / "000.png", disc() // 255)
    with pytest.raises(ValueError, match=r"000\.png.*largest value is 1 of 255.*foreground=\(1,\)"):
        dataset(root)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foreground": (1,), "threshold": 5}, "either by threshold or"),
        ({"foreground": (1,), "ignore": (1,)}, "value 1 stands under both 'foreground'"),
        ({"background": (0,)}, "came without foreground"),
        ({"foreground": (300,)}, "outside 0 to 255"),
        ({"threshold": 255}, "0 to 254"),
    ],
)
def test_mask_values_that_contradict(options, message):
    with pytest.raises(ValueError, match=message):
        MaskValues(**options)


def test_crop_keeps_the_shape_and_stretch_does_not(root):
    # Left to right: red, 8 pixels of blue in the middle, red.
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[..., 0] = 255
    wide[:, 4:12] = (0, 0, 255)
    save(root / "train" / "images" / "cat" / "000.png", wide)
    mask = np.zeros((8, 16), np.uint8)
    mask[:, 4:12] = 255
    save(root / "train" / "masks" / "cat" / "000.png", mask)
    cropped = dataset(root).decoded(0)
    assert (cropped.image == (0, 0, 255)).all()
    assert (cropped.alpha == 255).all()
    stretched = dataset(root, fit="stretch").decoded(0)
    assert (stretched.image[:, 0] == (255, 0, 0)).all()
    assert (stretched.image[:, 4] == (0, 0, 255)).all()
    assert stretched.alpha[0, 0] == 0
    assert stretched.alpha[0, 4] == 255


def test_shrinking_keeps_the_mask_the_alpha_of_the_picture(root):
    """Foreground white on black: the picture is its own alpha, at any size."""
    alpha = (np.random.default_rng(0).random((40, 40)) > 0.5).astype(np.uint8) * 255
    save(root / "train" / "images" / "cat" / "000.png", np.repeat(alpha[..., None], 3, 2))
    save(root / "train" / "masks" / "cat" / "000.png", alpha)
    decoded = dataset(root, size=13).decoded(0)
    difference = decoded.image[..., 0].astype(int) - decoded.alpha.astype(int)
    assert 0 < decoded.alpha.min() < decoded.alpha.max() < 255
    assert np.abs(difference).max() <= 1


def test_shrinking_ignores_what_is_unknown(root):
    """Mean of the known pixels; unknown where fewer than half are known."""
    mask = np.full((16, 16), 2, np.uint8)
    mask[:, :8] = 1
    mask[:, 12:] = 3
    for stem in ("000",):
        save(root / "train" / "images" / "cat" / f"{stem}.png", picture(side=16))
        save(root / "train" / "masks" / "cat" / f"{stem}.png", mask)
    values = MaskValues(foreground=(1,), background=(2,), ignore=(3,))
    shrunk = dataset(root, mask_values=values, size=4)[0]["mask"][0]
    assert (shrunk[:, 0] == 1).all()
    assert shrunk[:, 3].isnan().all()
    assert shrunk[:, :3].isfinite().all()
    assert (shrunk[:, 2] < 0.5).all()  # known ones there are nearly all background


def test_orientation_of_the_camera_is_applied(root):
    tall = np.zeros((12, 8, 3), np.uint8)
    tall[:6] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise: the top becomes the right
    path = root / "train" / "images" / "cat" / "000.png"
    save(path, tall, exif=exif)
    save(root / "train" / "masks" / "cat" / "000.png", np.full((8, 12), 255))
    data = dataset(root)
    data.check()
    decoded = data.decoded(0)
    assert (decoded.image[:, -1] == (255, 0, 0)).all()
    assert (decoded.image[:, 0] == 0).all()


def test_metadata_is_joined(root):
    (root / "metadata.csv").write_text(
        "split,class,id,style,background_seed\ntrain,dog,001,slate,17\nval,cat,000,wood,3\n"
    )
    data = dataset(root)
    assert data.items[5].metadata == {"style": "slate", "background_seed": "17"}
    assert data.items[4].metadata == {}


def test_metadata_without_its_columns(root):
    (root / "metadata.csv").write_text("split,label,id\ntrain,dog,001\n")
    with pytest.raises(ValueError, match=r"metadata\.csv.*missing class; found split, label, id"):
        dataset(root)


# ---------------------------------------------------------------- the share of the masks


def many(per_class=(40, 20, 5), *, without=0):
    items = [
        Item(Path(f"{label}-{n}.png"), Path(f"m{label}-{n}.png"), label=label)
        for label, count in enumerate(per_class)
        for n in range(count)
    ]
    return items + [Item(Path(f"x{n}.png"), None, label=0) for n in range(without)]


def kept(items, **options):
    return {item.path for item in keep_masks(items, **options) if item.mask_path is not None}


def test_mask_share_is_stratified_and_has_the_right_size():
    items = many((40, 20, 20), without=7)
    chosen = keep_masks(items, share=0.25)
    counts = [sum(i.label == c and i.mask_path is not None for i in chosen) for c in range(3)]
    assert counts == [10, 5, 5]
    assert [item.path for item in chosen] == [item.path for item in items]


def test_mask_share_keeps_at_least_one_a_class():
    chosen = keep_masks(many(), share=0.01)
    assert [sum(i.label == c and i.mask_path is not None for i in chosen) for c in range(3)] == [
        1,
        1,
        1,
    ]


def test_mask_share_rounds_the_whole():
    """73 a class, 5 %: 36 of 729, as many as the nearest whole number says."""
    assert len(kept(many((73,) * 9 + (72,)), share=0.05)) == 36


def test_mask_share_is_deterministic_and_depends_on_the_seed():
    items = many()
    assert kept(items, share=0.3, seed=1) == kept(items, share=0.3, seed=1)
    assert kept(items, share=0.3, seed=1) != kept(items, share=0.3, seed=2)


def test_smaller_shares_are_nested():
    items = many((40, 40, 40))
    assert kept(items, share=0.05) < kept(items, share=0.25) < kept(items, share=1.0)


def test_mask_share_ends():
    items = many()
    assert kept(items, share=0.0) == set()
    assert kept(items, share=1.0) == {item.path for item in items}
    with pytest.raises(ValueError, match=r"\[0, 1\].*got 5"):
        keep_masks(items, share=5)


def test_dropped_masks_are_never_read(root):
    """Break every mask that the share drops: reading all of training still works."""
    data = dataset(root, mask_share=0.3)
    assert (data.masks_found, data.masks_kept) == (7, 2)
    for path in (root / "train" / "masks").rglob("*.png"):
        if path not in {item.mask_path for item in data.items}:
            path.write_bytes(b"no picture")
    data.check()
    assert sum(bool(data[row]["mask"].isfinite().all()) for row in range(len(data))) == 2


# ---------------------------------------------------------------- errors that name the file


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere, found nothing; it should hold SPLIT"):
        dataset(tmp_path / "nowhere")


def test_no_split(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no split in .*found \['pictures'\]"):
        dataset(tmp_path)


def test_unknown_split_names_the_nearest(root):
    with pytest.raises(ValueError, match=r"no split 'test_sme'.*did you mean 'test_same'"):
        dataset(root, "test_sme")


def test_empty_class(root):
    (root / "train" / "images" / "eel").mkdir()
    with pytest.raises(ValueError, match=r"train.images.eel: an empty class folder"):
        dataset(root)


def test_class_of_unreadable_files_only(root):
    folder = root / "train" / "images" / "eel"
    folder.mkdir()
    (folder / "001.heic").write_bytes(b"")
    with pytest.raises(ValueError, match=r"eel: no pictures .* '\.heic'; readable ones are \.bmp"):
        dataset(root)


def test_class_that_only_the_test_has(root):
    save(root / "test_same" / "images" / "eel" / "001.png", picture())
    with pytest.raises(ValueError, match=r"test_same.images.eel: the class 'eel' is not among"):
        dataset(root, "test_same")
    assert len(dataset(root, "val")) == 4


def test_a_class_that_the_test_does_not_have_is_fine(root):
    for path in (root / "test_same" / "images" / "cat").iterdir():
        path.unlink()
    (root / "test_same" / "images" / "cat").rmdir()
    for path in (root / "test_same" / "masks" / "cat").iterdir():
        path.unlink()
    data = dataset(root, "test_same")
    assert {entry.label for entry in data.items} == {1}


def test_mask_without_a_picture(root):
    save(root / "train" / "masks" / "cat" / "099.png", disc())
    with pytest.raises(ValueError, match=r"masks.cat.099\.png: a mask without a picture"):
        dataset(root)


def test_masks_of_a_class_without_pictures(root):
    save(root / "train" / "masks" / "eel" / "000.png", disc())
    with pytest.raises(ValueError, match=r"masks.eel: masks of a class that has no pictures"):
        dataset(root)


def test_masks_outside_class_folders(root):
    save(root / "train" / "masks" / "099.png", disc())
    with pytest.raises(ValueError, match=r"masks.099\.png: masks stand in one folder a class"):
        dataset(root)


def test_two_files_for_one_picture(root):
    save(root / "train" / "images" / "cat" / "000.jpg", picture())
    with pytest.raises(ValueError, match=r"000\.png: a second file for 000\.jpg"):
        dataset(root)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_truncated_picture(root, suffix):
    path = root / "train" / "images" / "cat" / f"050.{suffix}"
    save(path, np.random.default_rng(0).integers(0, 255, (64, 64, 3)))
    path.write_bytes(path.read_bytes()[:-200])
    data = dataset(root)
    with pytest.raises(ValueError, match=rf"(?s)1 problem in .*050\.{suffix}: a picture that can"):
        data.check()
    with pytest.raises(ValueError, match=rf"cannot read the picture .*050\.{suffix}"):
        data[4]


def test_no_picture_at_all(root):
    path = root / "train" / "images" / "cat" / "000.png"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(ValueError, match=r"000\.png: a picture that cannot be read \(cannot ident"):
        dataset(root).check()


def test_broken_mask(root):
    (root / "train" / "masks" / "cat" / "000.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"masks.cat.000\.png: a mask that cannot be read"):
        dataset(root).check()
    with pytest.raises(ValueError, match=r"cannot read the mask .*000\.png"):
        dataset(root)[0]


def test_mask_of_another_size(root):
    save(root / "train" / "masks" / "cat" / "000.png", np.zeros((6, 10)))
    message = r"masks.cat.000\.png.* is 10 x 6 pixels, its picture .*000\.png is 8 x 8"
    with pytest.raises(ValueError, match=message):
        dataset(root).check()
    with pytest.raises(ValueError, match=message):
        dataset(root)[0]


def test_colour_mask(root):
    save(root / "train" / "masks" / "cat" / "000.png", np.full((8, 8, 3), GREEN))
    with pytest.raises(ValueError, match=r"000\.png is a colour picture"):
        dataset(root)[0]


def test_all_problems_at_once_up_to_ten(root):
    for number in range(12):
        path = root / "train" / "images" / "cat" / f"1{number:02d}.png"
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"(?s)12 problems in the split 'train'.*and 2 more") as e:
        dataset(root).check()
    assert len(str(e.value).splitlines()) == 12


def test_options_out_of_range(root):
    with pytest.raises(ValueError, match="size must be at least 1"):
        dataset(root, size=0)
    with pytest.raises(ValueError, match="fit must be 'crop' or 'stretch', got 'pad'"):
        dataset(root, fit="pad")
    with pytest.raises(ValueError, match="std must be above 0"):
        dataset(root, std=(1, 0, 1))
    with pytest.raises(IndexError, match="no row 8 in a data set of 8"):
        dataset(root)[8]


def test_hidden_files_are_left_out(root):
    (root / "train" / "images" / "cat" / "._000.png").write_bytes(b"")
    (root / "train" / "images" / ".thumbnails").mkdir()
    assert len(dataset(root)) == 8


# ---------------------------------------------------------------- cache, copies, predicting


def test_cache_gives_the_same_and_reads_once(root):
    plain, cached = dataset(root), dataset(root, cache=True)
    for _ in range(2):
        for row in range(8):
            for key in ("image", "mask"):
                torch.testing.assert_close(
                    cached[row][key], plain[row][key], rtol=0, atol=0, equal_nan=True
                )
    for path in (root / "train" / "images").rglob("*.png"):
        path.unlink()
    assert cached[3]["label"] == 0
    with pytest.raises(ValueError, match="cannot read the picture"):
        plain[3]


def test_cache_is_shared_with_workers(root):
    cached = dataset(root, cache=True)
    loader = torch.utils.data.DataLoader(
        cached, batch_size=4, num_workers=2, multiprocessing_context="fork"
    )
    assert sum(len(batch["label"]) for batch in loader) == 8
    assert cached._cache is not None
    assert cached._cache.filled == 8


def test_copies_and_pickles(root):
    data = dataset(root, cache=True)
    expected = data[2]["image"]
    for other in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        assert torch.equal(other[2]["image"], expected)
        assert other.items == data.items


def test_predicting_on_a_folder_without_classes(root, tmp_path):
    data = PictureDataset(root / "val" / "images", size=8)
    assert len(data) == 4
    entry = data[0]
    assert (entry["label"], entry["index"]) == (-1, 0)
    assert entry["mask"].isnan().all()
    with pytest.raises(FileNotFoundError, match=r"no picture at .*nowhere"):
        PictureDataset(tmp_path / "nowhere", size=8)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no pictures under"):
        PictureDataset(tmp_path / "empty", size=8)
