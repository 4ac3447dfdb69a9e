"""What a mask keeps out, what a skip beside it lets through, and self-attention on a map."""

import pytest
import torch

from visattn.attention import attend
from visattn.blocks.masks.spatial_mask import SpatialMask
from visattn.blocks.self_attention.nonlocal_ import NonLocal


def object_on_two_backgrounds():
    """The same object in front of two backgrounds, and its mask."""
    mask = torch.zeros(1, 1, 12, 16)
    mask[..., 3:8, 5:11] = 1
    thing, *grounds = torch.randn(3, 1, 3, 12, 16)
    return [mask * thing + (1 - mask) * ground for ground in grounds], mask


def through(form, images, mask):
    block = SpatialMask(3, form=form)
    with block.spatial.register_forward_hook(lambda *_: mask):
        return [block(image) for image in images]


def test_behind_a_pure_product_the_background_is_gone():
    images, mask = object_on_two_backgrounds()
    first, second = through("product", images, mask)
    assert torch.equal(first, second)
    assert (first[mask.expand_as(first) == 0] == 0).all()


def test_a_skip_beside_the_mask_lets_the_background_through():
    images, mask = object_on_two_backgrounds()
    first, second = through("residual", images, mask)
    outside = mask.expand_as(first) == 0
    assert torch.equal(first[outside], images[0][outside])
    assert (first - second)[outside].abs().mean() > 0.5


def test_a_soft_mask_lets_its_share_of_the_background_through():
    images, mask = object_on_two_backgrounds()
    first, second = through("product", images, mask.clamp(0.1, 0.9))
    outside = mask.expand_as(first) == 0
    torch.testing.assert_close((first - second)[outside], 0.1 * (images[0] - images[1])[outside])


@pytest.mark.parametrize("size", [(4, 6), (1, 5)])
def test_self_attention_on_a_map_is_the_core_on_its_places(size):
    x = torch.randn(2, 12, *size)
    places = x.flatten(2).transpose(1, 2)

    block = NonLocal(12, norm=False)
    torch.nn.init.normal_(block.out.weight)
    query, key, value = (
        torch.nn.functional.linear(places, layer.weight.flatten(1), layer.bias)
        for layer in (block.theta, block.phi, block.g)
    )
    context = attend(query, key, value).context.transpose(1, 2).unflatten(2, size)
    torch.testing.assert_close(block(x), x + block.out(context), atol=1e-5, rtol=1e-5)
