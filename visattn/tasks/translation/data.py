"""Lightning's data module of generated sentences with their translations."""

from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any, final

from torch.utils.data import DataLoader

from visattn.data.loading.loaders import share_of
from visattn.sequence import QUESTION, clause_vocabularies, collate_pairs, random_pairs
from visattn.tasks.split_data import SplitData, batch_loader


@final
class ClauseData(SplitData):
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
        super().__init__(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        given = {"train_clauses": train_clauses, "test_clauses": test_clauses}
        for name, (first, last) in given.items():
            if not 1 <= first <= last:
                raise ValueError(f"{name} must rise from at least 1, got {first} to {last}")
        self.train_clauses = range(train_clauses[0], train_clauses[1] + 1)
        self.test_clauses = range(test_clauses[0], test_clauses[1] + 1)
        self.test_names = tuple(f"test_{clauses}" for clauses in self.test_clauses)
        self.source, self.target = clause_vocabularies()
        self.source_words, self.target_words = len(self.source), len(self.target)
        self.question = self.target.numbers([QUESTION])[0]

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Padded batches, each of one number of clauses."""
        size, seed = self.size_and_seed(split)
        tested = split in self.test_names
        counts = [int(split.removeprefix("test_"))] if tested else self.train_clauses
        pairs = random_pairs(size, clauses=counts, seed=seed)
        length = attrgetter("clauses")
        groups = [[*same] for _, same in groupby(sorted(pairs, key=length), key=length)]
        collate = partial(collate_pairs, source=self.source, target=self.target)
        return batch_loader(
            groups,
            batch_size=self.batch_size,
            collate=collate,
            shuffle=shuffle,
            share=share_of(self.trainer),
        )
