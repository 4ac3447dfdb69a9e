import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.datasets import ImageFolder

from visattn import audit
from visattn.data import ImageNet9Data
from visattn.data.public.imagenet9 import CLASSES, VARIANTS
from visattn.metrics import paired_difference


def data(root, **options):
    return ImageNet9Data(root, **({"size": 32, "batch_size": 9, "workers": 0} | options))


@pytest.mark.parametrize("variant", VARIANTS)
def test_labels_are_those_of_the_sorted_folders(imagenet9, variant):
    found = data(imagenet9).dataset(f"test_{variant}")
    theirs = dict(ImageFolder(imagenet9 / "bg_challenge" / variant / "val").samples)
    assert {str(item.path): item.label for item in found.items} == theirs
    assert len(found) == 18


@pytest.mark.parametrize(
    "variant", ["original", "mixed_same", "mixed_rand", "mixed_next", "only_fg"]
)
def test_the_mask_is_the_foregrounds(imagenet9, variant):
    found = data(imagenet9).dataset(f"test_{variant}")
    assert found.masks_found == 18
    for row, item in enumerate(found.items):
        own = item.path.name.removeprefix("fg_").split("_bg_")[0].removesuffix(".JPEG")
        folder = imagenet9 / "bg_challenge" / "fg_mask" / "val" / item.path.parent.name
        expected = torch.from_numpy(np.load(folder / f"{own}.npy")).float()
        assert torch.equal(found[row]["mask"][0], expected)


@pytest.mark.parametrize("variant", ["only_bg_b", "only_bg_t", "no_fg"])
def test_where_there_is_no_foreground_there_is_no_mask(imagenet9, variant):
    found = data(imagenet9).dataset(f"test_{variant}")
    assert found.masks_found == 0
    assert found[0]["mask"].isnan().all()


def test_variants_show_the_same_foregrounds_in_one_order(imagenet9):
    module = data(imagenet9)
    same, rand, first = (
        [(i.label, i.metadata["foreground"]) for i in module.items(f"test_{name}")]
        for name in ("mixed_same", "mixed_rand", "original")
    )
    assert same == rand == first
    assert len(set(same)) == 18
    assert module.items("test_mixed_same")[0].path.name != module.items("test_mixed_rand")[0].path


def test_splits_to_train_and_test_on(imagenet9):
    module = data(imagenet9)
    assert module.splits == ("train", "val", *module.test_names)
    assert module.test_names == tuple(f"test_{name}" for name in VARIANTS)
    for stage in ("fit", "test"):
        module.setup(stage)
    assert len(module.dataset("train")) == 27
    assert len(module.dataset("val")) == 9
    assert module.dataset("train").masks_found == 0
    assert module.class_names[6] == "musical instrument"
    batch = next(iter(module.train_dataloader()))
    assert batch["image"].shape == (9, 3, 32, 32)
    two = data(imagenet9, variants=["mixed_rand", "original"])
    assert two.test_names == ("test_mixed_rand", "test_original")


def test_other_training_sets_and_none(imagenet9):
    (imagenet9 / "in9l").rename(imagenet9 / "mixed_rand")
    assert len(data(imagenet9, train_folder="mixed_rand").dataset("train")) == 27
    module = data(imagenet9)
    module.setup("test")
    with pytest.raises(FileNotFoundError, match=r"missing in9l/train; found .*#training-data"):
        module.setup("fit")


@pytest.mark.parametrize(
    ("kind", "values"), [("integers", np.uint8), ("fractions", np.float32), ("truth", bool)]
)
def test_masks_of_any_number_format(imagenet9, kind, values):
    path = next((imagenet9 / "bg_challenge" / "fg_mask" / "val" / "00_dog").glob("*_10023.npy"))
    inside = np.load(path)
    np.save(path, inside.astype(values))
    mask = data(imagenet9).dataset("test_original")[0]["mask"]
    assert torch.equal(mask[0], torch.from_numpy(inside).float())


def test_masks_that_are_wrong(imagenet9):
    path = next((imagenet9 / "bg_challenge" / "fg_mask" / "val" / "00_dog").glob("*_10023.npy"))
    np.save(path, np.ones((16, 16), bool))
    with pytest.raises(ValueError, match=r"mask is 16 x 16 pixels, its picture .* is 32 x 32"):
        data(imagenet9).setup("test")
    np.save(path, np.full((32, 32), 300))
    with pytest.raises(ValueError, match="holds values from 300 to 300"):
        data(imagenet9).dataset("test_original")[0]
    np.save(path, np.ones((32, 32, 3), bool))
    with pytest.raises(
        ValueError, match=r"has the shape \(32, 32, 3\), expected \(height, width\)"
    ):
        data(imagenet9).dataset("test_original")[0]
    path.write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"10023\.npy: a mask that cannot be read"):
        data(imagenet9).setup("test")
    with pytest.raises(ValueError, match=r"cannot read the mask .*10023\.npy"):
        data(imagenet9).dataset("test_original")[0]


def test_missing_folders(imagenet9, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"ImageNet-9 at .*missing bg_challenge.*MadryLab"):
        data(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no split 'mixed_rnd'.*did you mean 'mixed_rand'"):
        data(imagenet9, variants=["mixed_rnd"])
    (imagenet9 / "bg_challenge" / "no_fg").rename(imagenet9 / "away")
    assert "test_no_fg" not in data(imagenet9).test_names
    with pytest.raises(FileNotFoundError, match="missing no_fg/val"):
        data(imagenet9, variants=["no_fg"])
    (imagenet9 / "bg_challenge" / "original" / "val" / "03_reptile").rename(imagenet9 / "gone")
    with pytest.raises(FileNotFoundError, match="missing 03_reptile; found a folder with 00_dog"):
        data(imagenet9).items("test_original")
    for path in (imagenet9 / "bg_challenge" / "only_fg" / "val" / "08_fish").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="08_fish: no pictures in this class folder"):
        data(imagenet9).items("test_only_fg")


def test_two_pictures_of_one_foreground_are_refused(imagenet9):
    folder = imagenet9 / "bg_challenge" / "mixed_rand" / "val" / "00_dog"
    first = min(folder.iterdir())
    second = folder / f"{first.stem.partition('_bg_')[0]}_bg_n09999999_3.png"
    second.write_bytes(first.read_bytes())
    module = data(imagenet9)
    with pytest.raises(
        ValueError, match=r"n09999999_3\.png: shows the foreground n0208\S+, as fg_"
    ):
        module.items("test_mixed_rand")
    assert len(module.items("test_mixed_same")) == 18


PUBLISHED = {name.replace("_", "-"): name for name in VARIANTS}
LEVELS = {name: 20 * (place + 1) for place, name in enumerate(PUBLISHED)}
"""A grey of its own for each variant, by which a model knows what it is shown."""


@pytest.fixture
def greys(imagenet9):
    """The release, every variant in a grey of its own; mixed-rand lacks one fish."""
    for variant, name in PUBLISHED.items():
        for path in (imagenet9 / "bg_challenge" / name / "val").rglob("*.JPEG"):
            Image.new("RGB", (32, 32), (LEVELS[variant],) * 3).save(path, quality=100)
    fish = imagenet9 / "bg_challenge" / "mixed_rand" / "val" / "08_fish"
    min(fish.iterdir()).unlink()
    return imagenet9


class ByGrey:
    """Answers dog to half of the variants and fish to the others, by the grey that it sees."""

    def __init__(self, classes=9, fish=8):
        self.classes, self.fish = classes, fish

    def __call__(self, images):
        level = images[:, 0, 0, 0] * 0.229 + 0.485
        place = (level * 255 / 20).round().long() - 1
        logits = torch.zeros(len(images), self.classes)
        logits[torch.arange(len(images)), torch.where(place % 2 == 0, 0, self.fish)] = 1
        return logits


def quick(model, pictures, **options):
    shown = {"adversarial": 0, "noise": 0, "cases": 0, "progress": False}
    return audit(model, pictures, **(shown | options))


@pytest.mark.parametrize("given", ["module", "dataset"])
def test_an_audit_takes_the_published_variants(greys, given):
    module = data(greys)
    found = quick(ByGrey(), module if given == "module" else module.dataset("test_original"))
    assert found.settings["split"] == "test_original"
    assert set(found.accuracies) == set(PUBLISHED)
    assert set(found.made.values()) == {"given"}
    for variant, share in found.accuracies.items():
        assert (share.count, share.images) == (2, 17 if variant == "mixed-rand" else 18)
    assert found.left_out["pictures have no mixed-rand"] == 1
    # Of 17 pairs mixed-same, as fish, has the one fish left, and mixed-rand, as dog, both dogs.
    assert found.gap == paired_difference(both=0, only_first=1, only_second=2, neither=14)
    assert found.flip_rate.value == 0
    assert found.flips["original", "mixed-same"].value == 1
    assert "test_mixed_same" in found.settings["notes"][-1]


def test_an_audit_makes_composites_of_it_when_told_to(imagenet9):
    found = quick(ByGrey(), data(imagenet9), composites=True)
    assert found.made["mixed-rand"] == found.made["only-bg-t"] == "composed"
    assert found.accuracies["mixed-rand"].images == 18


def test_an_audit_takes_another_split_of_a_module(imagenet9):
    module = data(imagenet9)
    with pytest.raises(ValueError, match=r"no split 'test_mixed_ran'.*test_mixed_rand"):
        quick(ByGrey(), module, split="test_mixed_ran")
    found = quick(ByGrey(), module, split="test_only_fg")
    assert found.settings["split"] == "test_only_fg"
    assert found.made["mixed-same"] == "composed"


def test_the_map_of_the_challenge_gives_each_logit_a_class_number(greys):
    """``in_to_in9.json`` has the thousand logits of ImageNet, -1 for those of no class."""
    official = {str(logit): logit % 10 - 1 for logit in range(1000)}
    dog, fish, none = 721, 39, 990
    assert [official[str(logit)] for logit in (dog, fish, none)] == [0, 8, -1]

    def model(images):
        named = ByGrey()(images)
        logits = torch.zeros(len(images), 1000)
        logits[:, dog], logits[:, fish] = named[:, 0], named[:, 8]
        return logits

    found = quick(model, data(greys), class_map=official)
    assert (found.accuracies["original"].count, found.accuracies["original"].images) == (2, 18)
    nothing = quick(ByGrey(1000, none), data(greys), class_map={**official, "0": 0})
    assert nothing.accuracies["mixed-same"].count == 0
    assert nothing.accuracies["original"].count == 2


def test_an_audit_takes_it(imagenet9):
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 9))
    found = audit(network, data(imagenet9).dataset("test_original"))
    assert found.classes == CLASSES
    assert found.accuracies["mixed-rand"].images == 18
