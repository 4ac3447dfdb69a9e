"""Every number of an audit on pictures and classifiers whose numbers are known."""

import io

import pytest
import torch
from coloured_squares import BACKGROUNDS, EACH, NAMES, OBJECTS, Nearest
from rich.console import Console

import visattn
from visattn.auditing.scenes import Lenders
from visattn.data import FolderDataset
from visattn.metrics import adversarial_accuracy

IMAGES = 3 * EACH
THIRD = pytest.approx(1 / 3)


@pytest.fixture
def lent(toy):
    """The class of the picture that lends each picture its background on mixed-rand."""
    items = FolderDataset(toy, split="test", size=16).items
    lenders = Lenders.of(items, needs_mask=True, seed=0)
    return [
        items[next(lenders.candidates(row, item.label, variant="mixed-rand"))].label
        for row, item in enumerate(items)
    ]


def shares(found):
    return {name: share.value for name, share in found.accuracies.items()}


def test_a_classifier_that_reads_the_background_alone(toy, reads_background, lent):
    found = visattn.audit(reads_background, toy, size=16, noise=0.6, progress=False)
    own = sum(label == row // EACH for row, label in enumerate(lent)) / IMAGES
    assert 0.2 < own < 0.5
    assert shares(found) == {
        "original": 1,
        "mixed-same": 1,
        "mixed-rand": pytest.approx(own),
        "mixed-next": 0,
        "put-back": 1,
        "only-fg": THIRD,  # black is of the first class
        "only-bg-t": 1,
        "only-bg-b": 1,
        "no-fg": 1,
    }
    assert found.gap.value == pytest.approx(1 - own)
    assert found.cost.value == 0
    assert found.flip_rate.value == pytest.approx(1 - own)
    assert found.flips["original", "mixed-same"].value == 0
    assert found.flips["original", "mixed-next"].value == 1
    assert (found.adversarial.value, found.backgrounds) == (0, 8)
    worst = found.worst_groups["mixed-rand"]
    assert worst.accuracy.value == 0
    assert NAMES[worst.label] != worst.background
    assert worst.groups + worst.left_out == 9
    assert found.noise_accuracies["foreground"].value == 1
    assert 0 < found.noise_accuracies["background"].value < 1
    assert found.sensitivity == pytest.approx(-1)


def test_a_classifier_that_reads_the_object_alone(toy, reads_object):
    found = visattn.audit(reads_object, toy, size=16, noise=0.6, progress=False)
    assert shares(found) == {
        "original": 1,
        "mixed-same": 1,
        "mixed-rand": 1,
        "mixed-next": 1,
        "put-back": 1,
        "only-fg": 1,
        "only-bg-t": 0,  # each background has the colour of the next class's object
        "only-bg-b": THIRD,
        "no-fg": THIRD,
    }
    assert found.gap.value == 0
    assert all(share.value == 0 for share in found.flips.values())
    assert found.adversarial.value == 1
    assert found.worst_groups["mixed-rand"].accuracy.value == 1
    assert found.noise_accuracies["background"].value == 1
    assert 0 < found.noise_accuracies["foreground"].value < 1
    assert found.sensitivity == pytest.approx(1)


def test_a_classifier_that_reads_nothing_gets_chance(toy):
    found = visattn.audit(
        lambda images: torch.tensor([[1.0, 0, 0]]).expand(len(images), 3),
        toy,
        size=16,
        progress=False,
    )
    assert all(share.value == THIRD for share in found.accuracies.values())
    assert all(found.chance[name] == THIRD for name in [*found.accuracies, "adversarial"])
    assert (found.gap.value, found.flip_rate.value, found.adversarial.value) == (0, 0, THIRD)
    assert found.sensitivity == 0
    assert found.chance["flips"] == 0


def test_chance_of_flips_is_that_of_answers_drawn_apart(toy, reads_background, lent):
    found = visattn.audit(reads_background, toy, size=16, adversarial=0, progress=False)
    given = [lent.count(label) / IMAGES for label in range(3)]
    assert found.chance["flips"] == pytest.approx(1 - sum(share**2 for share in given))


class FooledBy:
    """Right, but for one background, on which it always gives the first class."""

    def __init__(self, background):
        self.background = background

    def __call__(self, images):
        logits = Nearest(8, OBJECTS)(images)
        fooled = Nearest(0, BACKGROUNDS)(images).argmax(1) == self.background
        logits[fooled] = torch.tensor([0.0, -9, -9])
        return logits


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_adversarial_counts_what_is_right_on_all(toy, count):
    """Backgrounds are spread over the classes; so the third of three has been used up."""
    found = visattn.audit(FooledBy(2), toy, size=16, adversarial=count, cases=0, progress=False)
    lenders = Lenders.of(FolderDataset(toy, split="test", size=16).items, needs_mask=True, seed=0)
    behind = [row // EACH for row in lenders.spread(count)[:count]]
    answers = [
        [0 if background == 2 else label for background in behind]
        for label in range(3)
        for _ in range(EACH)
    ]
    labels = [label for label in range(3) for _ in range(EACH)]
    assert found.adversarial == adversarial_accuracy(answers, labels)
    assert found.adversarial.value == (THIRD if 2 in behind else 1)
    assert count < 3 or 2 in behind


def test_the_batch_size_and_workers_change_nothing(toy, reads_background):
    options = {"size": 16, "limit": 20, "noise": 0.6, "progress": False}
    first = visattn.audit(reads_background, toy, **options, batch_size=7)
    second = visattn.audit(reads_background, toy, **options, batch_size=64)
    assert first.as_dict() == second.as_dict()
    assert first.settings["images"] == first.accuracies["original"].images == 20


def test_the_seed_draws_other_backgrounds(toy, reads_background):
    options = {"size": 16, "limit": 24, "adversarial": 0, "noise": 0, "progress": False}
    rates = {
        visattn.audit(reads_background, toy, **options, seed=seed).flip_rate.count
        for seed in range(3)
    }
    assert len(rates) > 1


def test_new_backgrounds_come_from_their_folder(toy, tmp_path, reads_background, reads_object):
    import numpy as np
    from PIL import Image

    for number in range(3):  # all of them have the colour of the second class's background
        Image.new("RGB", (40, 30), BACKGROUNDS[1]).save(tmp_path / f"{number}.png")
    options = {"size": 16, "adversarial": 0, "noise": 0, "progress": False}
    found = visattn.audit(reads_background, toy, backgrounds=tmp_path, **options)
    assert found.accuracies["mixed-new"].value == THIRD
    assert found.flips["original", "mixed-new"].value == pytest.approx(2 / 3)
    found = visattn.audit(reads_object, toy, backgrounds=tmp_path, **options)
    assert found.accuracies["mixed-new"].value == 1
    assert np.isnan(found.sensitivity)


def test_the_table_is_whole_on_eighty_columns(toy, reads_background):
    found = visattn.audit(reads_background, toy, size=16, noise=0.6, progress=False)
    console = Console(width=80, file=io.StringIO())
    console.print(found.table())
    lines = console.file.getvalue().splitlines()
    (sensitivity,) = (" ".join(line.split()) for line in lines if line.startswith("RFS"))
    assert sensitivity == f"RFS, -1 to 1 {IMAGES} -1.000 -1.00 to -1.00 0.000"
    assert any(line.startswith("  worst group, mixed-rand  composed ") for line in lines)
    assert not any("…" in line for line in lines)
    assert "Accuracy under noise of 0.6: 100.0 % on the foreground" in " ".join(lines)
