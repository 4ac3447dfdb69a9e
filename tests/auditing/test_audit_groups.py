"""Worst groups and RFS through the whole audit, where both can be counted by hand."""

import csv
import io
import json
import math
import shutil

import pytest
import torch
from coloured_squares import (
    BACKGROUNDS,
    EACH,
    FIRST,
    LAST,
    NAMES,
    OBJECTS,
    Nearest,
    mask,
    picture,
    write,
)
from rich.console import Console

import visattn
from visattn.auditing.scenes import Lenders
from visattn.data import FolderDataset
from visattn.metrics import bootstrap_sensitivity

QUICK = {"size": 16, "adversarial": 0, "noise": 0, "cases": 0, "progress": False}
PLATES = ("wood", "slate", "wood")
NAMELESS = "pictures of {} have a background without a name: in no group"


def metadata(root, rows, *, column="plate"):
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("split", "class", "id", column), *rows])


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """Two classes on two plates; in each group some objects have the other class's colour."""
    root = tmp_path_factory.mktemp("counted")
    groups = {  # images and how many of them are right
        ("mixed_rand", "a", "wood"): (12, 9),
        ("mixed_rand", "a", "slate"): (10, 10),
        ("mixed_rand", "b", "wood"): (15, 6),
        ("mixed_rand", "b", "slate"): (9, 0),
        ("original", "a", "wood"): (22, 11),
        ("original", "b", "wood"): (10, 8),
        ("original", "b", "slate"): (14, 8),
    }
    rows, ids = [], {}
    for (variant, name, plate), (images, right) in groups.items():
        label = NAMES.index(name)
        for place in range(images):
            obj = OBJECTS[label if place < right else 1 - label]
            stem = ids[variant, name] = ids.get((variant, name), -1) + 1
            split, pixels = f"test_{variant}", picture(obj, BACKGROUNDS[label])
            write(root, split, name, f"{stem:02d}", pixels, mask())
            rows.append((split, name, f"{stem:02d}", plate))
    metadata(root, rows)
    return root


def test_the_worst_group_is_the_one_counted_by_hand(counted):
    model = Nearest(8, OBJECTS[:2])
    found = visattn.audit(model, counted, **QUICK, background_column="plate")
    rand, original = found.worst_groups["mixed-rand"], found.worst_groups["original"]
    assert (rand.accuracy.count, rand.accuracy.images) == (6, 15)
    assert (rand.label, rand.background) == (1, "wood")
    assert (rand.groups, rand.left_out) == (3, 1)  # b on slate has only 9 images
    assert (original.accuracy.count, original.accuracy.images) == (11, 22)
    assert (original.label, original.background) == (0, "wood")
    assert (original.groups, original.left_out) == (3, 0)
    assert "b on wood, of 3; 1 have fewer than 10 images" in found.table().caption


@pytest.fixture(scope="module")
def plates(toy, tmp_path_factory):
    """The toy, whose classes a and c have wood behind them and b slate."""
    root = tmp_path_factory.mktemp("plates") / "toy"
    shutil.copytree(toy, root)
    metadata(
        root,
        [
            ("test", name, f"{place:02d}", plate)
            for name, plate in zip(NAMES, PLATES, strict=True)
            for place in range(EACH)
        ],
    )
    return root


@pytest.fixture
def fooled_by_slate():
    """Right, but for the background of class b, where the answer is always a."""

    def model(images):
        logits = Nearest(8, OBJECTS)(images)
        logits[Nearest(0, BACKGROUNDS)(images).argmax(1) == 1] = torch.tensor([1.0, 0, 0])
        return logits

    return model


def lent_by(root, name):
    """How many pictures have a background of a class's picture on mixed-rand."""
    items = FolderDataset(root, split="test", size=16).items
    lenders = Lenders.of(items, needs_mask=True, seed=0)
    rows = (
        next(lenders.candidates(row, item.label, variant="mixed-rand"))
        for row, item in enumerate(items)
    )
    return sum(items[row].class_name == name for row in rows)


def test_a_lent_background_has_the_name_that_its_lender_gives(plates, fooled_by_slate):
    found = visattn.audit(fooled_by_slate, plates, **QUICK, background_column="plate")
    rand, original = found.worst_groups["mixed-rand"], found.worst_groups["original"]
    assert (rand.accuracy.value, rand.background) == (0, "slate")
    assert NAMES[rand.label] in "bc"
    assert rand.groups + rand.left_out == 6  # two plates, whatever the class that lends
    assert (original.accuracy.value, original.label, original.background) == (0, 1, "slate")
    assert original.groups == 3
    assert found.left_out[NAMELESS.format("mixed-rand")] == 0


def test_without_its_column_a_lent_background_has_the_name_of_its_class(plates, fooled_by_slate):
    found = visattn.audit(fooled_by_slate, plates, **QUICK)
    rand = found.worst_groups["mixed-rand"]
    assert (rand.accuracy.value, rand.background) == (0, "b")
    assert rand.groups + rand.left_out == 9
    assert "original" not in found.worst_groups


def test_backgrounds_without_a_name_are_in_no_group_and_counted(toy, tmp_path, fooled_by_slate):
    root = tmp_path / "toy"
    shutil.copytree(toy, root)
    rows = [("test", name, f"{place:02d}", "wood") for name in "ac" for place in range(EACH)]
    metadata(root, [*rows, ("test", "b", "00", "")])
    found = visattn.audit(fooled_by_slate, root, **QUICK, background_column="plate")
    rand = found.worst_groups["mixed-rand"]
    assert (rand.accuracy.value, rand.background) == (1, "wood")
    assert rand.groups + rand.left_out == 3
    slate = lent_by(root, "b")
    assert 20 < slate < 60
    assert found.left_out[NAMELESS.format("mixed-rand")] == slate
    assert found.left_out[NAMELESS.format("original")] == EACH
    assert f"{EACH} {NAMELESS.format('original')}." in found.table().caption


def test_a_column_that_is_not_there_is_refused(plates, toy, reads_object):
    with pytest.raises(ValueError, match=r"column 'plaet' .*did you mean plate\?; there are plate"):
        visattn.audit(reads_object, plates, **QUICK, background_column="plaet")
    with pytest.raises(ValueError, match=r"column 'plate' .*no picture has any metadata"):
        visattn.audit(reads_object, toy, **QUICK, background_column="plate")


def uneven(images):
    """Whether the object, and whether what is around it, is of more than one colour."""
    box = torch.zeros(images.shape[-2:], dtype=torch.bool)
    box[FIRST:LAST, FIRST:LAST] = True
    return [images[:, :, part].std(2).amax(1) > 1e-3 for part in (box, ~box)]


def test_rfs_is_the_one_counted_by_hand(toy):
    """Noise on the object leaves class a right, noise around it a and b: 1/3 and 2/3."""

    def model(images):
        on_object, around = uneven(images)
        logits = Nearest(8, OBJECTS)(images)
        logits[around & (logits.argmax(1) == 2)] = torch.tensor([0.0, 1, 0])
        logits[on_object] = torch.tensor([1.0, 0, 0])
        return logits

    found = visattn.audit(model, toy, **{**QUICK, "noise": 0.25})
    assert found.accuracies["original"].value == 1
    assert found.noise_accuracies["foreground"].count == EACH
    assert found.noise_accuracies["background"].count == 2 * EACH
    assert found.sensitivity == pytest.approx(1 / 3)  # (2/3 - 1/3) / (2 * 1/2)
    low, high = found.sensitivity_interval
    on_object, around = ([row < right * EACH for row in range(3 * EACH)] for right in (1, 2))
    expected = bootstrap_sensitivity(on_object, around, seed=0)
    assert (low, high) == (expected.low, expected.high)
    assert 0.2 < low < 0.3 < 0.4 < high < 0.5
    kept = json.loads(json.dumps(found.as_dict()))
    rfs = kept["relative_foreground_sensitivity"]
    assert (rfs["value"], rfs["low"], rfs["high"]) == (found.sensitivity, low, high)
    assert kept["settings"]["resamples"] == 2000
    cells = [list(column.cells) for column in found.table().columns]
    row = cells[0].index("RFS, -1 to 1")
    assert [cells[3][row], cells[4][row]] == ["+0.333", f"{low:+.2f} to {high:+.2f}"]


def test_rfs_that_is_undefined_has_no_interval(toy, reads_object):
    found = visattn.audit(reads_object, toy, **{**QUICK, "noise": 1e-6})
    rfs = found.as_dict()["relative_foreground_sensitivity"]
    assert (rfs["value"], rfs["low"], rfs["high"]) == (None, None, None)
    cells = [list(column.cells) for column in found.table().columns]
    row = cells[0].index("RFS, -1 to 1")
    assert [cells[3][row], cells[4][row]] == ["undefined", ""]


def test_the_table_of_a_few_pictures_is_whole_on_eighty_columns(tmp_path, reads_object):
    for label, name in enumerate(NAMES):
        for place in range(3):
            pixels = picture(OBJECTS[label], BACKGROUNDS[label])
            write(tmp_path, "test", name, place, pixels, mask())
    found = visattn.audit(reads_object, tmp_path, **{**QUICK, "noise": 2, "adversarial": 2})
    console = Console(width=80, file=io.StringIO())
    console.print(found.table())
    said = console.file.getvalue()
    assert "undefined" in said  # the worst group
    assert not math.isnan(found.sensitivity)
    assert "…" not in said
