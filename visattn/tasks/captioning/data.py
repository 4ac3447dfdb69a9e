"""Lightning's data module of scenes of two dishes with their captions."""

from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, StackDataset, default_collate

from visattn.data.generated.sushi import KINDS
from visattn.data.generated.sushi.two_dishes import RELATIONS, TwoDishes, render_two_dishes
from visattn.data.loading.loaders import share_of
from visattn.sequence import END, PAD, Vocabulary
from visattn.tasks.split_data import Batch, SplitData, dealing_loader
from visattn.training.checks import check_in

CAPTION_RELATIONS = {"left": ("left", "of"), "above": ("above",)}
"""How a caption says a relation."""


@final
class CaptionData(SplitData):
    """Scenes of two dishes, captioned such as "buri left of maguro" or "ebi above ika".

    The dish on the left, or above, is named first. Scenes of the three splits share no piece and no
    background.

    Args:
        size: Side of the pictures in pixels.
        train: Scenes to train on.
        val: Scenes to validate on.
        test: Scenes to test on.
        pieces: Pieces of each kind of sushi in training.
        batch_size: Scenes a batch.
        seed: Of the scenes.

    Attributes:
        reading: How pictures are read.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> data = CaptionData(train=8, val=8, test=8)
        >>> data.words, data.vocabulary.words(data.caption(0, 1, 0))
        (14, ('buri', 'left', 'of', 'maguro'))
    """

    def __init__(
        self,
        *,
        size: int = 64,
        train: int = 4000,
        val: int = 300,
        test: int = 500,
        pieces: int = 400,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        super().__init__(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        check_in("[32, inf)", size=size)
        check_in("[1, inf)", pieces=pieces)
        self.size, self.reading = size, {"size": size}
        self.pieces = {"train": pieces, "val": 10, "test": 20}
        texts = [word for relation in RELATIONS for word in CAPTION_RELATIONS[relation]]
        self.vocabulary = Vocabulary([*KINDS, *texts])
        self.words = len(self.vocabulary)
        self._sets: dict[str, StackDataset[Any]] = {}

    def caption(self, first: int, second: int, relation: int) -> list[int]:
        """Numbers of a caption's words, with the end."""
        between = CAPTION_RELATIONS[RELATIONS[relation]]
        return [*self.vocabulary.numbers([KINDS[first], *between, KINDS[second]]), END]

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of scenes, which are rendered once; whole ones alone if they are shuffled."""
        if split not in self._sets:
            size, seed = self.size_and_seed(split)
            scenes = render_two_dishes(size, size=self.size, seed=seed, pieces=self.pieces[split])
            arrays = {"image": scenes.images, "mattes": scenes.mattes, "kinds": scenes.kinds}
            columns: dict[str, Any] = {n: torch.from_numpy(found) for n, found in arrays.items()}
            self._sets[split] = StackDataset(**columns | {"target": self._target(scenes)})
        return dealing_loader(
            self._sets[split],
            batch_size=self.batch_size,
            shuffle=shuffle,
            share=share_of(self.trainer),
            drop_last=shuffle,
            collate_fn=_as_batch,
        )

    def _target(self, scenes: TwoDishes) -> Tensor:
        target = torch.full((len(scenes), 5), PAD)
        pairs = zip(scenes.kinds.tolist(), scenes.relations.tolist(), strict=True)
        for row, ((first, second), relation) in enumerate(pairs):
            numbers = self.caption(first, second, relation)
            target[row, : len(numbers)] = torch.tensor(numbers)
        return target


def as_input(images: Tensor) -> Tensor:
    """Pictures (N, H, W, 3) of bytes to what the network reads, (N, 3, H, W) in [-1, 1].

    Example:
        >>> as_input(torch.full((1, 2, 2, 3), 255, dtype=torch.uint8)).unique()
        tensor([1.])
    """
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def _as_batch(scenes: list[Batch]) -> Batch:
    """Images in [-1, 1] and channels first, masks boolean."""
    batch: Batch = default_collate(scenes)
    return {**batch, "image": as_input(batch["image"]), "mattes": batch["mattes"] > 127}
