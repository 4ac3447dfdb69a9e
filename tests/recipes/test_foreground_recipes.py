"""What the recipes against reading the background build, and that each of them trains."""

from contextlib import nullcontext

import pytest
import torch
import yaml
from quick import slow_but

from visattn.blocks import (
    CBAM,
    AttentionBranch,
    ResidualAttention,
    SpatialMask,
)
from visattn.cli import main
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe, recipe_names
from visattn.training.objectives import LastLayerRefit, MaskedFocus
from visattn.wrapping.insertion import unwrap

FOREGROUND = [name for name in recipe_names() if name.startswith("foreground/")]
TRAINED = {f"foreground/{name}" for name in ("mask", "cbam", "labels", "energy", "last_layer")}
BLOCKS = {
    "abn": AttentionBranch,
    "cbam": CBAM,
    "residual_attention": ResidualAttention,
    "spatial_mask": SpatialMask,
}
OWN_DATA = {
    "boxes": {"mask_form": "box"},
    "group_dro": {"group_balanced": True},
    "mask_1": {"mask_share": 0.01},
    "mask_all": {"mask_share": 1.0},
    "random_backgrounds": {"train_random": True},
    "true_mask": {"mask_share": 1.0, "masked": True},
}
"""How the data of a recipe differ from those of the others."""
OWN_AUGMENTATION = {"boxes": {"rotate": 0}, "swap_given": {"swap": 1.0}}


def content_of(name):
    return yaml.safe_load(find_recipe(name).read_text())


def built(name, *words):
    with quiet_lightning():
        return TaskCLI([f"--config={find_recipe(name)}", *words], run=False, logs=False)


@pytest.mark.parametrize("name", FOREGROUND)
def test_a_foreground_recipe_builds_what_it_says(name):
    cli, content = built(name), content_of(name)
    wanted = content["model"]["objective"]["class_path"].rpartition(".")[2]
    assert type(cli.model.objective).__name__ == wanted
    attention = content["model"].get("attention")
    found = {type(m) for m in cli.model.modules() if isinstance(m, tuple(BLOCKS.values()))}
    assert found == ({BLOCKS[attention["block"]]} if attention else set())
    assert cli.config["name"] == name.rpartition("/")[2]
    assert cli.model.hparams.num_classes == cli.datamodule.num_classes == 8
    assert cli.datamodule.parameters.rho == 0.95
    assert cli.trainer.max_epochs >= 1


@pytest.mark.parametrize("name", [n for n in FOREGROUND if not n.split("/")[1].startswith("label")])
def test_recipes_are_compared_on_the_same_data_and_network(name):
    content, plain = content_of(name), content_of("foreground/plain")
    short = name.rpartition("/")[2]
    expected = plain["data"]
    expected["init_args"] |= OWN_DATA.get(short, {})
    expected["init_args"]["augmentation"] |= OWN_AUGMENTATION.get(short, {})
    assert content["data"] == expected
    model, other = content["model"], plain["model"]
    for key in other.keys() - {"objective"}:
        assert model[key] == other[key]
    assert model["objective"]["init_args"]["label_smoothing"] == 0.1


def test_the_mask_is_learnt_from_few_masks_and_not_from_the_class():
    cli = built("foreground/mask")
    (block,) = (m for m in cli.model.modules() if isinstance(m, SpatialMask))
    assert block.detach
    assert cli.model.mask_site == "image"
    assert cli.datamodule.mask_share == 0.05


@pytest.fixture
def on_tiny(tiny_folder):
    """Words that let a recipe run on the tiny folder."""
    return [
        *("--data", "FolderData", f"--data.root={tiny_folder}", "--data.mask_share=1"),
        *("--data.size=32", "--data.batch_size=8", "--data.workers=0", "--trainer.accelerator=cpu"),
    ]


@pytest.mark.parametrize("name", slow_but(FOREGROUND, TRAINED))
def test_a_foreground_recipe_trains(name, on_tiny):
    """A step at the start and one near the end, on images of 32 pixels."""
    cli = built(name, *on_tiny)
    (batch,) = list(cli.datamodule.train_dataloader())
    model, objective = cli.model.model.train(), cli.model.objective
    for progress in (0.0, 0.9):
        model.zero_grad()
        loss, parts = objective(model, batch, progress)
        assert loss.isfinite()
        assert all(value.isfinite() and not value.requires_grad for value in parts.values())
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients or name == "foreground/labels"  # its network waits at the start
        assert all(gradient.isfinite().all() for gradient in gradients)
    logits = cli.model.eval()(batch["image"])
    assert logits.shape == (8, 2)


@pytest.mark.parametrize(
    "words",
    [
        ["--model.attention.detach=false"],
        ["--model.attention.hard=false", "--model.attention.erode=1"],
        ["--model.attention.form=annealed", "--model.attention.hard=false"],
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (
                ["--model.attention.hard=false"],
                ["--model.attention.erode=2"],
                ["--model.attention.form=annealed", "--model.attention.erode=1"],
            )
        ),
        ["--model.attention.form=residual", "--model.attention.hard=false"],
    ],
    ids=lambda words: "-".join(word.rpartition(".")[2] for word in words),
)
def test_a_mask_is_detached_hardened_eroded_or_annealed_as_the_config_says(words, on_tiny):
    cli = built("foreground/mask", *on_tiny, "--data.mask_share=0.5", *words)
    (block,) = (m for m in cli.model.modules() if isinstance(m, SpatialMask))
    options = {"detach": True, "hard": True, "erode": 0, "form": "product"}
    for word in words:
        key, _, value = word.rpartition(".")[2].partition("=")
        options[key] = yaml.safe_load(value)
    assert {name: getattr(block, name) for name in options} == options
    (batch,) = list(cli.datamodule.train_dataloader())
    model = cli.model.model.train()
    assert isinstance(cli.model.objective, MaskedFocus)
    told = pytest.warns(match="class loss reaches") if not options["detach"] else nullcontext()
    with told:
        cli.model.objective(model, batch, 0.0)
    loss, parts = cli.model.objective(model, batch, 0.9)
    assert {"cross_entropy", "mask", "labelled_mask"} == set(parts)
    loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    if options["form"] == "annealed":
        assert block.leak == 0


def test_the_class_loss_reaches_the_mask_only_where_it_is_not_detached(on_tiny):
    for detach in (True, False):
        cli = built("foreground/mask", *on_tiny, f"--model.attention.detach={str(detach).lower()}")
        (batch,) = list(cli.datamodule.train_dataloader())
        cli.model.model(batch["image"]).square().sum().backward()
        (block,) = (m for m in cli.model.modules() if isinstance(m, SpatialMask))
        assert (block.branch.head.weight.grad is None) == detach


def test_the_command_line_warns_of_a_mask_that_is_not_detached(on_tiny):
    words = ["fit", "-c", "foreground/mask", *on_tiny, "--model.attention.detach=false"]
    with pytest.warns(UserWarning, match="set model.attention.detach: true"):
        assert main([*words, "--trainer.fast_dev_run=1"]) == 0


def test_self_training_judges_whole_images(on_tiny):
    """Its mask changes no answer at any time, and can be taken out."""
    cli = built("foreground/self_training", *on_tiny)
    (batch,) = list(cli.datamodule.train_dataloader())
    for progress in (0.0, 0.5, 1.0):
        cli.model.objective(cli.model.model, batch, progress)
        (block,) = (m for m in cli.model.modules() if isinstance(m, SpatialMask))
        assert block.leak == 1
    model = cli.model.model.eval()
    with torch.no_grad():
        before = model(batch["image"])
        assert torch.equal(unwrap(model)(batch["image"]), before)


def test_boxes_are_all_that_the_boxes_recipe_sees(on_tiny):
    (batch,) = list(built("foreground/boxes", *on_tiny).datamodule.train_dataloader())
    assert set(batch["mask"].nan_to_num(2).unique().tolist()) <= {0.0, 2.0}


def test_the_last_layer_is_refitted_in_the_last_third():
    cli = built("foreground/last_layer")
    assert isinstance(cli.model.objective, LastLayerRefit)
    assert cli.trainer.max_epochs * cli.model.objective.refit == pytest.approx(6, abs=0.1)


def test_the_oracle_sees_the_object_alone(on_tiny):
    data = built("foreground/true_mask", *on_tiny).datamodule
    for loader in (data.train_dataloader(), data.test_dataloader()[0]):
        batch = next(iter(loader))
        outside = (batch["mask"] == 0).expand_as(batch["image"])
        assert outside.any()
        assert batch["image"][outside].eq(0).all()
