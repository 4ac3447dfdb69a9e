"""The passes in C give the plain form's numbers; without a compiler the others run."""

import copy
import math
import platform
import subprocess
from pathlib import Path

import pytest
import torch
from torch import nn

import visattn
from visattn.blocks import block_entry
from visattn.blocks.attended import Attended
from visattn.blocks.fused import library, native, rounding
from visattn.blocks.fused.channels import constants
from visattn.testing import enliven

compiled = pytest.mark.skipif(native._library() is None, reason="no C compiler")
_FACTS = Path("/proc/cpuinfo")
avx2 = pytest.mark.skipif(
    not (_FACTS.exists() and " avx2 " in _FACTS.read_text()), reason="no AVX2 to be seen"
)
SHAPES = ((2, 33, 47, 45), (1, 3, 211, 213), (40, 260, 4, 4))
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


OPTIONS = (
    ("cbam", {"variant": "timm", "kernel_size": 3}),
    ("cbam", {"variant": "light"}),
    ("cbam", {"init": "identity"}),
    ("se", {"bias": False, "rd_divisor": 8}),
    ("se", {"init": "identity"}),
    ("ese", {}),
    ("eca", {"kernel_size": 5}),
)


def step(module, x, *, fused):
    module, x = copy.deepcopy(module), x.clone().requires_grad_()
    with visattn.fused(fused):
        y = module(x)
    y.sin().sum().backward()
    grads = {n: p.grad for n, p in module.named_parameters() if p.requires_grad}
    return y.detach(), {"x": x.grad, **grads}


def assert_as_exact(grads, others, expected, *, least=1e-5):
    """Gradients are no further from those in double precision than others are."""
    largest = expected["x"].norm()
    for key, value in expected.items():
        size = torch.maximum(value.norm(), largest / 10)
        off = max(least, float((others[key] - value).norm() / size))
        error = (grads[key] - value).norm() / size
        assert error <= 1.1 * off, f"{key}: {error:g}"


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@compiled
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["se", "eca", "cbam"])
def test_numbers(name, layout, shape, threads, monkeypatch):
    passes, call = [], native._call
    monkeypatch.setattr(
        native, "_call", lambda name, *a, **k: (passes.append(name), call(name, *a, **k))
    )
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(library, "GRAIN", 1)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    x[:, -1] = x[:, 0]  # equal maxima
    x[..., 0] = x[..., 1] = 3.0
    x = x.contiguous(memory_format=LAYOUTS[layout])
    gate = block_entry(name).factory(shape[1])
    behind = Attended(nn.BatchNorm2d(shape[1]), gate, where="after", site="here")
    for module in (enliven(behind), enliven(behind).get_submodule("attention")):
        y, grads = step(module, x, fused=True)
        assert y.stride() == grads["x"].stride() == x.stride()
        single, others = step(module, x, fused=False)
        plain, expected = step(module.double(), x.double(), fused=False)
        # no further off than PyTorch's own sums, which are coarse where channels come last
        off = max(2e-6, float((single - plain).abs().max()))
        torch.testing.assert_close(y.double(), plain, rtol=2e-6, atol=off)
        assert_as_exact(grads, others, expected)
        module.float().eval()
        with torch.inference_mode():
            given = x.clone()
            y = module(given)
            assert torch.equal(given, x)
            with visattn.fused(False):
                torch.testing.assert_close(y, module(x), rtol=2e-6, atol=2e-6)
        module.train()
    assert passes.count("map_gradient") + passes.count("of_se") == 2
    assert passes.count("se") == passes.count("of_se") == (1 if name == "se" else 0)


@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
def test_se_alone_gives_the_gradients_that_are_asked_for(layout):
    gate = enliven(block_entry("se").factory(33))
    x = torch.randn(2, 33, 47, 45, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=LAYOUTS[layout])
    asked = {"of the map": (True, False), "of the gate": (False, True), "of both": (True, True)}
    for of_map, of_gate in asked.values():
        found = []
        for fused in (True, False):
            module, u = copy.deepcopy(gate), x.clone().requires_grad_(of_map)
            module.fc1.requires_grad_(of_gate)
            with visattn.fused(fused):
                y = module(u)
            if fused:
                assert y.grad_fn.name() == "FusedBackward"
                assert y.grad_fn.call.__class__.__module__.endswith("fused.se")
            (y * y.detach().cos()).mean().backward()
            found.append([None if p.grad is None else p.grad for p in (u, *module.parameters())])
        for ours, theirs in zip(*found, strict=True):
            assert (ours is None) is (theirs is None)
            if ours is not None:
                least = 1e-5 * float(theirs.abs().max())
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=least)


@compiled
def test_gradients_of_the_gradients_of_se_alone():
    gate = enliven(block_entry("se").factory(32))
    x = torch.randn(2, 32, 47, 45, generator=torch.Generator().manual_seed(0))
    found = []
    for fused in (True, False):
        u = x.clone().requires_grad_()
        with visattn.fused(fused):
            y = gate(u)
        (du,) = torch.autograd.grad(y.sin().sum(), u, create_graph=True)
        inputs = [u, *gate.parameters()]
        found.append(torch.autograd.grad((du * du).sum(), inputs))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


@compiled
@pytest.mark.parametrize("name", ["se", "cbam"])
def test_another_default_type(name):
    """Whatever it is, a map in single precision is one."""
    module, x = enliven(block_entry(name).factory(31)), torch.randn(2, 31, 47, 45)
    constants.cache_clear()
    rounding._adds_up_like_pytorch.cache_clear()
    behind = Attended(nn.BatchNorm2d(31), module, where="after", site="here")
    torch.set_default_dtype(torch.float64)
    try:
        for each in (module, behind, copy.deepcopy(module).eval(), copy.deepcopy(behind).eval()):
            y, grads = step(each, x, fused=True)
            plain, others = step(each, x, fused=False)
            torch.testing.assert_close(y, plain, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(grads["x"], others["x"], rtol=1e-3, atol=1e-4)
            with torch.inference_mode():
                torch.testing.assert_close(each(x), plain, rtol=1e-5, atol=1e-5)
    finally:
        torch.set_default_dtype(torch.float32)
        constants.cache_clear()


@compiled
def test_layers_that_do_not_fit_are_refused():
    """C would read what lies behind them."""
    x = torch.randn(2, 32, 47, 45)
    of_pytorch = RuntimeError, "Given .*weight of size"  # what isn't of its sizes runs plainly
    for layer, name, wrong, (kind, message) in (
        ("fc2", "weight", (31, 2, 1, 1), of_pytorch),
        ("fc1", "weight", (2, 16, 1, 1), of_pytorch),
        ("fc1", "weight", (2, 32, 2, 2), (RuntimeError, "Kernel size can't be greater")),
        ("fc1", "bias", (1,), (ValueError, "don't fit")),
    ):
        gate = block_entry("se").factory(32)
        setattr(getattr(gate, layer), name, nn.Parameter(torch.zeros(wrong)))
        with pytest.raises(kind, match=message):
            gate(x)
    with pytest.raises(ValueError, match="32 channels can't take a map of 33"):
        block_entry("se").factory(32)(torch.randn(2, 33, 47, 45))


@compiled
@pytest.mark.parametrize("shape", [(3, 5, 14, 14), (2, 3, 9, 13), (2, 3, 41, 47), (2, 5, 7, 7)])
def test_sums_have_the_same_bits_wherever_a_map_lies(shape):
    """Lines of the caches are read whole, wherever in them a row begins."""
    wanted, count = None, math.prod(shape)
    memory = torch.empty(2, count + 16)
    given = torch.randn(2, *shape)
    ones, peaks = torch.ones(shape[1]), torch.ones(shape[:2])
    for off in range(16):
        u, d = (
            m[off : off + count].view(shape).copy_(t) for m, t in zip(memory, given, strict=True)
        )
        found = native.moments(u, centred=False, extremes=True)
        found += native.channel_sums(u, d, (ones,) * 3, peaks, (), peaks)[:2]
        wanted = wanted or [t.clone() for t in found]
        assert all(map(torch.equal, found, wanted)), f"begun at number {off} of a line"


@compiled
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_every_option_and_layer_gives_what_the_plain_form_gives(name, options):
    gate = enliven(block_entry(name).factory(64, **options))
    x = torch.randn(4, 64, 24, 24, generator=torch.Generator().manual_seed(0))
    grouped = copy.deepcopy(gate)
    for layer in (m for m in (grouped, *grouped.children()) if hasattr(m, "fc1")):
        layer.fc1 = nn.Conv2d(64, layer.fc1.out_channels, 1, groups=2)
    others = [grouped]
    if name == "cbam" and not gate.spatial.light:
        for made in ({"bias": True}, {"dilation": 2, "padding": 6}, {"padding_mode": "circular"}):
            other = copy.deepcopy(gate)
            other.spatial.conv = nn.Conv2d(2, 1, 7, **{"padding": 3, **made})
            if other.spatial.conv.bias is not None:
                other.spatial.conv.bias.requires_grad_(False)  # a gradient of 0, and so of noise
            others.append(other)
    for module in (gate, *others):
        y, grads = step(module, x, fused=True)
        plain, theirs = step(module, x, fused=False)
        torch.testing.assert_close(y, plain, rtol=2e-6, atol=2e-6)
        expected = step(copy.deepcopy(module).double(), x.double(), fused=False)[1]
        assert_as_exact(grads, theirs, expected)


@compiled
def test_a_backward_pass_within_autocast_is_no_less_exact():
    gate, x = block_entry("se").factory(32), torch.randn(2, 32, 47, 45)
    gate(x).sin().sum().backward()
    expected = gate.fc2.weight.grad.clone()
    gate.zero_grad()
    loss = gate(x).sin().sum()
    with torch.autocast("cpu", torch.bfloat16):
        loss.backward()
    torch.testing.assert_close(gate.fc2.weight.grad, expected)


@compiled
@pytest.mark.parametrize("likewise", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["se", "ese", "eca", "cbam"])
def test_starts_as_exactly_the_identity(name, layout, likewise, monkeypatch):
    """Behind a normalisation, too, whose bits are PyTorch's, and so are its statistics."""
    assert rounding._adds_up_like_pytorch()
    monkeypatch.setattr(rounding, "_adds_up_like_pytorch", lambda: likewise)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(library, "GRAIN", 1)
    x = torch.randn(2, 33, 47, 45, generator=torch.Generator().manual_seed(0)) * 3 + 1
    x = x.contiguous(memory_format=LAYOUTS[layout])
    gate = block_entry(name).factory(33, init="identity")
    assert torch.equal(gate(x), x)
    with torch.inference_mode():
        assert torch.equal(gate.eval()(x), x)
    gate.train()
    norm = enliven(nn.BatchNorm2d(33, momentum=0.3))
    plain = copy.deepcopy(norm)
    behind = Attended(norm, gate, where="after", site="here")
    for training, tracked in ((True, True), (True, False), (False, True), (False, False)):
        behind.train(training), plain.train(training)
        with torch.set_grad_enabled(tracked):
            assert torch.equal(behind(x), plain(x))
    for key, value in plain.state_dict().items():
        assert torch.equal(norm.state_dict()[key], value), key


@compiled
@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor")
@pytest.mark.parametrize("processor", ["x86-64", pytest.param("haswell", marks=avx2)])
def test_narrower_vectors_give_the_same(processor, monkeypatch, tmp_path):
    x = torch.randn(2, 33, 47, 45, generator=torch.Generator().manual_seed(0))
    module = enliven(
        Attended(nn.BatchNorm2d(33), block_entry("cbam").factory(33), where="after", site="here")
    )
    y, grads = step(module, x, fused=True)
    at_rest = module.eval()(x).detach()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    flags = [f"-march={processor}" if "march" in word else word for word in library._FLAGS]
    monkeypatch.setattr(library, "_FLAGS", flags)
    native._library.cache_clear()
    try:
        torch.testing.assert_close(module(x).detach(), at_rest, rtol=1e-5, atol=1e-6)
        other_y, others = step(module.train(), x, fused=True)
    finally:
        native._library.cache_clear()
    assert len(list(tmp_path.rglob("*.so"))) == 1
    torch.testing.assert_close(other_y, y, rtol=1e-5, atol=1e-6)
    for name, value in grads.items():
        size = float(value.abs().max())
        torch.testing.assert_close(others[name], value, rtol=1e-4, atol=1e-5 * max(size, 1))


def test_without_a_compiler_or_with_one_that_fails(monkeypatch, tmp_path):
    x = torch.randn(2, 32, 47, 45)
    block = block_entry("cbam").factory(32)
    expected = block(x)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def fails(*_, **__):
        raise subprocess.CalledProcessError(1, "cc")

    for name, value in (("shutil.which", lambda _: None), ("subprocess.run", fails)):
        native._library.cache_clear()
        with monkeypatch.context() as patched:
            patched.setattr(f"visattn.blocks.fused.library.{name}", value)
            assert not native.is_native(x)
            torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-6)
    native._library.cache_clear()
    monkeypatch.setenv("VISATTN_NATIVE", "0")
    assert not native.is_native(x)
    native._library.cache_clear()


@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["se", "cbam"])
def test_odd_normalisations_are_no_less_exact(name, layout, one_thread):
    """Means far from zero; weights that are negative, or zero, so that all is a maximum.

    With channels last PyTorch's own mean of x, which both take, depends on the number of threads.
    """
    base = nn.BatchNorm2d(32, momentum=None)
    module = enliven(Attended(base, block_entry(name).factory(32), where="after", site="here"))
    with torch.no_grad():
        base.weight[::2] *= -1
        base.weight[:4], base.weight[4] = 0, 1e-9
    x = torch.randn(2, 32, 47, 45, generator=torch.Generator().manual_seed(0))
    x += 300 * torch.randn(1, 32, 1, 1, generator=torch.Generator().manual_seed(1))
    x = x.contiguous(memory_format=LAYOUTS[layout])
    y, grads = step(module, x, fused=True)
    single, others = step(module, x, fused=False)
    plain, expected = step(copy.deepcopy(module).double(), x.double(), fused=False)
    assert (y - plain).abs().max() <= max(2e-6, 2 * float((single - plain).abs().max()))
    assert_as_exact(grads, others, expected, least=5e-5)  # x itself is rounded by 2e-5
    ours, theirs = copy.deepcopy(module), copy.deepcopy(module).double()
    ours(x), theirs(x.double())
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(
            ours.state_dict()[name].double(), value.double(), rtol=1e-5, atol=1e-6
        )


@compiled
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [*SHAPES, (3, 17, 5, 3)])
def test_statistics_of_compiled_code_are_exact_far_from_zero(shape, layout):
    x = (torch.randn(shape) + 3000).contiguous(memory_format=LAYOUTS[layout])
    means, *_ = native.moments(x, centred=True, extremes=False)
    mean, variance = native.exact_statistics(x, means)
    wanted = torch.var_mean(x.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, wanted[1], rtol=1e-6, atol=0)
    torch.testing.assert_close(variance, wanted[0], rtol=1e-4, atol=0)
