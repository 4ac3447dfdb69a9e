import copy
import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn

from visattn import unwrap, wrap
from visattn.testing import enliven
from visattn.wrapping.placement import PLACES, base_input, find_sites, following_stage, own_place
from visattn.wrapping.tracing import trace


def traced(build, **options):
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trace(build(), **options)


def check_identity(model, block, *, size=(3, 48, 40), **options):
    """The wrapped model gives what the plain one gives, and so does the unwrapped one."""
    plain = enliven(model)
    images = torch.randn(2, *size)
    for training in (False, True):
        expected = copy.deepcopy(plain).train(training)(images)
        wrapped = wrap(copy.deepcopy(plain).train(training), block, input_size=size, **options)
        assert torch.equal(copy.deepcopy(wrapped)(images), expected)
        assert torch.equal(unwrap(wrapped)(images), expected)


@pytest.fixture(scope="module")
def resnet50():
    return traced(torchvision.models.resnet50)


def test_the_places_of_a_resnet50(resnet50):
    counts = {place: len(find_sites(resnet50, place)) for place in PLACES}
    assert counts == {"branch": 16, "conv": 16, "block": 16, "stage": 4, "stem": 1, "image": 1}
    first = find_sites(resnet50, "conv")[3]
    assert (first.name, first.path, first.where) == ("layer2.0", "layer2.0.conv2", "after")
    assert (first.channels, first.height, first.stage) == (128, 28, 2)


CONVS = {
    "resnet18": ("layer2.0.conv2", 128, 28),
    "convnext_atto": ("stages.1.blocks.0.conv_dw", 80, 28),
    "regnetx_002": ("s2.b1.conv2.conv", 56, 28),
    "mobilenetv2_050": ("blocks.2.1.conv_dw", 96, 28),
    "repvit_m0_9": ("stages.1.blocks.0.token_mixer.conv.c", 96, 28),
}


@pytest.mark.parametrize("name", CONVS)
def test_the_last_spatial_convolution_of_a_branch(name):
    found = traced(lambda: timm.create_model(name))
    sites = {site.path: (site.channels, site.height) for site in find_sites(found, "conv")}
    path, *size = CONVS[name]
    assert sites[path] == tuple(size)
    assert all(site.stage for site in find_sites(found, "conv"))


def test_stages_count_from_both_ends(resnet50):
    for stages, paths in [([1], ["layer1"]), ([-1], ["layer4"]), ([2, -2], ["layer2", "layer3"])]:
        assert [site.name for site in find_sites(resnet50, "stage", stages=stages)] == paths
    with pytest.raises(ValueError, match=r"whose stages are \[1, 2, 3, 4\]"):
        find_sites(resnet50, "stage", stages=[-5])


def test_every_counts_inside_a_stage(resnet50):
    names = [site.name for site in find_sites(resnet50, "block", stages=[2, 3], every=2)]
    assert names == ["layer2.1", "layer2.3", "layer3.1", "layer3.3", "layer3.5"]


OWN = {
    "resnet18": {"branch": "branch", "conv": "conv", "stage": "stage", "stem": "stem"},
    "vgg11": {"branch": "stage", "block": "stage", "conv": "conv", "stem": "image"},
    "densenet121": {"branch": "block", "conv": "conv"},
    "squeezenet1_1": {"branch": "block"},
    "googlenet": {"branch": "block"},
}


@pytest.mark.parametrize("name", OWN)
def test_ones_own_place_or_the_next(name):
    found = traced(lambda: torchvision.models.get_model(name))
    for place, expected in OWN[name].items():
        assert own_place(found, place) == expected
    assert own_place(found, "features.0") == "features.0"


def test_a_place_that_few_stages_have_is_no_own_place():
    found = traced(lambda: timm.create_model("hgnetv2_b0"))
    assert len(find_sites(found, "branch")) == 1
    assert own_place(found, "branch") == "block"
    found = traced(lambda: timm.create_model("caformer_s18"))
    assert {site.stage for site in find_sites(found, "conv")} == {1, 2}
    assert own_place(found, "conv") == "conv"


def test_a_transformer_has_a_stem_and_an_image():
    found = traced(lambda: timm.create_model("vit_tiny_patch16_224"))
    with pytest.raises(ValueError, match=r"token sequences \(N, T, C\), no maps .* at='stem'"):
        own_place(found, "branch")
    with pytest.raises(ValueError, match=r"name such as patch_embed.proj"):
        find_sites(found, "stage")
    assert find_sites(found, "stem")[0].path == "patch_embed.proj"
    assert own_place(found, "image") == "image"


def test_a_model_without_maps_has_no_place():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ValueError, match="Sequential has no place 'block': no module of it joins"):
        own_place(trace(model, input_size=(3, 2, 2)), "block")


def test_the_stage_that_follows(resnet50):
    following = {
        site.name: following_stage(resnet50, site)
        for place in ("stem", "stage", "branch", "conv", "image")
        for site in find_sites(resnet50, place)
        if place in ("stem", "stage", "image") or site.name == "layer3.1"
    }
    assert following == {
        "stem": "layer1",
        "layer1": "layer2",
        "layer2": "layer3",
        "layer3": "layer4",
        "layer4": None,
        "image": None,
        "layer3.1": None,
    }
    (branch,) = [site for site in find_sites(resnet50, "branch") if site.name == "layer3.1"]
    assert following_stage(resnet50, branch) == "layer4"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("convnext_tiny", {"convnext": None}),
        ("efficientnet_b0", {"features.6": "features.7"}),
        ("densenet121", {"features.denseblock3": None}),
        ("mnasnet0_5", {"layers.12": "layers.13"}),
    ],
)
def test_the_stage_that_follows_is_one_module_or_none(name, expected):
    found = traced(lambda: torchvision.models.get_model(name))
    for site in find_sites(found, "stage"):
        path = following_stage(found, site)
        assert path == expected.get(site.name, path)
        if name in ("convnext_tiny", "densenet121"):
            assert path is None
        if path:
            assert base_input(found, path) == (1, site.channels, site.height, site.width)


def test_what_a_module_takes(resnet50):
    assert base_input(resnet50, "conv1") == (1, 3, 224, 224)
    assert base_input(resnet50, "layer2.0.conv2") == (1, 128, 56, 56)
    assert base_input(resnet50, "fc") is None
    found = traced(torchvision.models.convnext_tiny)
    assert base_input(found, "features.1.0.block.3") == (1, 96, 56, 56)


def test_a_site_inside_knows_that_its_channels_are_last():
    found = traced(torchvision.models.convnext_tiny)
    site = find_sites(found, "features.3.0.block.2")[0]
    assert (site.layout, site.channels, site.height, site.width) == ("NHWC", 192, 28, 28)
    assert find_sites(found, "branch")[0].layout == "NCHW"


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.act = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 3), nn.ReLU()
        self.flat = nn.Flatten()

    def forward(self, x):
        return self.flat(self.act(self.two(self.act(self.one(x)))))


def test_a_module_of_several_widths_takes_no_block():
    with pytest.raises(
        ValueError, match=r"'act' is used at several places.*8 channels .* 4 channels"
    ):
        find_sites(Shared(), "act", input_size=(3, 16, 16))
    assert [site.path for site in find_sites(Shared(), "stage", input_size=(3, 16, 16))] == [
        "one",
        "two",
    ]


class InPlace(nn.Module):
    """Activations in place after the sites, and in place additions."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.layers = nn.Sequential(*(self._layer() for _ in range(2)))
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(8, 3)

    def _layer(self):
        return nn.ModuleDict({"conv": nn.Conv2d(8, 8, 3, padding=1), "bn": nn.BatchNorm2d(8)})

    def forward(self, x):
        x = torch.relu_(self.first(x))
        for layer in self.layers:
            y = layer["bn"](layer["conv"](x))
            y += x
            x = torch.nn.functional.relu_(y)
        return self.head(x.mean((2, 3)))


class Again(nn.Module):
    """One residual block that is used three times."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = timm.models.resnet.BasicBlock(8, 8)

    def forward(self, x):
        x = self.stem(x)
        for _ in range(3):
            x = self.block(x)
        return x.mean((2, 3))


def test_a_block_that_is_used_again_is_one_site():
    for at, path in (("branch", "block.bn2"), ("block", "block"), ("conv", "block.conv2")):
        assert [site.path for site in find_sites(Again(), at)] == [path]
        check_identity(Again(), "se", at=at)


@pytest.mark.parametrize("at", ["branch", "layers.*.conv", "stem", "image", "layers.?.bn"])
def test_in_place_operations_after_a_site(at):
    check_identity(InPlace(), "se", at=at)


def test_a_model_of_ones_own_takes_blocks_by_patterns():
    def build():
        layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 2))

    assert [site.path for site in find_sites(build(), "stage")] == ["2", "6"]
    assert [site.path for site in find_sites(build(), "[05]")] == ["0", "5"]
    for at in ("stage", "[05]", ["1", "5"]):
        check_identity(build(), "cbam", at=at)


def test_what_matches_nothing_says_what_there_is(resnet50):
    with pytest.raises(ValueError, match="Modules that do: conv1, bn1"):
        find_sites(resnet50, "layer9.*")
    with pytest.raises(ValueError, match="Did you mean 'stage'"):
        find_sites(resnet50, "stages")
    with pytest.raises(ValueError, match="every must be at least 1"):
        find_sites(resnet50, "block", every=0)


def test_channels_last_inside_keeps_the_identity():
    model = timm.create_model("convnext_atto", num_classes=3, conv_mlp=False)
    check_identity(model, "se", at="stages.*.blocks.0.norm", size=(3, 64, 64))


def test_lists_of_features_keep_their_values():
    model = timm.create_model("resnet10t", features_only=True).eval()
    images = torch.randn(1, 3, 64, 64)
    before = model(images)
    after = wrap(model, "se")(images)
    assert all(torch.equal(one, other) for one, other in zip(after, before, strict=True))
