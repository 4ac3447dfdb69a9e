import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from visattn.cli import main
from visattn.experiments.demo import RECIPES, SPLITS
from visattn.training.command_line.recipes import find_recipe


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One quick demo, and what it printed."""
    import contextlib
    import io

    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as text:
        patch.setenv("VISATTN_CACHE", str(root / "cache"))
        patch.setenv("VISATTN_TUNE_PROCESS", "0")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        code = main(["demo", "--quick", "--seed=3", f"--out={root / 'out'}"])
    found = json.loads((root / "out" / "results.json").read_text())
    return SimpleNamespace(code=code, root=root, text=text.getvalue(), found=found)


def test_both_networks_are_tested_on_every_split(demo):
    assert demo.code == 0
    assert demo.found["models"].keys() == set(RECIPES)
    for entry in demo.found["models"].values():
        assert sorted(entry["splits"]) == sorted(SPLITS)
        for split in entry["splits"].values():
            share = split["accuracy"]
            assert share["images"] == demo.found["settings"]["test"] == 16
            assert share["value"] == share["count"] / 16
            assert share["low"] <= share["value"] <= share["high"]
        gap, splits = entry["background_gap"], entry["splits"]
        same, rand = (splits[f"mixed_{kind}"]["accuracy"]["value"] for kind in ("same", "rand"))
        assert gap["value"] == pytest.approx(same - rand)
        assert gap["low"] <= gap["value"] <= gap["high"]


def test_the_difference_is_that_of_the_accuracies(demo):
    mask, plain = (demo.found["models"][name]["splits"] for name in ("mask", "plain"))
    for name, difference in demo.found["mask_minus_plain"].items():
        expected = mask[name]["accuracy"]["value"] - plain[name]["accuracy"]["value"]
        assert difference["value"] == pytest.approx(expected)


def test_only_the_mask_has_an_iou(demo):
    splits = demo.found["models"]["mask"]["splits"]
    assert splits["original"]["mask_iou"]["count"] == 16
    assert 0 < splits["original"]["mask_iou"]["chance"] < 1
    assert not any("mask_iou" in s for s in demo.found["models"]["plain"]["splits"].values())


def test_it_says_what_it_did_and_how_long_it_took(demo):
    for words in ("Scenes: rendering 120 pictures", "Training plain", "Training mask", "BG-gap"):
        assert words in demo.text
    seconds = demo.found["seconds"]
    parts = [seconds["scenes"], seconds["drawing"]]
    parts += [value for name in RECIPES for value in seconds[name].values()]
    assert all(value > 0 for value in parts)
    assert sum(parts) <= seconds["total"]
    assert demo.found["seed"] == 3
    assert demo.found["quick"]


def test_the_picture_shows_something(demo):
    pixels = np.asarray(Image.open(demo.root / "out" / "overlays.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 500
    assert pixels.std() > 20


def test_it_leaves_a_run_of_each_network(demo):
    for name in RECIPES:
        run = demo.root / "out" / name / "version_0"
        assert demo.found["runs"][name] == str(run)
        assert (run / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.slow
def test_scenes_are_rendered_once(demo, monkeypatch, capsys):
    monkeypatch.setenv("VISATTN_CACHE", str(demo.root / "cache"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    out = demo.root / "again"
    assert main(["demo", "--quick", "--seed=3", f"--out={out}"]) == 0
    assert "are there already" in " ".join(capsys.readouterr().out.split())
    again = json.loads((out / "results.json").read_text())
    assert again["models"] == demo.found["models"]
    assert again["seconds"]["scenes"] == 0


def test_recipes_of_the_demo_exist():
    for name in RECIPES:
        assert find_recipe(f"foreground/{name}").is_file()
