"""The randomisation test: rank correlation against SciPy, and nets whose answer is known."""

import numpy as np
import pytest
import torch
from torch import nn

from visattn.metrics import randomisation_test, rank_correlation


def test_rank_correlation_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    generator = torch.Generator().manual_seed(0)
    first = torch.randint(0, 5, (20, 6, 7), generator=generator).float()
    second = first * torch.rand(20, 6, 7, generator=generator).round() + (first > 3)
    expected = [
        stats.spearmanr(a.flatten(), b.flatten()).statistic
        for a, b in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-12)


def test_rank_correlation_by_hand():
    first = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    assert rank_correlation(first, first.exp()).item() == 1
    assert rank_correlation(first, -first).item() == -1
    # Without ties it is 1 - 6 sum(d^2) / (n (n^2 - 1)).
    swapped = torch.tensor([[[1.0, 3.0, 2.0, 4.0]]])
    assert rank_correlation(first, swapped).item() == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert rank_correlation(first, torch.ones(1, 1, 4)).isnan().all()
    with pytest.raises(ValueError, match="one shape"):
        rank_correlation(first, first[..., 1:])
    with pytest.raises(ValueError, match="finite"):
        rank_correlation(first, first / 0)


class Net(nn.Module):
    """Defined in another order than it runs; one layer never runs."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.idle = nn.Linear(6, 3)
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6))

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).mean((2, 3)))


@pytest.fixture
def net():
    torch.manual_seed(1)
    return Net().eval()


IMAGES = torch.randn(3, 1, 9, 9, generator=torch.Generator().manual_seed(2))


def run_and_map(make):
    """Maps by a function of the network, after a whole pass."""

    def maps_of(network):
        with torch.no_grad():
            network(IMAGES)
            return make(network)

    return maps_of


def test_layers_go_from_the_top_down_and_the_model_stays(net):
    before = {key: value.clone() for key, value in net.state_dict().items()}
    edges = run_and_map(lambda network: IMAGES[:, 0].diff(dim=2))
    found = randomisation_test(net, edges)
    assert found.layers == (("head",), ("second.1",), ("second.0",), ("first",))
    assert found.correlations.tolist() == [[1.0] * 3] * 4
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in net.modules())
    assert randomisation_test(net, edges, steps=2).layers == (
        ("head", "second.1"),
        ("second.0", "first"),
    )


def test_a_map_changes_when_a_layer_that_it_reads_does(net):
    maps = run_and_map(lambda network: network.first(IMAGES)[:, 1])
    found = randomisation_test(net, maps)
    assert (found.correlations[:3] == 1).all()
    assert (found.correlations[3] < 0.99).all()
    top = run_and_map(lambda network: network.second(network.first(IMAGES))[:, 1])
    found = randomisation_test(net, top)
    assert (found.correlations[0] == 1).all()
    assert (found.correlations[2:] < 0.99).all()


def test_weights_are_shuffled_and_stay_so(net):
    seen = []
    kept = run_and_map(
        lambda network: (
            seen.append({name: value.clone() for name, value in network.named_parameters()})
            or IMAGES[:, 0]
        )
    )
    randomisation_test(net, kept, seed=3)
    trained, *steps = seen
    changed = ["head", "second.1", "second.0", "first"]
    for number, step in enumerate(steps):
        for name, value in step.items():
            torch.testing.assert_close(
                value.flatten().sort().values, trained[name].flatten().sort().values
            )
            layer = name.rpartition(".")[0]
            moved = layer in changed[: number + 1] and len(trained[name].unique()) > 1
            if value.numel() > 6:  # fewer may be shuffled into the order that they had
                assert torch.equal(value, trained[name]) != moved, name
            assert (
                number == 0
                or layer not in changed[:number]
                or torch.equal(value, steps[number - 1][name])
            )


def test_the_seed_decides(net):
    maps = run_and_map(lambda network: network.first(IMAGES)[:, 1])
    first, again, other = (
        randomisation_test(net, maps, seed=seed).correlations for seed in (5, 5, 6)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_mistakes(net):
    with pytest.raises(ValueError, match="steps"):
        randomisation_test(net, lambda network: IMAGES[:, 0], steps=0)
    with pytest.raises(ValueError, match="no layer with parameters ran"):
        randomisation_test(net, lambda network: IMAGES[:, 0])
    shapes = iter([9, 8])
    with pytest.raises(ValueError, match=r"\(3, 9, 9\) first and \(3, 8, 9\) then"):
        randomisation_test(net, run_and_map(lambda network: IMAGES[:, 0, : next(shapes)]))
    assert not any(module._forward_hooks for module in net.modules())
