"""A recurrent encoder: a vector for each word, and one for the sentence."""

from typing import Literal, NamedTuple, final

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from visattn.basics.suggestions import check_name
from visattn.sequence.vocabulary import PAD

CellName = Literal["lstm", "gru"]
RECURRENT: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}


class Encoded(NamedTuple):
    """A padded batch of encoded sources.

    Attributes:
        states: (N, S, E), row s about word s; 0 where there is padding.
        lengths: (N,).
        summary: (N, E), about the whole: the last states, of both directions.
    """

    states: Tensor
    lengths: Tensor
    summary: Tensor


@final
class Encoder(nn.Module):
    """Words to states, by an LSTM or a GRU, read in one or two directions.

    Padding never enters the recurrence, so a sentence gives the same states in any batch.

    Args:
        words: Size of the vocabulary.
        embedding: Width of the words' vectors.
        hidden: Width of the states, of both directions together.
        cell: ``"lstm"`` or ``"gru"``.
        bidirectional: Read backwards as well; ``hidden`` must be even then.

    Shapes:
        numbers (N, S) and lengths (N,), at least 1, to `Encoded`.

    Raises:
        ValueError: There is no such cell, ``hidden`` is odd with two directions, or later a length
            is below 1 or above S.

    Example:
        >>> import torch
        >>> encoder = Encoder(10, embedding=4, hidden=6)
        >>> encoded = encoder(torch.tensor([[3, 4, 5], [6, 0, 0]]), torch.tensor([3, 1]))
        >>> encoded.states.shape, encoded.summary.shape
        (torch.Size([2, 3, 6]), torch.Size([2, 6]))
    """

    def __init__(
        self,
        words: int,
        *,
        embedding: int,
        hidden: int,
        cell: CellName = "lstm",
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        check_name("cell", cell, names=RECURRENT)
        if bidirectional and hidden % 2:
            raise ValueError(f"two directions share hidden: it must be even, got {hidden}")
        self.embedding = nn.Embedding(words, embedding, padding_idx=PAD)
        width = hidden // 2 if bidirectional else hidden
        self.recurrent = RECURRENT[cell](
            embedding, width, batch_first=True, bidirectional=bidirectional
        )

    def forward(self, source: Tensor, lengths: Tensor) -> Encoded:
        """Encode."""
        counts = lengths.cpu()
        if counts.numel() and not 1 <= int(counts.min()) <= int(counts.max()) <= source.shape[1]:
            raise ValueError(
                f"lengths must lie in 1 to {source.shape[1]}, the width of the source, got"
                f" {counts.tolist()}: leave empty sentences out"
            )
        packed = pack_padded_sequence(
            self.embedding(source), counts, batch_first=True, enforce_sorted=False
        )
        states, last = self.recurrent(packed)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=source.shape[1])
        final = last[0] if isinstance(last, tuple) else last
        return Encoded(states, lengths, final.transpose(0, 1).flatten(1))
