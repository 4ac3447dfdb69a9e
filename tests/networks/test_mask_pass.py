import pytest
import torch
from torch import nn

from visattn.blocks import SpatialMask
from visattn.networks.mask_pass import find_mask_tap, predict_mask, predict_with_mask


class Counter(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return x.mean((2, 3))


def model(*masks):
    return nn.Sequential(*masks, Counter())


def hooks(network):
    return sum(len(module._forward_hooks) for module in network.modules())


def test_mask_alone_is_the_mask_of_the_whole_pass():
    network, images = model(SpatialMask(3, width=4, depth=2)), torch.randn(2, 3, 9, 6)
    logits, mask = predict_with_mask(network, images)
    assert network[-1].calls == 1
    alone = predict_mask(network, images)
    assert network[-1].calls == 1  # the rest did not run
    assert alone.shape == (2, 1, 9, 6)
    torch.testing.assert_close(alone, mask)
    torch.testing.assert_close(logits, network(images))
    alone.sum().backward()
    assert network[0].branch.head.weight.grad.abs().max() > 0
    assert hooks(network) == 0


def test_other_errors_of_a_pass_get_out_and_leave_no_hook():
    network = model(SpatialMask(3))
    with pytest.raises(ValueError, match=r"expected \(N, 3, H, W\)"):
        predict_mask(network, torch.randn(2, 4, 8, 8))
    assert hooks(network) == 0


def test_works_on_a_compiled_model():
    network, images = model(SpatialMask(3, width=4, depth=1)), torch.randn(2, 3, 8, 8)
    expected = predict_mask(network, images)
    compiled = torch.compile(network, backend="eager")
    compiled(images)
    torch.testing.assert_close(predict_mask(compiled, images), expected)
    torch.testing.assert_close(predict_with_mask(compiled, images)[1], expected)


def test_several_masks_must_be_told_apart():
    network = model(SpatialMask(3, width=4, depth=1), SpatialMask(3, width=4, depth=1))
    images = torch.randn(1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"several spatial masks.*'0', '1'"):
        predict_mask(network, images)
    one, two = (predict_mask(network, images, site=site) for site in "01")
    assert not torch.equal(one, two)
    assert find_mask_tap(network, site="1")[1] is network[1].spatial_logits
    with pytest.raises(ValueError, match=r"no spatial mask at '00'. Did you mean '0'\?"):
        predict_mask(network, images, site="00")


def test_a_model_without_a_mask_is_told_how_to_get_one():
    with pytest.raises(ValueError, match=r"no spatial mask to train.*visattn\.wrap"):
        predict_mask(nn.Flatten(), torch.randn(1, 3, 4, 4))
