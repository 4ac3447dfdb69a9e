"""A mask that stands on the features of a trained network."""

import copy
import io

import pytest
import timm
import torch
import torchvision
from quick import slow_but
from torch import nn
from torch.nn import functional as F

from visattn import attention_parameters, load_attention, save_attention, wrap
from visattn.blocks.masks.feature_branch import FeatureBranch
from visattn.blocks.masks.spatial_mask import SpatialMask
from visattn.metrics import edge_checkerboard
from visattn.testing import enliven

MODELS = {
    "resnet": lambda: timm.create_model("test_resnet", num_classes=3),
    "efficientnet": lambda: timm.create_model("test_efficientnet", num_classes=3),
    "convnext": lambda: timm.create_model("test_convnext", num_classes=3),
    "mobilenet": lambda: torchvision.models.mobilenet_v3_small(num_classes=3),
    "densenet": lambda: torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=3),
    "vgg": lambda: torchvision.models.vgg11_bn(num_classes=3),
}
OPTIONS = {"at": "image", "branch": "features", "width": 12, "input_size": (3, 64, 48)}


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 48)


def masked(name, **options):
    return wrap(enliven(MODELS[name]()).eval(), "spatial_mask", **OPTIONS, **options)


def mask_of(model):
    return next(module for module in model.modules() if isinstance(module, SpatialMask))


@pytest.mark.parametrize("name", slow_but(MODELS, MODELS.keys() - {"vgg"}))
def test_the_stages_of_any_model_serve_as_encoder(name, images):
    plain = enliven(MODELS[name]()).eval()
    model = wrap(copy.deepcopy(plain), "spatial_mask", **OPTIONS).eval()
    assert torch.equal(model(images), plain(images))
    logits = mask_of(model).logits(images)
    assert logits.shape == (2, 1, 64, 48)
    seen = {}
    levels = mask_of(model).branch.encoder(images)

    def note(module, _, y):  # a copy, since the next layer may write into it
        if torch.is_tensor(y):
            seen.setdefault(module, y.clone())

    for module in plain.modules():
        module.register_forward_hook(note)
    plain(images)
    for level in levels.values():
        assert any(torch.equal(y, level) for y in seen.values())
    sizes = [level.shape[-2:].numel() for level in levels.values()]
    assert sizes == sorted(set(sizes), reverse=True)


def test_training_leaves_the_encoder_as_it_is(images):
    model = masked("efficientnet", init="paper").train()
    branch = mask_of(model).branch
    assert isinstance(branch, FeatureBranch)
    before = copy.deepcopy(branch.encoder.state_dict())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (model(images).square().mean() + mask_of(model).logits(images).mean()).backward()
        optimiser.step()
    after = branch.encoder.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    assert not list(branch.encoder.parameters())
    assert not any(module.training for module in branch.encoder.modules())
    assert all(p.grad is not None for p in branch.head.parameters())
    assert len(attention_parameters(model)) == len(list(branch.parameters()))


def test_copies_and_files_keep_it(images, tmp_path):
    model = masked("densenet", init="paper")
    expected = model(images)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other(images), expected)
    path = save_attention(model, tmp_path / "mask.safetensors")
    torch.manual_seed(1)
    fresh = wrap(copy.deepcopy(MODELS["densenet"]()), "spatial_mask", init="paper", **OPTIONS)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(images), expected)
    with torch.no_grad():
        for parameter in attention_parameters(fresh):
            parameter.zero_()
    assert torch.equal(load_attention(fresh, path)(images), expected)


def phases(logits):
    """How far the means over the four 2x2 phases of the inner places lie apart."""
    inner = logits.detach()[0, 0, 16:-16, 16:-16]
    means = torch.stack([inner[i::2, j::2].mean() for i in (0, 1) for j in (0, 1)])
    return float(means.max() - means.min())


def test_no_checkerboard():
    flat = torch.full((1, 3, 128, 128), 0.3)
    branch = mask_of(masked("resnet", init="paper")).eval()
    ours, shuffled = phases(branch.logits(flat)), phases(SpatialMask(3).logits(flat))
    assert ours < shuffled / 20


def discs(count, *, side=64):
    """Noisy pictures of a disc in any colour on any other, and their masks."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    top, left = side / 3 * (1 + torch.rand(2, count, 1, 1))
    distance = ((rows - top).square() + (columns - left).square()).sqrt()
    masks = (distance < 8 + 8 * torch.rand(count, 1, 1)).float().unsqueeze(1)
    colours = torch.rand(2, count, 3, 1, 1)
    images = colours[0] * masks + colours[1] * (1 - masks)
    return images + 0.1 * torch.randn(count, 3, side, side), masks


def trained_edges(block):
    """How much of the edge of the masks of a block, a little trained, is a checkerboard."""
    optimizer = torch.optim.AdamW(block.parameters(), 3e-3)
    for _ in range(10):
        images, masks = discs(8)
        loss = F.binary_cross_entropy_with_logits(block.logits(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    logits = block.logits(discs(8)[0])
    return [
        edge_checkerboard(mask).nanmean().item() for mask in (logits.sigmoid(), (logits > 0) * 1.0)
    ]


def test_no_checkerboard_at_the_edge_of_a_trained_mask():
    torch.manual_seed(1)
    shuffled = trained_edges(SpatialMask(3, width=4, depth=3))
    ours = trained_edges(mask_of(masked("resnet", init="paper")))
    assert min(shuffled) > 0.15
    assert max(map(abs, ours)) < 0.05


@pytest.mark.parametrize("position", [False, True])
def test_position_says_where_a_place_is(position):
    torch.manual_seed(0)
    block = mask_of(masked("resnet", init="paper", position=position)).eval()
    seen = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
        for layer in block.branch.lateral
    ]
    block.logits(torch.full((1, 3, 64, 48), 0.3))
    for hook in hooks:
        hook.remove()
    for layer, level in zip(reversed(block.branch.lateral), seen, strict=True):
        height, width = level.shape[2:]
        down = (2 * torch.arange(height) + 1) / height - 1
        right = (2 * torch.arange(width) + 1) / width - 1
        far = (down[:, None] ** 2 + right**2) / 2
        planes = (down[:, None].expand(height, width), right.expand(height, width), far)
        assert torch.allclose(level[0, -3:], torch.stack(planes), atol=1e-6) == position
        assert layer.in_channels == level.shape[1]


@pytest.mark.slow
def test_position_in_a_program_of_any_size():
    block = mask_of(masked("resnet", init="paper", position=True)).eval()
    height, width = torch.export.Dim("height", min=2), torch.export.Dim("width", min=2)
    free = {2: 32 * height, 3: 32 * width}
    program = torch.export.export(
        block, (torch.randn(2, 3, 64, 96),), dynamic_shapes=(free,), strict=False
    )
    wide = torch.randn(2, 3, 96, 160)
    torch.testing.assert_close(program.module()(wide), block(wide), rtol=1e-4, atol=1e-5)


class Branching(nn.Module):
    """A network whose forward pass asks for a value, which torch.fx can't follow."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.stage = nn.Sequential(nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU())
        self.fc = nn.Linear(12, 3)

    def maps(self, x):
        first = self.stem(x)
        return first, self.stage(first if x.sum() > -1e9 else -first)

    def forward(self, x):
        return self.fc(self.maps(x)[1].mean((2, 3)))


class Maps(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.maps(x)


def test_an_encoder_of_ones_own(images):
    model = Branching()
    with pytest.raises(ValueError, match="give encoder= and encoder_widths= yourself"):
        wrap(model, "spatial_mask", **OPTIONS)
    with pytest.raises(ValueError, match="encoder_widths"):
        wrap(model, "spatial_mask", encoder=Maps(model), **OPTIONS)
    expected, count = model(images), len(list(model.parameters()))
    given = {"encoder": Maps(model), "encoder_widths": [8, 12]}
    wrap(model, "spatial_mask", **given, **OPTIONS)
    assert torch.equal(model(images), expected)
    ours = {id(p) for p in attention_parameters(model)}
    assert len([p for p in model.parameters() if id(p) not in ours]) == count
    mask_of(model).logits(images).mean().backward()
    assert all(p.grad is not None for p in mask_of(model).branch.parameters())


def test_refusals():
    with pytest.raises(ValueError, match='position=True is for branch="features"'):
        SpatialMask(3, position=True)
    with pytest.raises(ValueError, match=r"branch='features'.* encoder|needs an encoder"):
        SpatialMask(3, branch="features")
    with pytest.raises(ValueError, match="use at='image'"):
        wrap(MODELS["resnet"](), "spatial_mask", **{**OPTIONS, "at": "stem"})
    swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, img_size=64)
    with pytest.raises(ValueError, match="channels last"):
        wrap(swin, "spatial_mask", at="image", branch="features", input_size=(3, 64, 64))
