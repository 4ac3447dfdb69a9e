"""Which runs a comparison consists of, and which are the same."""

import re

import pytest
import yaml

from visattn.experiments.comparison.plan import (
    canonical,
    code_hash,
    find_recipes,
    plan_runs,
    with_blocks,
)
from visattn.experiments.comparison.processes import Machine, Place, words_of

TEXT = "# About a minute.\nname: one\ndata:\n  class_path: SushiData\n  init_args: {size: 32}\n"


@pytest.fixture
def folder(tmp_path):
    for name in ("one", "two", "hands"):
        (tmp_path / f"{name}.yaml").write_text(TEXT.replace("one", name))
    (tmp_path / "README.md").write_text("")
    return tmp_path


def key(path, *, seed=0, words=()):
    (recipe,) = find_recipes([str(path)])
    return plan_runs([recipe], seeds=seed + 1, words=words)[seed].key


def test_files_globs_and_names(folder):
    found = find_recipes([str(folder / "two.yaml"), f"{folder}/*", "foreground/plain"])
    assert [recipe.name for recipe in found] == ["two", "hands", "one", "plain"]
    assert found[3].source == "foreground/plain"
    known = [r.name for r in find_recipes(["recipes/foreground/[cm]*.yaml"])]
    assert {"cbam", "mask"} <= set(known)
    assert known == [r.name for r in find_recipes(["foreground/[cm]*"])]


def test_some_are_skipped(folder):
    found = find_recipes([f"{folder}/*.yaml"], skip=["h*"])
    assert [recipe.name for recipe in found] == ["one", "two"]
    with pytest.raises(ValueError, match="nothing to skip for 'hand'; did you mean hands"):
        find_recipes([f"{folder}/*.yaml"], skip=["hand"])
    with pytest.raises(ValueError, match="no recipe is left"):
        find_recipes([f"{folder}/one.yaml"], skip=["*"])


def test_words_that_stand_for_no_recipe(folder):
    with pytest.raises(FileNotFoundError, match="did you mean foreground/plain"):
        find_recipes(["foreground/plian"])
    with pytest.raises(FileNotFoundError, match="no recipe fits"):
        find_recipes([f"{folder}/*.json"])
    (folder / "three.yaml").write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"three\.yaml is no recipe"):
        find_recipes([str(folder / "three.yaml")])


def test_two_of_one_name_would_be_mixed_up(folder):
    (folder / "plain.yaml").write_text(TEXT)
    with pytest.raises(ValueError, match="two recipes are called plain"):
        find_recipes([str(folder / "plain.yaml"), "foreground/plain"])


def test_all_recipes_of_a_seed_come_before_the_next_seed(folder):
    runs = plan_runs(find_recipes([f"{folder}/*.yaml"], skip=["hands"]), seeds=2)
    found = [(run.recipe.name, run.seed) for run in runs]
    assert found == [("one", 0), ("two", 0), ("one", 1), ("two", 1)]


def test_runs_are_the_same_where_the_numbers_must_be(folder):
    path = folder / "one.yaml"
    first = key(path, words=["--data.rho=1.0", "--data.test=64"])
    path.write_text(
        TEXT.replace("a minute", "two minutes").replace(": {size: 32}", ":\n    size: 32")
    )
    same = ["--data.test=64", "--data.rho=0.5", "--data.rho=1.0", "--data.workers=0"]
    assert key(path, words=same) == first


def test_runs_differ_where_the_numbers_may(folder, monkeypatch):
    path = folder / "one.yaml"
    found = [key(path), key(path, seed=1), key(path, words=["--data.rho=1.0"])]
    found.append(key(path, words=["--data.rho=0.9"]))
    found.append(key(folder / "two.yaml"))
    path.write_text(TEXT.replace("32", "64"))
    found.append(key(path))
    monkeypatch.setattr("visattn.__version__", "99")
    found.append(key(path))
    assert len(set(found)) == len(found)


def test_options_in_one_way_of_writing():
    lists = [canonical([f"--data.variants={text}"]) for text in ("[a, b]", '["a","b"]', "[a,b]")]
    assert set(lists) == {'--data.variants=["a","b"]'}
    assert canonical(["--b.x=true", "--a.y=1e-3"]) == "--a.y=1e-3 --b.x=true"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--seed_everything=3", "no option for the runs"),
        ("data.rho=1.0", "no option for the runs"),
        ("--data.rho", "--data.rho needs a value"),
        ("--data.seed=3", "set by the comparison"),
        ("--data.init_args.mask_seed=3", "set by the comparison"),
    ],
)
def test_options_that_cannot_be_passed_on(folder, word, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        plan_runs(find_recipes([str(folder / "one.yaml")]), seeds=1, words=[word])


def test_no_seed_is_an_error(folder):
    with pytest.raises(ValueError, match="seeds must be at least 1, got 0"):
        plan_runs(find_recipes([str(folder / "one.yaml")]), seeds=0)


def test_the_code_has_a_hash():
    assert re.fullmatch(r"[0-9a-f]{12}", code_hash())


def test_blocks_take_the_place_of_the_recipes_own(tmp_path):
    path = tmp_path / "kinds.yaml"
    path.write_text(
        "model: {backbone: resnet10t, attention: {block: se, at: stage}, "
        "attention_learning_rate: 1}"
    )
    recipes = with_blocks(find_recipes([str(path)]), ["cb*", "nonlocal"], baseline="plain")
    said = {recipe.name: yaml.safe_load(recipe.text)["model"] for recipe in recipes}
    assert said["plain"] == {"backbone": "resnet10t"}
    assert said["cbam"] == {
        "backbone": "resnet10t",
        "attention": {"block": "cbam", "at": "stage"},
        "attention_learning_rate": 1,
    }
    assert list(said) == ["plain", "cbam", "nonlocal"]
    assert len({recipe.hash for recipe in recipes}) == 3
    assert len(with_blocks(find_recipes([str(path)]), ["all"], baseline="x")) > 50


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("model: {backbone: resnet10t}", ["se"], "a mapping with a block"),
        ("model: {attention: {block: se}}", ["cban"], "no block is called 'cban'.*cbam"),
    ],
)
def test_blocks_that_cannot_be_put_in(tmp_path, text, words, message):
    path = tmp_path / "kinds.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        with_blocks(find_recipes([str(path)]), words, baseline="plain")


def test_another_task_has_no_seed_of_its_data(tmp_path):
    path = tmp_path / "smile.yaml"
    path.write_text("task: smiles")
    (run,) = plan_runs(find_recipes([str(path)]), seeds=1)
    fit, _ = words_of(run, place=Place(tmp_path), machine=Machine.of(jobs=2, threads=1))
    assert "--seed_everything=0" in fit
    assert not [word for word in fit if word.startswith("--data")]
