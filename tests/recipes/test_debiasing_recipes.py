"""Recipes of the literature's methods, on the data and network of foreground/plain."""

import pytest
import yaml
from quick import slow_but

from visattn.cli import main
from visattn.training.command_line.recipes import find_recipe, recipe_names

NAMES = [name for name in recipe_names() if name.startswith("debiasing/")]


def content_of(name):
    return yaml.safe_load(find_recipe(name).read_text())


@pytest.mark.parametrize("name", NAMES)
def test_only_the_method_differs_from_plain(name):
    content, plain = content_of(name), content_of("foreground/plain")
    for found in (content, plain):
        found["data"]["init_args"].pop("mask_share")
        del found["name"], found["model"]["objective"], found["trainer"]
    assert content == plain


@pytest.mark.parametrize("name", slow_but(NAMES, NAMES[:1]))
def test_the_command_trains_one_step(name, tiny_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--data=FolderData", f"--data.root={tiny_folder}", "--data.mask_share=1"]
    words += ["--data.size=32", "--data.batch_size=4", "--data.workers=0"]
    words += ["--trainer.accelerator=cpu", "--trainer.fast_dev_run=true"]
    assert main(["fit", "-c", name, *words]) == 0
