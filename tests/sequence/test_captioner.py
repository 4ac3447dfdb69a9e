"""A captioner over any network's map."""

import pytest
import timm
import torch
from torch import nn

import visattn
from visattn.sequence import Captioner


def tiny(hard=False, **options):
    features = nn.Conv2d(3, 6, 4, stride=4)
    return Captioner(features, channels=6, words=9, hard=hard, embedding=5, hidden=8, **options)


@pytest.mark.parametrize("hard", [False, True])
def test_a_row_is_the_same_in_any_batch(hard):
    model = tiny(hard).eval()
    images, target = torch.randn(3, 3, 12, 20), torch.randint(3, 9, (3, 4))
    many = model(images, target)
    assert many.weights.shape == (3, 4, 15)
    for row in range(3):
        one = model(images[row : row + 1], target[row : row + 1])
        torch.testing.assert_close(one.logits[0], many.logits[row])
        torch.testing.assert_close(one.weights[0], many.weights[row])


def test_hard_attention_samples_in_training_alone():
    model = tiny(hard=True, expected=0.0)
    images, target = torch.randn(50, 3, 16, 16), torch.randint(3, 9, (50, 4))
    said = model(images, target)
    assert ((said.weights == 0) | (said.weights == 1)).all()
    assert said.log_probability.shape == (50, 4)
    assert not torch.equal(model(images, target).weights, said.weights)
    model.eval()
    said = model(images, target)
    assert said.log_probability is None
    assert torch.equal(model(images, target).weights, said.weights)
    assert tiny()(images, target).log_probability is None


def test_places_are_told_apart_by_their_position():
    model = tiny()
    encoded, size = model.encode(torch.ones(1, 3, 12, 20))
    assert size == (3, 5)
    assert len(torch.unique(encoded.states[0], dim=0)) == 15


def test_over_a_wrapped_backbone():
    trunk = timm.create_model("resnet10t", features_only=True, out_indices=(1,))

    class Map(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk = visattn.wrap(trunk, "se", at="stage", stages=[1])

        def forward(self, images):
            return self.trunk(images)[0]

    model = Captioner(Map(), channels=64, words=9, hidden=16)
    images, target = torch.randn(2, 3, 32, 48), torch.randint(3, 9, (2, 4))
    with visattn.record(model) as maps:
        said = model(images, target)
    assert said.weights.shape == (2, 4, 8 * 12)
    assert any(site.channel.shape == (2, 64) for site in maps.values())
    said.logits.sum().backward()
