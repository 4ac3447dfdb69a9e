import copy

import pytest
import timm
import torch
import torchvision
from quick import slow_but
from torch import nn

import visattn
from visattn import (
    attention_parameters,
    backbone_parameters,
    backbone_state_dict,
    disabled,
    plan,
    unwrap,
    wrap,
)
from visattn.blocks import CBAM, SE, block_names
from visattn.blocks.attended import Attended, attended, base_of, block_of
from visattn.testing import check_wrapped, enliven

BACKBONES = {  # the first has basic blocks and a bottleneck, the second maps with channels last
    "timm resnet": lambda: timm.create_model("test_resnet", num_classes=7),
    "timm convnext": lambda: timm.create_model("test_convnext", num_classes=7),
    "timm efficientnet": lambda: timm.create_model("test_efficientnet", num_classes=7),
    "torchvision bottleneck": lambda: torchvision.models.ResNet(
        torchvision.models.resnet.Bottleneck, [1, 1, 1, 1], 7, groups=2, width_per_group=8
    ),
}


@pytest.mark.parametrize("block", slow_but(block_names(), ["nonlocal"]))
def test_contract_at_the_blocks_own_place(block):
    check_wrapped(BACKBONES["timm resnet"], block)


OTHERS = ["timm convnext", "timm efficientnet", "torchvision bottleneck"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "block"),
    [(backbone, name) for i, backbone in enumerate(OTHERS) for name in block_names()[i::3]],
)
def test_contract_in_other_backbones_by_turns(backbone, block):
    check_wrapped(BACKBONES[backbone], block)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["branch", "block", "stage", "stem", "image", "layer[34].*.conv2"])
def test_contract_at_every_place(at):
    check_wrapped(BACKBONES["timm resnet"], "cbam", at=at)


@pytest.mark.slow
@pytest.mark.parametrize("at", ["stem", "stage", "layer2"])
def test_a_spatial_mask_stands_after_the_stem_or_on_a_stage_too(at):
    check_wrapped(BACKBONES["timm resnet"], "spatial_mask", at=at, hard=True)


@pytest.mark.parametrize("name", ["resnet26t", "resnet50_gn", "resnetrs50", "seresnext26d_32x4d"])
def test_timms_resnets_have_a_branch_in_every_block(name):
    with torch.device("meta"):
        model = timm.create_model(name)
        blocks = [m for m in model.modules() if type(m).__name__ in ("BasicBlock", "Bottleneck")]
        assert len(plan(model, "se").sites) == len(blocks)


def test_timms_seresnet50_moves_over_with_equal_logits():
    donor = enliven(timm.create_model("seresnet50")).eval()
    model = wrap(timm.create_model("resnet50"), "se", init="paper", rd_divisor=8).eval()
    model.load_state_dict(visattn.from_published(donor.state_dict(), model))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), donor(images))


def test_by_name_by_constructor_and_by_object():
    assert len(list(attended(wrap("resnet18", "se")))) == 8
    assert len(list(attended(wrap(torchvision.models.resnet18, "se")))) == 8
    model = torchvision.models.resnet18()
    assert wrap(model, SE) is model


def test_a_function_of_channels_starts_as_the_identity_by_one_scalar():
    check_wrapped(BACKBONES["timm resnet"], lambda channels: nn.Conv2d(channels, channels, 1))
    model = wrap("resnet18", lambda channels: nn.Conv2d(channels, channels, 1), stages=[1])
    strengths = [n for n, _ in model.named_parameters() if n.endswith("strength")]
    assert len(strengths) == 2


def test_two_blocks_in_one_model():
    model = enliven(timm.create_model("resnet18", num_classes=7)).eval()
    images = torch.randn(2, 3, 48, 40)
    before = model(images)
    keys = list(model.state_dict())
    wrap(model, {"branch": "se", "block": "nonlocal", "image": "spatial_mask"})
    assert torch.equal(model(images), before)
    with visattn.record(model) as maps:
        model(images)
    assert {"image", "layer2.1", "layer2.1:nonlocal"} <= set(maps)
    assert list(unwrap(model).state_dict()) == keys


def test_a_model_whose_parameters_have_no_data_while_its_buffers_do():
    """As accelerate's init_empty_weights makes them."""
    model, filled = (
        timm.create_model("resnet18"),
        wrap(timm.create_model("resnet18"), "cbam").eval(),
    )
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.to("meta")))
    wrap(model, "cbam").load_state_dict(filled.state_dict(), assign=True)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(model.eval()(images), filled(images))


def test_nonlocals_own_place_is_the_papers():
    with torch.device("meta"):
        planned = plan(timm.create_model("resnet50"), "nonlocal")
    names = [site.name for site in planned.sites]
    assert names == ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]


def test_plan_changes_nothing_and_prints_a_table():
    model = timm.create_model("resnet18")
    keys, state = list(model.state_dict()), torch.get_rng_state()
    planned = plan(model, "cbam")
    assert list(model.state_dict()) == keys
    assert torch.equal(torch.get_rng_state(), state)
    text = str(planned)
    assert "layer4.1" in text
    assert "parameters: 11,689,512 +89,880 = 11,779,392" in text
    assert "multiply-adds: 1,814,073,344 +990,420 = 1,815,063,764" in text
    assert planned.added_parameters == 89_880


def test_plan_is_what_wrap_does():
    model = timm.create_model("resnet18")
    planned = plan(model, "cbam", stages=[2, 3])
    wrap(model, "cbam", stages=[2, 3])
    assert [unit.visattn.site for unit in attended(model)] == [site.name for site in planned.sites]
    assert sum(p.numel() for p in attention_parameters(model)) == planned.added_parameters


def test_only_attention_trains_when_the_backbone_is_frozen():
    model = wrap(enliven(timm.create_model("resnet18", num_classes=3)).eval(), "cbam")
    for parameter in backbone_parameters(model):
        parameter.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.SGD(attention_parameters(model), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimiser.step()
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed
    assert all(".attention." in key for key in changed)


def test_a_missing_backbone_key_is_reported_by_the_name_that_it_was_given_by():
    model = wrap("resnet18", "se")
    state, plain = model.state_dict(), backbone_state_dict(model)
    del state["layer1.0.bn2.base.weight"], plain["layer1.0.bn2.weight"]
    assert model.load_state_dict(state, strict=False).missing_keys == ["layer1.0.bn2.base.weight"]
    missing = model.load_state_dict(plain, strict=False).missing_keys
    assert [key for key in missing if ".attention." not in key] == ["layer1.0.bn2.weight"]


def test_attributes_are_those_of_the_base():
    model = wrap("resnet18", "se")
    unit = model.layer1[0].bn2
    assert unit.num_features == 64
    unit.momentum, unit.note = 0.5, "mine"
    base = base_of(unit)
    assert base.momentum == 0.5
    assert base.note == "mine"
    del unit.note
    assert not hasattr(base, "note")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = unit.nonsense


def test_no_attribute_of_the_unit_stands_before_one_of_the_base():
    model = wrap(torchvision.models.convnext_tiny(), "se", at="block")
    unit = model.features[1][0]
    assert unit.block is base_of(unit).block
    unit.block.requires_grad_(False)
    assert all(p.requires_grad for p in block_of(unit).parameters())


def test_a_sequence_with_attention_is_indexed_as_before():
    base = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU())
    unit = Attended(base, SE(8), where="after", site="x")
    assert (len(unit), unit[0], unit[-1], list(unit)) == (2, base[0], base[1], list(base))
    assert bool(unit)
    assert bool(Attended(nn.ReLU(), SE(8), where="after", site="x"))


def test_disabled_restores_after_an_exception():
    model = wrap("resnet18", "se")
    with pytest.raises(RuntimeError, match="boom"), disabled(model):
        raise RuntimeError("boom")
    assert all(unit.visattn.enabled for unit in attended(model))


def test_a_second_wrap_is_refused_or_stacked():
    model = enliven(timm.create_model("resnet18", num_classes=7)).eval()
    images = torch.randn(2, 3, 32, 32)
    before, keys = model(images), list(model.state_dict())
    wrap(model, "se")
    with pytest.raises(ValueError, match=r"attention at 'layer1.0.bn2' already.*stack=True"):
        wrap(model, "cbam")
    assert len(list(attended(model))) == 8
    wrap(model, "cbam", stack=True)
    assert len(list(attended(model))) == 16
    assert torch.equal(model(images), before)
    again = wrap(wrap(timm.create_model("resnet18", num_classes=7), "se"), "cbam", stack=True)
    again.load_state_dict(model.state_dict())
    assert list(unwrap(model).state_dict()) == keys


def test_a_module_that_stands_in_two_places_is_wrapped_in_both():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 3, 1)
            self.second = self.first

        def forward(self, x):
            return self.second(self.first(x))

    model = wrap(Twice(), "se", at="first")
    assert model.first is model.second
    assert unwrap(model).first is model.second


FAILURES = [
    (KeyError, "Did you mean 'cbam'", {"block": "cban"}),
    (ValueError, "Did you mean 'reduction'", {"block": "se", "reducton": 4}),
    (ValueError, "init must be", {"block": "se", "init": "zero"}),
    (ValueError, "Did you mean 'branch'", {"block": "se", "at": "branche"}),
    (ValueError, "whose stages are \\[1, 2, 3, 4\\]", {"block": "se", "stages": [7]}),
    (ValueError, "No module that gives a map", {"block": "se", "at": "layer9.*"}),
    (ValueError, "names the same place twice", {"block": "se", "at": ["branch", "layer1.0.bn2"]}),
    (ValueError, "reduction must be at least 1", {"block": "se", "reduction": 0}),
    (ValueError, "A mapping says where", {"block": {"branch": "se"}, "at": "stem"}),
    (ValueError, "must give a map", {"block": lambda c: nn.Conv2d(c, 2 * c, 1)}),
    (ValueError, "cannot run at", {"block": lambda c: nn.Linear(c, c, bias=False)}),
    (TypeError, "not a module", {"block": lambda c: None}),
    (TypeError, "pass a function that makes one", {"block": nn.Identity()}),
    (ValueError, "could not be run on a tensor of", {"block": "se", "input_size": (5, 32, 32)}),
    (ValueError, "every must be at least 1", {"block": "se", "every": -1}),
]


@pytest.mark.parametrize(
    ("error", "message", "arguments"), FAILURES, ids=[message for _, message, _ in FAILURES]
)
def test_a_call_that_fails_leaves_the_model_as_it_was(error, message, arguments):
    model = torchvision.models.resnet18()
    modules, state = list(model.modules()), copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        wrap(model, **arguments)
    assert all(a is b for a, b in zip(modules, model.modules(), strict=True))
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert model.training


def test_models_that_cannot_be_wrapped_say_why():
    with pytest.raises(ValueError, match=r"timm has no model 'resnet5O'.*resnet50"):
        wrap("resnet5O", "se")
    with pytest.raises(TypeError, match="Expected a module, the name"):
        wrap(3, "se")
    with pytest.raises(ValueError, match=r"adds no branch to a shortcut\. Use at='conv'"):
        wrap(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), "se", at="branch")
    for function in (unwrap, attention_parameters, backbone_parameters):
        with pytest.raises(ValueError, match="no attention that wrap put in"):
            function(nn.Conv2d(3, 3, 1))


def test_a_plain_stack_of_convolutions_takes_attention_by_name():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3))
    model.pool = nn.Flatten()
    check_wrapped(lambda: copy.deepcopy(model), CBAM, at="[02]")
