"""The command line trains whatever task a recipe names."""

import pytest
import yaml

from visattn.cli import main
from visattn.training.command_line import recipes
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe, recipe_names
from visattn.training.command_line.tasks import DEFAULT, TASKS, find_task, task_of

OTHERS = [n for n in recipe_names() if task_of([f"-c={find_recipe(n)}"]).name != DEFAULT]


def test_the_last_to_name_a_task_counts(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("task: translation\n")
    second.write_text("name: x\n")
    words = ["fit", "-c", str(first), f"--config={second}"]
    assert task_of(words).name == "translation"
    assert task_of([*words, "--task", DEFAULT]).name == DEFAULT
    assert task_of(["fit"]).name == DEFAULT
    with pytest.raises(ValueError, match="did you mean translation"):
        find_task("translaton")


def test_a_recipe_is_parsed_once(monkeypatch):
    text, texts, load = find_recipe("foreground/plain").read_text(), [], yaml.load
    monkeypatch.setattr(yaml, "load", lambda x, Loader: texts.append(x) or load(x, Loader))  # noqa: N803
    recipes._parsed.cache_clear()
    with quiet_lightning():
        TaskCLI(["--config", "foreground/plain"], run=False, logs=False)
    assert texts.count(text) == 1


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_has_a_recipe(name):
    assert any(task_of(["-c", str(find_recipe(recipe))]).name == name for recipe in recipe_names())


@pytest.mark.parametrize("name", OTHERS)
def test_every_recipe_builds(name):
    with quiet_lightning():
        cli = TaskCLI([f"--config={find_recipe(name)}"], run=False, logs=False)
    task = task_of([f"--config={find_recipe(name)}"])
    assert isinstance(cli.model, task.load_model())
    assert isinstance(cli.datamodule, task.load_data())
    for link in task.links:
        assert cli.model.hparams[link] == getattr(cli.datamodule, link)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--task=translaton"], 1, "did you mean translation"),
        (["-c", "translation/dott"], 1, "did you mean translation/dot"),
        (["-c", "translation/dot", "--model.attentoin=dot"], 2, "did you mean model.attention"),
        (["-c", "translation/dot", "--model.attention=dott"], 2, "expected one of 'none', 'dot'"),
        (["-c", "translation/dot", "--data.train=0"], 1, "train must be at least 1"),
        (["-c", "translation/dot", "--data.test_clauses=[3, 1]"], 1, "got 3 to 1"),
        (["-c", "translation/dot", "--model.warmup=2"], 1, "in [0, 1), got 2"),
    ],
)
def test_a_wrong_configuration_is_one_clear_message(words, code, message, tmp_path, capsys):
    assert main(["fit", *words, f"--runs={tmp_path}"]) == code
    told = capsys.readouterr().err
    assert message in " ".join(told.split())
    assert "Traceback" not in told


def test_predict_is_for_images(tmp_path, capsys):
    words = ["-c", "translation/dot", f"--runs={tmp_path}", "--ckpt_path=none"]
    assert main(["predict", *words]) == 1
    assert "not translation" in capsys.readouterr().err
