import csv
import itertools
import json
import re
import shlex
import warnings

import pytest

from visattn.cli import main
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import (
    find_recipe,
    recipe_folder,
    recipe_names,
    with_recipes,
)
from visattn.training.command_line.tasks import DEFAULT, task_of
from visattn.training.objectives import MaskedFocus

RECIPES = [
    name
    for name in recipe_names()
    if task_of([f"-c={find_recipe(name)}"]).name == DEFAULT
    and not name.startswith(("finetuning/", "public/"))
]
SHORT = (
    "--trainer.accelerator=cpu",
    "--trainer.max_epochs=1",
    "--trainer.limit_train_batches=2",
    "--data.size=32",
    "--data.batch_size=4",
    "--data.workers=0",
    "--data.mask_share=1",
)


@pytest.fixture
def on_folder(tiny_folder, tmp_path):
    """Words that let a recipe run on the tiny folder, its runs in a temporary one."""
    return [
        *("--data", "FolderData", f"--data.root={tiny_folder}", *SHORT),
        f"--runs={tmp_path / 'runs'}",
    ]


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def built(name, *words):
    with quiet_lightning():
        words = [f"--config={find_recipe(name)}", *words]
        return TaskCLI(words, run=False, logs=False)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert f"visattn fit  -c recipes/{name}.yaml" in comment
    assert f"visattn test -c recipes/{name}.yaml" in comment
    for word in ("two cores", "To expect", "--data FolderData"):
        assert word in comment


def test_the_readme_lists_every_recipe_and_its_commands_exist():
    text = (recipe_folder() / "README.md").read_text()
    for name in RECIPES:
        folder, _, file = name.partition("/")
        beside = recipe_folder() / folder / "README.md"
        if beside.is_file():
            assert f"]({folder}/README.md)" in text
            assert f"]({file}.yaml)" in beside.read_text()
        else:
            assert f"]({name}.yaml)" in text
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    commands = [
        shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line
    ]
    assert len(commands) >= 9
    for program, subcommand, *words in commands:
        assert program == "visattn"
        assert subcommand in TaskCLI.subcommands()
        with_recipes([word for word in words if word not in ("mine.yaml", "PHOTOS", "ROOT")][:2])
        options = [word[2:] for word in words if word.startswith("--")]
        for option in options:
            group, _, key = option.partition(".")
            assert group in ("model", "data", "trainer", "name", "ckpt_path", "print_config")
            if group == "model":
                assert key in ImageClassifier.__init__.__annotations__


@pytest.mark.parametrize("name", ["foreground/plain", "foreground/cbam"])
def test_a_recipe_trains_on_a_folder(name, on_folder):
    assert main(["fit", "-c", name, *on_folder, "--trainer.fast_dev_run=1"]) == 0


@pytest.mark.slow
def test_fit_test_predict_and_resume(on_folder, tiny_folder, tmp_path, capsys):
    recipe = ["-c", "foreground/mask", *on_folder]
    run = tmp_path / "runs" / "mask" / "version_0"
    assert main(["fit", *recipe]) == 0
    assert {p.name for p in run.iterdir()} >= {"config.yaml", "metrics.csv", "checkpoints"}
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.ckpt", "best.ckpt"}
    metrics = read_csv(run / "metrics.csv")
    assert any(row["train/loss"] for row in metrics)
    assert any(row["val/accuracy"] for row in metrics)
    said = capsys.readouterr().out
    assert said.count("epoch 1/1") == 1
    assert said.count("a step waited for data ") == 1

    # The network is the checkpoint's; another one that is asked for is refused.
    assert main(["test", *recipe, "--model.backbone=resnet18"]) == 1
    assert "is the checkpoint of another network than the one asked for" in capsys.readouterr().err
    assert main(["test", *recipe]) == 0
    found = json.loads((run / "test.json").read_text())
    assert found["splits"].keys() == {"test_rand", "test_same"}
    assert 0 <= found["splits"]["test_same"]["mask_iou"]["mean"] <= 1
    assert found["background_gap"]["images"] == 4
    assert "95 % interval" in capsys.readouterr().out

    pictures = tiny_folder / "val" / "images" / "a"
    assert main(["predict", *recipe, f"--data.predict_folder={pictures}"]) == 0
    rows = read_csv(run / "predictions.csv")
    assert [row["path"] for row in rows] == [str(pictures / f"{n}.png") for n in range(2)]
    for row in rows:
        shares = {name: float(row[f"p_{name}"]) for name in ("a", "b")}
        assert max(shares, key=shares.get) == row["prediction"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)

    assert main(["fit", *recipe, "--trainer.max_epochs=2", "--ckpt_path=last"]) == 0
    out = capsys.readouterr().out
    assert f"resuming from {run / 'checkpoints' / 'last.ckpt'}" in out
    assert "epoch 1/2" not in out
    assert "epoch 2/2" in out
    assert (run.parent / "version_1" / "checkpoints" / "last.ckpt").is_file()

    again = ImageClassifier.load_from_checkpoint(run / "checkpoints" / "last.ckpt")
    assert again.mask_site == "image"
    assert isinstance(again.objective, MaskedFocus)
    assert again.data_facts["class_names"] == ["a", "b"]
    assert main(["validate", *recipe]) == 0

    picture = tmp_path / "overlay.png"
    words = ["overlay", str(pictures / "0.png"), f"--out={picture}"]
    assert main([*words, f"--model={run / 'checkpoints' / 'last.ckpt'}"]) == 0
    assert picture.stat().st_size > 2000
    capsys.readouterr()
    assert main([*words, f"--model={run / 'checkpoints' / 'last.ckpt'}", '--layers=["imag"]']) == 1
    assert "did you mean image?" in capsys.readouterr().err


def test_other_classes_than_those_of_the_training_are_refused(
    on_folder, tiny_folder, tmp_path, capsys
):
    recipe = ["-c", "foreground/plain", *on_folder]
    assert main(["fit", *recipe]) == 0
    for split in ("train", "test_same"):
        for name in ("b", "c"):
            folder = tmp_path / "other" / split / "images" / name
            folder.mkdir(parents=True)
            source = tiny_folder / "val" / "images" / "b" / "0.png"
            (folder / "0.png").write_bytes(source.read_bytes())
    assert main(["test", *recipe, f"--data.root={tmp_path / 'other'}"]) == 1
    assert "trained on the classes a, b, the data have b, c" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model.lerning_rate=3"], 2, "did you mean model.learning_rate"),
        (["--model.learning_rate=abc"], 2, "model.learning_rate: expected float, got abc"),
        (["--model.optimizer=adam"], 2, "expected one of 'adamw', 'sgd', got adam"),
        (["--model.objective=MaskFocus"], 2, "did you mean MaskedFocus, "),
        (["--model.objective.label_smoothin=3"], 2, "did you mean label_smoothing?"),
        (["--data=FoldrData"], 2, "did you mean FolderData"),
        (["--data.sise=3"], 2, "FolderData has no option 'sise'; did you mean size"),
        (["--model.backbone=resnt10t"], 1, "did you mean resnet10t"),
        (["--model.attention=cban"], 1, "Did you mean 'cbam'"),
        (["--data.root=/no/such"], 1, "expected a data set's folder at /no/such, found nothing"),
        (["--ckpt_path=last", "--name=other"], 1, "Train first"),
        (["--trainer.max_epochs=-1"], 1, "set trainer.max_epochs"),
        (["-c", "foreground/maks"], 1, "did you mean foreground/mask"),
    ],
)
def test_a_wrong_configuration_is_one_clear_message(words, code, message, on_folder, capsys):
    assert main(["fit", "-c", "foreground/plain", *on_folder, *words]) == code
    told = capsys.readouterr().err
    assert message in " ".join(told.split())
    assert "Traceback" not in told
    assert "Union" not in told


def test_a_broken_file_is_named(tmp_path, capsys):
    for text, message in (("model: [", "is no valid YAML"), ("- 1", "must be a mapping")):
        broken = tmp_path / "broken.yaml"
        broken.write_text(text)
        assert main(["fit", "-c", str(broken)]) == 1
        told = " ".join(capsys.readouterr().err.split())
        assert str(broken) in told
        assert message in told


def test_only_pointless_warnings_are_silenced():
    with quiet_lightning():
        warnings.warn("The 'x' does not have many workers which may be a bottleneck", stacklevel=1)
        with pytest.warns(UserWarning, match="loss is odd"):
            warnings.warn("loss is odd", stacklevel=1)
