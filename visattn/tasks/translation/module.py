"""A translator with any attention, trained by Lightning."""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from visattn.sequence import (
    PAD,
    AttentionName,
    CellName,
    alignment_hits,
    build_translator,
    exact_match,
)
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.split_data import Batch

_LONGER = 4  # how many words more than the right ones a translation may have


@final
class Translator(SequenceModule):
    """From sentences to sentences, with any of the attentions of `build_translator`.

    Logged are ``train/loss``, ``val/exact`` (share of sentences that are translated word for word,
    by greedy decoding) and for each test split ``exact``, ``first_word`` (share whose first word is
    right), ``question`` (the same of questions alone) and ``alignment``: share of the target's
    words whose greatest weight lies on a word that they come from, with the right words fed back.
    Parts of ``alignment`` are ``kept`` (of words with an origin at their own place, on the
    diagonal), ``moved`` (of those without, off the diagonal) and ``opener`` (of the word that
    begins a question, which counts for neither of the two).

    Args:
        attention: See `build_translator`.
        source_words: Size of the source's vocabulary; on the command line it comes from the data.
        target_words: Size of the target's; likewise.
        embedding: Width of the words' vectors.
        hidden: Width of the states.
        cell: ``"lstm"`` or ``"gru"``.
        bidirectional: Whether the encoder reads backwards as well.
        max_source: Longest source that the scores of places can serve.
        question: The target's word that depends on the source's last one; on the command line it
            comes from the data.
        forcing: Probability that a step of the training is given the right word; encoders alone
            have no choice.
        learning_rate: Its highest value.
        weight_decay: On matrices only.
        warmup: Share of the training in which the learning rate rises.

    Raises:
        ValueError: There is no attention of that name, or ``forcing`` is asked of an encoder alone.

    Example:
        >>> model = Translator("dot", source_words=47, target_words=48, hidden=16)
        >>> model.model.decoder.attention.score
        DotScore()
    """

    validated = "exact"

    def __init__(
        self,
        attention: AttentionName = "dot",
        *,
        source_words: int,
        target_words: int,
        embedding: int = 64,
        hidden: int = 128,
        cell: CellName = "lstm",
        bidirectional: bool = True,
        max_source: int = 64,
        question: int | None = None,
        forcing: float = 1.0,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, warmup=warmup)
        if forcing != 1 and attention in ("encoder_dot", "encoder_qkv"):
            raise ValueError(
                f"forcing={forcing} has no effect on {attention}, which has no decoder to feed"
                " words back to: leave it out, or take an attention with a decoder, such as dot"
            )
        self.save_hyperparameters()
        self.forcing = forcing
        self.model = build_translator(
            attention,
            source_words=source_words,
            target_words=target_words,
            embedding=embedding,
            hidden=hidden,
            cell=cell,
            bidirectional=bidirectional,
            max_source=max_source,
        )
        self.question = question

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Cross-entropy of the words."""
        said = self.model(batch["source"], batch["lengths"], batch["target"], forcing=self.forcing)
        loss = F.cross_entropy(
            said.logits.flatten(0, 1), batch["target"].flatten(), ignore_index=PAD
        )
        return self.logged(loss, count=1)

    def right(self, batch: Batch) -> Tensor:
        """Which translations are exact."""
        return exact_match(self.translated(batch), batch["target"])

    def measures(self, batch: Batch) -> dict[str, Tensor]:
        """Exact translations, first words, and where there is attention its alignment."""
        target = batch["target"]
        tokens = self.translated(batch)
        first = tokens[:, 0] == target[:, 0]
        found = {"exact": exact_match(tokens, target), "first_word": first}
        if self.question is not None:
            found["question"] = first[target[:, 0] == self.question]
        weights = self.model(batch["source"], batch["lengths"], target).weights
        if weights is not None:
            hits, counted = alignment_hits(weights, batch["alignment"], target)
            found["alignment"] = hits[counted]
            found |= {part: hits[counted & words] for part, words in self._parts(batch).items()}
        return found

    def _parts(self, batch: Batch) -> dict[str, Tensor]:
        """Which words (N, T) kept their place, which moved, and which begin a question."""
        target, alignment = batch["target"], batch["alignment"]
        size = min(alignment.shape[1:])
        kept = torch.zeros_like(target, dtype=torch.bool)
        kept[:, :size] = alignment.diagonal(dim1=1, dim2=2)
        if self.question is None:
            return {"kept": kept, "moved": ~kept}
        question = target == self.question
        return {"kept": kept & ~question, "moved": ~kept & ~question, "opener": question}

    def translated(self, batch: Batch) -> Tensor:
        """Words (N, T) by greedy decoding, a few more than the right ones at most."""
        length = batch["target"].shape[1] + _LONGER
        return self.model.greedy(batch["source"], batch["lengths"], max_length=length).tokens
