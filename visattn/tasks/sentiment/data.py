"""Lightning's data module of kind and unkind sentences about sushi."""

from functools import partial
from typing import Any, final

from torch.utils.data import DataLoader

from visattn.sequence import collate_reviews, random_reviews, review_vocabulary
from visattn.tasks.split_data import SplitData, batch_loader, batched


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
        if not 0 <= negated <= 1:
            raise ValueError(f"negated is a share, in [0, 1], got {negated}")
        self.negated = negated
        self.vocabulary = review_vocabulary()
        self.words = len(self.vocabulary)

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Batches of sentences, with as many negated as the split has."""
        size, seed = self.size_and_seed(split)
        negated = {"test_plain": 0.0, "test_negated": 1.0}.get(split, self.negated)
        reviews = random_reviews(size, negated=negated, seed=seed)
        collate = partial(collate_reviews, vocabulary=self.vocabulary)
        batches = batched(reviews, batch_size=self.batch_size, collate=collate)
        return batch_loader(batches, shuffle=shuffle)
