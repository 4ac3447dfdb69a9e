import pytest
import timm
import torch

import visattn
from visattn.blocks import SimAM
from visattn.recording import record
from visattn.testing import check_block


@pytest.mark.parametrize("regularization", [1e-4, 0.1])
@pytest.mark.parametrize("size", [(1, 2), (5, 8), (7, 7)])
def test_each_channel_written_out(size, regularization):
    x = 3 * torch.randn(2, 4, *size, dtype=torch.float64) + 1
    block, expected = SimAM(4, regularization=regularization), torch.empty_like(x)
    for n in range(2):
        for c in range(4):
            variance, mean = torch.var_mean(x[n, c], correction=1)
            energy = (x[n, c] - mean) ** 2 / (4 * (variance + regularization)) + 0.5
            expected[n, c] = x[n, c] / (1 + torch.exp(-energy))
    with record(block) as maps:
        torch.testing.assert_close(block(x), expected)
    torch.testing.assert_close(x * maps["model"].gate, expected)


def test_one_place_is_gated_by_the_sigmoid_of_a_half():
    x = torch.randn(3, 5, 1, 1)
    torch.testing.assert_close(SimAM(5)(x), x * torch.sigmoid(torch.tensor(0.5)))
    check_block(SimAM, sizes=((1, 1, 1), (4, 1, 1)))


def test_a_constant_channel_is_finite_with_its_gradient():
    x = torch.full((1, 2, 4, 4), 3.0, requires_grad=True)
    SimAM(2)(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full_like(x, 1 / (1 + torch.e**-0.5)))


def test_half_precision_of_large_maps():
    x = 20 * torch.randn(1, 2, 64, 64)
    expected = SimAM(2)(x.half().float())
    torch.testing.assert_close(SimAM(2)(x.half()).float(), expected, atol=0.1, rtol=5e-3)


def test_no_parameters_and_a_scalar_of_wraps_own():
    assert not SimAM(64).state_dict()
    plain = timm.create_model("resnet10t", num_classes=5).eval()
    x = torch.randn(1, 3, 40, 32)
    expected = plain(x)
    model = visattn.wrap(plain, SimAM)
    assert torch.equal(model(x), expected)
    assert {p.shape for p in visattn.attention_parameters(model)} == {torch.Size([])}


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        (0, {}, "channels must be at least 1, got 0"),
        (4, {"regularization": 0.0}, "regularization must be positive, got 0.0"),
    ],
)
def test_errors(channels, options, message):
    with pytest.raises(ValueError, match=message):
        SimAM(channels, **options)


def test_what_is_recorded(recorded_shapes):
    assert recorded_shapes(SimAM(16)) == {"gate": (2, 16, 9, 7)}
