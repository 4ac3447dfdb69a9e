"""Translators, trained from the command line."""

import itertools
import json
from typing import get_args

import pytest
import torch
from PIL import Image

from visattn.cli import main
from visattn.sequence import AttentionName, Decoded, exact_match
from visattn.tasks.split_means import SplitMeans
from visattn.tasks.translation.data import ClauseData
from visattn.tasks.translation.module import Translator
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names

RECIPES = [name for name in recipe_names() if name.startswith("translation/")]
SHORT = ("--data.train=64", "--data.val=8", "--data.test=8", "--trainer.max_epochs=1")


def test_there_is_a_recipe_for_each_kind_of_attention():
    names = {name.rpartition("/")[2] for name in RECIPES}
    assert names | {"general"} == set(get_args(AttentionName))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert f"visattn fit  -c recipes/{name}.yaml" in comment
    assert f"visattn test -c recipes/{name}.yaml" in comment
    for word in ("two cores", "To expect"):
        assert word in comment
    readme = (recipe_folder() / "translation" / "README.md").read_text()
    assert f"]({name.rpartition('/')[2]}.yaml)" in readme


@pytest.mark.parametrize("name", ["translation/dot", "translation/none"])
def test_fit_and_test(name, tmp_path, capsys):
    words = ["-c", name, f"--runs={tmp_path}", *SHORT]
    assert main(["fit", *words]) == 0
    run = tmp_path / f"translation_{name.rpartition('/')[2]}" / "version_0"
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    assert main(["test", *words, "--data.test_clauses=[1, 2]"]) == 0
    found = json.loads((run / "test.json").read_text())["splits"]
    measures = {"exact", "first_word", "question"}
    if not name.endswith("none"):
        measures |= {"alignment", "kept", "moved", "opener"}
    assert {split: set(measured) for split, measured in found.items()} == {
        "test_1": measures,
        "test_2": measures,
    }
    assert all(0 <= value <= 1 for measured in found.values() for value in measured.values())
    assert "first word" in capsys.readouterr().out
    # The saved configuration says which task it is.
    assert main(["fit", "-c", str(run / "config.yaml"), *SHORT, f"--runs={tmp_path}"]) == 0
    again = Translator.load_from_checkpoint(run / "checkpoints" / "last.ckpt")
    assert again.hparams["attention"] == name.rpartition("/")[2]


def test_batches_hold_sentences_of_one_length_in_a_new_order():
    data = ClauseData(train=60, val=5, test=4, batch_size=8, train_clauses=(1, 3))
    loader = data.train_dataloader()
    assert sum(len(batch["source"]) for batch in loader) == 60
    joints = torch.tensor(data.source.numbers(["and", "but"]))
    for batch in loader:
        assert len(torch.isin(batch["source"], joints).sum(1).unique()) == 1
    first, second = ([int(b["source"].sum()) for b in loader] for _ in range(2))
    assert sorted(first) == sorted(second)
    assert first != second
    assert data.test_names == tuple(f"test_{n}" for n in range(1, 8))
    assert len(data.test_dataloader()) == 7


def test_splits_differ_and_follow_the_seed():
    def first(seed, split):
        loader = getattr(ClauseData(train=20, val=20, test=20, seed=seed), f"{split}_dataloader")()
        loader = loader[0] if isinstance(loader, list) else loader
        return {tuple(row.tolist()) for batch in loader for row in batch["source"]}

    assert first(0, "val") == first(0, "val")
    assert first(0, "val") != first(1, "val")
    assert first(0, "train") != first(0, "val")


def test_a_test_counts_words_and_sentences():
    model = Translator("dot", source_words=47, target_words=48, hidden=16, embedding=8)
    data = ClauseData(train=8, val=8, test=40)
    batch = data.test_dataloader()[1].dataset[0]
    model.eval()
    with torch.no_grad():
        model.test_step(batch, 0)
        tokens = model.translated(batch)
    found = model.tests.of(0)
    assert found["exact"] == exact_match(tokens, batch["target"]).float().mean()
    assert found["first_word"] == pytest.approx(
        float((tokens[:, 0] == batch["target"][:, 0]).float().mean())
    )
    with torch.no_grad():
        weights = model.model(batch["source"], batch["lengths"], batch["target"]).weights
    hits = words = 0
    for row in range(40):
        for place, word in enumerate(batch["target"][row].tolist()):
            if word > 2:
                words += 1
                hits += bool(batch["alignment"][row, place, weights[row, place].argmax()])
    assert found["alignment"] == pytest.approx(hits / words)


def test_alignment_is_counted_on_the_diagonal_off_it_and_for_questions(monkeypatch):
    data = ClauseData(train=8, val=8, test=40)
    batch = data.test_dataloader()[1].dataset[0]
    words = {"source_words": 47, "target_words": 48, "hidden": 16, "embedding": 8}
    count = {"kept": 0, "moved": 0, "opener": 0}
    for row, target in enumerate(batch["target"].tolist()):
        for place, word in enumerate(target):
            origins = batch["alignment"][row, place].nonzero().flatten().tolist()
            if word > 2:
                part = "kept" if place in origins else "moved"
                count["opener" if word == data.question else part] += 1
    assert min(count.values()) > 10

    shape = batch["alignment"].shape
    elsewhere = ~batch["alignment"]
    for weights, expected in (
        (batch["alignment"], {"kept": 1, "moved": 1, "opener": 1}),
        (torch.eye(*shape[1:]).expand(shape), {"kept": 1, "moved": 0, "opener": 0}),
        (elsewhere, {"kept": 0, "moved": 0, "opener": 0}),
    ):
        model = Translator("dot", question=data.question, **words).eval()
        said = Decoded(torch.zeros(*shape[:2], 48), batch["target"], weights.float())
        monkeypatch.setattr(model.model, "forward", lambda *args, said=said: said)
        with torch.no_grad():
            model.test_step(batch, 0)
        found = model.tests.of(0)
        assert {part: found[part] for part in count} == expected
        hits = sum(count[part] * found[part] for part in count)
        assert found["alignment"] == pytest.approx(hits / sum(count.values()))
    model.question = None
    model.tests.reset()
    with torch.no_grad():
        model.test_step(batch, 0)
    assert {"kept", "moved"} <= set(model.tests.of(0))
    assert not {"question", "opener"} & set(model.tests.of(0))


def test_means_weigh_batches_by_their_size():
    means = SplitMeans({})
    means.add(1, "exact", torch.ones(3))
    means.add(1, "exact", torch.zeros(1))
    means.add(0, "nothing", torch.ones(0))
    assert means.of(1) == {"exact": 0.75}
    assert means.of(0) == {}
    means.reset()
    assert means.of(1) == {}


def test_a_sentence_is_translated_and_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("visattn.tasks.translation.translate.MAX_WORDS", 6)  # untrained, it goes on
    words = ["-c", "translation/dot", f"--runs={tmp_path}", *SHORT]
    assert main(["fit", *words]) == 0
    capsys.readouterr()
    model = tmp_path / "translation_dot" / "version_0" / "checkpoints" / "last.ckpt"
    picture = tmp_path / "alignment.png"
    asked = ["translate", "I love you", f"--model={model}"]
    assert main([*asked, f"--out={picture}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(picture)
    assert picture.stat().st_size > 1000
    said = main([*asked, f"--out={tmp_path / 'steps.gif'}"]), capsys.readouterr().out.splitlines()
    with Image.open(tmp_path / "steps.gif") as moving:
        assert (moving.n_frames, said[0]) == (len(said[1][-2].split()), 0)
    assert main(["translate", "I eat salmon", f"--model={model}"]) == 1
    assert "unknown word 'eat'" in capsys.readouterr().err
    assert main(["translate", "I love you", "--model=no.ckpt"]) == 1
    assert "no checkpoint at no.ckpt" in capsys.readouterr().err
