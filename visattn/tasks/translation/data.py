"""Lightning's data module of generated sentences with their translations."""

from collections.abc import Sequence
from functools import partial
from typing import final

import lightning as L
from torch.utils.data import DataLoader

from visattn.sequence import (
    QUESTION,
    SentencePair,
    clause_vocabularies,
    collate_pairs,
    random_pairs,
)
from visattn.tasks.batched import Batch, batch_loader, batched, split_sizes


@final
class ClauseData(L.LightningDataModule):
    """Sentences of some clauses, see `visattn.sequence.clauses`; generated in a second.

    A training batch holds sentences of the same number of clauses; batches come in random order.
    There is a test split for each number of clauses. Short sentences of it are met in training,
    too; those of several clauses hardly ever.

    Args:
        train: Sentences to train on.
        train_clauses: Fewest and most clauses of them.
        val: Sentences to validate on, of the same lengths.
        test: Sentences of each test split.
        test_clauses: Fewest and most clauses of the test splits.
        batch_size: Sentences a batch.
        seed: Of the sentences.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> data = ClauseData(train=40, val=4, test=4)
        >>> data.source_words, data.target_words, data.test_names[0]
        (47, 48, 'test_1')
        >>> sorted(next(iter(data.val_dataloader())))
        ['alignment', 'lengths', 'source', 'target']
    """

    def __init__(
        self,
        *,
        train: int = 16000,
        train_clauses: tuple[int, int] = (1, 5),
        val: int = 300,
        test: int = 300,
        test_clauses: tuple[int, int] = (1, 7),
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = split_sizes(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        for name, (first, last) in (
            ("train_clauses", train_clauses),
            ("test_clauses", test_clauses),
        ):
            if not 1 <= first <= last:
                raise ValueError(f"{name} must rise from at least 1, got {first} to {last}")
        self.train_clauses = range(train_clauses[0], train_clauses[1] + 1)
        self.test_clauses = range(test_clauses[0], test_clauses[1] + 1)
        self.batch_size = batch_size
        self.seed = seed
        self.source, self.target = clause_vocabularies()

    @property
    def source_words(self) -> int:
        """Size of the source's vocabulary."""
        return len(self.source)

    @property
    def target_words(self) -> int:
        """Size of the target's vocabulary."""
        return len(self.target)

    @property
    def question(self) -> int:
        """Number of the target's word with which a question begins."""
        return self.target.numbers([QUESTION])[0]

    @property
    def test_names(self) -> tuple[str, ...]:
        """``test_1``, ``test_2`` and so on, by the number of clauses."""
        return tuple(f"test_{clauses}" for clauses in self.test_clauses)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of one number of clauses each, in a new order each epoch."""
        pairs = random_pairs(self.sizes["train"], clauses=self.train_clauses, seed=3 * self.seed)
        return batch_loader(self._batches(pairs), shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split."""
        pairs = random_pairs(self.sizes["val"], clauses=self.train_clauses, seed=3 * self.seed + 1)
        return batch_loader(self._batches(pairs))

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """A split for each number of clauses."""
        draw = partial(random_pairs, self.sizes["test"], seed=3 * self.seed + 2)
        return [batch_loader(self._batches(draw(clauses=[count]))) for count in self.test_clauses]

    def _batches(self, pairs: Sequence[SentencePair]) -> list[Batch]:
        """Padded batches, each of one number of clauses."""
        collate = partial(collate_pairs, source=self.source, target=self.target)
        found = []
        for clauses in sorted({pair.clauses for pair in pairs}):
            same = [pair for pair in pairs if pair.clauses == clauses]
            found += batched(same, batch_size=self.batch_size, collate=collate)
        return found
