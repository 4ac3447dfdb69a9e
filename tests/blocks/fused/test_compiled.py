"""In compiled code a CBAM runs by operators of our own, which give the plain form's numbers."""

import copy

import pytest
import torch
from torch import nn

import visattn
from visattn.blocks import CBAM
from visattn.blocks.attended import Attended
from visattn.blocks.fused import compiled, native

pytestmark = pytest.mark.skipif(native._library() is None, reason="no C compiler")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.fixture(autouse=True)
def ran(monkeypatch):
    """Which operators ran; small maps take them, too."""
    monkeypatch.setattr(native, "LEAST", 1)
    for name in ("AT_REST", "TRAINING"):
        monkeypatch.setattr(compiled, name, 1)
    names = []
    for name in ("forward", "backward"):
        run = getattr(compiled, name)
        monkeypatch.setattr(
            compiled, name, lambda *a, _n=name, _f=run, **k: (names.append(_n), _f(*a, **k))[1]
        )
    rest = native.cbam
    monkeypatch.setattr(native, "cbam", lambda *a, **k: (names.append("at rest"), rest(*a, **k))[1])
    torch._dynamo.reset()
    return names


def unit(alone=False, variant="official", affine=True):
    """A gate, behind a normalisation or alone, as training would leave it."""
    torch.manual_seed(0)
    norm, gate = nn.BatchNorm2d(12, affine=affine), CBAM(12, variant=variant)
    for parameter in (*norm.parameters(), *gate.parameters()):
        nn.init.normal_(parameter, std=0.7)
    for each in (norm, gate.spatial.bn):
        each.running_mean.normal_()
        each.running_var.uniform_(0.5, 2)
    return gate if alone else Attended(norm, gate, where="after", site="here")


def step(module, x, *, compiling, backend="aot_eager"):
    """Output, gradients and buffers after a step of a copy."""
    module, x = copy.deepcopy(module), x.clone().requires_grad_()
    run = torch.compile(module, backend=backend, fullgraph=True) if compiling else module
    y = run(x)
    y.sin().sum().backward()
    found = {n: p.grad for n, p in module.named_parameters()} | dict(module.named_buffers())
    return {"y": y.detach(), "x": x.grad} | found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "options", [{}, {"variant": "timm"}, {"affine": False}, {"alone": True}], ids=str
)
def test_a_step_is_that_of_the_plain_form(options, layout, training, ran):
    module = unit(**options).train(training)
    x = (torch.randn(3, 12, 9, 7) * 2 + 1).to(memory_format=LAYOUTS[layout])
    found = step(module, x, compiling=True)
    assert ran == ["forward", "backward"]
    with visattn.fused(False):
        wanted = step(module.double(), x.double(), compiling=False)
    assert found.keys() == wanted.keys()
    assert found["y"].stride() == x.stride()
    for name, value in wanted.items():
        size = float(value.abs().max().clamp(min=0.1))
        off = float((found[name].double() - value).abs().max()) / size
        assert off < 2e-5, f"{name}: {off:g}"


def test_inductor_takes_them_in_training_and_at_rest(ran):
    module, x = unit(), torch.randn(2, 12, 9, 7)
    found, wanted = (step(module, x, compiling=c, backend="inductor") for c in (True, False))
    for name in ("y", "x"):
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-5)
    run = torch.compile(module.eval())
    del ran[:]
    with torch.no_grad():
        torch.testing.assert_close(run(x), module(x), rtol=2e-6, atol=2e-6)
    assert ran == ["at rest", "at rest"]


def test_maps_come_as_inductor_lays_them_out(ran):
    """Its convolutions may have channels last where the network has not; nothing is copied."""
    net = nn.Sequential(nn.Conv2d(3, 12, 3), unit(), nn.ReLU(), nn.Conv2d(12, 4, 3))
    x = torch.randn(2, 3, 11, 12)
    found, wanted = (step(net, x, compiling=c, backend="inductor") for c in (True, False))
    assert ran == ["forward", "backward"]
    for name, value in wanted.items():
        if name != "0.bias":  # 0 behind which a normalisation takes the mean away
            size = float(value.double().abs().max().clamp(min=0.1))
            torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-4 * size)
    for operator in (compiled._CBAM, compiled._CBAM_AT_REST, compiled._OF_CBAM):
        assert torch.Tag.flexible_layout in operator.default.tags


@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf"
)  # opcheck's
@pytest.mark.parametrize("learning", [[True], [False], [True, True], [False, True], [False, False]])
@pytest.mark.parametrize("flipped", [False, True])
def test_the_operators_are_as_they_say(flipped, learning):
    sizes = [(2, 12, 1, 1), (12, 2, 1, 1), (2,), (12,), (1, 2, 3, 3), (1,), (1,)]
    counts = [1, 12][: len(learning)]
    sizes += [(12,), (12,)] * (len(learning) > 1)
    parameters = [torch.randn(size, requires_grad=True) for size in sizes]
    running = []
    for count, by_batch in zip(counts, learning, strict=True):
        running += [] if by_batch else [torch.randn(count), torch.rand(count)]
    numbers = [1e-5, 1.0, 0.0, 2.0, 0.0, 1e-5][: 4 + len(learning)]
    u = torch.randn(2, 12, 5, 6, requires_grad=True)
    given = u, [*parameters, *running], learning, flipped, numbers
    torch.library.opcheck(compiled._CBAM, given)
    if not any(learning):
        known = [p.detach() for p in (*parameters[:7], *running[:2], *parameters[7:], *running[2:])]
        given = u.detach(), known, flipped, numbers
        torch.library.opcheck(compiled._CBAM_AT_REST, given)


def test_who_looks_inside_or_switches_it_off_gets_the_plain_form(ran):
    module, x = unit().eval(), torch.randn(2, 12, 9, 7)
    run = torch.compile(module, backend="aot_eager")
    with torch.no_grad():
        run(x)
        assert ran == ["at rest"]
        with visattn.fused(False):
            run(x)
        with visattn.record(module) as maps:
            run(x)
        assert ran == ["at rest"]
        assert maps["here"].spatial.shape == (2, 9, 7)
        with torch.autocast("cpu", torch.bfloat16):
            run(x)
        assert ran == ["at rest"]
        run(x)
        assert ran == ["at rest"] * 2
        exported = torch.export.export(module, (x,))
    assert "visattn" not in str(exported.graph)


def test_a_replaced_layer_and_another_precision_run_plainly(ran):
    replaced, x = unit(), torch.randn(2, 12, 5, 5)
    replaced.attention.spatial.conv = nn.Conv2d(2, 1, 3, padding=1)
    for module, given in ((replaced, x), (unit().double(), x.double())):
        found, wanted = (step(module, given, compiling=c) for c in (True, False))
        torch.testing.assert_close(found["y"], wanted["y"])
    assert not ran


PARTS = {
    "channel": [lambda: visattn.blocks.SE(12), lambda: CBAM(12), lambda: CBAM(12).spatial],
    "spatial": [lambda: visattn.blocks.SE(12), lambda: CBAM(12), lambda: CBAM(12).channel],
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("part", "index"), [(p, i) for p in PARTS for i in range(3)])
def test_a_gate_with_a_part_of_another_kind_of_ours_runs_plainly(part, index, training, ran):
    """It had been taken for the part that it replaces, with other numbers or errors."""
    module, x = unit(alone=True), torch.randn(2, 12, 9, 7)
    setattr(module, part, PARTS[part][index]())
    module.train(training)
    with visattn.fused(False):
        wanted = step(module, x, compiling=False)
    for compiling in (False, True):
        found = step(module, x, compiling=compiling)
        for name in ("x", "y"):
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-5)
    assert not ran or type(getattr(module, part)) is CBAM, "which runs by them itself"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_what_is_no_number_stays_it(value, layout):
    module = unit(alone=True).eval()
    x = torch.randn(2, 12, 20, 21).to(memory_format=LAYOUTS[layout])
    x[0, 3, 4, 5] = value
    with torch.no_grad():
        y = module(x)
        with visattn.fused(False):
            plain = module(x)
    torch.testing.assert_close(y, plain, equal_nan=True, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_map_of_other_channels_is_an_error_and_no_memory_of_others(training, ran):
    x = torch.randn(2, 20, 9, 7)
    for module in (unit(alone=True), unit()):
        module.train(training)
        for run in (module, torch.compile(module, backend="aot_eager")):
            for context in (torch.enable_grad, torch.no_grad):
                with context(), pytest.raises((RuntimeError, ValueError)):
                    run(x)
    assert not ran or set(ran) == {"at rest"}, "and those said so"
