"""Whoever replaces what a gate calls, or watches PyTorch's calls, gets the plain form."""

import types

import pytest
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import visattn
from visattn.blocks import block_entry
from visattn.blocks.attended import Attended
from visattn.blocks.fused import compiled, native
from visattn.testing import enliven

GATES = ("se", "ese", "eca", "cbam", "bam", "gc", "coord", "triplet", "scse")


@pytest.fixture(autouse=True)
def _small_maps_too(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(native, "LEAST", 1)
    for name in ("AT_REST", "TRAINING"):
        monkeypatch.setattr(compiled, name, 1)


def unit(name="cbam"):
    """A gate behind a normalisation, as training would leave them."""
    torch.manual_seed(0)
    gate = block_entry(name).factory(12)
    return enliven(Attended(nn.BatchNorm2d(12), gate, where="after", site="here"))


@pytest.fixture
def u():
    return torch.randn(3, 12, 9, 7, generator=torch.Generator().manual_seed(0))


def run(module, u, *, fused, training):
    """What a module gives with gradients and without, and without buffers learnt."""
    module.train(training)
    state = {name: t.clone() for name, t in module.state_dict().items()}
    with visattn.fused(fused):
        with torch.no_grad():
            found = [module(u)]
        found.append(module(u.clone().requires_grad_()).detach())
    module.load_state_dict(state)
    return found


def bent(function):
    """Not by a factor alone, which a normalisation takes away."""
    return lambda *args, **kwargs: (3 * function(*args, **kwargs)).sin()


def seamless(conv):
    """As pictures without seams are made: borders continue on the other side."""

    def convolved(self, x, weight, bias):
        x = F.pad(x, [conv.padding[0]] * 4, mode="circular")
        return F.conv2d(x, weight, bias)

    conv._conv_forward = types.MethodType(convolved, conv)


class OfOperators(TorchDispatchMode):
    """Gives something else than convolutions do."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        run = bent(func) if func is torch.ops.aten.convolution.default else func
        return run(*args, **(kwargs or {}))


class OfFunctions(TorchFunctionMode):
    """The same, a level higher."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        run = bent(func) if func in (F.conv2d, F.conv1d) else func
        return run(*args, **(kwargs or {}))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("mode", [OfOperators, OfFunctions])
def test_modes_see_every_call(mode, name, training, u):
    module = unit(name)
    without = run(module, u, fused=True, training=training)
    with mode():
        found, plain = (run(module, u, fused=fused, training=training) for fused in (True, False))
    for y, expected, other in zip(found, plain, without, strict=True):
        assert torch.equal(y, expected)
        assert not torch.allclose(y, other, atol=1e-3)


@pytest.mark.parametrize("name", ["se", "cbam"])
def test_a_graph_that_a_mode_writes_follows_its_input(name, u):
    module = unit(name).eval()
    with torch.no_grad():
        graph = make_fx(module, tracing_mode="real")(u)
        torch.testing.assert_close(graph(u.flip(0)), module(u.flip(0)), rtol=1e-5, atol=1e-5)


def test_a_mode_that_says_where_tensors_lie_is_none(u):
    with torch.device("cpu"):
        y = unit()(u.requires_grad_())
    assert y.grad_fn.name() == "FusedBackward"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (nn.Conv2d, "forward"),
        (nn.Conv2d, "_conv_forward"),
        (nn.BatchNorm2d, "forward"),
        (nn.ReLU, "forward"),
        (F, "conv2d"),
        (F, "batch_norm"),
        (F, "relu"),
    ],
)
def test_what_pytorch_is_made_of_may_be_replaced(owner, name, training, u, monkeypatch):
    module = unit()
    without = run(module, u, fused=True, training=training)
    monkeypatch.setattr(owner, name, bent(getattr(owner, name)))
    found, plain = (run(module, u, fused=fused, training=training) for fused in (True, False))
    for y, expected, other in zip(found, plain, without, strict=True):
        assert torch.equal(y, expected)
        assert not torch.allclose(y, other, atol=1e-3)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["__call__", "_call_impl"])
def test_calls_of_all_modules_may_be_replaced(name, training, u, monkeypatch):
    """As profilers do that take the time of each."""
    module, call, seen = unit(), getattr(nn.Module, name), []

    def noted(self, *args, **kwargs):
        seen.append(self)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(nn.Module, name, noted)
    for fused in (True, False):
        run(module, u, fused=fused, training=training)
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]
    gate = module.attention
    assert {module.base, gate, gate.channel.fc1, gate.spatial.conv} <= set(seen)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("compiling", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        "base.forward",
        "attention.forward",
        "attention.channel.forward",
        "attention.channel.fc1.forward",
        "attention.channel.fc2._conv_forward",
        "attention.channel.activation.forward",
        "attention.channel.gate.forward",
        "attention.spatial.forward",
        "attention.spatial.conv.forward",
        "attention.spatial.conv._conv_forward",
        "attention.spatial.bn.forward",
        "attention.spatial.gate.forward",
    ],
)
def test_a_method_of_one_module_may_be_replaced(path, compiling, training, u):
    """Before the first call, and behind it."""
    module = unit().train(training)
    call = torch.compile(module, backend="aot_eager") if compiling else module
    with torch.no_grad():
        before = call(u)
        where, _, name = path.rpartition(".")
        part = module.get_submodule(where)
        setattr(part, name, bent(getattr(part, name)))
        y = call(u)
        torch._dynamo.reset()
        again = call(u)
        with visattn.fused(False):
            expected = module(u)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(again, expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(y, before, atol=1e-3)


@pytest.mark.parametrize("compiling", [False, True])
def test_borders_without_seams_and_computed_weights(compiling, u):
    module = unit().eval()
    call = torch.compile(module, backend="aot_eager") if compiling else module
    spatial, channel = module.attention.spatial, module.attention.channel
    with torch.no_grad():
        found = [call(u)]
        for change in (
            lambda: seamless(spatial.conv),
            lambda: computed(channel.fc1),
            lambda: computed(spatial.conv),
            lambda: computed(module.base),
        ):
            change()
            found.append(call(u))
            with visattn.fused(False):
                expected = module(u)
            torch.testing.assert_close(found[-1], expected, rtol=1e-5, atol=1e-5)
            assert not torch.allclose(found[-1], found[-2], atol=1e-3)


def computed(layer):
    """Three times the weight, as a tensor in its place."""
    weight = 3 * layer.weight.detach()
    del layer.weight
    layer.weight = weight
