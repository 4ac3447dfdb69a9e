"""The copying task from the command line."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch

from visattn.cli import main
from visattn.tasks.copying.data import CopyingData
from visattn.tasks.copying.module import CopyingModule
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names

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


def test_the_time_is_the_median_over_the_batches_after_one_untimed(monkeypatch):
    model = CopyingModule("attention", length=3, symbols=2, channels=8).eval()
    data = CopyingData(length=3, symbols=2, train=1, val=1, test=6, batch_size=2)
    calls, forward = [], model.model.forward
    monkeypatch.setattr(model.model, "forward", lambda x: (calls.append(len(x)), forward(x))[1])
    for seconds, expected in (((0.5, 0.002, 0.003), 3.0), ((0.004, 0.006, 0.001), 4.0)):
        clock = iter(itertools.accumulate(part for s in seconds for part in (10.0, s)))
        fake = SimpleNamespace(perf_counter=lambda clock=clock: next(clock))
        monkeypatch.setattr("visattn.tasks.copying.module.time", fake)
        model.on_test_start()
        calls.clear()
        with torch.no_grad():
            for place, batch in enumerate(data.test_dataloader()):
                model.test_step(batch, place)
        assert model.tests.of(0)["milliseconds"] == pytest.approx(expected)
        assert calls == [2] * 4
