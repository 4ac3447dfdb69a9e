"""Several objectives at once, in Python and in a recipe."""

import re

import pytest
import torch
import yaml
from torch import nn

from visattn.blocks import SpatialMask
from visattn.cli import main
from visattn.training.command_line.command import TaskCLI
from visattn.training.command_line.quiet import quiet_lightning
from visattn.training.command_line.recipes import find_recipe, recipe_folder
from visattn.training.objectives import (
    CrossEntropy,
    EnergyInside,
    LastLayerRefit,
    MaskedFocus,
    RightReasons,
    WeightedSum,
)

SMALL = (
    *("--trainer.accelerator=cpu", "--data.size=32", "--data.batch_size=4", "--data.workers=0"),
    "--data.mask_share=1",
)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    masks = torch.zeros(6, 1, 8, 8)
    masks[:, :, 2:6, 2:6] = 1
    return {
        "image": torch.randn(6, 3, 8, 8),
        "label": torch.tensor([0, 1, 0, 1, 1, 0]),
        "mask": masks,
        "index": torch.arange(6),
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    mask = SpatialMask(3, width=4, depth=2, detach=True)
    return nn.Sequential(mask, nn.Conv2d(3, 4, 3), nn.Softplus(), nn.Flatten(), nn.Linear(144, 2))


@pytest.fixture
def example(tmp_path):
    """The file that the README of the recipes shows."""
    text = (recipe_folder() / "foreground" / "README.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "both.yaml"
    path.write_text(block)
    return path


def test_losses_and_gradients_add_up_by_their_weights(model, batch):
    """From one seed: only the mask's own draws are random, and it comes first."""

    def both():
        return MaskedFocus(swap=0.0), RightReasons(labelled=6, class_weight=0.0)

    losses, gradients, named = [], [], {}
    for weight, objective in zip((1.0, 0.5), both(), strict=True):
        model.zero_grad()
        torch.manual_seed(0)
        loss, parts = objective(model, batch, 0.5)
        (weight * loss).backward()
        losses.append(weight * loss.detach())
        gradients.append([torch.zeros(1) if p.grad is None else p.grad for p in model.parameters()])
        named |= {f"{type(objective).__name__}/{part}": value for part, value in parts.items()}
    model.zero_grad()
    torch.manual_seed(0)
    loss, parts = WeightedSum(list(both()), weights=[1.0, 0.5])(model, batch, 0.5)
    loss.backward()
    torch.testing.assert_close(loss.detach(), sum(losses))
    for parameter, *each in zip(model.parameters(), *gradients, strict=True):
        torch.testing.assert_close(parameter.grad, sum(each))
    assert parts.keys() == named.keys()
    for name, value in parts.items():
        torch.testing.assert_close(value, named[name])
        assert not value.requires_grad


def test_parts_of_one_class_have_different_names(model, batch):
    three = WeightedSum([CrossEntropy(), EnergyInside(weight=0.0), EnergyInside(layer="1")])
    loss, parts = three(model, batch, 0.0)
    assert parts.keys() == {
        "CrossEntropy/cross_entropy",
        *("EnergyInside/cross_entropy", "EnergyInside/energy"),
        *("EnergyInside_2/cross_entropy", "EnergyInside_2/energy"),
    }
    entropy, energy = parts["CrossEntropy/cross_entropy"], parts["EnergyInside_2/energy"]
    torch.testing.assert_close(loss.detach(), 3 * entropy + energy)


@pytest.mark.parametrize(
    ("objectives", "weights", "message"),
    [
        ([], None, "at least one objective"),
        ([CrossEntropy()], [1.0, 2.0], "a weight for each of the 1 objectives, got 2"),
        ([CrossEntropy()], [-1.0], "weights must be at least 0, got -1.0"),
        ([CrossEntropy(), LastLayerRefit()], None, "LastLayerRefit freezes the network"),
    ],
    ids=["none", "too many weights", "negative", "last layer"],
)
def test_wrong_sums(objectives, weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedSum(objectives, weights=weights)


def test_the_example_of_the_readme_builds_what_it_says(example, tiny_folder):
    words = ["--data", "FolderData", f"--data.root={tiny_folder}", *SMALL]
    with quiet_lightning():
        files = [f"--config={find_recipe('foreground/mask')}", f"--config={example}"]
        cli = TaskCLI([*files, *words], run=False, logs=False)
    objective = cli.model.objective
    assert isinstance(objective, WeightedSum)
    assert [type(each) for each in objective.objectives] == [MaskedFocus, EnergyInside]
    mask, energy = objective.objectives
    assert objective.weights == [1.0, 0.5]
    assert (mask.step.label_smoothing, mask.step.consistency_weight) == (0.1, 0.1)
    assert (energy.class_weight, energy.layer) == (0.0, "layer2")


def test_the_example_of_the_readme_trains_and_is_loaded_again(
    example, tiny_folder, tmp_path, capsys
):
    words = ["-c", "foreground/mask", "-c", str(example), "--data", "FolderData"]
    words += [f"--data.root={tiny_folder}", f"--runs={tmp_path / 'runs'}", *SMALL]
    assert main(["fit", *words, "--trainer.fast_dev_run=1"]) == 0
    short = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=1"]
    assert main(["fit", *words, *short]) == 0
    (run,) = (tmp_path / "runs" / "both").iterdir()
    head = (run / "metrics.csv").read_text().partition("\n")[0]
    assert {"train/MaskedFocus/mask", "train/EnergyInside/energy"} <= set(head.split(","))
    assert main(["test", *words]) == 0
    saved = yaml.safe_load((run / "config.yaml").read_text())["model"]["objective"]
    assert saved["class_path"].rpartition(".")[2] == "WeightedSum"
    capsys.readouterr()
    wrong = [*words, "--model.objective.weights=[1]"]
    assert main(["fit", *wrong, "--trainer.fast_dev_run=1"]) == 1
    assert "expected a weight for each of the 2 objectives" in capsys.readouterr().err
