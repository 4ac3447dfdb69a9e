"""Lightning's data modules of sentences about sushi: kind and unkind ones, and tagged ones."""

from collections.abc import Sequence
from functools import partial
from typing import Any, final

from torch.utils.data import DataLoader

from visattn.data.loading.loaders import share_of
from visattn.sequence import (
    TAGS,
    collate_reviews,
    collate_tagged,
    random_reviews,
    random_tagged,
    review_vocabulary,
)
from visattn.tasks.split_data import SplitData, batch_loader
from visattn.training.checks import check_in


@final
class ReviewData(SplitData):
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
        super().__init__(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        check_in("[0, 1]", negated=negated)
        self.negated = negated
        self.vocabulary = review_vocabulary()
        self.words = len(self.vocabulary)

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of sentences, with as many negated as the split has."""
        size, seed = self.size_and_seed(split)
        negated = {"test_plain": 0.0, "test_negated": 1.0}.get(split, self.negated)
        reviews = random_reviews(size, negated=negated, seed=seed)
        collate = partial(collate_reviews, vocabulary=self.vocabulary)
        return batch_loader(
            [reviews],
            batch_size=self.batch_size,
            collate=collate,
            shuffle=shuffle,
            share=share_of(self.trainer),
        )


@final
class TaggingData(SplitData):
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
        super().__init__(train=train, val=val, test=test, batch_size=batch_size, seed=seed)
        if not nouns or min(nouns) < 1 or max(nouns) > 8:
            raise ValueError(f"nouns must be numbers in 1 to 8, got {list(nouns)}")
        self.nouns = tuple(nouns)
        self.test_names = tuple(f"test_{count}" for count in nouns)
        self.vocabulary = review_vocabulary()
        self.words, self.tags = len(self.vocabulary), len(TAGS)

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of one number of nouns each."""
        size, seed = self.size_and_seed(split)
        counts = [int(split.removeprefix("test_"))] if split in self.test_names else self.nouns
        each = -(-size // len(counts))
        groups = [random_tagged(each, nouns=nouns, seed=seed) for nouns in counts]
        collate = partial(collate_tagged, vocabulary=self.vocabulary)
        return batch_loader(
            groups,
            batch_size=self.batch_size,
            collate=collate,
            shuffle=shuffle,
            share=share_of(self.trainer),
        )
