"""What ``--data NAME`` knows, and what each name takes."""

import inspect
import subprocess
import sys

import pytest
from jsonargparse import ArgumentParser

import visattn.data
from visattn.data import modules
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.mistakes import explain
from visattn.training.command_line.quiet import quiet_lightning

NAMES = [name for name in modules.__all__ if name != "ImageData"]


def options(name):
    found = ArgumentParser().add_class_arguments(getattr(modules, name), "data")
    return {option.removeprefix("data.") for option in found}


def test_every_module_is_final_public_and_loaded_with_the_base():
    for name in NAMES:
        assert not inspect.isabstract(getattr(modules, name))
        assert getattr(visattn.data, name) is getattr(modules, name)


@pytest.mark.parametrize("name", NAMES)
def test_every_module_takes_the_shared_options(name):
    shared = set(inspect.signature(modules.ImageData).parameters)
    decided = {"mask_values", "check", "train_split"}  # some decide these themselves
    assert shared - decided <= options(name)


@pytest.mark.parametrize(("name", "classes"), [("SushiData", 8), ("TastyData", 2)])
def test_scenes_by_their_short_names(name, classes):
    with quiet_lightning():
        words = [f"--data={name}", "--data.batch_size=7", "--model.backbone=resnet10t"]
        cli = TaskCLI(words, run=False, logs=False)
    assert type(cli.datamodule) is getattr(modules, name)
    assert cli.datamodule.batch_size == 7
    assert cli.model.hparams.num_classes == classes


def test_a_wrong_option_names_what_is_passed_on_too():
    told = explain(
        "class_path 'visattn.data.modules.FolderData': Option 'batchsize' is not accepted",
        model=modules.FolderData,
    )
    assert told == "FolderData has no option 'batchsize'; did you mean batch_size or size?"


def test_a_wrong_option_in_python_is_an_error():
    with pytest.raises(TypeError, match="'batchsize'"):
        visattn.data.SushiData(batchsize=3)


@pytest.mark.slow
def test_data_modules_load_nothing_that_draws():
    code = (
        "import sys, visattn.data.modules; "
        "names = [n for n in sys.modules if n.startswith('visattn.data.generated')]; "
        "print([n for n in names if n.endswith(('rendering', 'composition')) or '.drawing' in n])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
