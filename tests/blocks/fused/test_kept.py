"""Maps that PyTorch's own functions keep beside a gate are let go where they can be made again."""

import copy
import pickle

import pytest
import torch
import torchvision
from torch import nn
from torch.autograd import gradgradcheck
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint

import visattn
from visattn.bench.steps import Stepper
from visattn.blocks.attended import attended, block_of
from visattn.blocks.fused.kept import release_given
from visattn.testing import enliven


class Block(nn.Module):
    """A convolution, what may stand behind it, a normalisation and a ReLU."""

    def __init__(self, inplace=True):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace)

    def forward(self, x):
        return self.relu(self.norm(self.conv(x)))


def net(name, at, *, inplace=True, **options):
    torch.manual_seed(0)
    model = nn.Sequential(Block(inplace), Block(inplace), nn.Conv2d(6, 2, 1))
    return enliven(
        visattn.wrap(model, name, at=at, example_inputs=torch.ones(2, 6, 9, 9), **options)
    )


SIMAM = ("simam", ["0.conv", "1.conv"])
BAM = ("bam", ["0", "1"])


def gradients(model, x, *, fused=True, run=lambda model, x: model(x)):
    model, x = copy.deepcopy(model), x.clone().requires_grad_()
    with visattn.fused(fused):
        y = run(model, x)
    y.sin().sum().backward()
    return [x.grad, *(p.grad for p in model.parameters())]


@pytest.fixture
def x():
    return torch.randn(2, 6, 9, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("init", ["paper", "identity"])
@pytest.mark.parametrize(("name", "at"), [SIMAM, BAM])
def test_a_map_is_kept_once_and_the_numbers_are_those_of_the_plain_form(name, at, init, x):
    model, wide = net(name, at, init=init), torch.randn(8, 6, 32, 32)
    plain = Stepper(nn.Sequential(Block(), Block(), nn.Conv2d(6, 2, 1)), wide).kept_bytes()
    kept = Stepper(copy.deepcopy(model), wide).kept_bytes()
    assert kept <= plain + wide.nbytes * (0.05 + (2 / 6 if name == "bam" else 0))  # its planes
    with visattn.fused(False):
        assert Stepper(copy.deepcopy(model), wide).kept_bytes() > plain + 3 * wide.nbytes
    for ours, theirs in zip(
        gradients(model.double(), x.double()),
        gradients(model.double(), x.double(), fused=False),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize(("name", "at"), [SIMAM, BAM])
def test_whoever_holds_what_is_saved_keeps_holding_it(name, at, inplace, x):
    model = net(name, at, inplace=inplace).double()
    x = x.double()

    def offloaded(model, x):
        with save_on_cpu():
            return model(x)

    def half_offloaded(model, x):
        with save_on_cpu():
            x = model[0](x)
        return model[1:](x)

    expected = gradients(model, x, fused=False)
    for run in (
        offloaded,
        half_offloaded,
        lambda model, x: checkpoint(model, x, use_reentrant=False),
        lambda model, x: model[2](model[1](checkpoint(model[0], x, use_reentrant=False))),
        lambda model, x: checkpoint(model, x, use_reentrant=True),
    ):
        for ours, theirs in zip(gradients(model, x, run=run), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "at"), [SIMAM, BAM])
def test_the_backward_pass_may_run_twice_in_part_and_be_derived(name, at, x):
    model = net(name, at, inplace=False).double()
    x = x.double().requires_grad_()
    gate = block_of(next(attended(model)))
    weights = [model[0].norm.weight, model[2].weight, *gate.parameters()]
    with visattn.fused(False):
        expected = torch.autograd.grad(model(x).sin().sum(), [x, *weights])
    y = model(x).sin().sum()
    for _ in range(2):
        for ours, theirs in zip(
            torch.autograd.grad(y, [x, *weights], retain_graph=True), expected, strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    (last,) = torch.autograd.grad(y, [weights[1]], retain_graph=True)
    torch.testing.assert_close(last, expected[2], rtol=1e-9, atol=1e-12)

    def run(x, weight):
        return torch.func.functional_call(model, {"2.weight": weight}, (x,))

    weight = model[2].weight.detach().clone().requires_grad_()
    model.eval()
    small = x[:1, :, :4, :4].detach().requires_grad_()
    assert gradgradcheck(run, (small, weight), fast_mode=True, atol=1e-4)


def test_a_gate_next_to_zero_and_half_precision_keep_their_map(x):
    model = net(*BAM, init="identity")
    block = block_of(next(attended(model)))
    with torch.no_grad():
        block.channel.fc2.bias[0] = -300.0
        assert block.factor(*block.parts(x))[:, 0].max() == 0
    for ours, theirs in zip(gradients(model, x), gradients(model, x, fused=False), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)

    def cast(model, x):
        with torch.autocast("cpu", torch.bfloat16):
            return model(x).float()

    for model in (net(*BAM), net(*SIMAM)):
        found, expected = (gradients(model, x, fused=on, run=cast) for on in (True, False))
        for ours, theirs in zip(found, expected, strict=True):
            # that of a bias before a normalisation nearly cancels
            assert (ours - theirs).norm() <= 0.06 * torch.maximum(theirs.norm(), expected[0].norm())


def test_a_gated_map_that_is_changed_in_place_is_an_error(x):
    model = net(*BAM)
    y = model[0](x.requires_grad_())
    z = y.exp()  # keeps its result and not y
    y.add_(1)
    with pytest.raises(RuntimeError, match="changed in place before the backward pass"):
        z.sum().backward()


def test_the_hook_comes_goes_and_lives_with_the_gate(x):
    model = torchvision.models.resnet18()
    plain = copy.deepcopy(model)

    def hooked(model):
        return [n for n, m in model.named_modules() if release_given in m._forward_hooks.values()]

    visattn.wrap(model, "simam", stages=[1])
    assert hooked(model) == ["layer1.0.bn2", "layer1.1.bn2"]
    assert hooked(pickle.loads(pickle.dumps(model))) == hooked(model)
    visattn.wrap(model, "se", at=["layer1.0.bn2"])
    u = torch.randn(2, 64, 9, 9, requires_grad=True)
    y = model.layer1[0].bn2(u)
    assert y.grad_fn.name() == "FusedBackward", "the hook that wrap put there is nobody's"
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 1000)
    visattn.unwrap(model)
    assert not hooked(model)
    assert list(model.state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize(("name", "at"), [SIMAM, BAM])
def test_compiled_code_and_graphs_have_none_of_it(name, at, x):
    model = net(name, at)
    whole = torch.compile(model, backend="aot_eager", fullgraph=True)
    expected = gradients(model, x, fused=False)
    for ours, theirs in zip(
        gradients(model, x, run=lambda _, x: whole(x))[:1], expected, strict=False
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    model.eval()
    exported = torch.export.export(model, (x,)).module()
    torch.testing.assert_close(exported(x), model(x))
