"""Triton's kernels against the plain formula; `test_triton` runs this with Triton's interpreter."""

import copy

import numpy as np
import pytest
import torch
import triton.language as tl
from norm_cases import LAYOUTS, case, distances, plain, results
from torch import nn
from triton.runtime import interpreter

import visattn
from visattn.blocks import CBAM, ECA, SE
from visattn.blocks.fused import (
    choice,
    norm_gates as gates,
    serving,
    triton_kernels as kernels,
)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [SE, CBAM, pytest.param(ECA, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((1, 5, 7, 3), {}),
        ((2, 6, 5, 3), {"ties": True}),
        pytest.param((2, 24, 5, 5), {}, marks=pytest.mark.slow),
        pytest.param((1, 6, 1, 9), {"affine": False}, marks=pytest.mark.slow),
        pytest.param((2, 6, 5, 3), {"zero": True}, marks=pytest.mark.slow),
    ],
)
def test_the_kernels_are_the_formula(kind, shape, options, layout):
    norm, block, u, d = case(kind, shape, **options)
    u = u.to(memory_format=LAYOUTS[layout])
    formula = choice._FORMULAS[kind]
    for training in (True, False):
        norm.train(training)
        found = results(
            lambda n, b, x: gates.gate_after_norm(n, b, x, formula, kernels), norm, block, u, d
        )
        wanted = results(plain, norm, block, u, d)
        exact = results(plain, norm.double(), block.double(), u, d, dtype=torch.float64)
        norm.float(), block.float()
        for mine, theirs in zip(distances(found, exact), distances(wanted, exact), strict=True):
            assert (
                mine < 1e-5 + 2 * theirs
            )  # gradients that cancel are as inexact in the plain form
        assert max(distances(found[:2], wanted[:2])) < 1e-5
        assert found[0].stride() == wanted[0].stride()


@pytest.fixture
def rounding(monkeypatch):
    """As a GPU rounds to bfloat16, to the nearest: the interpreter cuts the bits off."""
    cut = interpreter._convert_float

    def converted(values, before, after, mode):
        if (before, after) != (tl.float32, tl.bfloat16):
            return cut(values, before, after, mode)
        nearest = torch.from_numpy(np.array(values, dtype=np.float32)).bfloat16()
        return nearest.view(torch.int16).numpy().view(np.uint16)

    monkeypatch.setattr(interpreter, "_convert_float", converted)


@pytest.mark.usefixtures("rounding")
@pytest.mark.parametrize("kind", [SE, CBAM])
@pytest.mark.parametrize(
    ("shape", "layout"), [((2, 8, 7, 5), "contiguous"), ((1, 5, 7, 3), "channels_last")]
)
def test_in_half_precision_they_are_the_plain_form(kind, shape, layout):
    norm, block, u, d = case(kind, shape)
    u = u.bfloat16().float().to(memory_format=LAYOUTS[layout])
    formula = choice._FORMULAS[kind]

    def ours(norm, block, x):
        return gates.gate_after_norm(norm, block, x, formula, kernels)

    exact = results(plain, norm, block, u, d)
    halves = results(plain, norm, block, u, d, dtype=torch.bfloat16)
    found = results(ours, norm, block, u, d, dtype=torch.bfloat16)
    assert [f.dtype for f in found] == [h.dtype for h in halves]
    of_output, of_map, *of_parameters = distances(found, halves)
    assert max(of_output, of_map, distances(found, exact)[0]) < 1e-2
    # gradients that cancel are as inexact in the plain form
    for mine, theirs in zip(of_parameters, distances(halves, exact)[2:], strict=True):
        assert mine < 1e-2 + theirs / 2


def test_equal_maxima_share_their_gradient():
    norm, block, u, _ = case(CBAM, (1, 4, 2, 2))
    u = u[:, :, :1, :1].expand(1, 4, 2, 2).contiguous()  # every place is the maximum
    d = torch.tensor([[1.0, 0.0], [0.0, 0.0]]).expand(1, 4, 2, 2)
    formula = choice._FORMULAS[CBAM]
    norm.eval()
    found = results(
        lambda n, b, x: gates.gate_after_norm(n, b, x, formula, kernels), norm, block, u, d
    )
    assert max(distances(found, results(plain, norm, block, u, d))) < 1e-5


def test_gradients_of_gradients_are_the_plain_forms():
    norm, block, u, d = case(CBAM, (2, 4, 3, 3))
    formula = choice._FORMULAS[CBAM]
    found = []
    for form in (lambda n, b, x: gates.gate_after_norm(n, b, x, formula, kernels), plain):
        x = u.clone().requires_grad_()
        y = form(copy.deepcopy(norm), copy.deepcopy(block), x)
        (dx,) = torch.autograd.grad(y, x, d, create_graph=True)
        found.append(torch.autograd.grad(dx.square().sum(), x)[0])
    assert max(distances(found[:1], found[1:])) < 1e-4


def test_a_network_steps_by_the_kernels_where_they_serve(monkeypatch):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1)
    model = visattn.wrap(nn.Sequential(*layers), "cbam", at="1", init="paper", input_size=(3, 8, 8))
    model.train()
    images, ran, run = torch.randn(2, 3, 8, 8), [], gates.gate_after_norm

    def counted(norm, block, *others, **options):
        ran.append(type(block))
        return run(norm, block, *others, **options)

    def gradients():
        model.zero_grad()
        model(images).square().mean().backward()
        return [p.grad.clone() for p in model.parameters()]

    wanted = gradients()
    assert not ran
    monkeypatch.setattr(choice, "_on_gpu", lambda u: True)
    monkeypatch.setattr(choice, "gate_after_norm", counted)
    found = gradients()
    assert set(ran) == {CBAM}
    assert max(distances(found, wanted)) < 1e-3


def test_kernels_that_fail_or_differ_are_not_used(monkeypatch):
    u = torch.randn(2, 4, 3, 3)
    formula = choice._FORMULAS[SE]
    assert serving.serves(formula, SE(4), u)
    assert not serving.serves(formula, SE(4), u.double())
    for gated, said in (
        (lambda u, *_: u.clone(), "they don't give what the plain form gives"),
        (lambda *_: 1 // 0, "ZeroDivisionError"),
    ):
        serving._agrees.cache_clear()
        monkeypatch.setattr(kernels, "gated", gated)
        with pytest.warns(UserWarning, match=said):
            assert not serving.serves(formula, SE(4), u)
        assert not serving.serves(formula, SE(4), u)  # and says so once
    serving._agrees.cache_clear()
