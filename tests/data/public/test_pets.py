import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import OxfordIIITPet

from visattn.data import Augmentation, PetData
from visattn.data.layout import Item
from visattn.data.public.held_out import hold_out


def data(root, **options):
    return PetData(
        root, **({"size": 32, "batch_size": 4, "workers": 0, "val_share": 0.25} | options)
    )


@pytest.mark.parametrize("split", ["trainval", "test"])
def test_classes_labels_and_trimaps_are_torchvisions(pets, split):
    ours = data(pets).dataset(split)
    theirs = OxfordIIITPet(pets, split=split, target_types=("category", "segmentation"))
    assert list(ours.class_names) == theirs.classes == ["Abyssinian", "American Bulldog", "Bengal"]
    assert len(ours) == len(theirs) == {"trainval": 12, "test": 6}[split]
    for row, (_, (label, trimap)) in enumerate(theirs):
        item = ours[row]
        assert item["label"] == label
        values = torch.from_numpy(np.array(trimap))
        expected = torch.where(values == 3, torch.nan, (values == 1).float())
        torch.testing.assert_close(item["mask"][0], expected, rtol=0, atol=0, equal_nan=True)
        assert 0 < int((values == 3).sum()) < values.numel()


def test_val_is_held_out_of_trainval_by_breed(pets):
    splits = {name: data(pets).items(name) for name in ("train", "val", "trainval", "test")}
    train, val, whole = ({i.path for i in splits[name]} for name in ("train", "val", "trainval"))
    assert not train & val
    assert train | val == whole
    assert not whole & {i.path for i in splits["test"]}
    assert sorted(item.label for item in splits["val"]) == [0, 1, 2]
    assert [i.path for i in data(pets).items("val")] == [i.path for i in splits["val"]]


def test_the_species_is_told(pets):
    told = {item.class_name: item.metadata["species"] for item in data(pets).items("test")}
    assert told == {"Abyssinian": "cat", "American Bulldog": "dog", "Bengal": "cat"}


def test_the_folder_itself_will_do(pets):
    assert data(pets / "oxford-iiit-pet").items("test") == data(pets).items("test")


def test_loaders_and_shares_of_masks(pets):
    module = data(pets, mask_share=0.4, augmentation=Augmentation(swap=0.5))
    for stage in ("fit", "test"):
        module.setup(stage)
    assert module.test_names == ("test",)
    assert module.dataset("train").masks_kept == 4
    assert module.dataset("val").masks_kept == 3
    batches = list(module.train_dataloader())
    assert [batch["image"].shape for batch in batches] == [(4, 3, 32, 32)] * 2
    assert all(batch["image"].isfinite().all() for batch in batches)
    assert set(torch.cat([batch["background"] for batch in batches]).tolist()) == {-1}


def test_pictures_of_any_shape_become_squares(pets):
    folder = pets / "oxford-iiit-pet"
    wide = Image.new("RGB", (48, 20), (10, 20, 30))
    wide.save(folder / "images" / "Abyssinian_1.jpg")
    Image.new("L", (48, 20), 2).save(folder / "annotations" / "trimaps" / "Abyssinian_1.png")
    module = data(pets, size=16, train_split="trainval", val_split=None)
    module.setup("fit")
    assert not module.dataset("trainval")[0]["mask"].any()


def test_a_missing_folder_says_what_and_where_from(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        data(tmp_path)
    told = str(caught.value)
    for words in ("oxford-iiit-pet", "annotations/trainval.txt", "found nothing", "download"):
        assert words in told
    assert "https://www.robots.ox.ac.uk/~vgg/data/pets/" in told


def test_download_is_torchvisions(tmp_path, monkeypatch):
    asked = []

    def download(self):
        asked.append(str(self.root))
        raise ConnectionError("no network")

    monkeypatch.setattr(OxfordIIITPet, "_download", download)
    with pytest.raises(ConnectionError):
        data(tmp_path, download=True)
    assert asked == [str(tmp_path)]


def test_broken_lists_and_wrong_options(pets):
    with pytest.raises(ValueError, match=r"did you mean 'val'.*There are train, val, trainval"):
        data(pets).items("vall")
    with pytest.raises(ValueError, match="val_share must lie between 0 and 1, got 0"):
        data(pets, val_share=0)
    with pytest.raises(TypeError, match="sise"):
        data(pets, sise=3)
    listed = pets / "oxford-iiit-pet" / "annotations" / "trainval.txt"
    listed.write_text("# CLASS-ID\nAbyssinian_1 1 1\n")
    with pytest.raises(ValueError, match=r"trainval\.txt, line 2: expected NAME CLASS SPECIES"):
        data(pets).items("trainval")


def test_a_mask_with_another_value_is_named(pets):
    path = pets / "oxford-iiit-pet" / "annotations" / "trimaps" / "Bengal_6.png"
    Image.new("L", (32, 32), 7).save(path)
    with pytest.raises(ValueError, match=r"Bengal_6\.png.*values \[7\] are neither foreground"):
        data(pets).dataset("test")[5]


def test_hold_out_keeps_a_lone_picture_for_training(tmp_path):
    items = [Item(tmp_path / f"{n}.png", label=int(n > 0)) for n in range(11)]
    train, val = hold_out(items, share=0.1, seed=1)
    assert [item.label for item in val] == [1]
    assert items[0] in train
    assert [*train, *val] != items
    assert hold_out(items, share=0.1, seed=1) == (train, val)
    drawn = {hold_out(items, share=0.1, seed=seed)[1][0].path for seed in range(8)}
    assert len(drawn) > 1
