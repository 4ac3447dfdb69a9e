import copy

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from visattn.blocks.batch_norm import SafeBatchNorm2d
from visattn.blocks.masks.abn import AttentionBranch
from visattn.recording import record
from visattn.testing import check_block, enliven


@pytest.fixture(scope="module")
def resnet():
    return enliven(torchvision.models.resnet18()).eval()


def official(block, stage, x):
    """The branch in the order of the official code: answers and map."""

    def norm(x, bn):
        return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)

    maps = norm(stage(x), block.bn)
    maps = norm(F.conv2d(maps, block.class_maps[0].weight), block.class_maps[1]).relu()
    plane = norm(F.conv2d(maps, block.to_plane[0].weight, padding=1), block.to_plane[1])
    answers = F.conv2d(maps, block.answer.weight)
    return answers.mean((2, 3)), plane.sigmoid()


def test_is_the_official_branch_with_a_copy_of_the_last_stage_at_stride_1(resnet):
    block = enliven(AttentionBranch(256, num_classes=7, next_stage=resnet.layer4)).eval()
    stage = copy.deepcopy(resnet.layer4)
    stage.load_state_dict(block.stage.state_dict())
    stage[0].conv1.stride = stage[0].downsample[0].stride = (1, 1)
    x = torch.randn(2, 256, 5, 8)
    with torch.no_grad(), record(block) as maps:
        y = block(x)
    answers, mask = official(block, stage, x)
    (site,) = maps.values()
    torch.testing.assert_close(site.class_logits, answers, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(site.spatial, mask[:, 0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(y, x * (1 + mask), atol=1e-5, rtol=1e-4)


def test_starts_with_the_weights_of_the_stage_and_leaves_the_stage_alone(resnet):
    before = copy.deepcopy(resnet.layer4)
    block = AttentionBranch(256, num_classes=7, next_stage=resnet.layer4, init="identity")
    for name, tensor in block.stage.state_dict().items():
        assert torch.equal(tensor, before.state_dict()[name])
    with torch.no_grad():
        for parameter in block.stage.parameters():
            parameter.zero_()
    x = torch.randn(1, 256, 4, 4)
    assert torch.equal(resnet.layer4(x), before(x))


def test_names_are_those_of_the_official_code(resnet):
    block = AttentionBranch(256, num_classes=7, next_stage=resnet.layer4)
    shapes = {
        "att_layer4.1.conv2.weight": (512, 512, 3, 3),
        "bn_att.running_mean": (512,),
        "att_conv.weight": (7, 512, 1, 1),
        "bn_att2.weight": (7,),
        "att_conv2.weight": (7, 7, 1, 1),
        "att_conv3.weight": (1, 7, 3, 3),
        "bn_att3.bias": (1,),
    }
    state = block.state_dict()
    for name, shape in shapes.items():
        prefix = next(prefix for prefix in block.official_names if name.startswith(prefix))
        assert state[block.official_names[prefix] + name.removeprefix(prefix)].shape == shape


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("resnet18d", ("layer3", "layer4")),  # average pools on the way around
        ("resnetblur18", ("layer3", "layer4")),  # blurring pools with a stride
        ("convnext_atto", ("stages.2", "stages.3")),  # 2 x 2 convolutions of stride 2
        ("regnetx_002", ("s3", "s4")),
    ],
)
def test_takes_the_strides_out_of_other_backbones(name, stages):
    model = timm.create_model(name)
    before, after = (model.get_submodule(path) for path in stages)
    channels = [m for m in before.modules() if isinstance(m, nn.Conv2d)][-1].out_channels
    channels = {"convnext_atto": 160}.get(name, channels)
    block = AttentionBranch(channels, num_classes=3, next_stage=after, init="identity")
    grids = []
    block.stage.register_forward_hook(
        lambda _, args, y: grids.append((*args[0].shape[2:], *y.shape[2:]))
    )
    x = torch.randn(2, channels, 6, 9)
    assert torch.equal(block(x), x)
    (height, width, new_height, new_width) = grids[0]
    assert new_height >= height - 1
    assert new_width >= width - 1


def test_random_dropping_is_left_out_so_that_the_model_draws_as_before():
    stage = nn.Sequential(
        nn.Conv2d(4, 4, 1), nn.Dropout2d(0.5), torchvision.ops.StochasticDepth(0.5, "row")
    )
    block = AttentionBranch(4, num_classes=2, next_stage=stage).train()
    state = torch.get_rng_state()
    block(torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_loss_of_its_answers_reaches_the_branch():
    block = AttentionBranch(8, num_classes=3, init="identity").train()
    with record(block, graph=True) as maps:
        block(torch.randn(4, 8, 5, 5))
    (site,) = maps.values()
    F.cross_entropy(site.class_logits, torch.tensor([0, 1, 2, 0])).backward()
    assert block.answer.weight.grad.any()
    assert block.stage[0].weight.grad.any()
    assert block.to_plane[0].weight.grad is None


def test_contract_of_the_form_with_a_stage():
    def branch(channels, init="paper"):
        stage = nn.Sequential(nn.Conv2d(channels, 12, 3, 2, 1), SafeBatchNorm2d(12), nn.ReLU())
        return AttentionBranch(channels, num_classes=4, next_stage=stage, init=init)

    check_block(branch)


def test_trains_on_a_single_place():
    assert AttentionBranch(4, num_classes=3).train()(torch.randn(1, 4, 1, 1)).shape == (1, 4, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1"),
        ({"next_stage": nn.Conv2d(3, 4, 1)}, "Conv2d, cannot run on a map of 16 channels"),
        ({"next_stage": nn.Flatten()}, "must give a map"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        AttentionBranch(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(AttentionBranch(16)) == {
        "class_logits": (2, 1000),
        "spatial": (2, 1, 9, 7),
    }
