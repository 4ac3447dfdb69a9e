"""Four kinds of network for the copying task."""

from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from visattn.sequence import CopierName, build_copier, copying_batch

KINDS = get_args(CopierName)


def test_a_batch_is_symbols_then_blanks():
    given, target = copying_batch(400, length=5, symbols=3)
    assert torch.equal(given[:, :5], target)
    assert (given[:, 5:] == 0).all()
    assert target.unique().tolist() == [1, 2, 3]
    same = [
        copying_batch(3, length=5, symbols=3, generator=torch.Generator().manual_seed(s))[1]
        for s in (1, 1, 2)
    ]
    assert torch.equal(same[0], same[1])
    assert not torch.equal(same[0], same[2])


@pytest.mark.parametrize("kind", KINDS)
def test_every_copy_can_see_its_symbol(kind):
    """A gradient flows from each copy to its own symbol, however far away."""
    model = build_copier(kind, length=7, channels=8)
    seen = []
    model.embedding.register_forward_hook(lambda module, args, output: seen.append(output))
    logits = model(copying_batch(1, length=7, symbols=8)[0])
    assert logits.shape == (1, 7, 9)
    for place in range(7):
        (gradient,) = torch.autograd.grad(logits[0, place].sum(), seen[0], retain_graph=True)
        assert gradient[0, place].abs().sum() > 0


@pytest.mark.parametrize("kind", KINDS)
def test_short_copies_are_learnt(kind):
    model = build_copier(kind, symbols=3, length=3, channels=16)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(250):
        given, target = copying_batch(64, length=3, symbols=3)
        loss = F.cross_entropy(model(given).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


def test_paths():
    paths = {kind: build_copier(kind, length=20).path for kind in KINDS}
    assert paths == {"feed_forward": 2, "convolution": 10, "recurrence": 20, "attention": 1}
    with pytest.raises(ValueError, match="one of feed_forward, convolution"):
        build_copier("recurrent")


def test_convolutions_reach_from_symbol_to_copy():
    assert [len(build_copier("convolution", layers=n).layers) for n in (None, 12)] == [10, 12]
    wide = build_copier("convolution", kernel_size=41)
    assert (len(wide.layers), wide.path) == (1, 1)
    assert build_copier("convolution", kernel_size=9, layers=8).path == 5
    with pytest.raises(ValueError, match=r"reach 18 places, the copy lies 20 away.* at least 10"):
        build_copier("convolution", layers=9)
    with pytest.raises(ValueError, match="odd and at least 3, got 4"):
        build_copier("convolution", kernel_size=4)
    with pytest.raises(ValueError, match="only the convolution has layers, not attention"):
        build_copier("attention", layers=2)
