"""Settings and checkpoints of every broken kind: one message, a code, and nothing left behind."""

import pickle
import shutil
import zipfile
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from quick import slow_but
from safetensors.torch import save_file

from visattn.cli import main
from visattn.training import ImageClassifier


def fails(found, *parts, code=1):
    """The command ended with a code and a message of these parts, and nothing from inside."""
    assert found[0] == code, found[1]
    said = " ".join(found[1].split())
    for inner in ("Traceback", "Union subtypes", "compute_fn"):
        assert inner not in said
    for part in parts:
        assert part in said


def nothing_trained(folder):
    """No run but the one that was there."""
    runs = folder / "runs"
    return not runs.exists() or not list(runs.glob("*/version_[1-9]*"))


YAML = {
    "no mapping": ("- a\n- b\n", 1, "must be a mapping"),
    "empty": ("", 1, "must be a mapping"),
    "no YAML": ("model: {a: [}\n", 1, "is no valid YAML"),
    "tabs": ("model:\n\tbackbone: x\n", 1, "is no valid YAML"),
    "bytes": (b"\xff\xfe\x00model", 1, "is no valid YAML"),
    "unknown group": ("modell: {backbone: resnet18}\n", 2, "unknown option modell"),
    "unknown option": ("model: {lerning_rate: 1}\n", 2, "did you mean model.learning_rate?"),
    "unknown trainer option": ("trainer: {max_epoch: 1}\n", 2, "did you mean trainer.max_epochs?"),
    "unknown data option": ("data: {init_args: {siz: 3}}\n", 2, "no option 'siz'"),
    "a word for a number": ("trainer: {max_epochs: many}\n", 2, "trainer.max_epochs", "many"),
    "a list for a number": ("model: {learning_rate: [1, 2]}\n", 2, "model.learning_rate"),
    "a half for a whole": ("data: {init_args: {batch_size: 2.5}}\n", 2, "data.batch_size", "2.5"),
    "a number for a flag": ("model: {pretrained: 7}\n", 2, "model.pretrained", "7"),
    "a choice that is none": ("data: {init_args: {fit: squeeze}}\n", 2, "fit", "crop", "squeeze"),
    "a class that is none": ("data: {class_path: FoldrData}\n", 2, "did you mean FolderData"),
    "a path that is none": ("data: {class_path: no.such.Data}\n", 2, "data: No module named 'no'"),
    "another kind of class": ("data: {class_path: torch.nn.Linear}\n", 2, "data", "Linear"),
    "an objective that is none": (
        "model: {objective: {class_path: CrossEntropi}}\n",
        *(2, "did you mean CrossEntropy"),
    ),
    "an option of an objective": (
        "model: {objective: {class_path: CrossEntropy, init_args: {smooth: 1}}}\n",
        *(2, "CrossEntropy has no option 'smooth'"),
    ),
    "a callback that is none": ("trainer: {callbacks: [{class_path: Foo}]}\n", 2, "callbacks"),
    "a logger that is none": ("trainer: {logger: {class_path: Foo}}\n", 2, "logger"),
    "an option of a logger": (
        "trainer: {logger: {class_path: CSVLogger, init_args: {save_dirr: x}}}\n",
        *(2, "CSVLogger has no option 'save_dirr'; did you mean save_dir?"),
    ),
    "a logger without what it needs": (
        "trainer: {logger: {class_path: CometLogger}}\n",
        *(1, "Requirement 'comet-ml"),
    ),
    "a value of a callback": (
        "trainer: {callbacks: [{class_path: ModelCheckpoint, init_args: {save_top_k: -7}}]}\n",
        *(1, "Invalid value for save_top_k=-7"),
    ),
    "a task that is none": ("task: clasification\n", 1, "did you mean classification?"),
    "a backbone that is none": ("model: {backbone: resnt18}\n", 1, "did you mean resnet18"),
    "a block that is none": ("model: {attention: cban}\n", 1, "Did you mean 'cbam'"),
    "an option of a block": (
        "model: {attention: {block: cbam, reductoin: 8}}\n",
        *(1, "reduction"),
    ),
    "an optimizer that is none": ("model: {optimizer: adam}\n", 2, "model.optimizer"),
    "a rate below 0": ("model: {learning_rate: -1}\n", 1, "learning_rate must be above 0"),
    "a rate that is no number": ("model: {learning_rate: .nan}\n", 1, "learning_rate"),
    "no epoch": ("trainer: {max_epochs: 0}\n", 1, "set trainer.max_epochs to at least 1"),
    "a size of 0": ("data: {init_args: {size: 0}}\n", 1, "size must be at least 1, got 0"),
    "two means": ("data: {init_args: {mean: [1, 2]}}\n", 2, "data.mean"),
    "a folder that is none": ("data: {init_args: {root: nowhere}}\n", 1, "nowhere"),
    "a split that is none": ("data: {init_args: {val_split: vall}}\n", 1, "did you mean 'val'?"),
    "a name with a slash": ("name: a/b\n", 1, "must be a plain folder name"),
    "weights that are none": ("model: {weights: no.ckpt}\n", 1, "no checkpoint at no.ckpt"),
}


@pytest.mark.parametrize("kind", YAML)
def test_a_wrong_configuration_is_one_message(command, tmp_path, kind):
    text, code, *parts = YAML[kind]
    file = tmp_path / "wrong.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    fails(command("fit", "-c", file), *parts, code=code)
    assert not list(tmp_path.glob("runs/*/*"))


def test_a_configuration_that_is_not_there_is_one_message(command):
    fails(command("fit", "-c", "foreground/maks"), "did you mean", "foreground/mask")


class Executes:
    """What runs a function where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def broken(kind, last, folder):
    """A checkpoint of a broken kind, and what should be said of it."""
    path = folder / "broken.ckpt"
    content = last.read_bytes()
    saved = torch.load(last, weights_only=True)
    if kind == "empty":
        path.write_bytes(b"")
        return path, "it is empty"
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
        return path, "cut off"
    if kind == "flipped":
        path.write_bytes(content[:200] + b"\xff" * 400 + content[600:])
        return path, "broken.ckpt"
    if kind == "rotten":
        entry = max(zipfile.ZipFile(last).infolist(), key=lambda entry: entry.file_size)
        middle = entry.header_offset + 100 + entry.file_size // 2
        path.write_bytes(content[:middle] + b"\x3f" * 40 + content[middle + 40 :])
        return path, "is damaged"
    if kind == "text":
        path.write_text("weights")
        return path, "no file that torch.save wrote"
    if kind == "a picture":
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path, format="png")
        return path, "no file that torch.save wrote"
    if kind == "an archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "a")
        return path, "no file that torch.save wrote"
    if kind == "code":
        torch.save({**saved, "extra": Executes(folder / "executed")}, path)
        return path, "holds Python objects"
    if kind == "a pickle with code":
        path.write_bytes(pickle.dumps({**saved, "extra": Executes(folder / "executed")}))
        return path, "broken.ckpt"
    if kind == "a whole network":
        torch.save(torch.nn.Linear(2, 2), path)
        return path, "holds Python objects"
    if kind == "a list":
        torch.save([torch.zeros(2)], path)
        return path, "holds no weights by name but list"
    if kind == "weights alone":
        torch.save(saved["state_dict"], path)
        return path, "no checkpoint that visattn fit wrote"
    if kind == "another module":
        kept = {key: value for key, value in saved.items() if key != "visattn_data"}
        torch.save({**kept, "hyper_parameters": {"hidden": 3}}, path)
        return path, "hidden"
    if kind == "another network":
        state = {f"{name}x": value for name, value in saved["state_dict"].items()}
        torch.save({**saved, "state_dict": state}, path)
        return path, "broken.ckpt"
    if kind == "NaN":
        first = next(name for name in saved["state_dict"] if name.endswith("weight"))
        saved["state_dict"][first][0] = torch.nan
        torch.save(saved, path)
        return path, "holds NaN"
    raise AssertionError(kind)


KINDS = ["empty", "truncated", "flipped", "rotten", "text", "a picture", "an archive", "code"]
KINDS += ["a pickle with code", "a whole network", "a list", "weights alone", "another module"]
KINDS += ["another network", "NaN"]
COMMANDS = {
    "fit": lambda path, data: ["--trainer.max_epochs=2", f"--ckpt_path={path}"],
    "test": lambda path, data: [f"--ckpt_path={path}"],
    "predict": lambda path, data: [data / "val", f"--ckpt_path={path}"],
    "overlay": lambda path, data: [data / "val", f"--model={path}", "--layers=grad_cam"],
    "report": lambda path, data: [path, f"--data={data}"],
    "evaluate-maps": lambda path, data: [path, f"--data={data}"],
    "audit": lambda path, data: [f"--model={path}", f"--data={data}"],
    "export": lambda path, data: [path, "--out=a.onnx"],
}


QUICK = [(kind, name) for kind in ("truncated", "code", "another network") for name in COMMANDS]
QUICK += [(kind, name) for kind in KINDS for name in ("export", "predict")]


@pytest.mark.parametrize(("kind", "name"), slow_but(product(KINDS, COMMANDS), QUICK))
def test_a_broken_checkpoint_is_one_message_everywhere(
    command, last, tiny_folder, tmp_path, kind, name
):
    path, message = broken(kind, last, tmp_path)
    before = {found for found in tmp_path.rglob("*") if found.is_file()}
    recipe = name in ("fit", "test", "predict")
    found = command(name, *COMMANDS[name](path, tiny_folder), recipe=recipe)
    fails(found, "broken.ckpt", message)
    assert {found for found in tmp_path.rglob("*") if found.is_file()} == before
    assert not (tmp_path / "executed").exists()
    assert nothing_trained(tmp_path)


def test_no_code_is_called_that_a_checkpoint_names(command, last, tmp_path, tiny_folder):
    """``torch.hub.load`` would run whatever lies in that folder, or at that address."""
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "hubconf.py").write_text(
        f"open({str(tmp_path / 'executed')!r}, 'w')\ndef net(**options): pass\n"
    )
    saved, path = torch.load(last, weights_only=True), tmp_path / "broken.ckpt"
    options = {"repo_or_dir": str(tmp_path / "hub"), "model": "net", "source": "local"}
    named = {"backbone": "torch.hub.load", "backbone_options": options}
    torch.save({**saved, "hyper_parameters": {**saved["hyper_parameters"], **named}}, path)
    for name, words in COMMANDS.items():
        if name != "fit":  # which builds what its own configuration says
            found = command(name, *words(path, tiny_folder), recipe=name in ("test", "predict"))
            fails(found, "broken.ckpt names torch.hub.load", "-> torch.nn.Module")
    with pytest.raises(ValueError, match=r"names torch\.hub\.load"):
        ImageClassifier.load_from_checkpoint(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("kind", ["empty", "truncated", "code", "another network", "NaN"])
def test_a_training_does_not_begin_from_broken_weights(command, last, tmp_path, kind):
    path, _ = broken(kind, last, tmp_path)
    fails(command("fit", f"--model.weights={path}", "--name=new"), "broken.ckpt")
    assert not (tmp_path / "runs" / "new").exists()


def test_safetensors_that_were_cut_off_are_one_message(command, tmp_path, tiny_folder):
    path = tmp_path / "weights.safetensors"
    save_file({"fc.weight": torch.zeros(2, 16)}, path)
    path.write_bytes(path.read_bytes()[:40])
    fails(command("fit", f"--model.weights={path}"), "no file of safetensors")


@pytest.mark.parametrize(
    ("words", "code", "parts"),
    [
        (["test", "--ckpt_path=no.ckpt"], 1, ["no checkpoint at no.ckpt"]),
        (["test", "--ckpt_path=best"], 1, ["no best.ckpt", "Train first"]),
        (["fit", "--trainer.accelerator=tpuu"], 1, ["tpuu"]),
        (["fit", "--trainer.precision=7"], 2, ["trainer.precision: expected one of 64", "got 7"]),
        (["predict"], 1, ["set predict_folder"]),
        (["predict", "no.jpg", "--ckpt_path=none"], 1, ["no.jpg"]),
        (["predict", "no*.jpg", "--ckpt_path=none"], 1, ["no picture fits no*.jpg"]),
    ],
)
def test_words_that_make_no_sense_are_one_message(command, words, code, parts):
    extra = ["--ckpt_path=none"] if words == ["predict"] else []
    fails(command(*words, *extra), *parts, code=code)


def test_a_folder_of_one_class_is_one_message(command, tiny_folder, tmp_path):
    kept, *others = sorted(path.name for path in (tiny_folder / "train" / "images").iterdir())
    left_out = shutil.ignore_patterns(*others, "metadata.csv")
    shutil.copytree(tiny_folder, tmp_path / "one", ignore=left_out)
    found = command("fit", f"--data.root={tmp_path / 'one'}")
    fails(found, "at least two classes to tell apart", f"found '{kept}'; give each a folder")


def test_a_training_that_is_over_says_so(command, last):
    code, said = command("fit", "--ckpt_path=last")
    assert code == 0
    assert "nothing is left to train: 1 epochs are done, and trainer.max_epochs is 1" in said
    fails(command("fit", "--ckpt_path=last", "--trainer.max_epochs=0"), "max_epochs")


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_nan_in_a_picture_is_told_by_every_loop(tmp_path):
    """Pictures of a data module of one's own: all of their answers would be the first class."""
    import lightning as L

    from visattn.training.command_line.quiet import quiet_lightning

    images = torch.randn(4, 3, 32, 32)
    images[2, :, 5] = torch.nan
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images, torch.tensor([0, 1, 0, 1])), batch_size=2
    )
    model = ImageClassifier("resnet10t", num_classes=2, backbone_options={"channels": [8] * 4})
    options = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", enable_model_summary=False, **options)
    for loop in (trainer.validate, trainer.test, trainer.predict):
        with (
            quiet_lightning(),
            pytest.raises(ValueError, match=r"NaN or infinite for 1 of 4 images"),
        ):
            loop(model, loader)
    with quiet_lightning(), pytest.raises(ValueError, match="look for NaN in the images"):
        trainer.fit(model, torch.utils.data.DataLoader(loader.dataset, batch_size=4))


def test_no_command_shows_a_traceback_unless_it_is_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.ckpt").write_bytes(b"")
    words = ["overlay", "x.png", "--model=a.ckpt"]
    assert main(words) == 1
    with pytest.raises((ValueError, FileNotFoundError)):
        main([*words, "--debug"])
