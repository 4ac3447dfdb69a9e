"""The share of Grad-CAM inside the mask, on a network and masks for which it can be counted."""

from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from visattn.experiments.comparison.grad_cam_energy import energy_inside


class Counted(nn.Sequential):
    """Grad-CAM of class 0 is the image's first channel, 8 x 8, and its means over 4 x 4."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__(
            OrderedDict(
                maps=nn.Conv2d(3, 1, 1, bias=False),
                pooled=nn.AvgPool2d(4),
                flat=nn.Flatten(),
                last=nn.Linear(4, 2, bias=False),
            )
        )
        with torch.no_grad():
            self.maps.weight.copy_(torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1))
            self.last.weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 4))


def scene(image, mask):
    return {"image": image, "mask": mask, "label": 0}


@pytest.fixture
def scenes():
    """A quarter of 4 on 1: masks of that quarter and of the right half; no map; no mask."""
    image = torch.ones(3, 8, 8)
    image[0, :4, :4] = 4
    quarter, half = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    quarter[:, :4, :4], half[:, :, 4:] = 1, 1
    return [
        scene(image, quarter),
        scene(image, half),
        scene(image * 0, quarter),
        scene(image, quarter * torch.nan),
    ]


def test_energy_and_its_chance_are_those_counted_by_hand(scenes):
    data = SimpleNamespace(
        test_names=("test_original", "test_mixed_rand"),
        dataset={"test_mixed_rand": scenes}.__getitem__,
    )
    numbers, names = energy_inside(Counted(), data)
    assert names == {"energy_layer": "pooled", "fine_energy_layer": "maps"}
    # At the fine layer the map is the image: 16 places of 4, 48 of 1; half of the ones are right.
    fine = (16 * 4 / 112 + 32 / 112) / 2
    # The coarse one is 4, 1, 1, 1, resized: 1 + 3 a(y) a(x), a = 1, 1, 7/8, 5/8, 3/8, 1/8, 0, 0.
    coarse = ((16 + 3 * 3.5**2) / 112 + (32 + 3 * 4 * 0.5) / 112) / 2
    assert numbers == pytest.approx(
        {
            "energy_inside": coarse,
            "energy_images": 2,
            "fine_energy_inside": fine,
            "fine_energy_images": 2,
            "energy_chance": (1 / 4 + 1 / 2 + 1 / 4) / 3,
        }
    )


def test_without_random_backgrounds_there_is_none(scenes):
    data = SimpleNamespace(test_names=("test_original",), dataset=lambda name: scenes)
    assert energy_inside(Counted(), data) == ({}, {})
