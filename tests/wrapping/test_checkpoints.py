"""Published checkpoints: models of their structure and names give the same logits in a wrap."""

import copy

import pytest
import timm
import torch
import torchvision
from timm.models import senet
from torch import nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from visattn import from_published, record, wrap
from visattn.testing import enliven

WIDTHS = {"width_per_group": 32, "num_classes": 5}  # of torchvision's bottlenecks


def backbone(block=BasicBlock):
    options = WIDTHS if block is Bottleneck else {"num_classes": 5}
    return ResNet(block, [1, 1, 1, 1], **options)


class Flat(nn.Module):
    def forward(self, x):
        return x.flatten(1)


class TheirChannelGate(nn.Module):
    """As in CBAM's published code: an MLP of linear layers on both pooled vectors."""

    def __init__(self, channels):
        super().__init__()
        hidden = channels // 16
        self.mlp = nn.Sequential(
            Flat(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )

    def forward(self, x):
        logits = self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(F.adaptive_max_pool2d(x, 1))
        return x * logits.sigmoid()[:, :, None, None]


class TheirSpatialGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.spatial = nn.Sequential()
        self.spatial.add_module("conv", nn.Conv2d(2, 1, 7, padding=3, bias=False))
        self.spatial.add_module("bn", nn.BatchNorm2d(1, momentum=0.01))

    def forward(self, x):
        planes = torch.stack((x.max(1).values, x.mean(1)), 1)
        return x * self.spatial(planes).sigmoid()


class TheirCBAM(nn.Sequential):
    def __init__(self, channels):
        super().__init__()
        self.add_module("ChannelGate", TheirChannelGate(channels))
        self.add_module("SpatialGate", TheirSpatialGate())


class TheirECA(nn.Module):
    def __init__(self, channels, size=3):
        super().__init__()
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x):
        pooled = F.adaptive_avg_pool2d(x, 1)
        gate = self.conv(pooled.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * gate.sigmoid()


class TheirBAM(nn.Module):
    """As in BAM's published code: both branches multiplied before the sigmoid."""

    def __init__(self, channels):
        super().__init__()
        hidden = channels // 16
        self.channel_att = nn.Module()
        gate = self.channel_att.gate_c = nn.Sequential()
        gate.add_module("flatten", Flat())
        gate.add_module("gate_c_fc_0", nn.Linear(channels, hidden))
        gate.add_module("gate_c_bn_1", nn.BatchNorm1d(hidden))
        gate.add_module("gate_c_relu_1", nn.ReLU())
        gate.add_module("gate_c_fc_final", nn.Linear(hidden, channels))
        self.spatial_att = nn.Module()
        gate = self.spatial_att.gate_s = nn.Sequential()
        gate.add_module("gate_s_conv_reduce0", nn.Conv2d(channels, hidden, 1))
        gate.add_module("gate_s_bn_reduce0", nn.BatchNorm2d(hidden))
        gate.add_module("gate_s_relu_reduce0", nn.ReLU())
        for i in range(2):
            conv = nn.Conv2d(hidden, hidden, 3, padding=4, dilation=4)
            gate.add_module(f"gate_s_conv_di_{i}", conv)
            gate.add_module(f"gate_s_bn_di_{i}", nn.BatchNorm2d(hidden))
            gate.add_module(f"gate_s_relu_di_{i}", nn.ReLU())
        gate.add_module("gate_s_conv_final", nn.Conv2d(hidden, 1, 1))

    def forward(self, x):
        of_channel = self.channel_att.gate_c(F.adaptive_avg_pool2d(x, 1))[:, :, None, None]
        return x * (1 + (of_channel * self.spatial_att.gate_s(x)).sigmoid())


class WithSlot(nn.Module):
    """A residual block of torchvision with a module before its addition, under their name."""

    def __init__(self, block, name, module):
        super().__init__()
        for child, part in block.named_children():
            self.add_module(child, part)
        self.add_module(name, module)
        self.slot = name

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(self.relu(y)))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(getattr(self, self.slot)(y) + shortcut)


def with_slots(model, name, make):
    """Their model: ``make(channels)`` as ``name`` in every residual block."""
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for i, block in enumerate(stage):
            norm = getattr(block, "bn3", None) or block.bn2
            stage[i] = WithSlot(block, name, make(norm.num_features))
            if not hasattr(stage[i], "downsample"):
                stage[i].downsample = None
    return model


def check(donor, model, *, wrapped_in="state dict"):
    donor = enliven(donor, seed=3).eval()
    state = donor.state_dict()
    if wrapped_in == "checkpoint":  # as DataParallel and a training script leave it
        state = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}
    model.load_state_dict(from_published(state, model))
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, ours = donor(images), model.eval()(images)
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_official_cbam(block):
    donor = with_slots(backbone(block), "cbam", TheirCBAM)
    assert "layer1.0.cbam.ChannelGate.mlp.1.weight" in donor.state_dict()
    assert "layer1.0.cbam.SpatialGate.spatial.conv.weight" in donor.state_dict()
    check(donor, wrap(backbone(block), "cbam", init="paper"), wrapped_in="checkpoint")


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
def test_official_eca(block):
    donor = with_slots(backbone(block), "eca", TheirECA)
    assert "layer1.0.eca.conv.weight" in donor.state_dict()
    check(donor, wrap(backbone(block), "eca", kernel_size=3, init="paper"))


def test_official_bam():
    donor = backbone()

    def forward(x):
        x = donor.maxpool(donor.relu(donor.bn1(donor.conv1(x))))
        x = donor.bam1(donor.layer1(x))
        x = donor.bam2(donor.layer2(x))
        x = donor.bam3(donor.layer3(x))
        return donor.fc(donor.avgpool(donor.layer4(x)).flatten(1))

    donor.bam1, donor.bam2, donor.bam3 = TheirBAM(64), TheirBAM(128), TheirBAM(256)
    donor.forward = forward
    check(donor, wrap(backbone(), "bam", variant="official", init="paper"), wrapped_in="checkpoint")


def test_official_abn():
    class TheirABN(nn.Module):
        """As in ABN's published code: a second last stage with stride 1, and a branch on it."""

        def __init__(self):
            super().__init__()
            for name, part in backbone().named_children():
                self.add_module(name, part)
            self.att_layer4 = copy.deepcopy(self.layer4)
            for conv in (self.att_layer4[0].conv1, self.att_layer4[0].downsample[0]):
                conv.stride = (1, 1)
            self.bn_att = nn.BatchNorm2d(512)
            self.att_conv = nn.Conv2d(512, 5, 1, bias=False)
            self.bn_att2 = nn.BatchNorm2d(5)
            self.att_conv2 = nn.Conv2d(5, 5, 1, bias=False)
            self.att_conv3 = nn.Conv2d(5, 1, 3, padding=1, bias=False)
            self.bn_att3 = nn.BatchNorm2d(1)

        def forward(self, x):
            x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
            x = self.layer3(self.layer2(self.layer1(x)))
            maps = self.bn_att2(self.att_conv(self.bn_att(self.att_layer4(x)))).relu()
            self.answers = self.att_conv2(maps).mean((2, 3))
            x = x * self.bn_att3(self.att_conv3(maps)).sigmoid() + x
            return self.fc(self.avgpool(self.layer4(x)).flatten(1))

    donor, model = TheirABN(), wrap(backbone(), "abn", init="paper")
    with record(model) as maps:
        check(donor, model)
    torch.testing.assert_close(maps["layer3"].class_logits, donor.answers, atol=1e-4, rtol=1e-4)


def test_older_se_resnets_of_timm():
    donor = senet.SENet(
        senet.SEResNetBottleneck,
        (1, 1, 1, 1),
        groups=1,
        reduction=16,
        inplanes=64,
        downsample_kernel_size=1,
        downsample_padding=0,
        num_classes=5,
    )
    plain = ResNet(Bottleneck, [1, 1, 1, 1], 5)
    plain.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    for stage in (plain.layer2, plain.layer3, plain.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    assert {"layer0.conv1.weight", "layer1.0.se_module.fc1.weight", "last_linear.weight"} <= set(
        donor.state_dict()
    )
    check(donor, wrap(plain, "se", init="paper"))


TIMM = [
    ("se", "se", {"rd_divisor": 8}),
    ("ese", "ese", {}),
    ("eca", "eca", {}),
    ("cbam", "cbam", {"variant": "timm"}),
    ("cbam", "cbam", {"variant": "official"}),
    ("gca", "gc", {"stages": [1, 2, 3, 4], "reduction": 8, "eps": 1e-6}),
    ("gc", "gc", {"stages": [1, 2, 3, 4], "reduction": 8, "eps": 1e-6, "fuse": "scale"}),
    ("coord", "coord", {"bias": False}),
    ("nl", "nonlocal", {"at": "branch", "reduction": 8, "scale": "channels"}),
]


@pytest.mark.parametrize(("theirs", "block", "options"), TIMM, ids=str)
def test_timms_resnets(theirs, block, options):
    shape = {"layers": (1, 1, 1, 1), "channels": (64, 64, 128, 128), "num_classes": 5}
    donor = timm.create_model("resnet10t", block_args={"attn_layer": theirs}, **shape)
    model = wrap(timm.create_model("resnet10t", **shape), block, init="paper", **options)
    check(donor, model)


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_plain_checkpoints(library):
    donor = (
        timm.create_model("resnet18", num_classes=5)
        if library == "timm"
        else torchvision.models.resnet18(num_classes=5)
    )
    check(donor, wrap(torchvision.models.resnet18(num_classes=5), "cbam"))
    check(donor, wrap(timm.create_model("resnet18", num_classes=5), "se"))


def test_the_model_is_left_alone():
    model = wrap(backbone(), "se")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    from_published(enliven(backbone()).state_dict(), model)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_errors_name_the_first_difference():
    se = timm.create_model("resnet10t", block_args={"attn_layer": "se"}, num_classes=5)
    plain = timm.create_model("resnet10t", num_classes=5)
    unknown = {"layer1.0.fancy.weight": torch.zeros(1), **plain.state_dict()}
    with pytest.raises(ValueError, match=r"layer1.0.fancy.weight. Wrap.*Known are.*official CBAM"):
        from_published(unknown, wrap(plain, "se"))
    plain = timm.create_model("resnet10t", num_classes=5)
    with pytest.raises(ValueError, match=r"fit nothing in a model with CBAM: layer1.0.se.fc1"):
        from_published(se.state_dict(), wrap(plain, "cbam"))
    plain = timm.create_model("resnet10t", num_classes=5)
    with pytest.raises(ValueError, match=r"fc1.weight have shape \(8, 64, 1, 1\).*\(4, 64, 1, 1\)"):
        from_published(se.state_dict(), wrap(plain, "se"))
    some = {k: v for k, v in se.state_dict().items() if not k.startswith("layer4.0.se")}
    plain = timm.create_model("resnet10t", num_classes=5)
    with pytest.raises(ValueError, match=r"no weights for layer4.0.bn2.attention.fc1.weight"):
        from_published(some, wrap(plain, "se", rd_divisor=8))
    with pytest.raises(ValueError, match="no attention that wrap put in"):
        from_published(se.state_dict(), timm.create_model("resnet10t"))
    with pytest.raises(ValueError, match="state dict of tensors"):
        from_published({"epoch": 3}, wrap(timm.create_model("resnet10t"), "se"))
