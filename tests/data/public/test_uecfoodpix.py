import numpy as np
import pytest
import torch
from PIL import Image

from visattn.data import FoodPixData


def data(root, **options):
    options = {"size": 32, "batch_size": 4, "workers": 0, "val_share": 0.25} | options
    return FoodPixData(root, **options)


@pytest.mark.parametrize("split", ["trainval", "test"])
def test_the_food_of_most_pixels_is_class_and_mask(uecfoodpix, split):
    found = data(uecfoodpix).dataset(split)
    assert [item.label + 1 for item in found.items].count(7) == {"trainval": 4, "test": 2}[split]
    for row, item in enumerate(found.items):
        folder = item.path.parent.parent / "mask"
        red = np.array(Image.open(folder / f"{item.path.stem}.png"))[..., 0]
        counts = {int(value): int((red == value).sum()) for value in np.unique(red) if value}
        assert len(counts) == 2
        food = max(counts, key=counts.get)
        assert found[row]["label"] == item.label == food - 1
        assert torch.equal(found[row]["mask"][0], torch.from_numpy(red == food).float())


def test_names_and_numbers(uecfoodpix):
    module = data(uecfoodpix)
    assert module.num_classes == 102
    assert module.class_names[0] == "rice"
    assert module.class_names[6] == "sushi"
    assert module.class_names[101] == "food 102"  # not in the list, but in the masks
    told = {item.class_name for item in module.items("test")}
    assert told == {"rice", "sushi", "food 102"}


def test_splits(uecfoodpix):
    module = data(uecfoodpix, mask_share=0.5)
    for stage in ("fit", "test"):
        module.setup(stage)
    assert [len(module.dataset(name)) for name in ("train", "val", "test")] == [9, 3, 6]
    assert (module.dataset("train").masks_kept, module.dataset("val").masks_kept) == (5, 3)
    assert module.test_names == ("test",)
    assert not {i.path for i in module.items("train")} & {i.path for i in module.items("val")}
    batch = next(iter(module.train_dataloader()))
    assert batch["image"].shape == (4, 3, 32, 32)


@pytest.mark.parametrize("below", ["", "data", "data/UECFoodPIXCOMPLETE", ".."])
def test_any_folder_of_the_archive_will_do(uecfoodpix, below):
    assert len(data(uecfoodpix / below).items("test")) == 6


def test_a_mask_without_food_leaves_its_picture_out(uecfoodpix):
    mask = uecfoodpix / "data" / "UECFoodPIXCOMPLETE" / "test" / "mask" / "13.png"
    Image.new("RGB", (32, 32)).save(mask)
    assert [item.path.stem for item in data(uecfoodpix).items("test")] == [
        "14",
        "15",
        "16",
        "17",
        "18",
    ]


def test_missing_folders_and_masks(uecfoodpix, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"data/UECFoodPIXCOMPLETE/train/img; found nothing"
    ):
        data(tmp_path / "nowhere")
    inside = uecfoodpix / "data" / "UECFoodPIXCOMPLETE"
    (inside / "train" / "mask" / "3.png").unlink()
    with pytest.raises(ValueError, match=r"3\.jpg: a picture without a mask; expected .*3\.png"):
        data(uecfoodpix).items("train")
    (inside / "test" / "mask").rename(inside / "test" / "masks")
    with pytest.raises(FileNotFoundError, match=r"missing test/mask; .*mm\.cs\.uec\.ac\.jp"):
        data(uecfoodpix).items("test")
    (uecfoodpix / "data" / "category.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing category\.txt"):
        data(uecfoodpix)
