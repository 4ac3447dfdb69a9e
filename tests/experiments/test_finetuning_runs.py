import json
import re
import shlex
from itertools import takewhile
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from visattn.cli import LIGHTNING, main
from visattn.commands import COMMANDS
from visattn.data import SushiData
from visattn.data.generated.sushi import KINDS
from visattn.data.modules import FolderData
from visattn.experiments.starts import ALL, ALONE, NEW, OLD, arms
from visattn.networks.backbone import build_backbone, classifier_paths, load_weights
from visattn.training.classifier import ImageClassifier
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe, recipe_folder

BASE, TUNED = "finetuning/base", "finetuning/attention"


class Tiny(nn.Module):
    """Small enough to be trained in no time."""

    def __init__(self, num_classes, width=4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.bn1(self.conv1(x)).relu().mean((2, 3)))


def classifier(**options):
    return ImageClassifier(Tiny, **{"num_classes": 2, **options})


def data(folder, **options):
    return FolderData(folder, **{"size": 32, "batch_size": 4, "workers": 0, **options})


def trainer(tmp_path, **options):
    settings = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": tmp_path,
    }
    return L.Trainer(**{**settings, **options})


@pytest.fixture(autouse=True)
def _quiet():
    with quiet_lightning():
        yield


@pytest.fixture
def checkpoint(tiny_folder, tmp_path):
    """A network of the classes a and b, after an epoch."""
    run = trainer(tmp_path, limit_val_batches=0)
    run.fit(classifier(learning_rate=0.05), datamodule=data(tiny_folder))
    path = tmp_path / "base.ckpt"
    run.save_checkpoint(path)
    return path


ATTENTION = {"block": "cbam", "at": "bn1", "reduction": 2}


def test_attention_goes_into_a_trained_network(checkpoint):
    images = torch.randn(3, 3, 32, 32)
    base = ImageClassifier.load_from_checkpoint(checkpoint, backbone=Tiny).eval()
    same = classifier(weights=str(checkpoint), attention=ATTENTION).eval()
    assert torch.equal(same(images), base(images))
    other = classifier(weights=str(checkpoint), new_classifier=True, num_classes=7)
    assert torch.equal(other.model.conv1.weight, base.model.conv1.weight)
    assert torch.equal(other.model.bn1.running_mean, base.model.bn1.running_mean)
    assert other.model.fc.out_features == 7
    assert classifier(weights=str(checkpoint), num_classes=7).model.fc.out_features == 7
    old = classifier(init_from=str(checkpoint))  # the name of before
    assert torch.equal(old.model.fc.weight, base.model.fc.weight)
    twin = classifier(weights=str(checkpoint), new_classifier=True)
    assert not torch.equal(twin.model.fc.weight, base.model.fc.weight)


def test_weights_from_a_plain_state_dict(checkpoint, tmp_path):
    state = {k[6:]: v for k, v in torch.load(checkpoint)["state_dict"].items() if k[:6] == "model."}
    torch.save(state, tmp_path / "plain.pt")
    model = Tiny(2)
    assert load_weights(model, tmp_path / "plain.pt", num_classes=2) == []
    assert torch.equal(model.fc.weight, state["fc.weight"])
    assert load_weights(model, checkpoint, num_classes=2) == ["a", "b"]
    for before, inside in (
        ("backbone.", None),
        ("module.model.", None),
        ("model.backbone.", "model"),
    ):
        part = {f"{before}{name}": value + 1 for name, value in state.items()}
        part["head.weight"] = torch.zeros(3)  # beside the network
        torch.save(part if inside is None else {inside: part}, tmp_path / "part.pt")
        assert (
            load_weights(Tiny(5), tmp_path / "part.pt", num_classes=5, new_classifier=None) is None
        )
        load_weights(model, tmp_path / "part.pt", num_classes=2)
        assert torch.equal(model.fc.weight, state["fc.weight"] + 1)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"weights": "no/such.ckpt"}, FileNotFoundError, "no checkpoint at no/such.ckpt"),
        (
            {"num_classes": 3, "new_classifier": False},
            ValueError,
            r"set model\.new_classifier: true",
        ),
        ({"backbone_options": {"width": 8}}, ValueError, r"'conv1\.weight' it has \(4, 3, 3, 3\)"),
        ({"weights": None, "new_classifier": True}, ValueError, "no effect without weights"),
        ({"init_from": "old.ckpt"}, ValueError, "two names of one option"),
        ({"unfrozen": ["fc"]}, ValueError, "no effect without freeze"),
        ({"freeze": "all"}, ValueError, "'backbone' or nothing, got 'all'"),
        ({"freeze": "backbone", "unfrozen": ["fcc"]}, ValueError, "Did you mean 'fc'"),
        ({"freeze": "backbone", "unfrozen": []}, ValueError, "Nothing would be left"),
        ({"attention_learning_rate": 0.0}, ValueError, "attention_learning_rate must be above 0"),
    ],
)
def test_a_wrong_setting_is_an_error_that_says_what_to_do(checkpoint, options, error, words):
    with pytest.raises(error, match=words):
        classifier(**{"weights": str(checkpoint), **options})


def test_a_checkpoint_with_attention_is_refused(tiny_folder, tmp_path):
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(classifier(attention=ATTENTION), datamodule=data(tiny_folder))
    run.save_checkpoint(tmp_path / "wrapped.ckpt")
    with pytest.raises(ValueError, match="a checkpoint with attention can't be taken"):
        classifier(weights=str(tmp_path / "wrapped.ckpt"))


def test_an_old_classifier_for_other_classes_is_refused(checkpoint, tiny_folder, tmp_path):
    for split in ("train", "val"):
        for old, new in (("a", "b"), ("b", "c")):
            folder = tmp_path / "other" / split / "images" / new
            folder.mkdir(parents=True)
            source = tiny_folder / "val" / "images" / old / "0.png"
            (folder / "0.png").write_bytes(source.read_bytes())
    model = classifier(weights=str(checkpoint))
    with pytest.raises(ValueError, match=r"is for a, b, the data have b, c.*new_classifier"):
        trainer(tmp_path).fit(model, datamodule=data(tmp_path / "other"))


@pytest.mark.parametrize("unfrozen", [None, []])
def test_the_backbone_stays_as_it_was_in_lightnings_loop(
    checkpoint, tiny_folder, tmp_path, unfrozen
):
    model = classifier(
        weights=str(checkpoint),
        attention=ATTENTION,
        freeze="backbone",
        unfrozen=unfrozen,
        learning_rate=0.01,
        attention_learning_rate=0.1,
        warmup=0.0,
    )
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    run = trainer(tmp_path, max_epochs=2, num_sanity_val_steps=1)
    run.fit(model, datamodule=data(tiny_folder))
    rates = {g["name"]: g["initial_lr"] for g in run.optimizers[0].param_groups}
    assert rates.pop("attention") == rates.pop("attention without decay") == 0.1
    assert set(rates.values()) == (set() if unfrozen == [] else {0.01})
    after = model.model.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert "bn1.attention.spatial.bn.running_mean" in changed
    others = {name for name in changed if not name.startswith("bn1.attention.")}
    assert others == (set() if unfrozen == [] else {"fc.weight", "fc.bias"})


def test_a_fine_tuned_checkpoint_stands_alone(checkpoint, tiny_folder, tmp_path):
    backbone = {"backbone": "resnet10t", "backbone_options": {"channels": [8, 8, 8, 8]}}
    first, second = tmp_path / "first.ckpt", tmp_path / "second.ckpt"
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(ImageClassifier(num_classes=2, **backbone), datamodule=data(tiny_folder))
    run.save_checkpoint(first)
    tuned = ImageClassifier(
        num_classes=2,
        **backbone,
        weights=str(first),
        new_classifier=True,
        attention="se",
        freeze="backbone",
    )
    run = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    run.fit(tuned, datamodule=data(tiny_folder))
    run.save_checkpoint(second)
    first.unlink()
    again = ImageClassifier.load_from_checkpoint(second, weights_only=True)
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(again.eval()(images), tuned.eval()(images))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet10t", "fc"),
        ("torchvision.models.mobilenet_v3_small", "classifier.3"),
        ("torchvision.models.squeezenet1_1", "classifier.1"),
        ("torchvision.models.densenet121", "classifier"),
    ],
)
def test_the_classifier_is_found(name, expected):
    model = build_backbone(name, num_classes=5)
    assert classifier_paths(model, num_classes=5) == (expected,)
    with pytest.raises(ValueError, match=r"name what trains in model\.unfrozen"):
        classifier_paths(nn.Conv2d(3, 4, 1), num_classes=5)


def test_scenes_of_some_kinds(tmp_path):
    scenes = SushiData(
        root=tmp_path / "s",
        size=32,
        kinds=["salmon", "buri", "ika"],
        train=6,
        val=3,
        test=0,
        variants=[],
        render_workers=1,
        workers=0,
    )
    assert scenes.class_names == ("buri", "ika", "salmon")
    assert scenes.num_classes == 3
    assert [scenes.dataset("val")[row]["label"] for row in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="Did you mean 'salmon'"):
        SushiData(kinds=["salmn", "buri"])


# ---------------------------------------------------------------- the comparison


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """One quick comparison, and what it printed."""
    import contextlib
    import io

    root = tmp_path_factory.mktemp("comparison")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as text:
        patch.setenv("VISATTN_CACHE", str(root / "cache"))
        patch.setenv("VISATTN_TUNE_PROCESS", "0")
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        words = ["finetune", "--quick", "--seeds=[5]", f"--out={root / 'out'}"]
        code = main(words)
        first = text.getvalue()
        again = main(words)
    found = json.loads((root / "out" / "results.json").read_text())
    return SimpleNamespace(
        code=code, again=again, root=root, first=first, all=text.getvalue(), found=found
    )


@pytest.mark.slow
def test_every_way_has_a_curve_from_before_the_first_step(comparison):
    assert comparison.code == 0
    curves = comparison.found["curves"]
    assert [(c["kinds"], c["name"]) for c in curves] == [(a.kinds, a.name) for a in arms(KINDS[:4])]
    for curve in curves:
        assert curve["steps"] == [0, 2, 4]
        assert len(curve["accuracies"]) == 3
        assert all(0 <= value <= 1 for value in curve["accuracies"])
    trained = {(c["kinds"], c["name"]): c["trained"] for c in curves}
    head = trained[NEW, ALONE]
    assert head == 4 * 256 + 4
    se = "se in each branch: paper"
    assert trained[NEW, se] == trained[OLD, se] + head
    assert trained[NEW, ALL] > 1e6


@pytest.mark.slow
def test_identity_begins_where_the_network_was(comparison):
    (path,) = comparison.root.glob("out/base-seed5-quick/version_0/checkpoints/last.ckpt")
    base = ImageClassifier.load_from_checkpoint(path)
    facts = torch.load(path)["visattn_data"]
    assert facts["class_names"] == sorted(yaml_of(BASE)["data"]["init_args"]["kinds"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISATTN_CACHE", str(comparison.root / "cache"))
        quick = {"size": 32, "train": 16, "val": 8, "test": 0, "batch_size": 8, "workers": 0}
        settings = {**yaml_of(BASE)["data"]["init_args"], **quick, "augmentation": None}
        scenes = SushiData(**settings)
        items = [scenes.dataset("val")[row] for row in range(8)]
    with torch.no_grad():
        predicted = base.eval()(torch.stack([item["image"] for item in items])).argmax(1)
    right = np.mean([p == item["label"] for p, item in zip(predicted.tolist(), items, strict=True)])
    for curve in comparison.found["curves"]:
        if curve["kinds"] == OLD and curve["name"].endswith("identity"):
            assert curve["accuracies"][0] == pytest.approx(right)


@pytest.mark.slow
def test_the_figure_and_the_tables_show_something(comparison):
    pixels = np.asarray(Image.open(comparison.root / "out" / "curves.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 800
    assert pixels.std() > 20
    for words in (
        "Training base-seed5",
        "Accuracy on new kinds",
        "cbam after each block: identity",
        ALONE,
    ):
        assert words in comparison.first


@pytest.mark.slow
def test_what_is_there_is_not_trained_again(comparison):
    assert comparison.again == 0
    second = comparison.all.removeprefix(comparison.first)
    assert "Accuracy on old kinds" in second
    assert "Training base" not in second
    assert " steps, " not in second


# ---------------------------------------------------------------- recipes


def yaml_of(name):
    return yaml.safe_load(find_recipe(name).read_text())


def test_the_recipes_differ_in_the_kinds_alone():
    base, tuned = yaml_of(BASE), yaml_of(TUNED)
    kinds = [content["data"]["init_args"].pop("kinds") for content in (base, tuned)]
    assert sorted(kinds[0] + kinds[1]) == sorted(KINDS)
    assert base["data"] == tuned["data"]
    for key in ("backbone", "backbone_options"):
        assert base["model"][key] == tuned["model"][key]
    assert base["data"]["init_args"]["rho"] == 1 / len(kinds[0])


def test_the_recipes_build_what_they_say(checkpoint, tmp_path):
    with quiet_lightning():
        base = TaskCLI([f"--config={find_recipe(BASE)}"], run=False, logs=False)
        base.trainer.strategy.connect(base.model)
        base.trainer.save_checkpoint(tmp_path / "base.ckpt")
        words = [f"--config={find_recipe(TUNED)}", f"--model.weights={tmp_path / 'base.ckpt'}"]
        tuned = TaskCLI(words, run=False, logs=False)
    assert not any(type(m).__name__ == "SE" for m in base.model.modules())
    trained = {name for name, p in tuned.model.model.named_parameters() if p.requires_grad}
    assert {name for name in trained if ".attention." not in name} == {"fc.weight", "fc.bias"}
    assert len(trained) == 2 + 4 * 4
    assert torch.equal(tuned.model.model.conv1[0].weight, base.model.model.conv1[0].weight)


@pytest.mark.parametrize("name", [BASE, TUNED])
def test_a_recipe_begins_with_command_time_and_result(name):
    lines = find_recipe(name).read_text().splitlines()
    comment = "\n".join(takewhile(lambda line: line.startswith("#"), lines))
    for words in (f"-c recipes/{name}.yaml", "two cores", "To expect"):
        assert words in comment


def test_the_commands_and_links_of_the_page_exist():
    page = recipe_folder() / "finetuning" / "README.md"
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert "://" in target or (page.parent / target).exists(), target
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line]
    assert len(lines) >= 3
    for line in lines:
        program, subcommand, *words = shlex.split(line, comments=True)
        assert program == "visattn"
        assert subcommand in {*COMMANDS, *LIGHTNING}
        if "-c" in words:
            assert find_recipe(words[words.index("-c") + 1]).is_file()


@pytest.mark.parametrize(
    "code",
    re.findall(
        r"^```python\n(.*?)^```$",
        (recipe_folder() / "finetuning" / "README.md").read_text()
        if (recipe_folder() / "finetuning" / "README.md").is_file()
        else "",
        re.MULTILINE | re.DOTALL,
    ),
)
def test_python_of_the_page_runs(code):
    exec(compile(code, "README.md", "exec"), {})
