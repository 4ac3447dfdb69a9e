"""Lightning's data module of random symbols to copy."""

from typing import Any, final

import torch
from torch.utils.data import DataLoader

from visattn.data.loading.loaders import share_of
from visattn.sequence import copying_batch
from visattn.tasks.split_data import SplitData, dealing_loader
from visattn.training.checks import check_in


@final
class CopyingData(SplitData):
    """Random symbols to copy, see `visattn.sequence.copying`.

    Args:
        length: How many symbols there are to copy.
        symbols: How many different ones.
        train: Sequences to train on.
        val: Sequences to validate on.
        test: Sequences to test on.
        batch_size: Sequences a batch.
        seed: Of the sequences.

    Example:
        >>> sorted(next(iter(CopyingData(train=64, val=64, test=64).val_dataloader())))
        ['given', 'target']
    """

    def __init__(
        self,
        *,
        length: int = 20,
        symbols: int = 8,
        train: int = 64000,
        val: int = 640,
        test: int = 1280,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        check_in("[1, inf)", length=length, symbols=symbols)
        self.length, self.symbols = length, symbols

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of symbols to copy."""
        size, seed = self.size_and_seed(split)
        given, target = copying_batch(
            size,
            length=self.length,
            symbols=self.symbols,
            generator=torch.Generator().manual_seed(seed),
        )
        pairs = zip(given.split(self.batch_size), target.split(self.batch_size), strict=True)
        batches = [{"given": first, "target": second} for first, second in pairs]
        share = share_of(self.trainer)
        return dealing_loader(batches, batch_size=None, shuffle=shuffle, share=share)
