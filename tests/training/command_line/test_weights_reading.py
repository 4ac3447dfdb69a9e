"""Pictures are read as for the weights that a training begins with."""

import pytest
import timm
import torch
import yaml

from visattn.cli import main
from visattn.networks.weight_files import FACTS
from visattn.networks.weights_reading import reading_of_weights, twin_of

HALF = [0.5, 0.5, 0.5]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as timm writes them, which doesn't say of which of two architectures it is."""
    path = tmp_path_factory.mktemp("weights") / "lite.pth"
    torch.save(timm.create_model("tf_efficientnet_lite0").state_dict(), path)
    return path


def fitted(folder, runs, *words):
    options = ["--trainer.accelerator=cpu", "--trainer.max_epochs=1", "--model.pretrained=true"]
    options += ["--trainer.limit_train_batches=1", "--data.size=32", "--data.batch_size=4"]
    options += ["--data.workers=0", "--trainer.limit_val_batches=1", f"--runs={runs}"]
    data = ["--data=FolderData", f"--data.root={folder}"]
    assert main(["fit", "--model.objective=CrossEntropy", *data, *options, *words]) == 0
    (run,) = runs.glob("*/version_0")
    config = yaml.safe_load((run / "config.yaml").read_text())["data"]["init_args"]
    facts = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)[FACTS]
    assert all(facts[name] == config[name] for name in ("mean", "interpolation"))
    return facts["mean"], facts["std"], facts["interpolation"]


def test_pictures_are_read_as_for_the_weights(weights, tiny_folder, tmp_path, capsys, caplog):
    caplog.set_level("INFO")
    words = ["--model.backbone=tf_efficientnet_lite0", f"--model.weights={weights}"]
    assert fitted(tiny_folder, tmp_path, *words) == (HALF, HALF, "bicubic")
    said = " ".join(capsys.readouterr().out.split())
    assert f"as the weights want it: mean {HALF}, std {HALF}, interpolation bicubic" in said
    assert "a new classifier" in caplog.text  # and pretrained has fetched nothing
    assert "fits efficientnet_lite0 as well as tf_efficientnet_lite0" in said


def test_what_was_told_counts_and_a_line_says_what_differs(weights, tiny_folder, tmp_path, capsys):
    told = [0.485, 0.456, 0.406]  # as usual, but said
    words = ["--model.backbone=tf_efficientnet_lite0", f"--model.weights={weights}"]
    assert fitted(tiny_folder, tmp_path, *words, f"--data.mean={told}")[:2] == (told, HALF)
    said = " ".join(capsys.readouterr().out.split())
    assert f"the weights were trained with mean {HALF}, data.mean is {told}" in said


def test_a_file_of_visattn_says_it_itself(tmp_path):
    path = tmp_path / "own.ckpt"
    torch.save({"state_dict": {}, FACTS: {"mean": [0.1] * 3, "std": [0.2] * 3}}, path)
    assert reading_of_weights("resnet18", path) == {"mean": [0.1] * 3, "std": [0.2] * 3}
    assert twin_of("tf_efficientnet_lite0", path) is None


def test_torchvision_says_it_of_its_own():
    usual = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert reading_of_weights("torchvision.models.resnet18") == {
        **usual,
        "interpolation": "bilinear",
    }
    assert reading_of_weights("torchvision.models.swin_t")["interpolation"] == "bicubic"
    assert reading_of_weights("torchvision.models.efficientnet_v2_l")["mean"] == HALF


def test_of_what_nobody_knows_nothing_is_said(weights, tmp_path):
    assert reading_of_weights("torchvision.models.detection.ssd300_vgg16") == {}
    assert reading_of_weights("my.networks.resnet18") == {}
    assert reading_of_weights("resnet18", tmp_path / "missing.pth")["std"] == [0.229, 0.224, 0.225]
    assert twin_of("resnet18", weights) is None
    assert twin_of("efficientnet_lite0", weights) == "tf_efficientnet_lite0"
    assert twin_of("tf_efficientnet_lite1", weights) is None
    five = {f"backbone.{n}": v for n, v in torch.load(weights).items()}
    five["backbone.classifier.weight"] = torch.zeros(5, 1280)  # of other classes, and a part
    torch.save(five, tmp_path / "five.pth")
    assert twin_of("efficientnet_lite0", tmp_path / "five.pth") == "tf_efficientnet_lite0"
