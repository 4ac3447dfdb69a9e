"""States of words, whatever the padding."""

import pytest
import torch

from visattn.sequence import Encoder


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
