from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from quick import slow_but
from torch import nn

from matrix import activation, verification
from matrix.activation import Activation, activation_page, check_activation
from matrix.architectures import VERSIONS, Architecture, architectures
from matrix.contract import BACKBONES, Kept, Pair, contract_page, keep
from matrix.page import document, table
from matrix.survey import Surveyed, examples, survey
from matrix.verification import Verified, verify
from visattn.blocks import block_names
from visattn.blocks.fused import native
from visattn.recording.activation.at_layer import Layer
from visattn.recording.activation.layers import chosen_layer

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
SMALL = {
    ("resnet", "test_resnet"): ("branch", 4),
    ("efficientnet", "test_efficientnet"): ("stage", 5),
    ("convnext", "test_convnext"): ("branch", 4),
    ("nfnet", "test_nfnet"): ("branch", 4),
    ("byobnet", "test_byobnet"): ("branch", 4),
    ("mambaout", "test_mambaout"): ("branch", 4),
    ("mobilenetv3", "lcnet_035"): ("stage", 6),
    ("torchvision.shufflenetv2", "shufflenet_v2_x0_5"): ("block", 3),
    ("torchvision.squeezenet", "squeezenet1_1"): ("block", 3),
}


@pytest.mark.parametrize(("family", "name"), slow_but(SMALL, list(SMALL)[:3]))
def test_an_architecture_is_surveyed_and_gives_the_plain_outputs(family, name):
    entry = survey(Architecture(family, name))
    assert (entry.own, entry.stages) == SMALL[family, name]
    assert entry.convolutional
    layers = check_activation(Architecture(family, name))
    assert layers.own == ""
    assert layers.small in ("", None)
    checked = verify(entry)
    assert checked.fault == ""
    assert checked.places == tuple(entry.sites)


def test_passes_in_c_give_the_plain_outputs_too(monkeypatch):
    """Of images of a usual size; here of small ones."""
    called, call = [], native._call
    monkeypatch.setattr(native, "LEAST", 1)
    monkeypatch.setattr(
        native, "_call", lambda name, *a, **k: (called.append(name), call(name, *a, **k))
    )
    monkeypatch.setitem(verification.BLOCKS, "branch", "cbam")
    checked = verify(survey(Architecture("resnet", "test_resnet")))
    assert checked.fault == ""
    assert "cbam" in called or native._library() is None


@pytest.mark.parametrize(
    ("layer", "fault"),
    [
        ("layer3.1", "layer3.1.conv1, 2 x 2, inside of the block layer3.1"),
        ("layer4", "layer4, 1 x 1 of images of 32 x 32"),
        ("layer3", ""),
        ("maxpool", "maxpool, 8 x 8, finer than the last stage's 2 x 2"),
    ],
)
def test_a_wrong_layer_of_class_activation_is_told(monkeypatch, layer, fault):
    """Inside of a block, of one place, and one that is right."""
    model = torchvision.models.resnet18()
    name = fault.partition(",")[0] or layer
    monkeypatch.setattr(
        activation,
        "chosen_layer",
        lambda *_, **__: Layer(model.get_submodule(name), name, reshape=lambda maps: maps),
    )
    assert activation.check_cam_layer(model) == fault


def test_a_finer_layer_after_the_last_stage_is_right():
    """Maps of several stages brought to one size, as in MobileNetV5."""

    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(*list(torchvision.models.resnet18().children())[:-2])
            self.fuse = nn.Sequential(nn.Upsample(size=8), nn.Conv2d(512, 16, 1))
            self.head = nn.Linear(16, 3)

        def forward(self, images):
            return self.head(self.fuse(self.body(images)).mean((2, 3)))

    model = Fused().eval()
    chosen = chosen_layer(model, torch.zeros(1, 3, 64, 64), score=lambda logits: logits.sum(1))
    assert chosen.title == "fuse"
    assert activation.check_cam_layer(model) == ""


@pytest.mark.slow
def test_the_page_says_where_class_activation_is_wrong():
    own = Architecture("convnext", "test_convnext")
    found = [Activation(own, "", None), Activation(replace(own, name="other"), "a, 1 x 1", "")]
    said = activation_page(found, head="Made.")
    assert "of their own size: right in 1 of 2 architectures.\n    - other: a, 1 x 1\n" in said
    assert "of 32 pixels: right in 1 of 1 architectures.\n" in said
    assert "| convnext | 2 | 1 of 2 | 1 of 1 |" in said


def test_what_has_no_maps_of_convolutions_is_not_checked():
    found = check_activation(Architecture("vision_transformer", "test_vit"))
    assert not found.convolutional
    assert "| vision_transformer" not in activation_page([found], head="Made.")


def test_a_fault_is_told_and_not_raised():
    missing = Surveyed(Architecture("mobilenetv3", "lcnet_36"), 1, 4, 4, {"branch": 1}, "branch")
    assert "Unknown model" in verify(missing).fault


def test_a_transformer_is_listed_with_its_reason():
    entry = survey(Architecture("vision_transformer", "test_vit"))
    assert entry.own is None
    assert not entry.convolutional
    assert "token sequences (N, T, C)" in document([entry], [])
    assert examples([entry]) == []


def test_the_smallest_of_each_structure_is_the_example():
    def entry(name, parameters, stages):
        where = Architecture("family", name)
        return Surveyed(where, parameters, 4, stages, {"branch": 2}, "branch")

    found = [entry("large", 9, 4), entry("small", 3, 4), entry("other", 5, 7)]
    assert [chosen.architecture.name for chosen in examples(found)] == ["other", "small"]
    (row,) = table(found, [Verified(Architecture("family", "small"), ("branch",))])
    assert row == "| family | 3 | 3 | 3 | branch | 4, 7 | small: branch 2 | branch |"


@pytest.mark.slow
def test_the_committed_page_is_what_the_program_makes():
    page = PAGE.read_text()
    if any(f"{library} {version}" not in page for library, version in VERSIONS.items()):
        pytest.skip("the page was made with other versions")
    rows = {line.split(" | ")[0][2:]: line for line in page.splitlines() if line.startswith("| ")}
    for family in ("sknet", "torchvision.squeezenet", "inception_v4"):
        surveyed = [survey(entry) for entry in architectures([family])]
        checks = [Verified(e.architecture, tuple(e.sites)) for e in examples(surveyed)]
        assert table(surveyed, checks) == [rows[family]]
    families = {entry.family for entry in architectures()}
    assert families == set(rows) - {"family", "---"}


def test_every_family_of_the_page_holds():
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    faults = [line for line in lines[1:] if "Error" in line]
    assert not faults


CONTRACT = PAGE.with_name("contract.md")


@pytest.mark.slow
def test_the_contract_is_checked_at_every_place():
    assert keep(Pair("eca", "efficientnet")) == Kept(
        Pair("eca", "efficientnet"), ("conv", "stage", "stem", "image")
    )
    found = keep(Pair("aa", "efficientnet"))
    assert (found.places, found.impossible) == (("conv",), ("stage", "stem", "image"))


def test_a_broken_promise_is_told(monkeypatch):
    def broken(*_, **__):
        raise AssertionError("it differs")

    monkeypatch.setattr("matrix.contract.check_wrapped", broken)
    found = keep(Pair("eca", "efficientnet"))
    assert found.fault == "conv: AssertionError: it differs"
    assert "0 of 1 do" in contract_page([found])


def test_the_page_of_the_contract_has_no_fault():
    lines = CONTRACT.read_text().splitlines()
    rows = [line[2:-2].split(" | ") for line in lines if line[:2] == "| " and "---" not in line]
    assert rows[0] == ["block", *BACKBONES]
    tried = [row[0] for row in rows[1:]]  # a block that came later is tried by the next run
    assert tried == sorted(set(tried))
    assert len(tried) >= 22
    assert {"se", "cbam", "nonlocal", "spatial_mask"} <= set(tried) <= set(block_names())
    assert not any("Error" in line for line in lines)
