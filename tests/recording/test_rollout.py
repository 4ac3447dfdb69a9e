import pytest
import timm
import torch
from recording.small_transformers import small
from torch import nn

from visattn import attention_relevance, attention_rollout, legrad


class Layer(nn.Module):
    """Attention whose weights can be set, with a shortcut."""

    def __init__(self, width):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.weights = None

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4)
        self.weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return x + (self.weights @ v).transpose(1, 2).flatten(2)


class Small(nn.Module):
    """A class token, patches of 2 x 2 pixels, two layers, a head on one of the two."""

    def __init__(self, *, pooled=False):
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 2, 2)
        self.cls = nn.Parameter(torch.randn(1, 1, 8))
        self.layers = nn.ModuleList([Layer(8), Layer(8)])
        self.head = nn.Linear(8, 4)
        self.pooled = pooled

    def tokens(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        return torch.cat([self.cls.expand(len(x), -1, -1), x], 1)

    def forward(self, images):
        x = self.tokens(images)
        for layer in self.layers:
            x = layer(x)
        return self.head(x[:, 1:].mean(1) if self.pooled else x[:, 0])


IMAGES = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(3))


def test_rollout_of_even_attention_by_hand():
    model = Small()
    for layer in model.layers:
        nn.init.zeros_(layer.qkv.weight[:16])  # every weight is 1 / 7
    # ((J / 7 + I) / 2)^2 = I / 4 + 3 / 4 J / 7, J of ones
    torch.testing.assert_close(attention_rollout(model, IMAGES), torch.full((2, 2, 3), 3 / 28))


@pytest.mark.parametrize("pooled", [False, True])
def test_rollout_is_the_product_of_the_matrices(pooled):
    model = Small(pooled=pooled)
    found = attention_rollout(model, IMAGES)
    model(IMAGES)
    first, second = ((x.weights.detach().mean(1) + torch.eye(7)) / 2 for x in model.layers)
    product = second @ first
    row = product[:, 1:].mean(1) if pooled else product[:, 0]
    torch.testing.assert_close(found, row[:, 1:].view(2, 2, 3))


@pytest.mark.parametrize("pooled", [False, True])
def test_relevance_is_the_rule_of_the_paper(pooled):
    model = Small(pooled=pooled)
    found = attention_relevance(model, IMAGES, classes=[1, 3])
    score = model(IMAGES).gather(1, torch.tensor([[1], [3]])).sum()
    relevance = torch.eye(7).expand(2, 7, 7)
    weights = [layer.weights for layer in model.layers]
    for own, slope in zip(weights, torch.autograd.grad(score, weights), strict=True):
        relevance = relevance + (own * slope).clamp(min=0).mean(1) @ relevance
    row = relevance[:, 1:].mean(1) if pooled else relevance[:, 0]
    torch.testing.assert_close(found, row[:, 1:].view(2, 2, 3).detach())


def test_legrad_is_the_formula_of_the_paper():
    model = Small()
    found = legrad(model, IMAGES, classes=2)
    x, total = model.tokens(IMAGES), 0
    for layer in model.layers:
        x = layer(x)
        score = model.head(x.mean(1))[:, 2].sum()
        (slope,) = torch.autograd.grad(score, layer.weights, retain_graph=True)
        total = total + slope.clamp(min=0).mean((1, 2))
    torch.testing.assert_close(found, total[:, 1:].view(2, 2, 3) / 2)


@pytest.mark.parametrize("method", [attention_rollout, attention_relevance, legrad])
def test_fused_attention_gives_the_same_and_nothing_is_changed(method):
    model, images = small("vit_small_patch14_reg4_dinov2")
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        fused = method(model, images)
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    for block in model.blocks:
        block.attn.fused_attn = False
    torch.testing.assert_close(method(model, images), fused, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", [attention_rollout, attention_relevance, legrad])
def test_what_it_cannot_serve_is_refused(method):
    with pytest.raises(ValueError, match="only if all of them attend between the same tokens"):
        method(*small("swin_tiny_patch4_window7_224"))
    with pytest.raises(ValueError, match="no attention block"):
        method(timm.create_model("resnet10t"), torch.randn(1, 3, 32, 32))


@pytest.mark.parametrize("method", [attention_relevance, legrad])
def test_classes(method):
    model, images = small("vit_tiny_patch16_224")
    predicted = model(images).argmax(1)
    torch.testing.assert_close(method(model, images), method(model, images, classes=predicted))
    with pytest.raises(ValueError, match="the classes 0 to 2"):
        method(model, images, classes=3)
