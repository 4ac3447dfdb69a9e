"""Lightning's data modules of generated sentences about sushi."""

from collections.abc import Sequence
from functools import partial
from typing import final

import lightning as L
from torch.utils.data import DataLoader

from visattn.sequence import (
    TAGS,
    collate_reviews,
    collate_tagged,
    random_reviews,
    random_tagged,
    review_vocabulary,
)
from visattn.tasks.batched import Batch, batch_loader, batched, split_sizes


@final
class ReviewData(L.LightningDataModule):
    """Kind and unkind sentences, see `visattn.sequence.reviews`.

    There are two test splits: ``test_plain``, where one word decides, and ``test_negated``, where
    "not" turns it round.

    Args:
        train: Sentences to train on.
        negated: Share of them with "not".
        val: Sentences to validate on.
        test: Sentences of each test split.
        batch_size: Sentences a batch.
        seed: Of the sentences.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> data = ReviewData(train=8, val=8, test=8)
        >>> sorted(next(iter(data.train_dataloader())))
        ['deciding', 'label', 'lengths', 'words']
    """

    test_names = ("test_plain", "test_negated")

    def __init__(
        self,
        *,
        train: int = 8000,
        negated: float = 0.3,
        val: int = 500,
        test: int = 500,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = split_sizes(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        if not 0 <= negated <= 1:
            raise ValueError(f"negated is a share, in [0, 1], got {negated}")
        self.negated = negated
        self.batch_size = batch_size
        self.seed = seed
        self.vocabulary = review_vocabulary()

    @property
    def words(self) -> int:
        """Size of the vocabulary."""
        return len(self.vocabulary)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches in a new order each epoch."""
        return batch_loader(self._batches("train", self.negated, 0), shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split."""
        return batch_loader(self._batches("val", self.negated, 1))

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """Plain and negated sentences."""
        return [batch_loader(self._batches("test", negated, 2)) for negated in (0.0, 1.0)]

    def _batches(self, split: str, negated: float, number: int) -> list[Batch]:
        reviews = random_reviews(self.sizes[split], negated=negated, seed=3 * self.seed + number)
        collate = partial(collate_reviews, vocabulary=self.vocabulary)
        return batched(reviews, batch_size=self.batch_size, collate=collate)


@final
class TaggingData(L.LightningDataModule):
    """Sentences in which each noun has an adjective, see `visattn.sequence.reviews`.

    There is a test split for each number of nouns: ``test_1``, ``test_2`` and so on.

    Args:
        train: Sentences to train on.
        nouns: Numbers of nouns.
        val: Sentences to validate on.
        test: Sentences of each test split.
        batch_size: Sentences a batch.
        seed: Of the sentences.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> data = TaggingData(train=8, val=8, test=8)
        >>> data.tags, data.test_names
        (3, ('test_1', 'test_2'))
    """

    def __init__(
        self,
        *,
        train: int = 4000,
        nouns: Sequence[int] = (1, 2),
        val: int = 500,
        test: int = 500,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sizes = split_sizes(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        if not nouns or min(nouns) < 1 or max(nouns) > 8:
            raise ValueError(f"nouns must be numbers in 1 to 8, got {list(nouns)}")
        self.nouns = tuple(nouns)
        self.batch_size = batch_size
        self.seed = seed
        self.vocabulary = review_vocabulary()

    @property
    def words(self) -> int:
        """Size of the vocabulary."""
        return len(self.vocabulary)

    @property
    def tags(self) -> int:
        """Number of tags."""
        return len(TAGS)

    @property
    def test_names(self) -> tuple[str, ...]:
        """By the number of nouns."""
        return tuple(f"test_{count}" for count in self.nouns)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Batches of one number of nouns each, in a new order each epoch."""
        share = -(-self.sizes["train"] // len(self.nouns))
        batches = [b for nouns in self.nouns for b in self._batches(share, nouns, 0)]
        return batch_loader(batches, shuffle=True)

    def val_dataloader(self) -> DataLoader[Batch]:
        """The validation split."""
        share = -(-self.sizes["val"] // len(self.nouns))
        return batch_loader([b for nouns in self.nouns for b in self._batches(share, nouns, 1)])

    def test_dataloader(self) -> list[DataLoader[Batch]]:
        """A split for each number of nouns."""
        return [batch_loader(self._batches(self.sizes["test"], n, 2)) for n in self.nouns]

    def _batches(self, count: int, nouns: int, number: int) -> list[Batch]:
        sentences = random_tagged(count, nouns=nouns, seed=3 * self.seed + number)
        collate = partial(collate_tagged, vocabulary=self.vocabulary)
        return batched(sentences, batch_size=self.batch_size, collate=collate)
