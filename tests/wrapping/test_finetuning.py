import copy
import io
import pickle

import pytest
import timm
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from visattn import (
    attention_parameters,
    freeze_backbone,
    parameter_groups,
    unfreeze_backbone,
    unwrap,
    wrap,
)
from visattn.blocks.attended import attended
from visattn.testing import enliven


def build(**options):
    return enliven(timm.create_model("resnet10t", num_classes=5, drop_rate=0.5, **options))


@pytest.fixture
def model():
    """A ResNet with CBAM, which has BN of its own, none of it at its start."""
    return enliven(wrap(build(), "cbam", init="paper"))


@pytest.fixture
def images():
    return torch.randn(4, 3, 48, 40)


def step(model, images, *, count=3):
    """Train all that is trainable."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)
    for _ in range(count):
        optimizer.zero_grad()
        model(images).square().mean().backward()
        optimizer.step()


def snapshot(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model, before):
    after = model.state_dict()
    assert list(after) == list(before)
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def is_attention(name):
    return ".attention." in name


@pytest.mark.parametrize("block", ["se", "cbam", "nonlocal"])
@pytest.mark.parametrize("head", [(), ("fc",)])
def test_only_attention_and_what_is_named_changes(block, head, images):
    model = enliven(wrap(build(), block, init="paper", stages=[3, 4], at="branch", every=1))
    before = snapshot(model)
    freeze_backbone(model, train=head).train()
    step(model, images)
    found = changed(model, before)
    kept = {name for name in before if not is_attention(name) and not name.startswith("fc.")}
    assert any("running_mean" in name for name in kept)
    assert not found & kept
    assert {name for name in before if is_attention(name)} <= found
    assert {"fc.weight", "fc.bias"} <= found if head else "fc.weight" not in found


def test_without_freezing_the_statistics_change(model, images):
    """What the test above relies on."""
    before = snapshot(model)
    model.train()(images)
    assert "bn1.running_mean" in changed(model, before)


def modes(model):
    return {
        "backbone": model.bn1.training,
        "in the unit": model.layer1[0].bn2.base.training,
        "attention": model.layer1[0].bn2.attention.training,
        "attention's BN": model.layer1[0].bn2.attention.spatial.bn.training,
        "unit": model.layer1[0].bn2.training,
        "root": model.training,
    }


def test_modes_follow_the_model_but_for_the_statistics(model):
    freeze_backbone(model.train())
    container = nn.ModuleDict({"inner": nn.Sequential(model)})
    for mode in (True, False, True):
        assert container.train(mode) is container
        found = modes(model)
        assert not found.pop("backbone")
        assert not found.pop("in the unit")
        assert set(found.values()) == {mode}
    assert model.train() is model
    assert model.eval() is model
    assert not any(modes(model).values())


def test_it_holds_from_the_moment_of_freezing(model, images):
    before = snapshot(model)
    freeze_backbone(model.train())(images)
    assert not {name for name in changed(model, before) if not is_attention(name)}


def test_what_is_named_keeps_its_statistics_up_to_date(model, images):
    before = snapshot(model)
    freeze_backbone(model, train=["layer4.*", "bn1"]).train()
    step(model, images)
    names = {name for name in changed(model, before) if not is_attention(name)}
    expected = {"layer4.0.bn2.base.running_mean", "layer4.0.conv1.weight", "bn1.running_var"}
    assert expected <= names
    assert all(name.startswith(("layer4.", "bn1.")) for name in names)


def test_a_single_parameter_can_be_named(model):
    freeze_backbone(model, train="fc.bias")
    assert model.fc.bias.requires_grad
    assert not model.fc.weight.requires_grad


def test_a_model_without_attention_trains_what_is_named(images):
    model = build()
    before = snapshot(model)
    freeze_backbone(model, train="fc").train()
    step(model, images)
    assert changed(model, before) == {"fc.weight", "fc.bias"}


def test_unfreezing_gives_the_model_back(model):
    model.conv1[0].weight.requires_grad_(False)
    flags = {name: p.requires_grad for name, p in model.named_parameters()}
    attributes = set(vars(model))
    freeze_backbone(model.train(), train="layer1")
    freeze_backbone(model, train="fc")  # once more, with another name
    assert not model.layer1[0].conv1.weight.requires_grad
    unfreeze_backbone(model)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == flags
    assert set(vars(model)) == attributes
    assert all(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())
    with pytest.raises(ValueError, match="isn't frozen"):
        unfreeze_backbone(model)


def test_the_order_of_unwrap_and_unfreeze_does_not_matter(model, images):
    plain = build()
    freeze_backbone(model.train())
    unwrap(model)
    assert not model.train().layer1[0].bn2.training
    assert not any(p.requires_grad for p in model.parameters())
    unfreeze_backbone(model)
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.train().modules())
    assert list(model.state_dict()) == list(plain.state_dict())


def test_what_attention_stands_instead_of_is_frozen_with_the_rest(images):
    model = wrap(build(), "sk", init="paper")
    assert any(unit.visattn.where == "instead" for unit in attended(model))
    parameters = {name: p.requires_grad for name, p in build().named_parameters()}
    freeze_backbone(model.train(), train="conv1.0")
    unwrap(model)
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trains == {"conv1.0.weight"}
    before = snapshot(model)
    model(images)
    assert not changed(model, before)
    unfreeze_backbone(model)
    assert {name: p.requires_grad for name, p in model.named_parameters()} == parameters


def test_state_dicts_stay(model):
    keys = list(model.state_dict())
    other = copy.deepcopy(model)
    freeze_backbone(model)
    assert list(model.state_dict()) == keys
    assert str(other.load_state_dict(model.state_dict())) == "<All keys matched successfully>"
    assert [name for name, _ in model.named_modules()] == [
        name for name, _ in other.named_modules()
    ]


def saved(model):
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize(
    "double",
    [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), saved],
    ids=["deepcopy", "pickle", "save"],
)
def test_copies_are_frozen_on_their_own(model, double):
    other = double(freeze_backbone(model.train()))
    model.eval()
    assert other.train() is other
    assert modes(other)["attention's BN"]
    assert not modes(other)["backbone"]
    assert not any(modes(model).values())
    assert not other.conv1[0].weight.requires_grad
    unfreeze_backbone(other)
    assert other.train().bn1.training
    assert not model.train().bn1.training


def test_synchronised_norms_stay_frozen(model):
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(freeze_backbone(model)).train()
    assert isinstance(converted.bn1, nn.SyncBatchNorm)
    found = modes(converted)
    assert not found["backbone"]
    assert not found["in the unit"]
    assert found["attention's BN"]


def test_a_new_classifier_trains_if_it_was_named(model):
    freeze_backbone(model, train="fc").train()
    model.reset_classifier(3)
    assert model.fc.weight.requires_grad
    assert not model.train().bn1.training


def test_distributed_data_parallel(model, images, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        before = snapshot(model)
        parallel = DistributedDataParallel(freeze_backbone(model)).train()
        step(parallel, images)
        found = changed(model, before)
        assert found
        assert all(is_attention(name) for name in found)
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["freeze", "compile"])
def test_compiled_models(model, images, first):
    before = snapshot(model)
    if first == "freeze":
        compiled = torch.compile(freeze_backbone(model), backend="aot_eager")
    else:
        compiled = freeze_backbone(torch.compile(model, backend="aot_eager"))
    compiled.train()
    step(compiled, images, count=2)
    found = changed(model, before)
    assert found
    assert all(is_attention(name) for name in found)


def test_export(model, images):
    freeze_backbone(model).eval()
    program = torch.export.export(model, (images,)).module()
    with torch.no_grad():
        torch.testing.assert_close(program(images), model(images))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("fcc", "Did you mean 'fc'"),
        (["fc", "layer4.0.bn3"], r"'layer4\.0\.bn3'.*Did you mean 'layer4\.0\.bn"),
        ("classifier.*", "Its modules: conv1, bn1"),
    ],
)
def test_an_unknown_name_changes_nothing(model, names, message):
    with pytest.raises(ValueError, match=message):
        freeze_backbone(model.train(), train=names)
    assert all(p.requires_grad for p in model.parameters())
    assert all(m.training for m in model.train().modules())


def test_nothing_left_to_train():
    plain = build()
    with pytest.raises(ValueError, match=r"Call visattn\.wrap first, or name what trains"):
        freeze_backbone(plain)
    with pytest.raises(ValueError, match="no attention"):
        freeze_backbone(plain, train="act1")  # a module without parameters
    assert all(p.requires_grad for p in plain.parameters())


# ---------------------------------------------------------------- parameter groups


def test_groups_part_attention_and_what_decays(model):
    kinds = {id(p): m for m in model.modules() for p in m.parameters(recurse=False)}
    added = {id(p) for p in attention_parameters(model)}
    groups = parameter_groups(
        model, learning_rate=0.001, attention_learning_rate=0.1, weight_decay=0.05
    )
    found = {group["name"]: group for group in groups}
    assert list(found) == [
        "backbone",
        "backbone without decay",
        "attention",
        "attention without decay",
    ]
    for name, group in found.items():
        assert group["lr"] == (0.1 if name.startswith("attention") else 0.001)
        decays = not name.endswith("without decay")
        assert group["weight_decay"] == (0.05 if decays else 0.0)
        assert {id(p) in added for p in group["params"]} == {name.startswith("attention")}
        for parameter in group["params"]:
            matrix = isinstance(kinds[id(parameter)], (nn.Conv2d, nn.Linear))
            assert (matrix and parameter.ndim > 1) == decays
    given = [id(p) for group in groups for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters())


def test_attention_takes_larger_steps(images):
    model = enliven(wrap(build(), "se", init="paper"))
    before = snapshot(model)
    groups = parameter_groups(model, learning_rate=1e-4, attention_learning_rate=1e-2)
    optimizer = torch.optim.Adam(groups)
    model(images).square().mean().backward()
    optimizer.step()
    for name, value in model.named_parameters():
        largest = (value - before[name]).abs().max().item()
        assert largest == pytest.approx(1e-2 if is_attention(name) else 1e-4, rel=0.02), name


def test_frozen_parameters_are_in_no_group(model):
    freeze_backbone(model, train="fc.bias")
    groups = parameter_groups(model, learning_rate=0.1, weight_decay=0.05)
    assert [g["name"] for g in groups] == [
        "backbone without decay",
        "attention",
        "attention without decay",
    ]
    assert groups[0]["params"] == [model.fc.bias]
    assert {g["lr"] for g in groups} == {0.1}


def test_a_norm_over_a_whole_map_does_not_decay():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.LayerNorm([4, 6, 6]))
    groups = parameter_groups(layers, learning_rate=0.1, weight_decay=0.05)
    assert [id(p) for p in groups[0]["params"]] == [id(layers[0].weight)]


def test_what_the_model_asks_for_does_not_decay():
    model = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=2)
    assert model.pos_embed.ndim == 3
    decayed, spared = parameter_groups(model, learning_rate=0.1, weight_decay=0.05)
    assert any(p is model.pos_embed for p in spared["params"])
    assert any(p is model.patch_embed.proj.weight for p in decayed["params"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate must be at least 0, got -1"),
        ({"learning_rate": 1.0, "weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"learning_rate": 1.0, "attention_learning_rate": 1.0}, "no attention that wrap put in"),
    ],
)
def test_a_wrong_rate_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        parameter_groups(build(), **options)


def test_nothing_trainable_is_an_error():
    with pytest.raises(ValueError, match="every parameter of Linear is frozen"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), learning_rate=0.1)
