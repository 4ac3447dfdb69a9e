import pytest
import timm
import torch
from timm.layers import GlobalContext as TimmGlobalContext

import visattn
from visattn.blocks import GlobalContext
from visattn.recording import record
from visattn.testing import check_block, enliven
from visattn.wrapping.checkpoints import from_published

TIMM = {"reduction": 8, "eps": 1e-6}


def alive(module):
    """No layer is zero."""
    enliven(module)
    for name, parameter in module.named_parameters():
        if "fc2" in name:
            torch.nn.init.normal_(parameter)
    return module


def rename(state):
    names = GlobalContext.timm_names
    renamed = {}
    for name, tensor in state.items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        renamed[names[prefix] + name.removeprefix(prefix)] = tensor
    return renamed


@pytest.mark.parametrize("fuse", ["add", "scale", "both"])
def test_parity_with_timm(fuse):
    theirs = alive(TimmGlobalContext(64, fuse_add=fuse != "scale", fuse_scale=fuse != "add"))
    ours = GlobalContext(64, fuse=fuse, **TIMM)
    ours.load_state_dict(rename(theirs.state_dict()))
    x = torch.randn(3, 64, 6, 9)
    torch.testing.assert_close(ours(x), theirs(x))


def test_the_papers_form_written_out():
    block, x = alive(GlobalContext(64)), torch.randn(2, 64, 5, 7)
    mlp, expected, attention = block.add, x.clone(), torch.empty(2, 5, 7)
    for n in range(2):
        places = x[n].flatten(1)
        scores = (block.mask.weight.flatten() @ places + block.mask.bias).exp()
        weights = scores / scores.sum()
        attention[n] = weights.view(5, 7)
        context = (places * weights).sum(1)
        hidden = mlp.fc1.weight[:, :, 0, 0] @ context + mlp.fc1.bias
        spread = (hidden - hidden.mean()).square().mean() + 1e-5
        hidden = (hidden - hidden.mean()) / spread.sqrt() * mlp.norm.weight + mlp.norm.bias
        added = mlp.fc2.weight[:, :, 0, 0] @ hidden.clamp(min=0) + mlp.fc2.bias
        expected[n] += added[:, None, None]
    with record(block) as maps:
        torch.testing.assert_close(block(x), expected)
    (site,) = maps.values()
    torch.testing.assert_close(site.spatial, attention)
    torch.testing.assert_close(site.spatial.sum((1, 2)), torch.ones(2))


@pytest.mark.parametrize("init", ["paper", "identity"])
def test_adding_starts_as_the_identity_with_either_init(init):
    x = torch.randn(2, 32, 4, 5)
    assert torch.equal(GlobalContext(32, init=init)(x), x)


@pytest.mark.parametrize("fuse", ["scale", "both"])
def test_scaling_starts_as_the_identity_only_when_told(fuse):
    x = torch.randn(2, 32, 4, 5)
    assert torch.equal(GlobalContext(32, fuse=fuse, init="identity")(x), x)
    assert not torch.allclose(GlobalContext(32, fuse=fuse)(x), x)


@pytest.mark.parametrize(("layer", "fuse"), [("gc", "scale"), ("gca", "add")])
def test_a_timm_model_moves_over(layer, fuse):
    donor = timm.create_model("resnet10t", block_args={"attn_layer": layer}, num_classes=5)
    alive(donor).eval()
    model = timm.create_model("resnet10t", num_classes=5)
    options = {"stages": [1, 2, 3, 4], "init": "paper", "fuse": fuse, **TIMM}
    visattn.wrap(model, GlobalContext, **options).eval()
    model.load_state_dict(from_published(donor.state_dict(), model))
    x = torch.randn(2, 3, 48, 40)
    torch.testing.assert_close(model(x), donor(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 8753), ({"fuse": "scale"}, 8753), ({"fuse": "both"}, 17_249), ({"reduction": 8}, 16_993)],
)
def test_parameter_counts(options, parameters):
    assert sum(p.numel() for p in GlobalContext(256, **options).parameters()) == parameters


def test_stands_in_stages_2_to_4():
    model = visattn.wrap(timm.create_model("resnet50"), GlobalContext)
    assert sum(p.numel() for p in model.parameters()) == 28_078_773


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fuse": "sum"}, "fuse must be one of .*'add', 'scale', 'both'.*, got 'sum'"),
        ({"eps": 0.0}, "eps must be positive, got 0.0"),
        ({"reduction": 0}, "reduction must be at least 1, got 0"),
        ({"init": "zero"}, "init must be"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        GlobalContext(16, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(GlobalContext(16)) == {"spatial": (2, 1, 9, 7)}


@pytest.mark.parametrize("options", [{"fuse": "scale"}, {"fuse": "both"}], ids=str)
def test_variants_keep_the_contract(options):
    check_block(GlobalContext, **options)
