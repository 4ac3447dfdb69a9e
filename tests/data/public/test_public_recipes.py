"""The recipes for public data, dry: the same command lines on small files of the same layout."""

import json
import re
import shlex

import pytest
import yaml
from quick import slow_but

from visattn.cli import main
from visattn.training.command_line.recipes import find_recipe, recipe_folder, recipe_names

RECIPES = [name for name in recipe_names() if name.startswith("public/")]
ATTENDING = [name for name in RECIPES if not name.endswith("_plain")]
README = (recipe_folder() / "public" / "README.md").read_text()
DRY = ("--data.size=32", "--data.batch_size=9", "--data.workers=0", "--trainer.accelerator=cpu")


def dry_run_words():
    """The options that the README names for a dry run."""
    (block,) = (text for text in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "dev" in text)
    command = block.replace("\\\n", " ").splitlines()[0]
    return [word for word in shlex.split(command)[4:] if not word.startswith("--data.root")]


@pytest.fixture(autouse=True)
def _process_as_it_is(monkeypatch):
    monkeypatch.setenv("VISATTN_TUNE_PROCESS", "0")


@pytest.fixture
def words(request, tmp_path):
    """From a recipe to the words that let it run on small files."""

    def of(name):
        root = request.getfixturevalue(name.removeprefix("public/").split("_")[0])
        return ["-c", name, f"--data.root={root}", f"--runs={tmp_path / 'runs'}"]

    return of


def test_every_set_has_a_recipe_and_one_with_attention():
    assert {name.removeprefix("public/") for name in RECIPES} == {
        *(f"{data}_{kind}" for data in ("pets", "waterbirds", "uecfoodpix") for kind in
          ("plain", "mask")),
        "imagenet9_plain",
        "imagenet9_cbam",
    }  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_starts_from_pretrained_weights_and_says_it_was_not_run(name):
    text = find_recipe(name).read_text()
    recipe = yaml.safe_load(text)
    assert recipe["model"]["pretrained"] is True
    assert recipe["model"]["backbone"] == "resnet50"
    assert recipe["data"]["init_args"]["size"] == 224
    assert f"visattn fit  -c recipes/{name}.yaml" in text
    assert "Not run yet" in text
    assert f"]({name.removeprefix('public/')}.yaml)" in README
    plain = f"{name.rpartition('_')[0]}_plain"
    same = yaml.safe_load(find_recipe(plain).read_text())["data"]
    recipe["data"]["init_args"].pop("mask_share", None)
    assert recipe["data"] == same  # compared on the same data


@pytest.mark.parametrize("name", slow_but(RECIPES, ATTENDING))
def test_a_dry_run_trains_a_step_and_tests(name, words, tmp_path):
    more = dry_run_words()
    assert more[-2:] == ["--trainer.fast_dev_run", "true"]
    recipe = [*words(name), *more, "--data.size=32", "--data.batch_size=4"]
    if name != "public/waterbirds_mask":  # which trains its ResNet-50 here, too
        recipe.append("--model.backbone=resnet10t")
    assert main(["fit", *recipe]) == 0
    assert main(["test", *recipe, "--ckpt_path=none"]) == 0
    told = json.loads(next((tmp_path / "runs").rglob("test.json")).read_text())
    assert all(split.startswith("test") for split in told["splits"])
    assert all(found["accuracy"]["images"] == 4 for found in told["splits"].values())


def small(recipe):
    return [*recipe, *DRY, "--model.pretrained=false", "--model.backbone=resnet10t"]


def test_imagenet9_gives_the_background_gap(words, tmp_path):
    assert main(["test", *small(words("public/imagenet9_plain")), "--ckpt_path=none"]) == 0
    told = json.loads(next((tmp_path / "runs").rglob("test.json")).read_text())
    assert len(told["splits"]) == 8
    assert told["background_gap"]["images"] == 18
    same, rand = (told["splits"][f"test_mixed_{n}"]["accuracy"]["value"] for n in ("same", "rand"))
    assert told["background_gap"]["value"] == pytest.approx(same - rand)


def test_waterbirds_give_the_worst_group(words, tmp_path):
    recipe = small(words("public/waterbirds_mask"))
    assert main(["test", *recipe, "--ckpt_path=none"]) == 0
    told = json.loads(next((tmp_path / "runs").rglob("test.json")).read_text())["splits"]["test"]
    assert told["accuracy"]["images"] == 40
    assert {told["worst_group"]["class"], told["worst_group"]["background"]} & {"land", "water"}
    assert 0 <= told["mask_iou"]["mean"] <= 1


@pytest.mark.parametrize("name", [n for n in RECIPES if n.endswith("_plain")])
def test_missing_data_are_one_clear_message(name, tmp_path, capsys):
    words = ["-c", name, f"--data.root={tmp_path / 'none'}", "--model.pretrained=false"]
    extra = ["--data.download=false"] if "pets" in name else []
    assert main(["fit", *words, *extra, "--trainer.fast_dev_run=true"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert f"{tmp_path / 'none'}" in told
    assert "Get it from https://" in told
    assert "Traceback" not in told
