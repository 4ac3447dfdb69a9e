"""Spawrious and MetaShift on small files of the layout in which they are published."""

import os
import pickle
from collections import Counter

import numpy as np
import pytest
from conftest import photo, save

from visattn.data import MetaShiftData, SpawriousData
from visattn.data.public.recognition import published_data
from visattn.data.public.spawrious import combinations

PLACES = ("beach", "desert", "dirt", "jungle", "mountain", "snow")
BREEDS = ("bulldog", "corgi", "dachshund", "labrador")


@pytest.fixture
def spawrious(tmp_path):
    draw = np.random.default_rng(0)
    for folder in ("0", "1"):
        for place in PLACES:
            for breed in BREEDS:
                for number in range(2):
                    name = f"{place}_{breed}_{number}.png"
                    save(tmp_path / "spawrious224" / folder / place / breed / name, photo(draw, 8))
    return tmp_path


def groups(data, split):
    return Counter((item.class_name, item.metadata["style"]) for item in data.items(split))


def test_places_of_spawrious(spawrious):
    data = SpawriousData(spawrious, size=8, workers=0, batch_size=4)
    assert data.class_names == BREEDS
    own = {"bulldog": "desert", "dachshund": "jungle", "labrador": "dirt", "corgi": "snow"}
    both = dict.fromkeys(own.items(), 4)
    assert groups(data, "trainval") == both | {(breed, "beach"): 4 for breed in BREEDS}
    other = {"bulldog": "dirt", "dachshund": "snow", "labrador": "desert", "corgi": "jungle"}
    assert groups(data, "test") == dict.fromkeys(other.items(), 4)
    assert groups(data, "train") + groups(data, "val") == groups(data, "trainval")
    found = data.dataset("test")
    assert found[0]["label"] == BREEDS.index(found.items[0].class_name)
    assert set(found.background_names) == set(other.values())
    many = SpawriousData(spawrious / "spawrious224", benchmark="m2m_hard")
    assert set(groups(many, "trainval")) == {
        *(("bulldog", place) for place in ("dirt", "jungle")),
        *(("dachshund", place) for place in ("dirt", "jungle")),
        *(("labrador", place) for place in ("snow", "beach")),
        *(("corgi", place) for place in ("snow", "beach")),
    }
    assert not set(groups(many, "test")) & set(groups(many, "trainval"))
    assert type(published_data(spawrious)) is SpawriousData


def test_shares_of_spawrious():
    wanted = combinations("o2o_hard", split="trainval")
    counts = {(number, place, breed): count for number, place, breed, count in wanted}
    assert counts[0, "jungle", "bulldog"] == 3072
    assert counts[0, "beach", "bulldog"] == 96
    assert counts[1, "jungle", "bulldog"] == 2756
    assert counts[1, "beach", "corgi"] == 412


def test_a_benchmark_that_is_not_there(spawrious, tmp_path):
    with pytest.raises(ValueError, match="benchmark must be one of o2o_easy"):
        SpawriousData(spawrious, benchmark="o2o")
    (spawrious / "spawrious224" / "1" / "beach" / "corgi").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match="missing 1/beach/corgi"):
        SpawriousData(spawrious).items("train")


GROUPED = {"cat": {"indoor": 5, "outdoor": 1}, "dog": {"indoor": 1, "outdoor": 5}}


@pytest.fixture(params=["mixed", "unmixed"])
def metashift(tmp_path, request):
    """As the scripts write it, all of a class in one folder or one for each context."""
    draw, listed, number = np.random.default_rng(0), {}, 2300000
    for split in ("train", "val_out_of_domain" if request.param == "mixed" else "test"):
        for name, contexts in GROUPED.items():
            for context, count in contexts.items():
                group = f"{name}({context})"
                for _ in range(count if split == "train" else 2):
                    number += 1
                    inner = group if request.param == "unmixed" else ""
                    save(tmp_path / split / name / inner / f"{number}.jpg", photo(draw, 8))
                    listed.setdefault(group, []).append(str(number))
    (tmp_path / "imageID_to_group.pkl").write_bytes(pickle.dumps(listed))
    return tmp_path


def test_contexts_of_metashift(metashift):
    data = MetaShiftData(metashift, size=8, workers=0)
    assert data.class_names == ("cat", "dog")
    expected = {(name, c): n for name, contexts in GROUPED.items() for c, n in contexts.items()}
    assert groups(data, "trainval") == expected
    assert set(groups(data, "test").values()) == {2}
    assert len(groups(data, "test")) == 4
    assert data.dataset("test").background_names == ("indoor", "outdoor")
    assert type(published_data(metashift)) is MetaShiftData


class Bad:
    def __reduce__(self):
        return os.system, ("true",)


def test_a_pickle_of_something_else_runs_nothing(metashift, tmp_path):
    path = metashift / "imageID_to_group.pkl"
    path.write_bytes(pickle.dumps({"cat(indoor)": Bad()}))
    with pytest.raises(ValueError, match=r"names of pictures \(it holds posix\.system\)"):
        MetaShiftData(metashift).items("test")
    with pytest.raises(FileNotFoundError, match="missing train, test or val_out_of_domain"):
        MetaShiftData(tmp_path / "nowhere")
