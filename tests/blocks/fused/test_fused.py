"""The fused form of gates: the plain form's numbers, little kept, and its giving way by itself."""

import copy
import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from quick import slow_but
from timm.layers import ConvNormAct
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils.checkpoint import checkpoint
from torchvision.ops.misc import Conv2dNormActivation

import visattn
from visattn import record
from visattn.bench.steps import Stepper
from visattn.blocks import block_entry
from visattn.blocks.attended import Attended, ZeroStart
from visattn.blocks.fused import native
from visattn.testing import enliven

GATES = ("se", "ese", "eca", "cbam", "bam", "gc", "coord", "simam", "triplet", "scse")


def unit(name, base=None, channels=6, **options):
    """A normalisation, or what is given, and a gate, as training would leave them."""
    gate = block_entry(name).factory(channels, **options)
    base = nn.BatchNorm2d(channels) if base is None else base
    return enliven(Attended(base, gate, where="after", site="here"))


@pytest.fixture(autouse=True, params=["PyTorch", "C"])
def _passes(request, monkeypatch):
    """Small maps, too, go through the passes in C, in a second round."""
    if request.param == "C":
        if native._library() is None:
            pytest.skip("no C compiler")
        monkeypatch.setattr(native, "LEAST", 1)
    else:
        monkeypatch.setattr(native, "IN_TRAINING", native.LEAST)


@pytest.fixture
def u():
    return torch.randn(3, 6, 5, 4, generator=torch.Generator().manual_seed(0))


def results(module, x, *, fused, step=lambda y: y.sin().sum()):
    """Output, gradients and state after a step; which form ran."""
    module, x = copy.deepcopy(module), x.clone().requires_grad_()
    with visattn.fused(fused):
        y = module(x)
    ours = y.grad_fn is not None and y.grad_fn.name() == "FusedBackward"
    step(y).backward()
    grads = {name: p.grad for name, p in module.named_parameters()}
    return y.detach(), {"x": x.grad, **grads}, module.state_dict(), ours


def same(module, x, *, runs_fused=True, exact=True, rtol=1e-6):
    """Both forms give the same output, gradients and state."""
    y, grads, state, ours = results(module, x, fused=True)
    plain, expected, other, theirs = results(module, x, fused=False)
    assert (ours, theirs) == (runs_fused, False)
    in_c = native.LEAST == 1 and x.dtype is torch.float32
    exact, rtol = exact and not in_c, max(rtol, 1e-5 * in_c)
    assert torch.equal(y, plain) if exact else torch.allclose(y, plain, rtol=1e-5, atol=2e-6)
    for name, value in other.items():
        equal = torch.allclose(state[name], value) if in_c else torch.equal(state[name], value)
        assert equal, f"{name} is updated otherwise"
    largest = expected["x"].norm()  # a bias before a normalisation has a gradient of 0
    for name, value in expected.items():
        if value is None:
            assert grads[name] is None, name
            continue
        error = (grads[name] - value).norm() / torch.maximum(value.norm(), largest / 10)
        assert error < rtol, f"{name}: {error:g}"


@pytest.mark.parametrize("name", GATES)
def test_numbers_behind_a_normalisation_in_training_frozen_and_alone(name, u):
    module = unit(name).double()
    u = u.double()
    same(module, u, rtol=1e-10)
    frozen = copy.deepcopy(module)
    frozen.get_submodule("base").eval()
    same(frozen, u, rtol=1e-10)
    same(copy.deepcopy(module).eval(), u, rtol=1e-10)
    same(module.get_submodule("attention"), u, rtol=1e-10)
    same(unit(name).float(), u.float(), rtol=2e-6)


@pytest.mark.parametrize("name", GATES)
def test_next_to_nothing_is_kept(name):
    x = torch.randn(2, 64, 32, 32, requires_grad=True)
    plain = Stepper(nn.BatchNorm2d(64), x).kept_bytes()
    module = unit(name, channels=64)
    few = 0.01 + (1 / 32 if name == "cbam" else 0)  # mean and maximum of each place
    assert Stepper(module, x).kept_bytes() <= plain * (1 + few)
    assert Stepper(module.get_submodule("attention"), x).kept_bytes() <= x.nbytes * (1.02 + few)
    with visattn.fused(False):
        assert Stepper(module, x).kept_bytes() > plain * 1.2


@pytest.mark.parametrize(
    "base",
    [Conv2dNormActivation(6, 6, activation_layer=None), ConvNormAct(6, 6, apply_act=False)],
    ids=["torchvision", "timm"],
)
def test_a_convolution_with_its_normalisation(base, u):
    module = unit("se", base)
    same(module, u, rtol=1e-5)
    same(copy.deepcopy(module).eval(), u, rtol=1e-5)
    x = torch.randn(2, 6, 24, 24, requires_grad=True)
    assert Stepper(module, x).kept_bytes() <= 1.02 * Stepper(base, x).kept_bytes()
    seen = []
    next(iter(base.children())).register_forward_hook(lambda *_: seen.append(1))
    module(u)
    assert seen == [1]


@pytest.mark.parametrize("name", [name for name in GATES if name != "simam"])
def test_a_weight_that_is_computed_learns(name):
    """As weight drop and fast weights put it: a tensor where the parameter was."""
    u = torch.randn(3, 64, 5, 4)  # gc normalises four hidden units then: one alone would learn 0
    gate = unit(name, channels=64).get_submodule("attention")
    layer = next(m for m in gate.modules() if isinstance(m, nn.Conv1d | nn.Conv2d))
    seed = layer.weight.detach().clone().requires_grad_()
    del layer.weight
    layer.weight = seed * 2
    y = gate(u)
    assert y.grad_fn.name() != "FusedBackward"
    y.sin().sum().backward()
    assert seed.grad.abs().max() > 0


def test_a_normalisation_with_a_weight_that_is_computed(u):
    module = unit("se")
    norm = module.get_submodule("base")
    seed = norm.weight.detach().clone().requires_grad_()
    del norm.weight
    norm.weight = seed * 2
    y = module(u)
    y.sin().sum().backward()
    assert seed.grad.abs().max() > 0


@pytest.mark.parametrize("name", GATES)
def test_no_images_at_all(name, u):
    """As a detector without a proposal gives them."""
    module, x = unit(name), u[:0].clone().requires_grad_()
    for part in (module, module.eval(), module.get_submodule("attention")):
        y = part(x)
        y.sum().backward()
        assert y.shape == x.grad.shape == x.shape


@pytest.mark.parametrize("name", ["se", "cbam", "eca"])
def test_infinity_spreads_no_further(name, u):
    module = unit(name).eval()
    u[0, 2, 1, 1] = torch.inf
    found = []
    for fused in (True, False):
        x = u.clone().requires_grad_()
        with visattn.fused(fused):
            module(x).sin().sum().backward()
        found.append(x.grad.isnan())
    assert torch.equal(*found)


def test_a_convolution_and_a_zero_start(u):
    same(unit("cbam", nn.Conv2d(6, 6, 3)), u)
    same(enliven(ZeroStart(block_entry("simam").factory(6))), u)
    assert not results(ZeroStart(nn.Dropout2d()), u, fused=True)[-1]


@pytest.mark.parametrize("name", ["se", "cbam", "coord"])
def test_gradients_and_theirs_in_double_precision(name, u):
    module, u = unit(name).double(), u[:2, :, :3, :3].double().requires_grad_()
    weights = [p.detach().requires_grad_() for p in module.parameters()]

    def run(x, *weights):
        named = dict(zip((n for n, _ in module.named_parameters()), weights, strict=True))
        return torch.func.functional_call(module, named, (x,))

    assert run(u, *weights).grad_fn.name() == "FusedBackward"
    assert gradcheck(run, (u, *weights), fast_mode=True)
    assert gradgradcheck(run, (u, *weights), fast_mode=True, atol=1e-4)
    module.eval()
    assert gradgradcheck(run, (u, *weights), fast_mode=True, atol=1e-4)


def test_equal_maxima_share_their_gradient(u):
    ties = (u * 2).round() / 2
    ties[:, 3] = ties[:, 1]
    module = unit("cbam").double()
    for norm in (module.base.weight, module.base.bias):
        norm.data[3] = norm.data[1]
    same(module, ties.double(), rtol=1e-10)
    same(module.attention, ties.double(), rtol=1e-10)
    same(module.attention, torch.zeros_like(u).double(), rtol=1e-10)


@pytest.mark.parametrize("name", ["se", "cbam", "gc"])
def test_layouts_types_and_odd_normalisations(name, u):
    module = unit(name)
    same(module, u.contiguous(memory_format=torch.channels_last), rtol=1e-5)
    same(unit(name, nn.BatchNorm2d(6, affine=False)), u, rtol=1e-5)
    same(unit(name, nn.BatchNorm2d(6, track_running_stats=False)), u, rtol=1e-5)
    same(unit(name, nn.BatchNorm2d(6, momentum=None)), u, rtol=1e-5)
    same(module, u[:1], rtol=1e-5)
    same(copy.deepcopy(module).bfloat16(), u.bfloat16(), rtol=0.05)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    same(module, u, rtol=1e-5)


@pytest.mark.parametrize("name", ["se", "cbam", "gc"])
def test_autocast_gives_what_the_plain_form_gives(name, u):
    module = nn.Sequential(nn.Conv2d(6, 6, 1), unit(name))

    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.inner(x)

    same(Cast(), u, rtol=0.06)
    twice = results(nn.Sequential(Cast(), Cast()), u, fused=True)[1]
    assert all(g is not None for g in twice.values())


def test_evaluation_multiplies_in_place_only_what_is_its_own(u):
    for module in (unit("cbam"), unit("se"), unit("se", nn.Conv2d(6, 6, 1))):
        module.eval()
        given = u.clone()
        with torch.inference_mode():
            y = module(given)
            with visattn.fused(False):
                exact = (
                    {"rtol": 1e-5, "atol": 1e-6} if native.LEAST == 1 else {"rtol": 0, "atol": 0}
                )
                torch.testing.assert_close(module(given), y, **exact)
        assert torch.equal(given, u)
    seen = []
    module.get_submodule("base").register_forward_hook(lambda *a: seen.append(a[-1]))
    with torch.no_grad():
        module(u)
        assert torch.equal(seen[0], module.base(u)), "a map that a hook has seen was overwritten"
        same_map = unit("se", nn.Identity()).eval()
        same_map(given)
    assert torch.equal(given, u)


@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
@pytest.mark.parametrize("path", ["base", "attention", "attention.gate.tap"])
def test_hooks_are_called_and_see_the_graph(kind, path, u):
    module, calls = unit("se"), []
    inner = module.get_submodule(path)
    getattr(inner, f"register_{kind}_hook")(lambda *a: calls.append(a))
    y = module(u.requires_grad_())
    y.sum().backward()
    assert len(calls) == 1


def test_a_loss_on_recorded_maps(u):
    module = unit("cbam")
    with record(module, graph=True) as maps:
        y = module(u)
    assert y.grad_fn.name() != "FusedBackward"
    (site,) = maps.values()
    (y.sum() + site.spatial.square().sum()).backward()
    assert module.attention.channel.fc1.weight.grad.any()
    assert results(module, u, fused=True)[-1], "fused again after the recording"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("name", slow_but(["se", "cbam", "coord"], ["coord"]))
def test_programs_follow_the_plain_form(name, u):
    module = unit(name)
    whole = torch.compile(copy.deepcopy(module), backend="aot_eager", fullgraph=True)
    same_again = copy.deepcopy(module)
    torch.testing.assert_close(whole(u), same_again(u))
    module.eval()
    exported = torch.export.export(module, (u,)).module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = torch.fx.symbolic_trace(nn.Sequential(module))
        programs = [torch.jit.trace(module, (u,)), graph, exported]
    for program in programs:
        torch.testing.assert_close(program(u), module(u))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_functional_transforms(u):
    module = unit("cbam", nn.Conv2d(6, 6, 1))
    module.attention.eval()
    weights = dict(module.named_parameters())

    def loss(weights, x):
        return torch.func.functional_call(module, weights, (x[None],)).square().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, u)
    module(u).square().sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(each[name].sum(0), parameter.grad, rtol=1e-4, atol=1e-5)
    _, tangent = torch.func.jvp(module, (u,), (torch.ones_like(u),))
    with torch.autograd.forward_ad.dual_level():
        dual = module(torch.autograd.forward_ad.make_dual(u, torch.ones_like(u)))
        found = torch.autograd.forward_ad.unpack_dual(dual).tangent
    torch.testing.assert_close(found, tangent)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing(reentrant, u):
    module = unit("cbam")

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = copy.deepcopy(module)

        def forward(self, x):
            return checkpoint(self.inner, x, use_reentrant=reentrant)

    found, expected = (results(m, u, fused=True)[1] for m in (Checkpointed(), module))
    for name, value in expected.items():
        torch.testing.assert_close(found[name if name == "x" else f"inner.{name}"], value)


def test_the_backward_pass_is_that_of_the_forward_pass(u):
    """Modes and statistics may change between the two, weights may not; it may run twice."""
    module = unit("cbam")
    expected = results(module, u, fused=False)[1]
    y = module(u.requires_grad_())
    state = {name: value.clone() for name, value in module.state_dict().items()}
    module.eval()
    module.attention.spatial.bn.running_mean.add_(1)
    y.sin().sum().backward(retain_graph=True)
    weight = module.attention.channel.fc1.weight
    torch.testing.assert_close(weight.grad, expected["attention.channel.fc1.weight"])
    module.attention.spatial.bn.running_mean.sub_(1)
    y.sin().sum().backward(retain_graph=True)
    torch.testing.assert_close(u.grad, 2 * expected["x"])
    for name, value in module.state_dict().items():
        assert torch.allclose(value, state[name]), name
    with torch.no_grad():
        weight.add_(1)
    with pytest.raises(RuntimeError, match="inplace operation"):
        y.sum().backward()


def test_two_passes_and_what_is_frozen(u):
    module = unit("se")
    module.base.requires_grad_(False)
    plain = copy.deepcopy(module)
    for net, fused in ((module, True), (plain, False)):
        with visattn.fused(fused):
            (net(u).sum() + net(u + 1).square().sum()).backward()
    for ours, theirs in zip(module.parameters(), plain.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad)


def test_what_is_not_ours_runs_plainly(u):
    class Own(block_entry("se").factory):
        def forward(self, x):
            return super().forward(x) + 1

    own = Attended(nn.BatchNorm2d(6), Own(6), where="after", site="here")
    same(own, u, runs_fused=False)
    swapped = unit("se")
    swapped.attention.activation = nn.Sequential(nn.ReLU(), nn.Dropout(0.0))
    same(swapped, u, runs_fused=False)
    pruned = unit("se")
    nn.utils.parametrizations.weight_norm(pruned.attention.fc1)
    same(pruned, u, runs_fused=False)
    replaced = unit("se")
    replaced.attention.fc1.forward = lambda x: F.conv2d(x, replaced.attention.fc1.weight)
    assert replaced(u.requires_grad_()).grad_fn.name() != "FusedBackward"


def test_the_shortcut_is_added_in_place_and_the_switch_is_one_threads(u):
    module = unit("cbam")
    same(module, u, rtol=1e-5)
    shortcut = torch.ones_like(u)
    y = module(u.requires_grad_())
    y += shortcut
    F.relu(y, inplace=True).sum().backward()
    expected = u.grad.clone()
    u.grad, found = None, []

    def run():
        y = module(u)  # PyTorch 2.9 names the node of a living tensor alone
        found.append(y.grad_fn.name())

    with visattn.fused(False):
        F.relu(module(u) + shortcut).sum().backward()
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert module(u).grad_fn.name() != "FusedBackward"
    torch.testing.assert_close(u.grad, expected)
    assert found == ["FusedBackward"]
    before = visattn.fused(False)
    assert module(u).grad_fn.name() != "FusedBackward"
    visattn.fused(before.before)
