"""Numbers of the groups (class, background), as they come."""

from typing import final

from torch import Tensor


@final
class GroupNumbers:
    """Gives each pair of a class and a background a number, from 0, in the order they come in.

    Example:
        >>> import torch
        >>> numbers = GroupNumbers()
        >>> numbers(torch.tensor([0, 1, 0]), torch.tensor([5, 5, 5])).tolist(), len(numbers)
        ([0, 1, 0], 2)
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def __call__(self, labels: Tensor, backgrounds: Tensor) -> Tensor:
        """The groups (N,) of images.

        Args:
            labels: Classes (N,).
            backgrounds: (N,), -1 where unknown, which counts as one background more.

        Raises:
            ValueError: If the background of no image is known.
        """
        if (backgrounds < 0).all():
            raise ValueError(
                "groups of class and background need the images' backgrounds, and none of this "
                "batch is known: give them in the column 'style' of the data's metadata.csv "
                "(columns split, class, id, style), or take another objective."
            )
        pairs = zip(labels.tolist(), backgrounds.tolist(), strict=True)
        found = [self._numbers.setdefault(pair, len(self._numbers)) for pair in pairs]
        return labels.new_tensor(found)
