"""Augmentation and the data modules, as training and the command line use them."""

import copy
import math
import os
import pickle

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image
from tiny_pictures import write_folder

from visattn.data import Augmentation, Augmenter, FolderData, MaskValues, SushiData
from visattn.data.decoding import Decoded
from visattn.data.loading.samplers import EpochSampler
from visattn.data.optional import albumentations as A
from visattn.data.warp import Warp

PHOTOS = os.environ.get("VISATTN_TEST_PHOTOS", "")  # a folder of the generic layout
STILL = Augmentation(flip=False, rotate=0, shift=0, scale=(1, 1), jitter=0)


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path):
    """Red squares on noise; 12 pictures a class in training, masks for all of them."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 3), ("test_same", 2), ("test_rand", 4)):
        for name in ("cat", "dog"):
            for number in range(count):
                picture = draw.integers(0, 255, (16, 16, 3))
                picture[..., 0] = 0
                mask = np.zeros((16, 16))
                mask[5:11, 5:11] = 255
                picture[mask > 0] = (255, 0, 0)
                save(tmp_path / split / "images" / name / f"{number}.png", picture)
                save(tmp_path / split / "masks" / name / f"{number}.png", mask)
    return tmp_path


def folder(root, **options):
    return FolderData(root, **({"size": 16, "batch_size": 8, "workers": 0} | options))


def decoded(*, unknown=False):
    draw = np.random.default_rng(0)
    mask = np.zeros((24, 24), np.uint8)
    mask[8:16, 6:14] = 255
    picture = draw.integers(0, 255, (24, 24, 3)).astype(np.uint8)
    doubt = np.zeros((24, 24), np.uint8)
    doubt[:, :3] = 255
    return Decoded(picture, mask, doubt if unknown else None)


# ---------------------------------------------------------------- augmentation


def test_same_seed_same_change():
    augmenter = Augmenter(Augmentation().transforms())
    first = augmenter(decoded(), seed=(0, 1, 2))
    other = augmenter(decoded(), seed=(0, 1, 3))
    again = augmenter(decoded(), seed=(0, 1, 2))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.alpha, again.alpha)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_of_an_augmenter_change_alike(copied):
    augmenter = Augmenter(Augmentation(hue=0.1).transforms())
    expected = augmenter(decoded(), seed=(4,))
    found = copied(augmenter)(decoded(), seed=(4,))
    assert np.array_equal(found.image, expected.image)
    assert np.array_equal(found.alpha, expected.alpha)


def test_mask_moves_with_the_picture():
    given = decoded()
    own = Decoded(np.repeat(given.alpha[..., None], 3, 2), given.alpha)
    augmenter = Augmenter(
        Augmentation(
            vertical_flip=True, rotate=40, shift=0.2, scale=(0.5, 1.5), jitter=0
        ).transforms()
    )
    soft = 0
    for seed in range(20):
        changed = augmenter(own, seed=(seed,))
        assert np.abs(changed.image[..., 0].astype(int) - changed.alpha.astype(int)).max() <= 1
        soft += int(((changed.alpha > 0) & (changed.alpha < 255)).sum())
    assert soft > 100  # resampled linearly, not by nearest neighbours


def test_no_mask_stays_no_mask():
    changed = Augmenter(Augmentation().transforms())(Decoded(decoded().image), seed=(0,))
    assert changed.alpha is None
    assert changed.unknown is None


def test_unknown_pixels_move_too():
    flipped = 0
    augmenter = Augmenter(Augmentation(rotate=0, shift=0, scale=(1, 1), jitter=0).transforms())
    for seed in range(20):
        unknown = augmenter(decoded(unknown=True), seed=(seed,)).unknown
        assert set(np.unique(unknown)) == {0, 255}
        left, right = (unknown[:, :3] == 255).all(), (unknown[:, -3:] == 255).all()
        assert left != right
        flipped += right
    assert 4 <= flipped <= 16


def test_constant_fill_counts_as_background():
    extra = {"class_path": "Affine", "init_args": {"translate_px": {"x": 8}, "p": 1.0}}
    augmentation = Augmentation(
        flip=False, rotate=0, shift=0, scale=(1, 1), jitter=0, extra=(extra,)
    )
    changed = Augmenter(augmentation.transforms())(decoded(unknown=True), seed=(0,))
    assert (changed.alpha[:, :8] == 0).all()
    assert (changed.unknown[:, :8] == 0).all()
    assert (changed.unknown[:, 8:11] == 255).all()


def test_nothing_chosen_changes_nothing():
    assert STILL.transforms() == []
    given = decoded()
    assert np.array_equal(Augmenter([])(given, seed=(0,)).image, given.image)


class Largest:
    """Stands for a random generator that always draws the largest value."""

    def uniform(self, least, largest):
        return largest


@pytest.mark.parametrize(
    ("angle", "scale", "shift"), [(20, 1.0, 0), (33, 1.3, 0.25), (0, 0.8, 0.125), (0, 1.0, 0.125)]
)
def test_warp_equals_albumentations_affine(angle, scale, shift):
    given = decoded()
    smooth = A.GaussianBlur(blur_limit=(7, 7), sigma_limit=2, p=1.0)(image=given.image)["image"]
    ours = Warp(rotate=angle, scale=(scale, scale), shift=shift, p=1.0)
    ours.py_random = Largest()
    theirs = A.Affine(
        rotate=-angle,
        scale=scale,
        translate_percent=shift,
        border_mode=4,
        mask_interpolation=1,
        p=1.0,
    )
    found = ours(image=smooth, mask=given.alpha)
    expected = theirs(image=smooth, mask=given.alpha)
    for key in ("image", "mask"):
        gap = np.abs(found[key].astype(int) - expected[key].astype(int))
        assert gap.max() <= 2
    assert np.abs(found["mask"].astype(int) - given.alpha.astype(int)).max() > 50


def test_warp_draws_its_whole_range():
    warp = Warp(rotate=30, scale=(0.5, 2.0), shift=0.25, p=1.0)
    warp.set_random_seed(0)
    angles, scales = [], []
    for _ in range(300):
        a, b = warp.get_params_dependent_on_data({"shape": (20, 20, 3)}, {})["matrix"][0, :2]
        scales.append(1 / math.hypot(a, b))
        angles.append(math.degrees(math.atan2(b, a)))
    assert -30 <= min(angles) < -28
    assert 28 < max(angles) <= 30
    assert 0.5 <= min(scales) < 0.52
    assert 1.95 < max(scales) <= 2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shift": 2}, r"shift must lie in \[0, 1\]"),
        ({"hue": 0.6}, r"hue must lie in \[0, 0\.5\]"),
        ({"scale": (1.1, 0.9)}, "scale needs"),
        ({"swap_from": "somewhere"}, "no effect at swap=0"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"class_path": "GausianBlur"}, "no transform 'GausianBlur'.*did you mean GaussianBlur"),
        (
            {"class_path": "GaussianBlur", "init_args": {"blur": 3}},
            "GaussianBlur has no argument 'blur'; did you mean blur_limit",
        ),
        ({"class_path": "GaussianBlur", "init_args": {"p": 3}}, "cannot make the transform"),
        ({"name": "GaussianBlur"}, "is written {class_path: NAME"),
        ({"class_path": "nowhere.Blur"}, "cannot import the module"),
    ],
)
def test_extra_transforms_that_are_wrong(extra, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(extra=(extra,)).transforms()


def test_swapping_needs_backgrounds():
    with pytest.raises(ValueError, match="name a folder of pictures in swap_from"):
        Augmentation(swap=0.5).transforms()


# ---------------------------------------------------------------- the folder module


def test_what_is_known_before_setup(root):
    data = folder(root)
    assert data.class_names == ("cat", "dog")
    assert data.num_classes == 2
    assert data.test_names == ("test_rand", "test_same")
    assert data.steps == 3


def test_batches(root):
    data = folder(root)
    data.prepare_data()
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert [len(batch["label"]) for batch in batches] == [8, 8, 8]
    batch = batches[0]
    assert set(batch) == {"image", "label", "mask", "background", "index"}
    assert batch["image"].shape == (8, 3, 16, 16)
    assert batch["image"].dtype == batch["mask"].dtype == torch.float32
    assert batch["mask"].shape == (8, 1, 16, 16)
    assert batch["label"].dtype == batch["index"].dtype == torch.int64
    items = data.dataset("train").items
    assert all(
        items[i].label == label for i, label in zip(batch["index"], batch["label"], strict=True)
    )
    assert sorted(torch.cat([b["index"] for b in batches]).tolist()) == list(range(24))


def test_test_loaders_follow_their_names(root):
    data = folder(root, test_splits=["test_same", "test_rand"])
    data.setup("test")
    assert data.test_names == ("test_same", "test_rand")
    assert [len(loader.dataset) for loader in data.test_dataloader()] == [4, 8]


def test_order_and_augmentation_repeat(root):
    def epochs(seed, workers=0):
        data = folder(root, seed=seed, workers=workers, augmentation=Augmentation(swap=0.5))
        data.setup("fit")
        loader = data.train_dataloader()
        return [torch.cat([b["image"] for b in loader]) for _ in range(2)]

    first, second = epochs(0)
    again = epochs(0)
    assert torch.equal(first, again[0])
    assert torch.equal(second, again[1])
    assert not torch.equal(first, second)
    assert not torch.equal(first, epochs(1)[0])
    with_workers = epochs(0, workers=2)
    assert torch.equal(first, with_workers[0])
    assert torch.equal(second, with_workers[1])


def test_epochs_can_be_set():
    sampler = EpochSampler(10, seed=3)
    all_epochs = [list(sampler) for _ in range(3)]
    sampler.set_epoch(2)
    assert list(sampler) == all_epochs[2]
    assert [epoch for _, epoch in all_epochs[2]] == [2] * 10


def test_draws_even_over_groups():
    groups = ["a"] * 90 + ["b"] * 8 + ["c"] * 2
    sampler = EpochSampler(100, seed=3, groups=groups)
    first, second = list(sampler), list(sampler)
    assert len(first) == len(sampler) == 100
    numbers = [number for _, number in first + second]
    assert numbers == list(range(200))  # each draw is augmented in its own way
    drawn = [groups[row] for row, _ in first + second]
    assert all(45 <= drawn.count(group) <= 90 for group in "abc")  # of 200, three alike likely
    assert {row for row, _ in first + second if groups[row] == "c"} == {98, 99}
    assert [row for row, _ in first] != [row for row, _ in second]
    sampler.set_epoch(1)
    assert list(sampler) == second
    assert list(EpochSampler(100, seed=4, groups=groups)) != first


@pytest.mark.parametrize("workers", [0, 2])
def test_training_is_drawn_evenly_over_class_and_background(root, workers):
    rows = [f"train,{name},{number},{'sea' if number else 'land'}" for name in ("cat", "dog")
            for number in range(12)]  # fmt: skip
    (root / "metadata.csv").write_text("\n".join(["split,class,id,style", *rows]) + "\n")
    data = folder(root, group_balanced=True, batch_size=24, workers=workers)
    data.setup("fit")
    train = data.dataset("train")
    assert sorted(set(train.groups())) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    loader = data.train_dataloader()
    batches = [batch for _ in range(8) for batch in loader]
    labels = torch.cat([batch["label"] for batch in batches])
    backgrounds = torch.cat([batch["background"] for batch in batches])
    assert len(labels) == 8 * 24
    for label, background in train.groups():
        share = ((labels == label) & (backgrounds == background)).float().mean()
        assert 0.15 < share < 0.35  # and not 1/24
    index = torch.cat([batch["index"] for batch in batches])
    alike = torch.cat([batch["image"] for batch in batches])[index == 0]
    assert len(alike) > 20
    assert len(alike.flatten(1).unique(dim=0)) == len(alike)  # augmented anew each time


def test_even_groups_need_backgrounds(root):
    data = folder(root, group_balanced=True)
    data.setup("fit")
    with pytest.raises(ValueError, match=r"split 'train'.*column 'style' of metadata\.csv"):
        data.train_dataloader()


def test_validation_is_neither_shuffled_nor_augmented(root):
    data = folder(root)
    data.setup("fit")
    first, second = (torch.cat([b["image"] for b in data.val_dataloader()]) for _ in range(2))
    assert torch.equal(first, second)
    plain = torch.stack([data.dataset("val")[row]["image"] for row in range(6)])
    assert torch.equal(first, plain)


def test_mask_share_is_for_training_alone(root):
    data = folder(root, mask_share=0.25, augmentation=Augmentation(swap=1.0))
    data.setup("fit")
    train = data.dataset("train")
    assert (train.masks_kept, train.masks_found) == (6, 24)
    masks = torch.cat([batch["mask"] for batch in data.train_dataloader()])
    assert int(masks.isfinite().flatten(1).all(1).sum()) == 6
    assert data.dataset("val").masks_kept == 6


def test_swapping_changes_the_background_and_not_the_object(root):
    swap = Augmentation(swap=1.0, swap_rim=0, flip=False, rotate=0, shift=0, scale=(1, 1), jitter=0)
    data = folder(root, augmentation=swap, mean=(0, 0, 0), std=(1, 1, 1))
    data.setup("fit")
    plain = data.dataset("train")
    differences = []
    for batch in data.train_dataloader():
        for image, mask, index in zip(batch["image"], batch["mask"], batch["index"], strict=True):
            before = plain[int(index)]["image"]
            inside = mask[0] == 1
            torch.testing.assert_close(image[:, inside], before[:, inside], atol=0.005, rtol=0)
            differences.append(float((image - before)[:, ~inside].abs().mean()))
    assert np.median(differences) > 0.1


def test_no_augmentation(root):
    data = folder(root, augmentation=None)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    expected = torch.stack([data.dataset("train")[int(i)]["image"] for i in batch["index"]])
    assert torch.equal(batch["image"], expected)


def test_predicting(root):
    data = folder(root, predict_folder=root / "val" / "images")
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    assert batch["label"].tolist() == [-1] * 6
    with pytest.raises(ValueError, match="set predict_folder"):
        folder(root).setup("predict")


def test_few_pictures_are_one_batch(root):
    data = folder(root, batch_size=64)
    data.setup("fit")
    assert [len(batch["label"]) for batch in data.train_dataloader()] == [24]
    assert data.steps == 1


def test_no_validation(root):
    data = folder(root, val_split=None)
    data.setup("fit")
    assert data.val_dataloader() == []


def test_setup_finds_broken_files(root):
    (root / "val" / "images" / "cat" / "0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"val.images.cat.0\.png: a picture that cannot be read"):
        folder(root).setup("fit")
    folder(root).setup("test")  # not its business


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"mask_share": 5}, r"mask_share must lie in \[0, 1\] \(0\.05 keeps 5 %"),
        ({"mask_share": 0, "augmentation": Augmentation(swap=0.5)}, "mask_share=0 keeps none"),
    ],
)
def test_wrong_options_fail_at_once(root, options, message):
    with pytest.raises(ValueError, match=message):
        folder(root, **options)


def test_missing_folders_fail_at_once(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere, found nothing"):
        folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="predict_folder"):
        folder(root, predict_folder=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        folder(root, augmentation=Augmentation(swap=0.5, swap_from=str(tmp_path / "nowhere")))


def test_no_test_splits(root):
    (root / "test_same").rename(root / "later")
    (root / "test_rand").rename(root / "never")
    with pytest.raises(ValueError, match=r"begins with 'test' .*later, never, train, val"):
        folder(root).setup("test")


def test_from_yaml(root, tmp_path):
    """As the command line makes it."""
    parser = ArgumentParser()
    parser.add_class_arguments(FolderData, "data")
    parser.add_argument("--config", action="config")
    config = tmp_path / "data.yaml"
    config.write_text(
        f"""
data:
  root: {root}
  size: 12
  workers: 0
  mask_share: 0.5
  mask_values: {{foreground: [255], ignore: [7]}}
  test_splits: [test_same]
  augmentation:
    rotate: 5
    scale: [0.8, 1.2]
    extra:
      - class_path: GaussianBlur
        init_args: {{p: 0.2}}
"""
    )
    data = parser.instantiate(parser.parse_args([f"--config={config}"])).data
    assert isinstance(data, FolderData)
    assert data.augmentation == Augmentation(
        rotate=5,
        scale=(0.8, 1.2),
        extra=({"class_path": "GaussianBlur", "init_args": {"p": 0.2}},),
    )
    assert data.mask_values == MaskValues(foreground=(255,), ignore=(7,))
    data.setup("fit")
    assert next(iter(data.train_dataloader()))["image"].shape == (24, 3, 12, 12)
    config.write_text(f"data:\n  root: {root}\n  augmentation: null\n")
    data = parser.instantiate(parser.parse_args([f"--config={config}"])).data
    assert data.augmentation is None


# ---------------------------------------------------------------- sushi, and real photos


@pytest.fixture
def small_sushi(tmp_path):
    return {
        "root": tmp_path / "sushi",
        "size": 32,
        "train": 16,
        "val": 8,
        "test": 8,
        "variants": ["original", "mixed_rand"],
        "render_workers": 1,
        "batch_size": 8,
        "workers": 0,
    }


def test_sushi_renders_when_needed(small_sushi):
    data = SushiData(**small_sushi, mask_share=0.5)
    assert data.num_classes == 8
    assert not small_sushi["root"].exists()
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert data.test_names == ("test_mixed_rand", "test_original")
    assert data.dataset("train").masks_kept == 8
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (8, 3, 32, 32)
    first = data.dataset("train").items[0]
    assert "style" in first.metadata
    # The labels are those of the folder module on the same folder.
    plain = FolderData(small_sushi["root"], size=32, workers=0)
    assert plain.class_names == data.class_names


def test_sushi_upper_bound_trains_on_random_plates(small_sushi):
    data = SushiData(**small_sushi, train_random=True)
    data.prepare_data()
    data.setup("fit")
    assert (
        data.dataset(data.train_split)
        .items[0]
        .path.is_relative_to(small_sushi["root"] / "train_random")
    )


def test_sushi_on_many_backgrounds_when_asked(small_sushi):
    assert SushiData(**small_sushi).parameters.adversarial == 0
    data = SushiData(**small_sushi, adversarial=1)
    assert data.test_names == ("test_adversarial", "test_mixed_rand", "test_original")
    names = [item.path.stem for item in data.dataset("test_adversarial").items]
    assert names == [f"00000_{number:02d}" for number in range(64)]
    assert {item.class_name for item in data.items("test_adversarial")} == {"buri"}


def test_sushi_options_fail_at_once(small_sushi):
    with pytest.raises(ValueError, match="rho"):
        SushiData(**small_sushi, rho=1.5)


def test_real_photos_or_a_written_folder(tmp_path):
    folder = PHOTOS or write_folder(tmp_path, splits={"train": 40, "val": 2, "test": 2})
    data = FolderData(folder, size=64, workers=0, mask_share=0.05)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert all(name.startswith("test") for name in data.test_names)
    train = data.dataset("train")
    assert train.masks_found > 0
    assert train.masks_kept == max(data.num_classes, round(0.05 * train.masks_found))
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (64, 3, 64, 64)
    assert batch["image"].isfinite().all()
