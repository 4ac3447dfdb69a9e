"""Methods by name, through a network or at a layer, in measures, pictures and tables."""

import json
from typing import get_args, get_type_hints

import pytest
import timm
import torch
from recording.small_transformers import small

from visattn import class_activation
from visattn.cli import main
from visattn.commands.maps import measure_maps
from visattn.evaluation import evaluate_maps, map_scores, network_maps
from visattn.recording.legrad_map import legrad
from visattn.recording.marking import MARKERS, Marker
from visattn.recording.network_maps import maps_of
from visattn.recording.rollout import attention_relevance, attention_rollout


def test_methods_of_transformers_beside_class_activation():
    model, images = small("vit_tiny_patch16_224")
    classes = torch.tensor([2, 0])
    cams = ["layercam", "rollout", "relevance", "legrad"]
    makes = network_maps(model, images, layer="blocks.0", cams=cams)
    found = makes(model, images, classes)
    assert list(found) == [
        *("blocks.0.attn", "blocks.1.attn", "LayerCAM, blocks.0", "Rollout", "Relevance", "LeGrad")
    ]
    for name, expected in {
        "LayerCAM, blocks.0": class_activation(
            model, images, method="layercam", layer="blocks.0", target=classes
        ),
        "Rollout": attention_rollout(model, images),
        "Relevance": attention_relevance(model, images, classes=classes),
        "LeGrad": legrad(model, images, classes=classes),
    }.items():
        torch.testing.assert_close(found[name], expected)
    assert set(makes.seconds) == set(found)
    assert all(0 < seconds < 60 for seconds in makes.seconds.values())


def test_they_are_drawn_by_name():
    model, images = small("vit_tiny_patch16_224")
    found = maps_of(model, images, layers=["rollout", "legrad", "blocks.1.attn"])
    assert list(found.maps) == ["Rollout", "LeGrad", "blocks.1.attn, received"]
    torch.testing.assert_close(found.maps["Rollout"], attention_rollout(model, images))
    with pytest.raises(ValueError, match="rollout follows all layers"):
        maps_of(model, images, layers=["rollout:blocks.0"])


def test_a_method_that_is_none_for_the_network_is_refused_at_the_start():
    model = timm.create_model("test_resnet", num_classes=3).eval()
    for cam in ("rollout", "relevance", "legrad"):
        with pytest.raises(ValueError, match="attention"):
            network_maps(model, torch.randn(1, 3, 64, 64), cams=[cam])


def test_every_method_has_a_title():
    assert len(set(MARKERS.values())) == len(MARKERS) == 9


@pytest.mark.slow
def test_several_draws_in_tables_and_json(tiny_folder, tmp_path, capsys, monkeypatch):
    network, _ = small("vit_tiny_patch16_224")
    monkeypatch.setattr(map_scores, "load_classifier", lambda model, **_: (network, {}))
    words = ["evaluate-maps", "vit", f"--data={tiny_folder}", "--size=32", "--steps=1"]
    words += ["--limit=2", "--draws=2", "--cams=[eigencam,rollout]"]
    assert main([*words, f"--out={tmp_path / 'maps.json'}"]) == 0
    assert " ± " in capsys.readouterr().out
    saved = json.loads((tmp_path / "maps.json").read_text())
    first, second = saved["draws"]
    assert "Rollout" in first
    assert list(first) == list(second)
    chances = [draw["random"]["localisation"]["mass_inside"]["value"] for draw in (first, second)]
    assert chances[0] != chances[1]
    assert main([*words, f"--out={tmp_path / 'maps.md'}"]) == 0
    page = (tmp_path / "maps.md").read_text()
    first, _, table = page.partition("\n\n")
    assert first == "vit (untrained weights): 2 draws of 2 images of test_same"
    assert table.startswith("**Does the map lie on the object?**\n\n| map | pointing |")
    mean = sum(chances) / 2
    row = next(line for line in page.splitlines() if line.startswith("| random |"))
    assert f"{mean:.3f} ± " in row
    assert main([*words[:-2], "--draws=0", f"--data={tiny_folder}"]) == 1
    assert "draws must be at least 1" in capsys.readouterr().err


@pytest.mark.slow
def test_every_draw_of_scenes_is_of_other_scenes(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VISATTN_CACHE", str(tmp_path))
    network, _ = small("vit_tiny_patch16_224")
    monkeypatch.setattr(map_scores, "load_classifier", lambda model, **_: (network, {}))
    drawn = []

    def measured(network, batches, **options):
        kept = list(batches)
        drawn.append(torch.cat([batch["image"] for batch in kept]))
        return evaluate_maps(network, kept, randomised_images=0, grids=0, **options)

    monkeypatch.setattr(map_scores, "evaluate_maps", measured)
    assert main(["evaluate-maps", "vit", "--size=32", "--limit=8", "--draws=2", "--steps=1"]) == 0
    assert [len(images) for images in drawn] == [8, 8]
    assert not torch.equal(*drawn)
    assert "2 draws of 8 images of test_mixed_rand" in capsys.readouterr().out


@pytest.mark.slow
def test_draws_of_all_that_there_is_say_so(tiny_folder, capsys, monkeypatch):
    network, _ = small("vit_tiny_patch16_224")
    monkeypatch.setattr(map_scores, "load_classifier", lambda model, **_: (network, {}))
    words = ["evaluate-maps", "vit", f"--data={tiny_folder}", "--size=32", "--steps=1"]
    assert main([*words, "--limit=0", "--draws=2"]) == 0
    assert "which are all there are" in " ".join(capsys.readouterr().out.split())


def test_weights_of_ones_own(tiny_folder, tmp_path, capsys):
    torch.manual_seed(5)
    network = timm.create_model("resnet10t", num_classes=2)
    torch.save(network.state_dict(), tmp_path / "own.pth")
    words = ["evaluate-maps", "resnet10t", f"--data={tiny_folder}", "--size=32", "--steps=1"]
    words += ["--limit=1"]
    out = tmp_path / "own.json"
    weights = f"--weights={tmp_path / 'own.pth'}"
    assert main([*words, weights, "--layer=layer2", f"--out={out}"]) == 0
    assert "Grad-CAM, layer2" in json.loads(out.read_text())["maps"]
    assert main([*words, f"--weights={tmp_path / 'none.pth'}"]) == 1


def test_the_command_takes_every_method_by_its_name():
    (cams, *_) = get_args(get_type_hints(measure_maps)["cams"])
    assert get_args(get_args(cams)[0]) == get_args(Marker)  # written twice: a parser without torch
