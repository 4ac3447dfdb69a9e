"""The data module of the far-away smiles, and its folder."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from visattn.data import TastyData
from visattn.data.generated.tasty import TastyParameters, render_tasty, tasty_cache

FEW = {"size": 64, "train": 8, "val": 4, "test": 8, "distances": [5, 20]}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("tasty") / "scenes"
    module = TastyData(root=root, **FEW, batch_size=4, workers=0, mean=(0,) * 3, std=(1,) * 3)
    module.prepare_data()
    for stage in ("fit", "test"):
        module.setup(stage)
    return module


def rows(data):
    with (data.root / "metadata.csv").open() as handle:
        return list(csv.DictReader(handle))


def test_splits_and_classes(data):
    assert data.class_names == ("not_tasty", "tasty")
    assert data.test_names == (
        "test",
        "test_distance_20",
        "test_distance_5",
        "test_without_faces",
    )
    assert len(data.dataset("train")) == 8
    for split in ("train", "val", *data.test_names):
        labels = [item.label for item in data.dataset(split).items]
        assert sum(labels) * 2 == len(labels)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (4, 3, 64, 64)
    assert batch["mask"].shape == (4, 1, 64, 64)


def test_the_mask_is_the_head_of_the_owner(data):
    told = {(row["split"], row["class"], row["id"]): row for row in rows(data)}
    for item in data.dataset("test").items:
        row = told["test", item.class_name, item.path.stem]
        assert item.metadata["colour"] == row["colour"]
        assert row["colours"].split()[int(row["diner"])] == row["colour"]
        assert row["smiles"][int(row["diner"])] == str(item.label)
        mask = np.asarray(Image.open(item.mask_path))
        faces, plate, buri = (
            np.asarray(Image.open(str(item.mask_path).replace("/masks/", f"/{part}/")))
            for part in ("faces", "plates", "buri")
        )
        assert (mask <= faces).all()
        assert faces.sum() > 3 * mask.sum()
        column = np.argwhere(mask > 127).mean(0)[1]
        assert int(column // 16) == int(row["diner"])
        middle = float(row["row"]), float(row["column"])
        assert np.allclose(np.argwhere(plate > 127).mean(0), middle, atol=0.06)
        assert buri[round(middle[0]), round(middle[1])] > 127


def test_without_faces_there_is_no_mask_to_find(data):
    assert sum(float(torch.as_tensor(i["mask"]).sum()) for i in data.dataset("test")) > 0
    assert all(not i["mask"].any() for i in data.dataset("test_without_faces"))


def test_training_may_show_empty_rings_with_either_answer(data, tmp_path):
    more = TastyData(root=tmp_path / "more", **{**FEW, "distances": []}, train_without_faces=4)
    more.prepare_data()
    train = more.dataset("train")
    assert len(train) == 12
    empty = [item for item in train if not item["mask"].any()]
    assert sorted(item["label"] for item in empty) == [0, 0, 1, 1]
    assert len({item["image"].numpy().tobytes() for item in empty}) == 2


def test_splits_show_other_scenes(data):
    def pictures(split):
        return {item["image"].numpy().tobytes() for item in data.dataset(split)}

    train, val, test = (pictures(split) for split in ("train", "val", "test"))
    assert not train & val
    assert not train & test
    assert not val & test
    assert len(train) == 8


def test_test_distances_differ_in_the_distance_alone(data):
    near, far = (
        {row["id"]: row for row in rows(data) if row["split"] == f"test_distance_{d}"}
        for d in (5, 20)
    )
    for name, row in near.items():
        other = far[name]
        assert float(other["row"]) > float(row["row"]) + 10
        for column in ("class", "column", "colour", "diner", "smiles", "colours"):
            assert row[column] == other[column]


def test_a_folder_is_rendered_once_and_never_mixed(data, tmp_path, monkeypatch):
    marker = data.root / "tasty.json"
    before = marker.stat().st_mtime_ns
    assert data.locate() == data.root
    assert marker.stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match="train is 8, wanted 12"):
        TastyData(root=data.root, **{**FEW, "train": 12}).locate()
    (tmp_path / "photo.png").touch()
    with pytest.raises(FileExistsError, match="holds no tasty scenes"):
        TastyData(root=tmp_path, **FEW).locate()
    monkeypatch.setenv("VISATTN_CACHE", str(tmp_path / "cache"))
    few = TastyParameters(train=4, val=4, test=4)
    assert render_tasty(few, progress=False) == tasty_cache(few)
    assert [path.name for path in tasty_cache(few).parent.iterdir()] == [few.key]
    assert TastyParameters(train=4, val=4, test=4, seed=1).key != few.key


def test_options_are_checked():
    for options, message in (
        ({"train": 6}, "train must be a multiple of 4 above 0, got 6"),
        ({"train_without_faces": 6}, "train_without_faces must be 0 or a multiple of 4, got 6"),
        ({"distances": [5, 5]}, "names one twice"),
        ({"distances": [40]}, "distance must lie in 0 to 30"),
        ({"scene_seed": -1}, "seed must not be negative"),
        ({"size": 40}, "size must be at least 48"),
    ):
        with pytest.raises(ValueError, match=message):
            TastyData(**options)
