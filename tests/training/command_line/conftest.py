import json

import pytest
import yaml

from visattn.cli import main


@pytest.fixture(scope="session")
def tiny_recipe(tiny_folder, tmp_path_factory):
    """A recipe that trains a tiny network for one epoch on the tiny folder, in a second."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    data = {"root": str(tiny_folder), "size": 32, "batch_size": 4, "workers": 0}
    recipe = {
        "name": "tiny",
        "trainer": {
            **{"max_epochs": 1, "accelerator": "cpu", "enable_progress_bar": False},
            "num_sanity_val_steps": 0,
        },
        "model": {
            "backbone": "resnet10t",
            "backbone_options": {"channels": [8, 8, 8, 16]},
            "learning_rate": 0.003,
        },
        "data": {"class_path": "FolderData", "init_args": {**data, "augmentation": None}},
    }
    path.write_text(yaml.safe_dump(recipe))
    return path


@pytest.fixture
def command(tiny_recipe, monkeypatch, capsys, caplog, tmp_path):
    """Runs ``visattn SUBCOMMAND -c TINY ...`` in a folder of its own: its code, and all it said."""
    monkeypatch.chdir(tmp_path)

    def run(subcommand, *words, recipe=True):
        config = ["-c", str(tiny_recipe)] if recipe else []
        code = main([subcommand, *config, *map(str, words)])
        found = capsys.readouterr()
        return code, found.out + found.err + caplog.text

    return run


@pytest.fixture(scope="session")
def trained(tiny_recipe, tmp_path_factory):
    """The run folder of a training with the tiny recipe."""
    runs = tmp_path_factory.mktemp("trained")
    assert main(["fit", "-c", str(tiny_recipe), f"--runs={runs}"]) == 0
    return runs / "tiny" / "version_0"


@pytest.fixture
def last(trained, tmp_path):
    """A copy of its last checkpoint, in a run folder of its own."""
    copied = tmp_path / "runs" / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    copied.parent.mkdir(parents=True)
    copied.write_bytes((trained / "checkpoints" / "last.ckpt").read_bytes())
    return copied


def read_json(path):
    return json.loads(path.read_text())
