"""What the metric tests share: a hard batch, and its pixels as plain numbers."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch

NAN = float("nan")
Batch = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture
def random_batch() -> Callable[[int], Batch]:
    """Maps with many ties, masks with ignored pixels, an empty, a full and no mask."""

    def batch(seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        saliency = torch.randint(0, 6, (12, 7, 9), generator=generator).float() / 5
        mask = (torch.rand(12, 7, 9, generator=generator) < 0.3).float()
        mask[torch.rand(12, 7, 9, generator=generator) < 0.15] = NAN
        mask[3] = mask[3] * 0
        mask[4] = mask[4] * 0 + 1
        mask[5] = NAN
        return saliency, mask

    return batch


@pytest.fixture
def pixels_of() -> Callable[[torch.Tensor, torch.Tensor], list[tuple[float, bool, int, int]]]:
    """Pixels (value, on the mask, y, x) of one image that are not ignored."""

    def pixels(saliency: torch.Tensor, mask: torch.Tensor) -> list[tuple[float, bool, int, int]]:
        return [
            (float(saliency[y, x]), float(mask[y, x]) >= 0.5, y, x)
            for y, x in itertools.product(*map(range, mask.shape))
            if not math.isnan(mask[y, x])
        ]

    return pixels
