from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from visattn.experiments.two_plates import draw_two_plates

NAMES = ("buri", "ebi")


class ReadsThePlate(nn.Module):
    """Says ebi where the picture is bright."""

    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        bright = self.conv(x).mean((1, 2, 3)) * 0 + x.mean((1, 2, 3))
        return torch.stack((-bright, bright), 1)


class SeesThePiece(ReadsThePlate):
    """Says buri whatever the plate."""

    def masked_forward(self, x):
        return torch.tensor([[1.0, 0.0]]).expand(len(x), 2), torch.rand(len(x), 1, 8, 8)


class Noting(list):
    def __init__(self, items, asked):
        super().__init__(items)
        self.asked = asked

    def __getitem__(self, index):
        self.asked.append(index)
        return super().__getitem__(index)


def results(**right):
    label = torch.zeros(3, dtype=torch.long)
    index = torch.tensor([2, 0, 1])  # tested in another order
    return SimpleNamespace(
        splits={
            split: SimpleNamespace(
                label=label, index=index, prediction=1 - torch.tensor(found)[index].long()
            )
            for split, found in right.items()
        }
    )


@pytest.fixture
def data():
    def dataset(name):
        level = -1.0 if "same" in name else 1.0
        return [{"image": torch.full((3, 8, 8), level), "label": 0} for _ in range(3)]

    return SimpleNamespace(
        dataset=dataset, class_names=NAMES, reading={"mean": (0.5,) * 3, "std": (0.5,) * 3}
    )


def test_the_first_piece_for_which_the_plate_decides(data, tmp_path):
    asked, plain = [], data.dataset
    data.dataset = lambda name: Noting(plain(name), asked)
    networks = {
        "plain": (
            ReadsThePlate(),
            results(mixed_same=[False, True, True], mixed_rand=[False, False, False]),
        ),
        "mask": (
            SeesThePiece(),
            results(mixed_same=[True, True, True], mixed_rand=[True, True, True]),
        ),
    }
    file = draw_two_plates(networks, data, out=tmp_path / "two.png")
    assert asked == [1, 1]
    with Image.open(file) as drawn:
        assert drawn.width > 400


def test_no_such_piece_no_picture(data, tmp_path):
    both = results(mixed_same=[True] * 3, mixed_rand=[True] * 3)
    networks = {"plain": (ReadsThePlate(), both), "mask": (SeesThePiece(), both)}
    assert draw_two_plates(networks, data, out=tmp_path / "two.png") is None
    assert not list(tmp_path.iterdir())
