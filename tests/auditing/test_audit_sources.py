"""What can be audited: renders, predicted masks, folders without classes, any function."""

import csv
import json
import math

import numpy as np
import pytest
import torch
from coloured_squares import BACKGROUNDS, EACH, NAMES, OBJECTS, SIDE, mask, picture, write
from torch import nn

import visattn
from visattn.data import FolderData, FolderDataset, PictureDataset

QUICK = {"size": 16, "adversarial": 0, "noise": 0, "cases": 0, "progress": False}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    """Four pictures a class in five variants, each as it is to be, but for the fourth's rand."""
    root = tmp_path_factory.mktemp("rendered")
    rows = []
    white = (250, 250, 250)
    for label, name in enumerate(NAMES):
        for place in range(4):
            obj, other = OBJECTS[label], BACKGROUNDS[(label + place) % 3]
            variants = {
                "original": (obj, BACKGROUNDS[label]),
                "mixed_same": (obj, BACKGROUNDS[label]),
                "mixed_rand": (obj, other),
                "only_bg": (BACKGROUNDS[label],) * 2,
                "mixed_new": (obj, white),
            }
            for variant, (inside, behind) in variants.items():
                if (variant, place) != ("mixed_rand", 3):
                    write(root, f"test_{variant}", name, place, picture(inside, behind), mask())
                    style = f"plate {(label + place) % 3}" if "rand" in variant else f"own {name}"
                    rows.append((f"test_{variant}", name, place, style))
            for number in range(3):
                pixels = picture(obj, BACKGROUNDS[number])
                write(root, "test_adversarial", name, f"{place}_{number:02d}", pixels, mask())
    with (root / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("split", "class", "id", "style"), *rows])
    return root


def test_true_renders_are_used_and_said_to_be(rendered, reads_background):
    found = visattn.audit(reads_background, rendered, size=16, noise=0, progress=False)
    assert found.settings["split"] == "test_original"
    assert found.made["original"] == "given"
    for name in ("mixed-same", "mixed-rand", "mixed-new", "only-bg", "adversarial"):
        assert found.made[name] == "rendered"
    for name in ("mixed-next", "only-fg", "only-bg-t", "only-bg-b", "no-fg"):
        assert found.made[name] == "composed"
    assert found.accuracies["only-bg"].value == 1
    rand = found.accuracies["mixed-rand"]
    assert (rand.count, rand.images) == (3, 9)  # one of three plates; the fourth is not there
    assert found.left_out["pictures have no mixed-rand"] == 3
    assert found.gap.value == pytest.approx(2 / 3)
    assert (found.flip_rate.value, found.flip_rate.images) == (pytest.approx(2 / 3), 9)
    assert (found.adversarial.value, found.backgrounds) == (0, 3)
    assert found.worst_groups["original"].left_out == 3  # of 4 images each
    assert found.worst_groups["mixed-rand"].left_out == 9
    assert "test_mixed_same" in " ".join(found.settings["notes"])


def test_the_object_is_right_on_all_rendered_backgrounds(rendered, reads_object):
    found = visattn.audit(reads_object, rendered, size=16, noise=0, progress=False)
    assert (found.adversarial.value, found.adversarial.images) == (1, 12)
    assert all(share.value == 0 for share in found.flips.values())


def test_a_data_module_is_audited_as_its_folder_is(rendered, reads_background):
    module = FolderData(rendered, train_split="test_original", size=16, workers=0)
    options = {"noise": 0, "cases": 0, "progress": False}
    found = visattn.audit(reads_background, module, **options)
    assert (
        found.as_dict() == visattn.audit(reads_background, rendered, size=16, **options).as_dict()
    )
    assert found.made["adversarial"] == found.made["mixed-rand"] == "rendered"
    alone = visattn.audit(reads_background, module, **options, split="test_mixed_same")
    assert alone.settings["split"] == "test_mixed_same"
    assert alone.made["mixed-rand"] == "composed"


def test_composites_on_request(rendered, reads_background):
    found = visattn.audit(reads_background, rendered, **QUICK, composites=True)
    assert found.made["mixed-rand"] == "composed"
    assert found.accuracies["mixed-rand"].images == 12
    assert "only-bg" not in found.accuracies


def test_groups_are_named_by_the_metadata(rendered, reads_background, monkeypatch):
    data = FolderDataset(rendered, split="test_original", size=16)
    found = visattn.audit(
        reads_background,
        data,
        **{**QUICK, "cases": 2},
        composites=True,
        background_column="style",
    )
    assert found.worst_groups["original"].groups == 0
    assert set(found.worst_groups) == {"original", "mixed-rand"}
    assert found.settings["size"] == 16


def whole(pictures):
    """The true mask of every picture."""
    return (torch.from_numpy(mask()) / 255).expand(len(pictures), -1, -1)


def test_predicted_masks_give_estimates_alone(toy, reads_background):
    given = visattn.audit(reads_background, toy, **QUICK)
    found = visattn.audit(reads_background, toy, **{**QUICK, "cases": 2}, mask_model=whole)
    assert found.estimate
    assert not given.estimate
    assert found.flips == {pair: given.flips[pair] for pair in found.flips}
    assert len(found.flips) == 4
    assert list(found.accuracies) == ["original"]
    assert found.gap is None
    assert found.adversarial is None
    assert found.worst_groups == {}
    assert found.mask_iou == 1
    assert found.as_dict()["estimate"] is True
    assert "AN ESTIMATE" in str(found.table().title)
    texts = [text.get_text() for text in found.figure().texts]
    assert any("AN ESTIMATE" in text for text in texts)
    assert any("of an estimated " in text for text in texts)


def test_without_masks_a_mask_model_is_asked_for(tmp_path, reads_background):
    for label, name in enumerate(NAMES):
        write(tmp_path, "test", name, "0", picture(OBJECTS[label], BACKGROUNDS[label]), None)
    with pytest.raises(ValueError, match=r"0 of 3 pictures have a mask.*--mask-model CHECKPOINT"):
        visattn.audit(reads_background, tmp_path, **QUICK)
    found = visattn.audit(reads_background, tmp_path, **QUICK, mask_model=whole)
    assert found.flip_rate.images == 3
    assert math.isnan(found.mask_iou)


def test_a_folder_of_pictures_needs_no_classes(toy, reads_background):
    found = visattn.audit(reads_background, toy / "test" / "images", **QUICK, mask_model=whole)
    assert found.accuracies == {}
    assert list(found.flips) == [("original", "mixed-rand"), ("original", "put-back")]
    assert 0.5 < found.flip_rate.value < 0.8  # two of three pictures are of another class
    assert found.flip_rate.images == 3 * EACH


def test_flips_alone_need_no_classes(toy):
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 10))
    with pytest.raises(ValueError, match="10 logits, the data have 3 classes"):
        visattn.audit(model, toy, **QUICK)
    found = visattn.audit(model, toy, **QUICK, flips_only=True)
    assert found.accuracies == {}
    assert found.flip_rate.images == 3 * EACH
    assert found.as_dict()["relative_foreground_sensitivity"]["value"] is None
    with pytest.raises(ValueError, match="leave class_map out"):
        visattn.audit(model, toy, **QUICK, flips_only=True, class_map={"a": 0})


def test_a_class_map_joins_logits(toy, reads_object):
    def model(images):
        logits = reads_object(images)
        return torch.cat([logits - 50, logits[:, [2, 0, 1]]], 1)

    found = visattn.audit(model, toy, **QUICK, class_map={"a": [0, 4], "b": [1, 5], "c": 3})
    assert found.accuracies["original"].value == 1
    found = visattn.audit(model, toy, **QUICK, class_map={"a": [0, 4], "b": [1, 3], "c": 2})
    assert found.accuracies["original"].value == pytest.approx(1 / 3)  # c is taken for b or none


def test_pictures_without_a_mask_or_with_an_empty_one_are_counted(tmp_path, reads_object):
    for label, name in enumerate(NAMES):
        pixels = picture(OBJECTS[label], BACKGROUNDS[label])
        for place in range(4):
            alpha = {0: None, 1: np.zeros_like(mask())}.get(place, mask())
            write(tmp_path, "test", name, place, pixels, alpha)
    found = visattn.audit(reads_object, tmp_path, **QUICK)
    assert found.accuracies["original"].images == 6
    assert found.left_out["pictures without a mask are left out"] == 3
    assert found.left_out["pictures whose mask marks nothing are left out"] == 3
    assert found.accuracies["mixed-same"].images == 6


def test_a_class_of_one_picture_has_no_mixed_same(tmp_path, reads_object):
    for label, name in enumerate(NAMES):
        for place in range(1 if name == "b" else 3):
            pixels = picture(OBJECTS[label], BACKGROUNDS[label])
            write(tmp_path, "test", name, place, pixels, mask())
    found = visattn.audit(reads_object, tmp_path, **QUICK)
    assert found.accuracies["mixed-same"].images == 6
    assert found.accuracies["mixed-rand"].images == 7
    assert found.gap.images == 6


class Counting(nn.Module):
    """A module with dropout and no gradients, which notes how it is called."""

    def __init__(self):
        super().__init__()
        self.drop, self.last = nn.Dropout(0.9), nn.Linear(3, 3)
        self.trained = []

    def forward(self, images):
        self.trained.append(self.training or torch.is_grad_enabled())
        return self.last(self.drop(images.mean((2, 3))))


def test_a_module_is_asked_in_evaluation_mode_and_left_as_it_was(toy):
    model = Counting()
    model.drop.eval()
    visattn.audit(model, toy, **QUICK, limit=8)
    assert not any(model.trained)
    assert model.training
    assert not model.drop.training


def test_any_function_will_do(toy):
    def by_numpy(images):
        return np.asarray(images)[:, :, 8, 8]

    found = visattn.audit(by_numpy, toy, **QUICK, mean=(0, 0, 0), std=(1, 1, 1))
    assert found.accuracies["mixed-rand"].value == 1


def test_images_are_normalised_as_told(toy):
    seen = []

    def model(images):
        seen.append(images[0, :, 0, 0].tolist())
        return images[:, :, 8, 8]

    visattn.audit(model, toy, **QUICK, limit=4, mean=(0.2, 0.5, 0.1), std=(0.5, 0.25, 0.1))
    expected = [(0.2 - 0.2) / 0.5, (1 - 0.5) / 0.25, (0.2 - 0.1) / 0.1]
    assert seen[0] == pytest.approx(expected, abs=1e-5)
    data = FolderDataset(toy, split="test", size=16, mean=(0, 0, 0), std=(1, 1, 1))
    visattn.audit(model, data, adversarial=0, noise=0, cases=0, limit=4, progress=False)
    assert seen[-1] == pytest.approx([0.2, 1, 0.2], abs=1e-5)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"limit": -1}, ValueError, "limit must be at least 0"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"noise": -0.1}, ValueError, "noise must be"),
        ({"split": "tset"}, ValueError, "did you mean test"),
        ({"size": 0}, ValueError, "size must be at least 1"),
        ({"std": (1, 1, 0)}, ValueError, "std above 0"),
        ({"pretrained": True}, ValueError, "pretrained is for the name"),
        ({"backgrounds": "nowhere"}, FileNotFoundError, "nowhere"),
        ({"mask_model": "none.ckpt"}, FileNotFoundError, "no checkpoint at none.ckpt"),
        ({"mask_model": nn.Linear(2, 2)}, ValueError, "no spatial mask"),
        ({"mask_model": lambda pictures: pictures}, ValueError, "must return masks"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_mistakes_are_refused(toy, reads_object, given, error, message):
    with pytest.raises(error, match=message):
        visattn.audit(reads_object, toy, **{**QUICK, **given})


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (3, TypeError, "not int"),
        ("none.ckpt", FileNotFoundError, "no checkpoint at none.ckpt"),
        ("resnt18", ValueError, "resnet18"),
        (lambda images: images, ValueError, "must return logits .2, classes."),
        (lambda images: None, ValueError, "returned NoneType"),
        (lambda images: images, ValueError, "segmentations and detectors are for overlay, report"),
        (lambda images: [{"boxes": images}], ValueError, "returned list. An audit judges the ans"),
        (lambda images: {"out": images}, ValueError, r"returned \(2, 3, .*\). An audit judges the"),
    ],
    ids=["number", "file", "name", "images", "nothing", "places", "boxes", "segmentation"],
)
def test_models_that_cannot_be_asked(toy, model, error, message):
    with pytest.raises(error, match=message):
        visattn.audit(model, toy, **QUICK)


def test_what_cannot_be_read(reads_object, tmp_path):
    with pytest.raises(FileNotFoundError, match="found nothing"):
        visattn.audit(reads_object, tmp_path / "none", **QUICK)
    with pytest.raises(TypeError, match="lacks some"):
        visattn.audit(reads_object, [1, 2], **QUICK)
    with pytest.raises(ValueError, match="has no splits"):
        visattn.audit(reads_object, tmp_path, **QUICK, split="test")


def test_the_picture_shows_random_ones_and_the_surest_flips(toy, reads_background, tmp_path):
    found = visattn.audit(reads_background, toy, **{**QUICK, "cases": 3})
    assert [case.kind for case in found.cases] == ["random"] * 3 + ["worst"] * 3
    assert all(case.flipped for case in found.cases[3:])
    for case in found.cases:
        label = NAMES.index(case.true)
        original, swapped = case.images
        assert original[8, 8].tolist() == swapped[8, 8].tolist() == list(OBJECTS[label])
        behind = [NAMES[BACKGROUNDS.index(tuple(picture[0, 0]))] for picture in case.images]
        assert behind == list(case.answers)  # the very background that the answer was read off
    figure = found.figure(columns=2)
    texts = [text.get_text() for text in figure.texts]
    rate = found.flip_rate
    assert "3 random of 120 pictures (seed 0)" in texts
    assert any(text.startswith(f"the 3 of {rate.count} flips") for text in texts)
    assert len(figure.axes) == 12
    first = found.cases[3]
    assert f"{first.answers[1]} {first.probabilities[1]:.2f}" in texts
    written = found.save(tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["audit.json", "flips.png"]
    kept = json.loads(written[0].read_text())
    assert kept["flip_rate"]["count"] == rate.count
    assert kept["accuracies"]["original"]["images"] == 120


def test_no_flip_leaves_the_random_ones(toy, reads_object, tmp_path):
    found = visattn.audit(reads_object, toy, **{**QUICK, "cases": 2})
    assert [case.kind for case in found.cases] == ["random"] * 2
    found.figure()
    without = visattn.audit(reads_object, toy, **QUICK)
    assert [path.name for path in without.save(tmp_path)] == ["audit.json"]
    with pytest.raises(ValueError, match="kept no pictures"):
        without.figure()


def test_pictures_alone_are_no_data_set(toy, reads_object):
    with pytest.raises(TypeError, match="PictureDataset lacks"):
        visattn.audit(reads_object, PictureDataset(toy, size=16), **QUICK)
