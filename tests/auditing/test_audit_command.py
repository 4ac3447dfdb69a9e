"""``visattn audit``: checkpoints and folders in; a table, JSON and a picture out."""

import json

import lightning as L
import pytest
from coloured_squares import BACKGROUNDS, NAMES, OBJECTS, mask, picture, write
from PIL import Image

from visattn.cli import main
from visattn.data import FolderData
from visattn.training import ImageClassifier
from visattn.training.command_line.quiet import quiet_lightning


@pytest.fixture(autouse=True)
def _process_as_it_is(monkeypatch):
    monkeypatch.setenv("VISATTN_TUNE_PROCESS", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for split in ("train", "val", "test"):
        for label, name in enumerate(NAMES):
            for place in range(4):
                pixels = picture(OBJECTS[label], BACKGROUNDS[label])
                write(root, split, name, place, pixels, mask())
    return root


@pytest.fixture(scope="module")
def checkpoint(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    model = ImageClassifier(
        "resnet10t",
        num_classes=3,
        backbone_options={"channels": [8, 8, 8, 8]},
        attention={"block": "spatial_mask", "at": "image", "init": "paper"},
    )
    data = FolderData(folder, size=16, batch_size=4, workers=0, augmentation=None)
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


def test_a_checkpoint_brings_classes_size_and_normalisation(checkpoint, folder, tmp_path, capsys):
    out = tmp_path / "audit"
    words = ["audit", f"--model={checkpoint}", f"--data={folder}", f"--out={out}", "--cases=2"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    kept = json.loads((out / "audit.json").read_text())
    assert "tiny/version_0" in printed
    assert kept["settings"]["size"] == 16
    assert kept["settings"]["split"] == "test"
    assert kept["classes"] == list(NAMES)
    assert kept["accuracies"]["mixed-rand"]["images"] == 12
    for word in ("mixed-same", "BG-gap", "RFS", "all 8 backgrounds", "worst group", "chance"):
        assert word in printed
    share = kept["flip_rate"]
    line = next(line for line in printed.splitlines() if "original, mixed-rand" in line)
    assert f"{100 * share['value']:.1f} %" in line
    assert f"{100 * share['low']:.1f} to {100 * share['high']:.1f}" in line
    with Image.open(out / "flips.png") as drawn:
        assert drawn.width > 1000


def test_a_mask_checkpoint_estimates(checkpoint, folder, tmp_path, capsys):
    bare = tmp_path / "bare"
    for label, name in enumerate(NAMES):
        for place in range(3):
            pixels = picture(OBJECTS[label], BACKGROUNDS[label])
            write(bare, "test", name, place, pixels, None)
    out = tmp_path / "out"
    words = ["audit", f"--model={checkpoint}", f"--data={bare}", f"--out={out}"]
    assert main(words) == 1
    assert "--mask-model" in capsys.readouterr().err
    assert main([*words, "--mask-model", str(checkpoint)]) == 0
    printed = capsys.readouterr().out
    assert "AN ESTIMATE" in printed
    assert "ESTIMATES" in printed
    kept = json.loads((out / "audit.json").read_text())
    assert kept["estimate"] is True
    assert kept["background_gap"] is None
    assert kept["settings"]["masks"] == str(checkpoint)


def test_a_name_needs_a_class_map_or_no_classes(folder, tmp_path, capsys):
    words = ["audit", "--model=resnet10t", f"--data={folder}", f"--out={tmp_path / 'out'}"]
    words += ["--size=32", "--limit=4", "--cases=0", "--adversarial=1"]
    assert main(words) == 1
    assert "1000 logits, the data have 3 classes" in capsys.readouterr().err
    assert main([*words, "--flips-only"]) == 0
    assert "resnet10t (untrained weights)" in capsys.readouterr().out
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"a": [1, 2], "b": 5, "c": [900]}))
    assert main([*words, "--class-map", str(mapping)]) == 0
    assert "mixed-next" in capsys.readouterr().out
    mapping.write_text("{a: 1")
    assert main([*words, "--class-map", str(mapping)]) == 1
    assert "is no JSON" in capsys.readouterr().err
    mapping.write_text("[1, 2]")
    assert main([*words, "--class-map", str(mapping)]) == 1
    assert "must map class folders to logits" in capsys.readouterr().err
    mapping.unlink()
    assert main([*words, "--class-map", str(mapping)]) == 1
    assert f"class map {mapping} not found" in capsys.readouterr().err


def test_the_folder_to_write_to_is_looked_at_first(folder, tmp_path, capsys):
    out = tmp_path / "file"
    out.write_text("")
    assert main(["audit", "--model=resnet10t", f"--data={folder}", f"--out={out}"]) == 1
    assert "is a file" in capsys.readouterr().err
