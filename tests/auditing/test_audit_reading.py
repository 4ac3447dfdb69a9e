"""How an audit prepares pictures, and that it says how it did."""

import json
import shutil

import pytest
import torch
from coloured_squares import BACKGROUNDS, picture, write
from torch import nn

import visattn
from visattn.data import FolderData, FolderDataset, MaskValues
from visattn.data.decoding import Decoder
from visattn.training.data_facts import data_facts

FAST = {"adversarial": 0, "noise": 0, "cases": 0, "progress": False}


class Recording(nn.Module):
    """Notes the corner of each first picture; knows how its images were normalised, if told."""

    def __init__(self, **facts):
        super().__init__()
        self.data_facts, self.seen = facts, []

    def forward(self, images):
        self.seen.append(images[0, :, 0, 0].tolist())
        return images[:, :, 8, 8]


def normalised(mean, std):
    """The corner of the first picture."""
    return [(value / 255 - mean) / std for value in BACKGROUNDS[0]]


def test_the_classifiers_normalisation_goes_before_the_data_sets(toy):
    data = FolderDataset(toy, split="test", size=16)
    model = Recording(mean=[0.5] * 3, std=[0.25] * 3)
    found = visattn.audit(model, data, **FAST)
    assert model.seen[0] == pytest.approx(normalised(0.5, 0.25), abs=1e-5)
    assert found.settings["mean"] == [0.5] * 3
    model.seen.clear()
    visattn.audit(model, data, **FAST, mean=[0.1] * 3)
    assert model.seen[0] == pytest.approx(normalised(0.1, 0.25), abs=1e-5)


def test_what_timm_says_goes_before_the_data_set(toy):
    model = Recording()
    model.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
    visattn.audit(model, FolderDataset(toy, split="test", size=16), **FAST)
    assert model.seen[0] == pytest.approx(normalised(0.5, 0.5), abs=1e-5)


def test_without_a_word_of_the_classifier_the_data_sets_counts(toy):
    model = Recording()
    data = FolderDataset(toy, split="test", size=16, mean=(0.2, 0.2, 0.2), std=(0.4, 0.4, 0.4))
    visattn.audit(model, data, **FAST)
    assert model.seen[0] == pytest.approx(normalised(0.2, 0.4), abs=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 64}, "size=64 is for a folder.*with size=16"),
        ({"fit": "crop"}, "fit='crop' is for a folder.*with fit='stretch'"),
        ({"mask_values": MaskValues(foreground=(1,))}, "mask_values=.* is for a folder"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_data_set_reads_its_pictures_itself(toy, given, message):
    data = FolderDataset(toy, split="test", size=16, fit="stretch")
    with pytest.raises(ValueError, match=message):
        visattn.audit(Recording(), data, **FAST, **given)


class Own:
    """A data set that says nothing of how it reads."""

    def __init__(self, data):
        self.items, self.class_names, self.decoded = data.items, data.class_names, data.decoded


def test_the_settings_say_how_a_data_set_read(toy, tmp_path):
    values = MaskValues(threshold=9)
    data = FolderDataset(toy, split="test", size=16, fit="stretch", mask_values=values)
    model = Recording(size=32, fit="crop")
    found = visattn.audit(model, data, **FAST, size=16).settings
    assert (found["size"], found["fit"]) == (16, "stretch")
    assert found["mask_values"]["threshold"] == 9
    found = visattn.audit(model, Own(data), **FAST).settings
    assert (found["size"], found["fit"], found["mask_values"]) == (16, None, None)
    with pytest.raises(ValueError, match="size=16 is for a folder: the data set reads"):
        visattn.audit(model, Own(data), **FAST, size=16)


@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_backgrounds_are_fitted_as_the_pictures_are(toy, fit, monkeypatch, tmp_path):
    used = []
    call = Decoder.__call__

    def noted(self, item):
        used.append((item.path.name, self.fit))
        return call(self, item)

    monkeypatch.setattr(Decoder, "__call__", noted)
    write(tmp_path, "none", "none", "behind", picture((9, 9, 9), (9, 9, 9)), None)
    data = FolderDataset(toy, split="test", size=16, fit=fit)
    visattn.audit(Recording(), data, **FAST, limit=4, backgrounds=tmp_path)
    assert {way for name, way in used if name == "behind.png"} == {fit}


def test_all_that_was_asked_for_is_written_down(toy, tmp_path):
    root = tmp_path / "toy"
    shutil.copytree(toy, root)
    rows = [f"test,{path.parent.name},{path.stem},red" for path in root.glob("test/images/*/*.png")]
    (root / "metadata.csv").write_text("\n".join(["split,class,id,plate", *rows]))
    asked = {
        "class_map": {"a": 0, "b": range(1, 2), "c": [2]},
        "composites": True,
        "background_column": "plate",
        "mask_values": MaskValues(threshold=3),
        "adversarial": 2,
        "noise": 0.5,
        "cases": 1,
        "limit": 9,
        "seed": 3,
        "split": "test",
        "size": 16,
        "fit": "stretch",
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    first = visattn.audit(Recording(), root, progress=False, **asked)
    first.save(tmp_path)
    kept = json.loads((tmp_path / "audit.json").read_text())["settings"]
    assert kept["class_map"] == {"a": 0, "b": [1], "c": [2]}
    assert kept["adversarial"] == 2
    assert kept["flips_only"] is False
    again = {name: kept[name] for name in (*asked, "flips_only")}
    again["mask_values"] = MaskValues(**again["mask_values"])
    second = visattn.audit(Recording(), kept["data"], progress=False, **again)
    assert second.as_dict() == first.as_dict()


def test_mask_values_of_the_training_are_taken(of_two_values):
    with pytest.raises(ValueError, match=r"""--mask_values '{"foreground": \[1\]}'"""):
        visattn.audit(Recording(size=16), of_two_values, **FAST)
    data = FolderData(of_two_values, train_split="test", mask_values=MaskValues(foreground=(1,)))
    facts = data_facts(data)
    assert facts["mask_values"]["foreground"] == [1]
    found = visattn.audit(Recording(**{**facts, "size": 16}), of_two_values, **FAST)
    assert found.settings["mask_values"]["foreground"] == [1]
    assert found.accuracies["mixed-rand"].value == 1
    with pytest.raises(ValueError, match=r"marks anything.*--mask_values"):
        visattn.audit(
            Recording(**{**facts, "size": 16}),
            of_two_values,
            **FAST,
            mask_values=MaskValues(foreground=(255,)),
        )


def test_who_sees_no_background_is_not_audited(toy):
    facts = data_facts(FolderData(toy, train_split="test", masked=True))
    assert facts["masked"] is True
    with pytest.raises(ValueError, match=r"cut out with their true masks \(data.masked: true\)"):
        visattn.audit(Recording(**facts), toy, **FAST)
    data = FolderDataset(toy, split="test", size=16, masked=True)
    with pytest.raises(ValueError, match="masked=True, but an audit shows whole pictures"):
        visattn.audit(Recording(), data, **FAST)
    data = FolderDataset(toy, split="test", size=16, mask_form="box")
    with pytest.raises(ValueError, match="mask_form='box', but an audit cuts objects out"):
        visattn.audit(Recording(), data, **FAST)


def test_facts_are_plain(toy):
    facts = data_facts(FolderData(toy, train_split="test"))
    assert "masked" not in facts
    assert torch.tensor(facts["mean"]).shape == (3,)
    assert json.loads(json.dumps(facts)) == facts
