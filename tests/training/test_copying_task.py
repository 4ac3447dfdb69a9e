"""The copying task from the command line."""

import itertools
import json

import pytest
import torch

from visattn.cli import main
from visattn.training.copying import CopyingData, CopyingModule
from visattn.training.recipes import find_recipe, recipe_folder, recipe_names

RECIPES = [name for name in recipe_names() if name.startswith("copying/")]


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert f"visattn fit  -c recipes/{name}.yaml" in comment
    assert f"visattn test -c recipes/{name}.yaml" in comment
    for word in ("two cores", "To expect"):
        assert word in comment
    readme = (recipe_folder() / "copying" / "README.md").read_text()
    assert f"]({name.rpartition('/')[2]}.yaml)" in readme


@pytest.mark.parametrize("name", RECIPES)
def test_fit_and_test(name, tmp_path):
    words = ["-c", name, f"--runs={tmp_path}", "--data.train=128", "--data.val=64"]
    words += ["--data.test=64", "--data.length=4"]
    assert main(["fit", *words]) == 0
    assert main(["test", *words]) == 0
    (path,) = tmp_path.glob("*/version_0/test.json")
    (measured,) = json.loads(path.read_text())["splits"].values()
    assert set(measured) == {"symbols", "exact", "path", "milliseconds"}
    assert measured["milliseconds"] > 0


def test_symbols_and_sequences_are_counted():
    model = CopyingModule("recurrence", length=3, symbols=2, channels=8).eval()
    batch = CopyingData(length=3, symbols=2, train=1, val=1, test=50, batch_size=50)
    (batch,) = batch.test_dataloader().dataset
    with torch.no_grad():
        model.test_step(batch, 0)
        found = model.model(batch["given"]).argmax(-1)
    right = found == batch["target"]
    measured = model.tests.of(0)
    assert measured["symbols"] == pytest.approx(float(right.float().mean()))
    assert measured["exact"] == pytest.approx(float((right.sum(1) == 3).float().mean()))
    assert measured["path"] == 3
