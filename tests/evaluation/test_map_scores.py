"""``visattn evaluate-maps``: a checkpoint and a folder in, tables and JSON out."""

import json
import shutil

import lightning as L
import pytest

from visattn.cli import main
from visattn.data import FolderData
from visattn.training import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning


@pytest.fixture(scope="module")
def checkpoint(tiny_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    L.seed_everything(0, verbose=False)
    model = ImageClassifier(
        "resnet10t",
        num_classes=2,
        backbone_options={"channels": [8, 8, 8, 8]},
        attention={"block": "cbam", "stages": [2]},
    )
    data = FolderData(tiny_folder, size=32, batch_size=4, workers=0, augmentation=None)
    with quiet_lightning():
        trainer = L.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, datamodule=data)
    trainer.save_checkpoint(path)
    return path


def test_a_folder_is_measured(checkpoint, tiny_folder, tmp_path, capsys):
    out = tmp_path / "new" / "scores.json"
    words = [str(checkpoint), f"--data={tiny_folder}", "--steps=3", f"--out={out}"]
    assert main(["evaluate-maps", *words]) == 0
    printed = capsys.readouterr().out
    found = json.loads(out.read_text())
    titles = ("Does the prediction depend", "Rank correlation")
    assert all(f"\n\n{title}" in printed for title in titles)  # a blank line before each table
    assert (found["split"], found["images"], found["size"]) == ("test_same", 4, 32)
    assert [name for name in found["maps"] if "CAM" not in name] == ["layer2.0", "random", "centre"]
    for name, scores in found["maps"].items():
        assert name in printed
        assert scores["localisation"]["mass_inside"]["images"] == 4
        assert 0.2 < scores["localisation"]["mass_inside"]["chance"] < 0.3  # 16 of 32 pixels a side
        assert 0 <= scores["faithfulness"]["deletion"]["value"] <= 1
        assert len(scores["randomisation"]) == 8
    chance = found["maps"]["random"]["localisation"]["pxap"]["chance"]
    assert f"{chance:.3f}" in printed.split("chance")[1].split("\n")[0]


def test_options_reach_the_evaluation(checkpoint, tiny_folder, tmp_path, capsys):
    out = tmp_path / "scores.json"
    words = ["--split=val", "--limit=2", "--layer=layer1", "--steps=1", "--size=64"]
    words += ["--deletion_baseline=blur", f"--out={out}"]
    assert main(["evaluate-maps", str(checkpoint), f"--data={tiny_folder}", *words]) == 0
    found = json.loads(out.read_text())
    assert (found["split"], found["images"], found["size"]) == ("val", 2, 64)
    assert found["deletion_baseline"] == "blur"
    assert [name for name in found["maps"] if "CAM" in name] == ["Grad-CAM, layer1"]
    assert "On blur for deletion" in capsys.readouterr().out
    assert (
        main(["evaluate-maps", str(checkpoint), f"--data={tiny_folder}", *words, "--multilabel"])
        == 0
    )
    labels = json.loads(out.read_text())
    assert (found["multilabel"], labels["multilabel"]) == (False, True)
    values = [
        each["maps"]["centre"]["faithfulness"]["deletion"]["value"] for each in (found, labels)
    ]
    assert values[0] != values[1]  # softmax and sigmoid


def test_random_weights_are_said(tiny_folder, capsys):
    words = ["--limit=2", "--steps=1", "--size=32", "--layer=layer1"]
    assert main(["evaluate-maps", "test_resnet", f"--data={tiny_folder}", *words]) == 0
    assert "test_resnet (untrained weights): 2 images" in capsys.readouterr().out


def test_sites_and_what_is_asked(checkpoint, tiny_folder, tmp_path, capsys):
    out = tmp_path / "scores.json"
    words = [str(checkpoint), f"--data={tiny_folder}", "--limit=3", "--steps=2", f"--out={out}"]

    def maps(*more):
        assert main(["evaluate-maps", *words, *more]) == 0
        return json.loads(out.read_text())["maps"]

    whole = maps()
    assert list(maps("--sites=[]")) == [name for name in whole if name != "layer2.0"]
    assert list(maps("--sites=[layer2*]")) == list(whole)
    deleted = [maps(f"--target={k}")["random"]["faithfulness"]["deletion"]["value"] for k in (0, 1)]
    assert sum(deleted) == pytest.approx(1)  # of two classes
    assert "asked about" in capsys.readouterr().out


def test_the_time_is_said_beforehand(checkpoint, tiny_folder, capsys, monkeypatch):
    monkeypatch.setattr("visattn.evaluation.map_scores._seconds", lambda *_: 10.0)
    words = [str(checkpoint), f"--data={tiny_folder}", "--limit=3", "--steps=3", "--sites=[]"]
    assert main(["evaluate-maps", *words]) == 0
    said = capsys.readouterr().out
    passes = 2 * 2 + 2 * 3 + 1
    maps = said.count("Grad-CAM") // 3 + 2  # in three tables; random and centre
    total = 10 * passes * maps * 3 / 60
    expected = f"{maps} maps of 3 images, {passes} passes of the network for each"
    assert f"{expected}: about {total:.0f} minutes or more" in said


def test_mistakes_are_one_message(checkpoint, tiny_folder, tmp_path, capsys):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_folder, bare, ignore=shutil.ignore_patterns("masks"))
    for words, message in (
        (["none.ckpt"], "no checkpoint at none.ckpt"),
        ([str(checkpoint), "--split=vla"], "did you mean val?"),
        ([str(checkpoint), "--layer=layer9"], "no layer 'layer9'"),
        ([str(checkpoint), "--sites=[layer9]"], "no map at 'layer9'"),
        ([str(checkpoint), "--target=7"], "the classes 0 to 1, not 7"),
        ([str(checkpoint), "--target=0:1,1,9,9"], "a rectangle is for segmentations"),
        ([str(checkpoint), "--limit=-1"], "limit must be"),
        ([str(checkpoint), f"--data={bare}"], "has a mask: masks stand in"),
    ):
        given = (
            words if any("--data" in word for word in words) else [*words, f"--data={tiny_folder}"]
        )
        assert main(["evaluate-maps", *given]) == 1
        assert message in " ".join(capsys.readouterr().err.split())


SEEING = """
import torch
from torch import nn

class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 1, 3, padding=1)

    def forward(self, images):
        scores = self.body(images).mean((1, 2, 3)).sigmoid()
        box = torch.tensor([[4.0, 4.0, 12.0, 12.0]])
        return [
            {"boxes": box, "labels": torch.ones(1).long(), "scores": score[None]}
            for score in scores
        ]

class Segmentation(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 3, 3, padding=1)
        nn.init.zeros_(self.body.weight)
        self.body.bias.data = torch.tensor([0.0, 1.0, 0.0])

    def forward(self, images):
        return {"out": self.body(images)}
"""


@pytest.mark.parametrize("layer", [(), ("--layer=body",)])
def test_what_is_in_no_picture_is_said(tiny_folder, tmp_path, capsys, layer):
    """As a rectangle that no box of the class covers; the layer has nothing to do with it."""
    (tmp_path / "nets.py").write_text(SEEING)

    def measure(name, *words):
        given = [f"{tmp_path}/nets.py:{name}", f"--data={tiny_folder}", "--limit=2", "--steps=2"]
        done = main(["evaluate-maps", *given, "--size=32", *words, *layer])
        printed = capsys.readouterr()
        return done, " ".join((printed.out + printed.err).split())

    done, said = measure("Detector", "--target=1:16,16,24,24")
    assert done
    assert (
        "nothing to ask about in any of the 2 pictures: no box of class 1 is found at 16,16,24,24, "
        "with an IoU of 0.5 at least. In the last one the network found class 1 at 4,4,12,12 (score"
    ) in said
    assert "IoU 0.00). Name with --target what is there" in said
    done, said = measure("Segmentation", "--target=2")
    assert done
    assert "class 2, predicted nowhere. In the last one the network found class 1 on 100 %" in said
    assert measure("Detector", "--target=1:3,4,12,12")[0] == 0
