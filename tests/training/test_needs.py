"""A method that needs what the data haven't got is refused before its first step."""

import shutil

import pytest

from visattn.cli import main
from visattn.training.objectives import (
    BoxFocus,
    CrossEntropy,
    EnergyInside,
    GroupDRO,
    LastLayerRefit,
    MaskedFocus,
    RightReasons,
    WeightedSum,
)


def test_objectives_say_what_they_need():
    assert CrossEntropy().needs == ()
    assert MaskedFocus().needs == ("mask",)
    assert BoxFocus().needs == ("box",)
    assert RightReasons().needs == EnergyInside().needs == ("region",)
    assert GroupDRO().needs == LastLayerRefit().needs == ("background",)
    assert WeightedSum([GroupDRO(), RightReasons(), GroupDRO()]).needs == ("background", "region")


@pytest.fixture(scope="module")
def bare_folder(tiny_folder, tmp_path_factory):
    """The tiny folder without masks and metadata."""
    root = tmp_path_factory.mktemp("bare") / "bare"
    ignored = shutil.ignore_patterns("masks", "metadata.csv")
    return shutil.copytree(tiny_folder, root, ignore=ignored)


NEEDY = {
    "foreground/mask": ([], "MaskedFocus needs masks"),
    "foreground/boxes": ([], "BoxFocus needs boxes"),
    "foreground/energy": ([], "EnergyInside needs masks or boxes"),
    "foreground/rrr": ([], "RightReasons needs masks or boxes"),
    "foreground/last_layer": ([], "LastLayerRefit needs the background of every training picture"),
    "foreground/group_dro": (["--data.group_balanced=false"], "GroupDRO needs the background"),
    "foreground/true_mask": ([], "have none"),
    "foreground/swap_given": ([], "need masks"),
}


def fit(recipe, root, *words):
    given = [f"--config={recipe}", "--data=FolderData", f"--data.root={root}"]
    given += ["--data.mask_share=1", "--data.workers=0", "--data.size=32", "--data.batch_size=4"]
    return main(["fit", *given, "--trainer.accelerator=cpu", "--trainer.max_epochs=1", *words])


@pytest.mark.parametrize("recipe", NEEDY)
def test_a_recipe_without_what_it_needs_is_refused(
    recipe, bare_folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    words, message = NEEDY[recipe]
    assert fit(recipe, bare_folder, *words) == 1
    said = capsys.readouterr()
    assert message in said.err
    assert "epoch" not in said.out
    assert not list(tmp_path.glob("runs/*/*"))


def test_backgrounds_swapped_in_need_masks_to_cut_out(bare_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    swap = f"--data.augmentation={{swap: 0.5, swap_from: {bare_folder / 'val'}}}"
    assert fit("foreground/plain", bare_folder, swap) == 1
    assert "data.augmentation.swap=0.5 needs masks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "form", "message"),
    [
        ("foreground/mask", "box", "data.mask_form is box: change it, or take BoxFocus"),
        ("foreground/boxes", "mask", "data.mask_form is mask: change it, or take MaskedFocus"),
    ],
)
def test_masks_are_no_boxes(recipe, form, message, tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert fit(recipe, tiny_folder, f"--data.mask_form={form}") == 1
    assert message in capsys.readouterr().err
