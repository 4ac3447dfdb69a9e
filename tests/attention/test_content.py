"""Reading a memory by content."""

import math

import pytest
import torch

from visattn.attention import Attention, CosineScore, attend, cosine_scores


def test_the_read_is_the_formula_slot_by_slot():
    query, memory, strength = torch.randn(2, 3, 5), torch.randn(2, 4, 5), 1 + 9 * torch.rand(2, 3)
    found = attend(query, memory, score=lambda q, k: cosine_scores(q, k, strength=strength))
    for row in range(2):
        for head in range(3):
            q = query[row, head]
            likeness = [
                math.exp(float(strength[row, head] * (q @ slot) / (q.norm() * slot.norm())))
                for slot in memory[row]
            ]
            expected = sum(
                slot * part / sum(likeness)
                for slot, part in zip(memory[row], likeness, strict=True)
            )
            torch.testing.assert_close(found.context[row, head], expected)


def test_lengths_of_the_vectors_do_not_matter():
    score = CosineScore(strength=4.0)
    query, memory = torch.randn(3, 5), torch.randn(6, 5)
    lengths = 0.1 + 10 * torch.rand(6, 1)
    torch.testing.assert_close(score(7 * query, lengths * memory), score(query, memory))
    torch.testing.assert_close(score(query, memory), cosine_scores(query, memory, strength=4.0))


def test_an_empty_slot_has_a_finite_gradient():
    memory = torch.zeros(2, 4, requires_grad=True)
    scores = CosineScore(strength=3.0)(torch.randn(1, 4), memory)
    assert scores.tolist() == [[0.0, 0.0]]
    scores.sum().backward()
    assert memory.grad.isfinite().all()


def test_a_layer_reads_the_most_alike_slot_and_no_padding():
    layer = Attention(CosineScore(strength=100.0))
    source = torch.nn.functional.normalize(torch.randn(2, 6, 16), dim=-1)
    found = layer(0.2 * source[:, 1:2], layer.remember(source, torch.tensor([6, 3])))
    torch.testing.assert_close(found.context, source[:, 1:2], atol=1e-3, rtol=0)
    assert (found.weights[1, 0, 3:] == 0).all()


def test_the_strength_is_checked():
    with pytest.raises(ValueError, match="above 0, got 0"):
        CosineScore(strength=0.0)
