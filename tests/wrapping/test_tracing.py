import warnings
from collections import OrderedDict
from types import FunctionType

import pytest
import timm
import torch
import torchvision
from torch import nn

from visattn.wrapping.placement import find_sites
from visattn.wrapping.tracing import Map, default_input_size, trace


def traced(build, **options):
    with torch.device("meta"):
        return trace(build(), **options)


def conv(inside, outside, *, stride=1, kernel=3):
    return nn.Conv2d(inside, outside, kernel, stride, kernel // 2)


class Residual(nn.Module):
    """A residual block whose addition is written in one of several ways."""

    def __init__(self, way, channels=8):
        super().__init__()
        self.way = way
        self.conv1, self.conv2 = conv(channels, channels), conv(channels, channels)
        self.bn, self.act = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        self.gate = nn.Conv2d(channels, channels, 1)
        self.side = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        y = self.bn(self.conv2(self.act(self.conv1(x))))
        if self.way == "scaled by a number":
            return self.act(y * 0.2 + x)
        if self.way == "scaled by a parameter":
            return self.scale * y + x
        if self.way == "gated":
            return x + y * self.gate(y.mean((2, 3), keepdim=True)).sigmoid()
        if self.way == "in place":
            y += x
            return self.act(y)
        if self.way == "torch.add":
            return torch.add(x, y, alpha=0.5)
        if self.way == "functional activation":
            return x + torch.nn.functional.relu(y)
        if self.way == "projected":
            return self.side(x) + y
        if self.way == "slice":
            return torch.cat([y[:, :4] + x[:, :4], y[:, 4:]], dim=1)
        raise AssertionError(self.way)


WAYS = ["scaled by a number", "scaled by a parameter", "gated", "in place", "torch.add"]
WAYS += ["functional activation", "projected", "slice"]


@pytest.mark.parametrize("way", WAYS)
def test_a_residual_block_however_its_addition_is_written(way):
    model = nn.Sequential(conv(3, 8), Residual(way))
    (block,) = trace(model, input_size=(3, 16, 16)).blocks
    assert (block.path, block.branch, block.conv) == ("1", "1.bn", "1.conv2")
    assert block.output == block.branch_map == Map(8, 16, 16)


class Parallel(nn.Module):
    """A sum of parallel convolutions, with or without the input: no shortcut."""

    def __init__(self, *, identity):
        super().__init__()
        self.large, self.small = conv(8, 8), conv(8, 8, kernel=1)
        self.bn = nn.BatchNorm2d(8) if identity else None

    def forward(self, x):
        total = self.large(x) + self.small(x)
        return total if self.bn is None else total + self.bn(x)


@pytest.mark.parametrize("identity", [False, True])
def test_a_sum_of_parallel_convolutions_is_no_shortcut(identity):
    model = nn.Sequential(conv(3, 8), Parallel(identity=identity))
    (block,) = trace(model, input_size=(3, 16, 16)).blocks
    assert (block.path, block.branch, block.conv) == ("1", None, "1.large")


class Group(nn.Module):
    """Residual blocks and a skip around them all, as in super-resolution."""

    def __init__(self, count):
        super().__init__()
        self.body = nn.Sequential(*(Residual("in place") for _ in range(count)), conv(8, 8))

    def forward(self, x):
        return self.body(x) + x


@pytest.mark.parametrize(
    ("count", "blocks"), [(2, ["1"]), (3, ["1.body.0", "1.body.1", "1.body.2"])]
)
def test_a_skip_around_more_than_two_blocks_is_no_block(count, blocks):
    found = trace(nn.Sequential(conv(3, 8), Group(count)), input_size=(3, 16, 16))
    assert [block.path for block in found.blocks] == blocks


class Lists(nn.Module):
    """Stages called whole, one called block by block, and a list of side branches."""

    def __init__(self):
        super().__init__()

        def pair():
            return Residual("in place"), Residual("in place")

        self.stem, self.pool = conv(3, 8), nn.MaxPool2d(2)
        self.first, self.second = nn.Sequential(*pair()), nn.ModuleList(pair())
        self.third, self.fourth = nn.Sequential(*pair()), nn.Sequential(*pair())
        self.sides = nn.ModuleList(pair())

    def forward(self, x):
        one = x = self.first(self.stem(x))
        x = self.pool(x)
        for block in self.second:
            x = block(x)
        y = self.fourth(self.pool(self.third(self.pool(x))))
        return self.sides[0](one).mean() + self.sides[1](x).mean() + y.mean()


def test_a_list_of_one_resolution_is_a_stage_and_one_of_two_is_none():
    found = trace(Lists(), input_size=(3, 32, 32))
    assert [stage.path for stage in found.stages] == ["first", "second", "third", "fourth"]


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = conv(8, 4), conv(8, 6, kernel=1)

    def forward(self, x):
        return torch.cat([self.one(x), torch.relu(self.two(x))], 1)


def test_a_concatenation_of_branches_is_a_block():
    model = nn.Sequential(conv(3, 8), Branches(), nn.MaxPool2d(2), nn.Conv2d(10, 8, 1), Branches())
    found = trace(model, input_size=(3, 16, 16))
    assert [(b.path, b.branch, b.stage) for b in found.blocks] == [("1", None, 1), ("4", None, 2)]
    assert found.stem == ("0", Map(8, 16, 16))


class RootAddition(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.first, self.head = conv(3, 8), conv(8, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.first(x)).mean((2, 3))


def test_an_addition_in_the_models_own_forward_has_a_branch_but_no_block():
    (block,) = trace(RootAddition(), input_size=(3, 16, 16)).blocks
    assert (block.path, block.branch, block.output) == ("first", "first", None)


STAGES = {
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "resnet50d": ["layer1", "layer2", "layer3", "layer4"],
    "efficientnet_b0": [f"blocks.{i}" for i in range(7)],
    "mobilenetv2_050": [f"blocks.{i}" for i in range(7)],
    "mobilenetv1_100": [f"blocks.{i}" for i in range(5)],
    "convnext_atto": [f"stages.{i}" for i in range(4)],
    "regnetx_002": ["s1", "s2", "s3", "s4"],
    "hrnet_w18_small": ["layer1", "stage2", "stage3", "stage4"],
    "mobilevit_xxs": [f"stages.{i}" for i in range(5)],
    "vgg11": ["features.1", "features.4", "features.9", "features.14", "features.19"],
    "convmixer_768_32": ["blocks.31"],
    "lcnetv2_small": [f"stages.{i}" for i in range(4)],
    "efficientvim_m1": ["stages.0", "stages.1"],
    "tiny_vit_5m_224": [f"stages.{i}" for i in range(4)],
    "inception_v3": ["Mixed_5d", "Mixed_6e", "Mixed_7c"],
    "inception_resnet_v2": ["repeat", "repeat_1", "repeat_2", "block8"],
    "rexnet_100": [f"features.{i}" for i in (0, 2, 4, 10, 15)],
    "fastvit_t8": [f"stages.{i}" for i in range(4)],
    "pit_ti_224": ["transformers.1", "transformers.2"],
    "nest_tiny": ["levels.0", "levels.1", "levels.2"],
    "mobilenetv3_small_050": [f"blocks.{i}" for i in range(5)],
    "mobilevit_xs": [f"stages.{i}" for i in range(5)],
    "levit_128s": [f"stem.conv{i}" for i in range(1, 5)],
    "coat_tiny": [f"crpe{i}.conv_list.2" for i in range(1, 5)],
    "hgnetv2_b0": [f"stages.{i}" for i in range(4)],
}
BLOCKS = {
    "efficientvim_m1": 2,
    "fastvit_t8": 13,
    "hgnetv2_b0": 5,
    "hrnet_w18_small": 19,
    "lcnetv2_small": 2,
    "mobilevit_xs": 5,
    "mobilevit_xxs": 3,
    "tiny_vit_5m_224": 2,
}
STEMS = {
    "resnet18": "maxpool",
    "resnet50d": "maxpool",
    "efficientnet_b0": "bn1",
    "convnext_atto": "stem",
    "regnetx_002": "stem",
    "mobilevit_xxs": "stem",
    "mobilenetv2_050": "bn1",
}


@pytest.mark.parametrize("name", STAGES)
def test_the_stages_stems_and_blocks_of_timms_models(name):
    found = traced(lambda: timm.create_model(name))
    assert [stage.path for stage in found.stages] == STAGES[name]
    assert [stage.number for stage in found.stages] == list(range(1, len(STAGES[name]) + 1))
    if name in STEMS:
        assert found.stem is not None
        assert found.stem[0] == STEMS[name]
    assert len(found.blocks) == BLOCKS.get(name, len(found.blocks))


TORCHVISION_STAGES = {
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
    "convnext_tiny": ["features.1", "features.3", "features.5", "features.7"],
    "efficientnet_b0": [f"features.{i}" for i in range(1, 8)],
    "densenet121": [f"features.denseblock{i}" for i in (1, 2, 3)] + ["features.norm5"],
    "squeezenet1_1": ["features.4", "features.7", "features.12"],
    "shufflenet_v2_x0_5": ["stage2", "stage3", "stage4"],
    "mnasnet0_5": [f"layers.{i}" for i in range(8, 14)],
    "mobilenet_v2": [f"features.{i}" for i in (1, 3, 6, 13, 17)],
    "alexnet": ["features.1", "features.4", "features.11"],
}


@pytest.mark.parametrize("name", TORCHVISION_STAGES)
def test_the_stages_of_torchvisions_models(name):
    found = traced(lambda: torchvision.models.get_model(name))
    assert [stage.path for stage in found.stages] == TORCHVISION_STAGES[name]


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "regnetx_002", "hgnetv2_b0"])
def test_stages_give_the_maps_that_timm_says(name):
    model = timm.create_model(name, features_only=True)
    said = [(info["num_chs"], 224 // info["reduction"]) for info in model.feature_info][-4:]
    found = traced(lambda: timm.create_model(name), input_size=(3, 224, 224))
    assert [(s.output.channels, s.output.height) for s in found.stages] == said


def test_maps_with_channels_last_inside():
    found = traced(torchvision.models.convnext_tiny)
    assert found.outputs["features.1.0.block.0"] == Map(96, 56, 56, "NCHW")
    assert found.outputs["features.1.0.block.2"] == Map(96, 56, 56, "NHWC")
    assert found.outputs["features.1.0.block.3"] == Map(384, 56, 56, "NHWC")
    found = traced(lambda: timm.create_model("convnext_tiny"))
    assert found.outputs["stages.1.blocks.0.norm"] == Map(192, 28, 28, "NHWC")
    assert found.inputs["stages.1.blocks.0.mlp"] == Map(192, 28, 28, "NHWC")
    found = traced(torchvision.models.swin_t)
    assert found.outputs["features.3.0.mlp"] == Map(192, 28, 28, "NHWC")


@pytest.mark.parametrize(
    "turn",
    [
        lambda x: x.permute(0, 2, 3, 1),
        lambda x: x.movedim(1, -1),
        lambda x: x.transpose(1, 2).transpose(2, 3),
        lambda x: torch.permute(x, (0, 2, 3, 1)),
        lambda x: x.flatten(2).transpose(1, 2).reshape(x.shape[0], *x.shape[2:], -1),
    ],
)
def test_the_ways_to_put_channels_last(turn):
    class Turned(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = conv(3, 8), nn.LayerNorm(8)

        def forward(self, x):
            return self.norm(turn(self.conv(x)))

    found = trace(Turned(), input_size=(3, 20, 12))
    assert found.outputs["norm"] == Map(8, 20, 12, "NHWC")


def test_the_heads_of_self_attention_are_no_maps():
    found = traced(lambda: timm.create_model("vit_tiny_patch16_224", qk_norm=True))
    assert list(found.outputs) == ["patch_embed.proj"]
    assert found.sequences
    assert found.stages == []


def test_a_module_used_at_several_places():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.act = conv(3, 8), conv(8, 4), nn.ReLU(inplace=True)

        def forward(self, x):
            return self.act(self.two(self.act(self.one(x))))

    assert trace(Shared(), input_size=(3, 8, 8)).shared == {
        "act": ["maps of 8 channels (N, C, H, W)", "maps of 4 channels (N, C, H, W)"]
    }


def test_a_part_that_maps_and_tokens_share_is_no_site():
    found = traced(lambda: timm.create_model("edgenext_xx_small"))
    shared = "stages.1.blocks.1.drop_path"
    assert found.shared[shared] == ["no maps", "maps of 48 channels (N, C, H, W)"]
    (block,) = [block for block in found.blocks if block.path == "stages.1.blocks.1"]
    assert (block.branch, block.branch_map) == ("stages.1.blocks.1.mlp", Map(48, 32, 32, "NHWC"))


@pytest.mark.parametrize(
    "build",
    [
        lambda: timm.create_model("resnet18", features_only=True),
        lambda: timm.create_model("hrnet_w18_small", features_only=True),
        lambda: torchvision.models.googlenet(init_weights=False, aux_logits=True).train(),
        lambda: torchvision.models.inception_v3(init_weights=False, transform_input=True).train(),
        lambda: torchvision.models.segmentation.fcn_resnet50(weights_backbone=None),
    ],
)
def test_models_that_give_more_than_a_tensor(build):
    found = traced(build)
    assert len(found.stages) >= 3
    assert found.blocks
    assert found.image


def test_channels_and_sizes_that_a_model_wants():
    model = timm.create_model("resnet18", in_chans=1)
    assert default_input_size(model) == (1, 224, 224)
    assert trace(model).image == ("conv1", Map(1, 224, 224))
    assert default_input_size(timm.create_model("test_efficientnet", in_chans=4))[0] == 4
    assert default_input_size(timm.create_model("inception_v3")) == (3, 299, 299)
    tresnet = timm.create_model("tresnet_m")
    assert default_input_size(tresnet)[0] == 3
    tresnet.in_chans = tresnet.pretrained_cfg = None
    del tresnet.in_chans
    assert default_input_size(tresnet)[0] == 3
    assert default_input_size(conv(12, 8))[0] == 12


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_a_scripted_stem_says_its_channels_and_what_is_wrong():
    model = nn.Sequential(torch.jit.script(conv(5, 16)), conv(16, 8), nn.ReLU())
    assert default_input_size(model) == (5, 224, 224)
    assert trace(model).image is None
    with pytest.raises(ValueError, match=r"to have 5 channels, but got 3.*input_size"):
        trace(model, input_size=(3, 32, 32))


def test_models_that_cannot_be_traced_say_why():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script = torch.jit.trace(nn.Conv2d(3, 3, 1), torch.rand(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r"ScriptModule.*script it afterwards"):
        trace(script)
    assert not trace(nn.Sequential(script)).outputs  # of compiled code nothing is seen
    with pytest.raises(ValueError, match=r"torch.compile.*_orig_mod"):
        trace(torch.compile(nn.Conv2d(3, 3, 1)))
    with pytest.raises(ValueError, match=r"Give the size that it expects as input_size"):
        trace(nn.Conv2d(5, 3, 1), input_size=(3, 8, 8))
    with pytest.raises(ValueError, match=r"expected 32, got 16.* Give the size that it expects"):
        trace(Picky(), input_size=(3, 16, 16))
    with pytest.raises(ValueError, match=r"three directions \(N, C, D, H, W\)"):
        find_sites(trace(nn.Conv3d(3, 3, 1), example_inputs=torch.rand(1, 3, 4, 4, 4)))


class Picky(nn.Module):
    """Checks its input's shape with an error of its own, as kornia's models do."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        if x.shape[-1] != 32:
            raise ValueError(f"Shape mismatch at dimension 2: expected 32, got {x.shape[-1]}")
        return self.conv(x)


class TwoMaps(nn.Module):
    """A block that takes and gives two maps, as in a dual path network."""

    def __init__(self, stride=1):
        super().__init__()
        self.one, self.other = conv(8, 8, stride=stride), conv(8, 8, stride=stride)

    def forward(self, maps):
        return self.one(maps[0] if isinstance(maps, tuple) else maps), self.other(
            maps[1] if isinstance(maps, tuple) else maps
        )


def test_blocks_that_give_two_maps_are_stages_by_their_resolution():
    blocks = [TwoMaps(1 + (number % 3 == 0)) for number in range(9)]
    seen = trace(nn.Sequential(conv(3, 8), *blocks), input_size=(3, 32, 32))
    assert [stage.output.height for stage in seen.stages][-3:] == [16, 8, 4]


class Joins(nn.Module):
    """A block that joins what several convolutions give, as in HarDNet."""

    def __init__(self, stride=1):
        super().__init__()
        self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.one, self.other = conv(8, 4), conv(4, 4)

    def forward(self, x):
        one = self.one(self.pool(x))
        return torch.cat([one, self.other(one)], 1)


def test_a_stage_of_two_resolutions_is_not_the_whole_network():
    strides = [2], [1, 2], [2], [1]
    stages = [nn.Sequential(*(Joins(stride) for stride in each)) for each in strides]
    model = nn.Sequential(OrderedDict(first=conv(3, 8), stages=nn.Sequential(*stages)))
    seen = trace(model, input_size=(3, 64, 64))
    assert [stage.path for stage in seen.stages] == [f"stages.{number}" for number in range(4)]


class Collects(nn.Module):
    """What it gives is collected by hooks of its library, as hidden states in transformers 5."""

    def __init__(self):
        super().__init__()
        self.conv = conv(3, 8)
        hook = FunctionType(_keep.__code__, {"__name__": "transformers.utils"}, closure=None)
        self.conv.register_forward_hook(hook)

    def forward(self, x):
        self.conv(x)
        return self.conv.__dict__.pop("collected").square()


def _keep(module, args, output):
    module.collected = output


def test_hooks_by_which_transformers_collects_are_kept():
    model = Collects()
    model(torch.rand(1, 3, 8, 8))
    assert trace(model, input_size=(3, 8, 8)).outputs["conv"].channels == 8


def test_tracing_leaves_the_model_as_it_was():
    model = torchvision.models.resnet18().train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trace(model)
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
