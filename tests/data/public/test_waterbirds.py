import csv

import numpy as np
import pytest
import torch
from PIL import Image

from visattn.data import WaterbirdsData


def data(root, **options):
    return WaterbirdsData(root, **({"size": 32, "batch_size": 8, "workers": 0} | options))


def rows(root, split):
    with (root / "metadata.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["split"] == split]


@pytest.mark.parametrize(("split", "number"), [("train", "0"), ("val", "1"), ("test", "2")])
def test_labels_places_and_masks(waterbirds, split, number):
    found = data(waterbirds).dataset(split)
    expected = rows(waterbirds, number)
    assert len(found) == len(expected) > 0
    assert found.background_names == ("land", "water")
    for row, told in enumerate(expected):
        item = found[row]
        assert found.items[row].path == waterbirds / told["img_filename"]
        assert item["label"] == int(told["y"])
        assert item["background"] == int(told["place"])
        name = told["img_filename"].replace(".jpg", ".png")
        grey = np.array(Image.open(waterbirds.parent / "segmentations" / name))
        torch.testing.assert_close(item["mask"][0], torch.from_numpy(grey / np.float32(255)))
        assert {0.0, 1.0} < set(item["mask"].unique().tolist())  # some in between: it is alpha


def test_classes_and_splits(waterbirds):
    module = data(waterbirds)
    assert module.class_names == ("landbird", "waterbird")
    assert module.splits == ("train", "val", "test")
    assert module.test_names == ("test",)
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    assert batch["background"].dtype == batch["label"].dtype == torch.int64
    told = {(i.class_name, i.metadata["style"]) for i in module.dataset("test").items}
    assert len(told) == 4


def test_segmentations_may_be_elsewhere_or_nowhere(waterbirds, tmp_path):
    beside = tmp_path / "segmentations"
    beside.rename(tmp_path / "cub")
    assert data(waterbirds).dataset("train").masks_found == 0
    there = data(waterbirds, segmentations=tmp_path / "cub")
    assert there.dataset("train").masks_found == 16
    (tmp_path / "cub").rename(waterbirds / "segmentations")
    assert data(waterbirds).dataset("train").masks_found == 16
    with pytest.raises(FileNotFoundError, match=r"the segmentations of CUB-200-2011.*caltech"):
        data(waterbirds, segmentations=tmp_path / "cub")


def test_some_masks_alone(waterbirds):
    assert data(waterbirds, mask_share=0.25).dataset("train").masks_kept == 4
    (waterbirds.parent / "segmentations" / "004.Groove_billed_Ani").rename(waterbirds / "away")
    found = data(waterbirds).dataset("train")
    assert found.masks_found == 8
    assert found[0]["mask"].isnan().all()


def test_missing_files_and_columns(waterbirds, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing metadata\.csv; found nothing.*group_DRO"):
        data(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="found a folder with segmentations, waterbird_"):
        data(tmp_path)
    path = waterbirds / "metadata.csv"
    text = path.read_text()
    path.write_text(text.replace("place,", "palce,", 1))
    with pytest.raises(ValueError, match=r"expected the columns .* missing place"):
        data(waterbirds).items("train")
    path.write_text(text.replace(".jpg,0,0,0,", ".jpg,2,0,0,", 1))
    with pytest.raises(ValueError, match=r"line 2: y and place must be 0 or 1, got '2' and '0'"):
        data(waterbirds).items("train")
    path.write_text(text)
    (waterbirds / rows(waterbirds, "0")[3]["img_filename"]).unlink()
    with pytest.raises(ValueError, match=r"(?s)1 problem in the split 'train'.*cannot be read"):
        data(waterbirds).setup("fit")
    with pytest.raises(ValueError, match="There are train, val, test"):
        data(waterbirds).items("minority")
