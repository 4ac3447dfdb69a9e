"""What a wrapped model goes through outside of visattn."""

import copy

import pytest
import timm
import torch
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from visattn import record, wrap
from visattn.blocks.attended import attended, base_of, block_of
from visattn.testing import check_compiles, check_exports, enliven


@pytest.fixture
def model():
    """A ResNet with CBAM at its branches and a mask on the image, none of it at its start."""
    plain = timm.create_model("test_resnet", num_classes=5)
    return enliven(wrap(plain, {"branch": "cbam", "image": "spatial_mask"}, init="paper")).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96)


@pytest.mark.slow
def test_export_on_large_images_serves_small_ones_that_take_the_same_way(model, images):
    others = [images[:1], torch.randn(3, 3, 33, 65)]
    check_exports(model, images, others=others)


@pytest.mark.slow
def test_compiled_with_several_blocks(model, images):
    check_compiles(model, images)


def test_half_precision_starts_as_the_identity_too(images):
    plain = enliven(timm.create_model("resnet10t", num_classes=5)).eval().bfloat16()
    model = wrap(copy.deepcopy(plain), "cbam")
    assert model.layer1[0].bn2.attention.channel.fc1.weight.dtype is torch.bfloat16
    with torch.no_grad():
        assert torch.equal(model(images.bfloat16()), plain(images.bfloat16()))


def test_exponential_moving_average(model, images):
    average = ModelEmaV3(model, decay=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    before = copy.deepcopy(average.module.state_dict())
    average.update(model)
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (before[name] + model.state_dict()[name]) / 2)
    assert list(average.module.state_dict()) == list(model.state_dict())


def test_timms_conversion_of_batchnorms_with_an_activation():
    plain = enliven(timm.create_model("test_efficientnet", num_classes=3)).eval()
    model = enliven(wrap(plain, "cbam", at="blocks.*.bn1", init="paper")).eval()
    images = torch.randn(2, 3, 48, 40)
    with torch.no_grad():
        expected = model(images)
        converted = convert_sync_batchnorm(model)
        torch.testing.assert_close(converted.eval()(images), expected)
    bases = [base_of(unit) for unit in attended(converted)]
    assert any(isinstance(base, torch.nn.SyncBatchNorm) for base in bases)


def test_distributed_data_parallel(model, images, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        parallel = DistributedDataParallel(model)
        with record(parallel) as maps:
            torch.testing.assert_close(parallel(images), model(images))
        assert maps["layer1.0"].calls == 2
        parallel(images).square().sum().backward()
        blocks = [block_of(unit) for unit in attended(model)]
        assert all(p.grad is not None for block in blocks for p in block.parameters())
    finally:
        torch.distributed.destroy_process_group()


def test_timms_own_tools(model, images):
    with torch.no_grad():
        features = model.forward_features(images)
        torch.testing.assert_close(model.forward_head(features), model(images))
        model.reset_classifier(3)
        assert model(images).shape == (2, 3)
    assert len(list(attended(model))) == 5


def test_features_only(images):
    plain = enliven(timm.create_model("resnet10t", features_only=True)).eval()
    expected = plain(images)
    wrapped = wrap(plain, "cbam")
    assert all(torch.equal(a, b) for a, b in zip(wrapped(images), expected, strict=True))
    with record(wrapped) as maps:
        wrapped(images)
    assert list(maps) == [f"layer{i}.0" for i in range(1, 5)]


def test_state_dicts_through_optimisers_and_functional_calls(model, images):
    parameters = dict(model.named_parameters())
    expected = model(images)
    buffers = dict(model.named_buffers())
    ours = torch.func.functional_call(model, {**parameters, **buffers}, (images,))
    torch.testing.assert_close(ours, expected)


def test_tools_that_count_in_a_buffer_of_every_module(model, images):
    """As thop does: the base, that has one of the name, isn't asked."""
    names = list(model.state_dict())
    for module in model.modules():
        module.register_buffer("calls", torch.zeros(()))
        module.register_forward_hook(lambda module, *_: setattr(module, "calls", module.calls + 1))
    model(images)
    called = [module for module in model.modules() if not isinstance(module, nn.ModuleList)]
    assert {float(module.calls) for module in called} == {1.0}
    state = {name: torch.full_like(t, 2) for name, t in model.state_dict().items()}
    assert len(state) == len(names) + len(list(model.modules()))
    model.load_state_dict(state)
    assert {float(module.calls) for module in model.modules()} == {2.0}
    unit = next(attended(model))
    with pytest.raises(KeyError, match="'training' already exists"):
        unit.register_buffer("training", torch.zeros(1))
    assert unit.visattn.site  # nothing is lost by that
    for module in model.modules():
        del module.calls
    assert list(model.state_dict()) == names
