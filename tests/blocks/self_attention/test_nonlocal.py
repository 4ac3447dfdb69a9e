import pytest
import torch
import torch.nn.functional as F
from timm.layers.non_local_attn import NonLocalAttn

from visattn.blocks import NonLocal
from visattn.recording import record
from visattn.testing import check_block, enliven

FUNCTIONS = ["embedded_gaussian", "gaussian", "dot", "concatenation"]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
def test_parity_with_timm(training, scaled):
    theirs = enliven(NonLocalAttn(32, use_scale=scaled, rd_ratio=0.5, rd_divisor=1)).train(training)
    ours = NonLocal(32, scale="channels" if scaled else "none").train(training)
    names = {f"{theirs_}": ours_ for theirs_, ours_ in NonLocal.timm_names.items()}
    state = {}
    for name, tensor in theirs.state_dict().items():
        prefix = next(prefix for prefix in names if name.startswith(prefix))
        state[names[prefix] + name.removeprefix(prefix)] = tensor
    ours.load_state_dict(state)
    x = torch.randn(2, 32, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-4)


def written_out(block, x, pairwise):
    """The paper's formula with all weights built."""
    source = F.max_pool2d(x, 2) if block.subsample else x

    def places(t):
        return t.flatten(2).transpose(1, 2)

    value = places(block.g(source))
    if pairwise == "gaussian":
        query, key = places(x), places(source)
    else:
        query, key = places(block.theta(x)), places(block.phi(source))
    if pairwise == "concatenation":
        t, s = query.shape[1], key.shape[1]
        pairs = torch.cat(
            (query[:, :, None].expand(-1, -1, s, -1), key[:, None].expand(-1, t, -1, -1)), -1
        )
        weights = F.linear(pairs, block.mix.weight).squeeze(-1).relu() / s
    elif pairwise == "dot":
        weights = query @ key.transpose(1, 2) / key.shape[1]
    else:
        weights = (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(-1)
    context = (weights @ value).transpose(1, 2).unflatten(2, x.shape[2:])
    return x + block.bn(block.out(context)), weights


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_each_function_is_its_formula_and_so_are_the_recorded_rows(pairwise, subsample):
    block = enliven(NonLocal(12, pairwise=pairwise, subsample=subsample)).eval()
    x = torch.randn(2, 12, 6, 5)
    expected, weights = written_out(block, x, pairwise)
    with torch.no_grad(), record(block) as maps:
        torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-4)
    (site,) = maps.values()
    assert site.pairwise.query_size == (6, 5)
    assert site.pairwise.key_size == ((3, 2) if subsample else (6, 5))
    for y, column in [(0, 0), (5, 4), (2, 3)]:
        row = weights[:, y * 5 + column].unflatten(1, site.pairwise.key_size)
        torch.testing.assert_close(site.query(y, column), row, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pairwise", FUNCTIONS)
def test_starts_as_the_identity_with_and_without_bn(pairwise):
    x = torch.randn(2, 6, 4, 3)
    for norm in (True, False):
        block = NonLocal(6, pairwise=pairwise, norm=norm)
        assert torch.equal(block(x), x)


def test_parameter_counts():
    assert sum(p.numel() for p in NonLocal(256).parameters()) == 132_224
    assert (
        sum(p.numel() for p in NonLocal(1024, norm=False).parameters()) == 27_656_744 - 25_557_032
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pairwise": "cosine"}, "pairwise must be one of"),
        ({"scale": "paper"}, "scale must be one of"),
        ({"pairwise": "dot", "scale": "none"}, "Leave scale out"),
        ({"reduction": 0}, "at least 1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        NonLocal(8, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(NonLocal(16)) == {"pairwise": (1, (9, 7), (9, 7))}


@pytest.mark.parametrize(
    "options",
    [
        {"pairwise": "gaussian"},
        {"pairwise": "dot"},
        {"pairwise": "concatenation"},
        {"subsample": True},
        {"norm": False},
    ],
    ids=str,
)
def test_variants_keep_the_contract(options):
    check_block(NonLocal, **options)
