"""States of words, whatever the padding."""

import pytest
import torch

from visattn.attention import Attention, DotScore
from visattn.sequence import Decoder, Encoded, Encoder


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_states_are_those_of_the_plain_recurrence(cell, bidirectional):
    encoder = Encoder(12, embedding=5, hidden=6, cell=cell, bidirectional=bidirectional)
    source = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0], [9, 0, 0, 0]])
    lengths = torch.tensor([4, 2, 1])
    encoded = encoder(source, lengths)
    assert encoded.states.shape == (3, 4, 6)
    for row, length in enumerate(lengths.tolist()):
        states, last = encoder.recurrent(encoder.embedding(source[row : row + 1, :length]))
        last = last[0] if cell == "lstm" else last
        torch.testing.assert_close(encoded.states[row, :length], states[0])
        assert (encoded.states[row, length:] == 0).all()
        torch.testing.assert_close(encoded.summary[row], last[:, 0].flatten())


def test_one_direction_knows_nothing_of_what_follows():
    first, second = torch.tensor([[3, 4, 5]]), torch.tensor([[3, 4, 6]])
    lengths = torch.tensor([3])
    for bidirectional in (False, True):
        encoder = Encoder(9, embedding=4, hidden=4, bidirectional=bidirectional)
        states = [encoder(words, lengths).states[:, :2] for words in (first, second)]
        assert torch.equal(*states) != bidirectional


def test_two_directions_need_an_even_width():
    with pytest.raises(ValueError, match="it must be even, got 7"):
        Encoder(9, embedding=4, hidden=7)


@pytest.mark.parametrize("lengths", [[3, 0], [4, 2]])
def test_lengths_outside_of_the_source_are_refused(lengths):
    encoder = Encoder(9, embedding=4, hidden=4)
    with pytest.raises(ValueError, match=rf"1 to 3, .* got \[{lengths[0]}, {lengths[1]}\]"):
        encoder(torch.ones(2, 3, dtype=torch.long), torch.tensor(lengths))


def test_unknown_cells_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="of lstm, gru, got 'LSTM'; did you mean 'lstm'"):
        Encoder(9, embedding=4, hidden=4, cell="LSTM")
    with pytest.raises(ValueError, match=r"of lstm, gru, got 'rnn'$"):
        Decoder(9, source_channels=4, attention=None, embedding=4, hidden=4, cell="rnn")


def test_a_decoder_refuses_what_does_not_fit_it():
    options = {"source_channels": 8, "embedding": 5, "hidden": 8}
    with pytest.raises(ValueError, match="of state, input, got 'inputs'; did you mean 'input'"):
        Decoder(9, attention=Attention(DotScore()), query="inputs", **options)
    narrow = Attention(DotScore(), value=torch.nn.Linear(8, 5))
    source = Encoded(torch.randn(2, 6, 8), torch.tensor([6, 3]), torch.randn(2, 8))
    target = torch.randint(3, 9, (2, 4))
    for say in (
        lambda decoder: decoder(source, target),
        lambda decoder: decoder.greedy(source, max_length=3),
    ):
        with pytest.raises(ValueError, match="expects 8: build it with context_channels=5"):
            say(Decoder(9, attention=narrow, **options))
        fitting = say(Decoder(9, attention=narrow, context_channels=5, **options))
        assert fitting.weights.shape[2] == 6
    other = Encoded(source.states, source.lengths, torch.randn(2, 7))
    with pytest.raises(ValueError, match="must have source_channels=8, got 7"):
        Decoder(9, attention=None, **options)(other, target)
