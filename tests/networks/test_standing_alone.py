"""A checkpoint brings all of its weights: nothing is fetched for it, not even when old."""

import pytest
import timm
import torch
import yaml

from visattn.cli import main
from visattn.networks.loading import load_classifier, standing_alone
from visattn.training.classifier import ImageClassifier


@pytest.fixture
def fetched(monkeypatch):
    """The models whose pretrained weights were asked for; they are left as they are."""
    asked = []

    def note(model, **options):
        asked.append(type(model).__name__)

    monkeypatch.setattr(timm.models._builder, "load_pretrained", note)
    return asked


@pytest.fixture
def words(tiny_folder, tmp_path):
    return [
        *("-c", "public/pets_plain", "--data", "FolderData", f"--data.root={tiny_folder}"),
        *("--data.train_split=train", "--data.val_split=val", "--trainer.accelerator=cpu"),
        *("--data.size=32", "--data.batch_size=4", "--data.workers=0", "--trainer.max_epochs=1"),
        *("--model.backbone=resnet10t", f"--runs={tmp_path / 'runs'}", "--name=x"),
    ]


def test_where_the_weights_say_nothing_of_their_pictures_timm_does(tmp_path, fetched):
    file = tmp_path / "own.pth"
    torch.save(timm.create_model("test_vit", num_classes=7).state_dict(), file)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "size": 160}
    assert load_classifier("test_vit", weights=file)[1] == half
    assert load_classifier("test_vit", pretrained=True)[1] == half
    assert fetched == ["VisionTransformer"]
    assert load_classifier("test_vit")[1] == {"size": 160, "source": "as the network says"}


@pytest.mark.slow
def test_a_trained_network_fetches_nothing(words, tiny_folder, tmp_path, fetched, capsys):
    assert main(["fit", *words]) == 0, capsys.readouterr().err
    assert fetched == ["ResNet"]  # the training itself began with them
    run = tmp_path / "runs" / "x" / "version_0"
    path = run / "checkpoints" / "last.ckpt"
    assert torch.load(path)["hyper_parameters"]["pretrained"] is False

    old = torch.load(path)  # as written before checkpoints stood alone
    old["hyper_parameters"]["pretrained"] = True
    torch.save(old, path)
    fetched.clear()
    pictures = tiny_folder / "val" / "images" / "a"
    again = ImageClassifier.load_from_checkpoint(path)
    network, facts = load_classifier(path)
    torch.testing.assert_close(network.conv1[0].weight, again.model.conv1[0].weight)
    torch.testing.assert_close(
        network.conv1[0].weight, old["state_dict"]["model.conv1.0.weight"], rtol=0, atol=0
    )
    assert facts["class_names"] == ["a", "b"]
    assert main(["test", *words]) == 0
    assert main(["predict", *words, f"--data.predict_folder={pictures}"]) == 0
    assert main(["fit", *words, "--ckpt_path=last", "--trainer.max_epochs=2"]) == 0
    assert fetched == []
    kept = yaml.safe_load((tmp_path / "runs" / "x" / "version_1" / "config.yaml").read_text())
    assert kept["model"]["pretrained"] is True  # as it was asked for


def test_what_was_asked_for_by_hand_is_done(tmp_path, fetched):
    assert ImageClassifier("resnet10t", num_classes=2, pretrained=True).hparams["num_classes"] == 2
    assert fetched == ["ResNet"]


def test_only_options_that_there_are_change():
    assert standing_alone({"width": 3}) == {}
    assert standing_alone({"init_from": "a.ckpt", "width": 3}) == {"init_from": None}
