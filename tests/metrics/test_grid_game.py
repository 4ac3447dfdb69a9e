"""The grid pointing game against its definition, cell by cell."""

import pytest
import torch
from torch import nn

from visattn.evaluation import evaluate_maps
from visattn.metrics import cell_share, grid_rows, image_grids


def test_images_stand_row_by_row():
    images = torch.arange(6.0)[:, None, None, None].expand(6, 3, 2, 4)
    grids = image_grids(images, torch.tensor([[5, 1, 0, 3]]))
    assert grids.shape == (1, 3, 4, 8)
    assert grids[0, 1, ::2, ::4].tolist() == [[5.0, 1.0], [0.0, 3.0]]
    assert grids[0, 0, 1, 3] == 5
    assert grids[0, 0, 1, 4] == 1
    nine = image_grids(torch.arange(9.0).view(9, 1, 1, 1), torch.arange(9)[None])
    assert nine[0, 0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]


def test_no_class_is_twice_in_a_grid_and_no_image_in_two():
    classes = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
    sure = torch.tensor([0.1, 0.9, 0.5, 0.2, 0.8, 0.7, 0.3, 0.6, 0.4, 0.95])
    rows = grid_rows(classes, sure)
    assert rows.tolist() == [[9, 1, 4, 5], [7, 2, 6, 3]]
    assert grid_rows(classes[:7], sure[:7]).shape == (0, 4)


def test_what_is_positive_counts():
    maps = torch.zeros(2, 4, 4)
    maps[:, :2, 2:], maps[:, 2:, :2], maps[:, 3, 3] = 1.0, 0.5, -9.0
    assert cell_share(maps, torch.tensor([1, 2])).tolist() == pytest.approx([4 / 6, 2 / 6])
    assert cell_share(torch.zeros(1, 2, 2), torch.tensor([0])).isnan().all()
    with pytest.raises(ValueError, match="no 2 x 2 equal cells"):
        cell_share(torch.ones(1, 3, 4), torch.tensor([0]))


class Colours(nn.Module):
    """Finds red, green and blue, and black by their absence, wherever they are."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(3, 4, 1)
        with torch.no_grad():
            self.maps.weight.zero_()
            self.maps.weight[:3, :, 0, 0] = torch.eye(3)
            self.maps.weight[3] = -1
            self.maps.bias[:] = torch.tensor([0.0, 0.0, 0.0, 0.5])

    def forward(self, images):
        return self.maps(images).relu().mean((2, 3))


def test_a_network_whose_map_lies_on_its_class_alone_scores_1():
    images = torch.zeros(8, 3, 8, 8)
    for row in range(8):
        if row % 4 < 3:
            images[row, row % 4] = 1
    batch = {"image": images, "mask": torch.ones(8, 8, 8), "label": torch.arange(8) % 4}
    found = evaluate_maps(Colours().eval(), [batch], steps=2, randomised_images=8)
    (name,) = (name for name in found if name.startswith("Grad-CAM"))
    assert found[name].localisation["grid"].value == pytest.approx(1)
    assert found[name].localisation["grid"].images == 8
    assert found["centre"].localisation["grid"].value == pytest.approx(0.25)
    assert found[name].localisation["grid"].chance == 0.25
    assert found[name].seconds > 0
    none = evaluate_maps(Colours().eval(), [batch], steps=2, randomised_images=8, grids=0)
    assert none[name].localisation["grid"].images == 0
