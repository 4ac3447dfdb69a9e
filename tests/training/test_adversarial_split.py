"""A split of many backgrounds a foreground: right on all of them, or not right."""

from pathlib import Path

import lightning as L
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from visattn.data import FolderData, Item
from visattn.experiments.comparison.columns import numbers_of
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.outcomes import foreground_ids
from visattn.training.results import Outcomes

RED, BLUE = (220, 30, 30), (30, 30, 220)
# Three backgrounds a foreground, in the colour that the network takes for class a or b.
SEEN = {
    ("a", "00000"): (RED, RED, RED),
    ("a", "00001"): (RED, BLUE, RED),
    ("b", "00000"): (BLUE, BLUE, BLUE),
    ("b", "00002"): (BLUE, BLUE, RED),
    ("b", "00003"): (BLUE, BLUE, BLUE),
}


class RedOrBlue(nn.Module):
    """Class a where there is more red than blue."""

    def __init__(self, num_classes):
        super().__init__()
        self.fc = nn.Linear(3, num_classes, bias=False)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[1.0, 0, -1], [-1, 0, 1]]))

    def forward(self, images):
        return self.fc(images.mean((2, 3)))


@pytest.fixture
def folder(tmp_path):
    def save(split, name, stem, colour):
        path = tmp_path / split / "images" / name / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), colour, np.uint8)).save(path)

    for name, colour in (("a", RED), ("b", BLUE)):
        save("train", name, "0", colour)
    for (name, stem), colours in SEEN.items():
        save("test_original", name, stem, colours[1])
        for number, colour in enumerate(colours):
            save("test_adversarial", name, f"{stem}_{number:02d}", colour)
    return tmp_path


def test_a_name_without_a_number_is_a_foreground_of_its_own():
    names = ("00001_00", "00001_63", "a_b_07", "plain", "_7", "two_words")
    found = foreground_ids([Item(Path(f"{name}.png")) for name in names])
    assert found == ("00001", "00001", "a_b", "plain", "_7", "two_words")


def test_a_foreground_is_right_if_it_is_on_all_its_backgrounds(folder):
    data = FolderData(folder, size=8, batch_size=4, workers=0, mean=(0, 0, 0), std=(1, 1, 1))
    outcomes = Outcomes()
    with quiet_lightning():
        run = L.Trainer(
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[outcomes],
        )
        run.test(ImageClassifier(RedOrBlue, num_classes=2), datamodule=data, verbose=False)
    original, many = (outcomes.splits[f"test_{name}"] for name in ("original", "adversarial"))
    assert (original.accuracy.count, original.accuracy.images) == (4, 5)
    # 13 of 15 images are right, but two of five foregrounds are mistaken once.
    assert (many.prediction == many.label).sum() == 13
    assert (many.accuracy.count, many.accuracy.images) == (3, 5)
    assert many.worst is None
    numbers, _ = numbers_of(outcomes.results(), classes=2)
    assert (numbers["accuracy/adversarial"], numbers["images/adversarial"]) == (0.6, 5)
    written = outcomes.results().as_dict()["splits"]["test_adversarial"]["accuracy"]
    assert (written["count"], written["images"]) == (3, 5)
    assert "test/test_original/accuracy" in run.callback_metrics
    assert "test/test_adversarial/accuracy" not in run.callback_metrics  # no mean over images
