"""Sentiment and tags, trained from the command line."""

import itertools
import json

import pytest
import torch

from visattn.cli import main
from visattn.sequence import collate_tagged, review_vocabulary
from visattn.sequence.reviews import TaggedSentence
from visattn.tasks.review_data import ReviewData, TaggingData
from visattn.tasks.sentiment.module import SentimentModule
from visattn.tasks.tagging.module import TaggingModule
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names

RECIPES = [name for name in recipe_names() if name.startswith(("sentiment/", "tagging/"))]
SHORT = ("--data.train=640", "--data.val=20", "--data.test=20", "--trainer.max_epochs=1")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert f"visattn fit  -c recipes/{name}.yaml" in comment
    assert f"visattn test -c recipes/{name}.yaml" in comment
    for word in ("two cores", "To expect"):
        assert word in comment
    folder, _, file = name.partition("/")
    assert f"]({file}.yaml)" in (recipe_folder() / folder / "README.md").read_text()


@pytest.mark.parametrize("name", ["sentiment/attention", "sentiment/none", "tagging/sine"])
def test_fit_and_test(name, tmp_path):
    words = ["-c", name, f"--runs={tmp_path}", *SHORT]
    assert main(["fit", *words]) == 0
    assert main(["test", *words]) == 0
    (path,) = tmp_path.glob("*/version_0/test.json")
    found = json.loads(path.read_text())["splits"]
    data = ReviewData() if name.startswith("sentiment") else TaggingData()
    assert tuple(found) == data.test_names
    for measured in found.values():
        assert ("top" in measured) == (name == "sentiment/attention")
        assert all(0 <= value <= 1 for value in measured.values())


def test_what_is_blanked_is_nothing_to_the_model():
    """The distance from 1/2 is that of a sentence whose deciding words are padding."""
    model = SentimentModule(words=len(review_vocabulary())).eval()
    batch = ReviewData(test=30).test_dataloader()[0].dataset[0]
    with torch.no_grad():
        model.test_step(batch, 0)
        words = batch["words"].clone()
        for row in range(30):
            for place in batch["deciding"][row].nonzero().flatten():
                words[row, place] = 0
        share = model.model(words, batch["lengths"]).logits.softmax(1)[:, 0]
    found = model.tests.of(0)
    assert found["distance_when_masked"] == pytest.approx(float((share - 0.5).abs().mean()))
    assert found["half_when_masked"] == pytest.approx(
        float(((share - 0.5).abs() < 0.1).float().mean())
    )


def test_nouns_are_counted_not_words():
    vocabulary = review_vocabulary()
    model = TaggingModule("sine", words=len(vocabulary), tags=3).eval()
    sentences = [
        TaggedSentence(("this", "buri", "is", "bad"), (0, 2, 0, 0), (-1, 3, -1, -1)),
        TaggedSentence(("this", "ika", "was", "so", "fresh"), (0, 1, 0, 0, 0), (-1, 4, -1, -1, -1)),
    ]
    batch = collate_tagged(sentences, vocabulary=vocabulary)
    with torch.no_grad():
        model.test_step(batch, 0)
        found = model.model(batch["words"], batch["lengths"])
    tags = found.logits.argmax(-1)
    nouns = (int(tags[0, 1] == 2) + int(tags[1, 1] == 1)) / 2
    pointing = (int(found.weights[0, 1].argmax() == 3) + int(found.weights[1, 1].argmax() == 4)) / 2
    assert model.tests.of(0)["nouns"] == nouns
    assert model.tests.of(0)["pointing"] == pointing


def test_data_are_checked():
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 2"):
        ReviewData(negated=2)
    with pytest.raises(ValueError, match=r"in 1 to 8, got \[0, 3\]"):
        TaggingData(nouns=[0, 3])
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1"):
        SentimentModule(words=9, blank=1.0)
