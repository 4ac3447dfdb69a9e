import math

import pytest
import timm
import torch
from torch import nn

import visattn


@pytest.fixture(scope="session")
def scenes():
    """Six pictures of 112 x 112 with a bright disc each, its mask, and four classes."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(6, 3, 14, 14, generator=generator)
    images = nn.functional.interpolate(coarse, size=112, mode="bicubic").clamp(0, 1) * 0.6
    rows, columns = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    masks = torch.zeros(6, 112, 112)
    for number in range(6):
        angle = number * math.pi / 3
        away = (rows - 56 - 20 * math.sin(angle)) ** 2 + (columns - 56 - 20 * math.cos(angle)) ** 2
        masks[number] = (away < 22**2).float()
    images = images + masks[:, None] * 0.4
    return {"images": images, "masks": masks, "labels": [0, 1, 2, 3, 0, 1]}


@pytest.fixture(scope="session")
def models():
    torch.manual_seed(0)
    options = {"num_classes": 4, "channels": (16, 16, 32, 32), "stem_width": 16}
    attending = timm.create_model("resnet10t", **options)
    visattn.wrap(attending, "nonlocal", stages=[2], every=1)
    visattn.wrap(attending, "se", stages=[4])
    gated = timm.create_model("resnet10t", **options)
    visattn.wrap(gated, "cbam", stages=[3, 4], init="paper")
    for tap in attending.modules():  # scores far from 0, so that rows are far from flat
        if type(tap).__name__ == "NonLocal":
            nn.init.normal_(tap.theta.weight, std=1.0)
            nn.init.normal_(tap.phi.weight, std=1.0)
    return {"attending": attending.eval(), "gated": gated.eval()}


@pytest.fixture(scope="session")
def page(models, scenes):
    return visattn.report(models, **scenes, classes=["buri", "ebi", "ika", "tamago"], batch_size=4)
