"""A run means what it was told, and the rest is as its checkpoint has it."""

import json
from typing import Optional, Union, get_args

import lightning as L
import pytest
import torch
import yaml

from visattn.training.command_line.parser import RunParser, integers_first
from visattn.training.command_line.told import what_was_told


def newest(folder):
    return sorted((folder / "runs" / "tiny").iterdir())[-1]


def config_of(run):
    return yaml.safe_load((run / "config.yaml").read_text())


def rates_of(run):
    """The learning rates in a run's last checkpoint: the highest, and the one reached."""
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    group = saved["optimizer_states"][0]["param_groups"][0]
    return group["initial_lr"], group["weight_decay"]


def test_a_resumed_training_takes_what_it_was_told(command, last, tmp_path):
    more = ["--trainer.max_epochs=3", "--model.learning_rate=0.01", "--model.weight_decay=0.2"]
    code, said = command("fit", "--ckpt_path=last", *more)
    assert code == 0
    assert "other than in the checkpoint: model.learning_rate 0.01 (0.003)" in said
    run = newest(tmp_path)
    assert run.name == "version_1"
    assert config_of(run)["model"]["learning_rate"] == 0.01
    assert rates_of(run) == (0.01, 0.2)
    saved = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["hyper_parameters"]["learning_rate"] == 0.01


def test_a_file_tells_a_resumed_training_too(command, last, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("model: {learning_rate: 0.02}\ntrainer: {max_epochs: 2}\n")
    code, said = command("fit", "-c", other, "--ckpt_path=last")
    assert code == 0
    assert "model.learning_rate 0.02 (0.003)" in said
    assert rates_of(newest(tmp_path))[0] == 0.02


def test_what_was_not_told_is_as_in_the_checkpoint(command, last, tiny_folder, tmp_path):
    words = ["--data=FolderData", f"--data.root={tiny_folder}", "--data.workers=0"]
    words += ["--data.batch_size=4", "--name=tiny", "--trainer.accelerator=cpu"]
    code, said = command("fit", *words, "--ckpt_path=last", "--trainer.max_epochs=2", recipe=False)
    assert code == 0
    assert "other than in the checkpoint" not in said
    assert "as in its training: model.backbone resnet10t, " in said
    config = config_of(newest(tmp_path))
    assert config["model"]["backbone"] == "resnet10t"
    assert config["model"]["learning_rate"] == 0.003
    assert config["data"]["init_args"]["size"] == 32


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.backbone=resnet18"], "model.backbone resnet18 (resnet10t)"),
        (["--model.backbone_options={channels: [8, 8, 8, 32]}"], "model.backbone_options"),
        (["--model.attention=se"], "model.attention se (None)"),
        (["--model.optimizer=sgd"], "keeps its optimizer"),
        (
            ["--model.lr_scheduler=StepLR", "--model.lr_scheduler.step_size=1"],
            "keeps its lr_scheduler",
        ),
    ],
)
def test_what_cannot_change_on_the_way_is_refused(command, last, tmp_path, words, message):
    code, said = command("fit", "--ckpt_path=last", "--trainer.max_epochs=2", *words)
    assert code == 1
    assert message in said
    assert newest(tmp_path).name == "version_0"


def test_a_network_is_tested_at_the_size_of_its_training(command, last, tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("data: {init_args: {size: 64, fit: stretch, mean: [0.5, 0.5, 0.5]}}\n")
    code, said = command("test", "-c", other)
    assert code == 0
    assert "as in its training: size 32, fit crop" in said
    assert "not as in the configuration: data.size 64, data.fit stretch, data.mean" in said
    found = json.loads((last.parents[1] / "test.json").read_text())
    assert (found["settings"]["size"], found["settings"]["fit"]) == (32, "crop")
    assert found["settings"]["mean"] == [0.485, 0.456, 0.406]
    assert found["told"] == {}


def test_a_test_that_was_told_otherwise_says_so_and_keeps_the_other_result(command, last):
    run = last.parents[1]
    assert command("test")[0] == 0
    before = (run / "test.json").read_text()
    code, said = command("test", "--data.size=48")
    assert code == 0
    assert "data.size 48 (32)" in said
    assert (run / "test.json").read_text() == before
    found = json.loads((run / "test_1.json").read_text())
    assert found["settings"]["size"] == 48
    assert found["told"] == {"data.size": {"training": 32, "here": 48}}
    assert command("test", "--data.size=48")[0] == 0
    assert not (run / "test_2.json").exists()


@pytest.mark.parametrize("words", [["--data.size=48"], ["--trainer.limit_test_batches=1"]])
def test_a_result_of_other_settings_never_stands_in_test_json(command, last, words):
    assert command("test", *words)[0] == 0
    assert [path.name for path in last.parents[1].glob("*.json")] == ["test_1.json"]


def test_another_checkpoint_of_the_run_does_not_replace_the_result(command, last):
    best = last.with_name("best.ckpt")
    best.write_bytes(last.read_bytes())
    for given in ("last", "best", "last"):
        assert command("test", f"--ckpt_path={given}")[0] == 0
    found = {
        path.name: json.loads(path.read_text())["checkpoint"]
        for path in last.parents[1].glob("test*.json")
    }
    assert {name: value.rpartition("/")[2] for name, value in found.items()} == {
        "test.json": "last.ckpt",
        "test_1.json": "best.ckpt",
    }


def test_predictions_of_other_pictures_stay(command, last, tiny_folder):
    run = last.parents[1]
    assert command("predict", tiny_folder / "val")[0] == 0
    before = (run / "predictions.csv").read_text()
    code, said = command("predict", tiny_folder / "test_same")
    assert code == 0
    assert "predictions.csv there is of other settings, and stays" in said
    assert (run / "predictions.csv").read_text() == before
    assert (run / "predictions_1.csv").exists()


def test_another_number_of_classes_is_told_in_clear_words(command, last, tiny_folder, tmp_path):
    other = tmp_path / "three"
    for split in ("train", "val", "test_same"):
        for name, source in (("a", "a"), ("b", "b"), ("c", "b")):
            (other / split / "images").mkdir(parents=True, exist_ok=True)
            (other / split / "images" / name).symlink_to(tiny_folder / split / "images" / source)
    for subcommand in ("fit", "test"):
        code, said = command(subcommand, f"--data.root={other}", "--ckpt_path=last")
        assert code == 1
        assert "trained on the classes a, b, the data have a, b, c" in said
    assert newest(tmp_path).name == "version_0"


@pytest.mark.parametrize("subcommand", ["test", "validate", "predict", "fit"])
def test_a_checkpoint_without_data_asks_for_them(command, last, subcommand):
    code, said = command(subcommand, f"--ckpt_path={last}", recipe=False)
    assert code == 2
    assert "which data?" in said
    assert "--data FolderData --data.root FOLDER" in said


@pytest.mark.parametrize("words", [["report"], ["evaluate-maps"]])
def test_scenes_are_not_shown_to_a_network_of_other_classes(command, last, words):
    code, said = command(*words, last, recipe=False)
    assert code == 1
    assert "trained on the classes a, b" in said
    assert "--data FOLDER" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.max_epoch=3"], "did you mean trainer.max_epochs?"),
        (["--model.backbon=resnet18"], "did you mean model.backbone?"),
        (["--data.siz=64"], "FolderData has no option 'siz'; did you mean size?"),
        (["--ckpt=last"], "did you mean ckpt_path?"),
        (["--optimizer=sgd"], "did you mean model.optimizer?"),
        (["--seed=3"], "unknown option seed"),
    ],
)
def test_an_abbreviation_is_a_typing_error(command, words, message):
    code, said = command("fit", *words)
    assert code == 2
    assert message in said


@pytest.mark.parametrize("word", ["--pretrain", "--lay=grad_cam", "--mod=x"])
def test_other_commands_take_no_abbreviations_either(command, word):
    code, said = command("overlay", "a.png", "--model=resnet18", word, recipe=False)
    assert code == 2
    assert "unknown option" in said


def test_one_batch_is_one_batch(command, tmp_path):
    assert command("fit", "--trainer.limit_train_batches", "1")[0] == 0
    assert config_of(newest(tmp_path))["trainer"]["limit_train_batches"] == 1
    saved = torch.load(newest(tmp_path) / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 1  # 8 pictures make 2 batches


def test_the_order_in_which_others_wrote_a_union_does_not_matter():
    """Python remembers the first order of a union: whoever wrote it, 1 stays a whole number."""
    assert set(get_args(Optional[Union[float, int]])) == {int, float, type(None)}  # noqa: UP007, UP045
    parser = RunParser(exit_on_error=False)
    parser.add_lightning_class_args(L.Trainer, "trainer")
    for word, value in (("1", int), ("1.0", float), ("0.5", float)):
        found = parser.parse_args([f"--trainer.limit_val_batches={word}"])
        assert type(found.trainer.limit_val_batches) is value
    assert integers_first(float | int) == int | float
    assert get_args(integers_first(float | int | str)) == (int, float, str)


def test_what_was_told_is_found_however_it_is_written(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(
        "model: {objective: {class_path: CrossEntropy}, backbone_options: {channels: [8]}}\n"
        "data: {class_path: FolderData, init_args: {size: 32}}\n"
    )
    told = what_was_told(["test", "-c", str(file), "--data.init_args.fit", "crop", "--data=X"])
    assert told.word("data.fit")
    assert not told.word("data.size")
    for option in ("data.size", "model.objective", "model.backbone_options", "data.fit"):
        assert told.anywhere(option)
    assert not told.anywhere("data.mean")
    assert not told.anywhere("model.backbone")
