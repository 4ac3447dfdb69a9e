"""A public data set is known by its layout, and audited by the path of its folder."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

from visattn import audit
from visattn.cli import main
from visattn.data import FoodPixData, ImageNet9Data, PetData, WaterbirdsData
from visattn.data.public.recognition import published_data

SETS = {
    "waterbirds": WaterbirdsData,
    "imagenet9": ImageNet9Data,
    "pets": PetData,
    "uecfoodpix": FoodPixData,
}
OTHER_PLACES = {
    "imagenet9": "bg_challenge",
    "pets": "oxford-iiit-pet",
    "uecfoodpix": "data/UECFoodPIXCOMPLETE",
}
"""Folders inside that are taken, too."""
TEST = {
    "waterbirds": ("test", 40),
    "imagenet9": ("test_original", 18),
    "pets": ("test", 6),
    "uecfoodpix": ("test", 6),
}
"""The split that is audited, and how many pictures it has."""
QUICK = {"adversarial": 2, "noise": 0, "cases": 0, "progress": False}


def first_logit(images):
    """Logits that answer the first class, whatever is shown."""
    logits = torch.zeros(len(images), 102)
    logits[:, 0] = 1
    return logits


def answering(classes):
    return lambda images: first_logit(images)[:, :classes]


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_known_by_its_layout(name, request):
    root = request.getfixturevalue(name)
    found = published_data(root, size=40, fit="stretch")
    assert type(found) is SETS[name]
    assert found.reading["size"] == 40
    assert found.reading["fit"] == "stretch"
    assert found.class_names == SETS[name](root).class_names
    if name in OTHER_PLACES:
        inside = published_data(root / OTHER_PLACES[name], size=40)
        assert type(inside) is SETS[name]
        assert inside.items("test_original" if name == "imagenet9" else "test")


def test_other_folders_are_none(tmp_path, waterbirds):
    assert published_data(tmp_path / "nothing") is None
    assert published_data(waterbirds.parent) is None  # the folder above
    own = tmp_path / "own"
    (own / "test" / "images" / "a").mkdir(parents=True)
    assert published_data(own) is None
    (own / "metadata.csv").write_text("split,class,id,style\ntest,a,0,black\n")
    assert published_data(own) is None


def test_a_set_that_is_not_whole_says_what_is_missing(uecfoodpix, pets):
    (uecfoodpix / "data" / "category.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing category\.txt"):
        audit(first_logit, uecfoodpix, **QUICK)
    (pets / "oxford-iiit-pet" / "annotations" / "test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected Oxford-IIIT Pet.*test\.txt"):
        audit(first_logit, pets, **QUICK)


@pytest.mark.parametrize("name", SETS)
def test_an_audit_of_the_path_is_that_of_the_module(name, request):
    root = request.getfixturevalue(name)
    module = SETS[name](root, size=24)
    model = answering(module.num_classes)
    by_path = audit(model, str(root), size=24, **QUICK)
    by_module = audit(model, module, **QUICK)
    assert by_path.as_dict() == by_module.as_dict()
    assert by_path.settings["size"] == 24
    split, images = TEST[name]
    assert by_path.settings["split"] == split
    assert by_path.accuracies["original"].images == images
    of_first = sum(item.label == 0 for item in module.items(split))
    assert by_path.accuracies["original"].count == of_first
    assert by_path.flip_rate.value == 0


def test_waterbirds_are_grouped_by_their_place(waterbirds):
    found = audit(answering(2), waterbirds, size=24, **QUICK)
    worst = found.worst_groups["original"]
    assert worst.groups == 4
    assert (worst.accuracy.count, worst.accuracy.images) == (0, 10)
    assert worst.label == 1
    assert worst.background in ("land", "water")


def test_other_splits_and_wrong_words(waterbirds):
    found = audit(answering(2), waterbirds, split="val", size=24, **QUICK)
    assert found.accuracies["original"].images == 8
    with pytest.raises(ValueError, match=r"no split 'tset'.*did you mean 'test'"):
        audit(answering(2), waterbirds, split="tset", **QUICK)
    shutil.rmtree(waterbirds.parent / "segmentations")
    with pytest.raises(ValueError, match=r"0 of 40 pictures.*Waterbirds in CUB's segmentations"):
        audit(answering(2), waterbirds, **QUICK)


def test_the_command_takes_the_folder(waterbirds, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VISATTN_TUNE_PROCESS", "0")
    meant = tmp_path / "birds.json"
    meant.write_text(json.dumps({"landbird": list(range(500)), "waterbird": list(range(500, 900))}))
    out = tmp_path / "out"
    words = ["audit", "--model=resnet10t", f"--data={waterbirds}", f"--class-map={meant}"]
    more = ["--size=32", "--limit=12", "--adversarial=2", "--cases=2", f"--out={out}"]
    assert main([*words, *more]) == 0
    assert "mixed-rand" in capsys.readouterr().out
    kept = json.loads((out / "audit.json").read_text())
    assert kept["classes"] == ["landbird", "waterbird"]
    assert kept["accuracies"]["original"]["images"] == 12
    assert (out / "flips.png").is_file()


def test_telling_sets_apart_loads_no_lightning(tmp_path):
    code = (
        "import sys, pathlib; from visattn.data.public.recognition import published_data; "
        f"assert published_data(pathlib.Path({str(tmp_path)!r})) is None; "
        "sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
