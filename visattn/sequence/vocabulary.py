"""Words and their numbers."""

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import final

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

PAD, START, END = 0, 1, 2
"""Numbers of what is no word: padding, before the first word, after the last one."""

SIGNS = ("<pad>", "<start>", "<end>")


def padded(rows: Iterable[Sequence[int]], *, value: int = PAD) -> Tensor:
    """Rows of numbers as one tensor, the shorter ones with a value behind them.

    Example:
        >>> padded([[3], [4, 5]])
        tensor([[3, 0],
                [4, 5]])
    """
    tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)


@final
class Vocabulary:
    """Words numbered in their order, after `SIGNS`.

    Args:
        words: All words, each once.

    Raises:
        ValueError: A word comes twice or is one of `SIGNS`.

    Example:
        >>> vocabulary = Vocabulary(["buri", "maguro"])
        >>> vocabulary.numbers(["maguro", "buri"]), len(vocabulary)
        ([4, 3], 5)
        >>> vocabulary.words([4, 3, 2, 0])
        ('maguro', 'buri')
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = (*SIGNS, *words)
        self._numbers = {word: number for number, word in enumerate(self._words)}
        if len(self._numbers) != len(self._words):
            twice = sorted({word for word in self._words if self._words.count(word) > 1})
            raise ValueError(f"each word must come once; these come again: {', '.join(twice)}")

    def __len__(self) -> int:
        return len(self._words)

    def numbers(self, words: Sequence[str]) -> list[int]:
        """Words to numbers.

        Raises:
            KeyError: A word is unknown.
        """
        unknown = [word for word in words if word not in self._numbers]
        if unknown:
            raise KeyError(
                f"unknown word {unknown[0]!r}; there are {len(self) - len(SIGNS)}:"
                f" {', '.join(self._words[len(SIGNS) :])}"
            )
        return [self._numbers[word] for word in words]

    def words(self, numbers: Sequence[int] | Tensor) -> tuple[str, ...]:
        """Numbers to words, up to the end and without padding."""
        before = takewhile(lambda number: number != END, map(int, numbers))
        return tuple(self._words[number] for number in before if number not in (PAD, START))
