"""Sentences in two languages, word by word aligned, and batches of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visattn.sequence.vocabulary import END, Vocabulary, padded


@dataclass(frozen=True)
class SentencePair:
    """A sentence, its translation, and which words belong together.

    Attributes:
        source: Words.
        target: Words.
        alignment: For each target word the places of the source words that it comes from.
        clauses: Number of clauses.
    """

    source: tuple[str, ...]
    target: tuple[str, ...]
    alignment: tuple[frozenset[int], ...]
    clauses: int = 1


def collate_pairs(
    pairs: Sequence[SentencePair], *, source: Vocabulary, target: Vocabulary
) -> dict[str, Tensor]:
    """Pairs to a padded batch.

    Args:
        pairs: N of them.
        source: Vocabulary of the sources.
        target: Vocabulary of the targets.

    Returns:
        ``source`` (N, S) and ``target`` (N, T), numbers, padded with `PAD`, `END` after the last
        target word; ``lengths`` (N,) of the sources; ``alignment`` (N, T, S), boolean.

    Example:
        >>> pair = SentencePair(("I", "go"), ("vado",), (frozenset({0, 1}),))
        >>> batch = collate_pairs([pair], source=Vocabulary(["I", "go"]),
        ...                       target=Vocabulary(["vado"]))
        >>> batch["source"], batch["target"], batch["alignment"].int()
        (tensor([[3, 4]]), tensor([[3, 2]]), tensor([[[1, 1],
                 [0, 0]]], dtype=torch.int32))
    """
    given = padded([source.numbers(pair.source) for pair in pairs])
    wanted = padded([[*target.numbers(pair.target), END] for pair in pairs])
    alignment = torch.zeros(*wanted.shape, given.shape[1], dtype=torch.bool)
    for row, pair in enumerate(pairs):
        for place, origins in enumerate(pair.alignment):
            alignment[row, place, list(origins)] = True
    lengths = torch.tensor([len(pair.source) for pair in pairs])
    return {"source": given, "lengths": lengths, "target": wanted, "alignment": alignment}
