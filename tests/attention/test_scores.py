"""Each score against its formula, one pair at a time."""

import math

import pytest
import torch

from visattn.attention import (
    AdditiveScore,
    Attention,
    CosineScore,
    DotScore,
    GeneralScore,
    LocationScore,
    ProjectedDotScore,
    attend,
    cosine_scores,
)


def pairs(function, query, key):
    """A score worked out pair by pair."""
    return torch.stack(
        [
            torch.stack([torch.stack([function(q, k) for k in keys]) for q in queries])
            for queries, keys in zip(query, key, strict=True)
        ]
    )


def formulas():
    dot, scaled = DotScore(scale=1.0), DotScore()
    general, projected = GeneralScore(6, 6), ProjectedDotScore(6, 6, width=4)
    additive = AdditiveScore(6, 6, hidden=5)

    def concat(q, k):
        matrix = torch.cat((additive.query.weight, additive.key.weight), 1)
        return additive.vector @ torch.tanh(matrix @ torch.cat((q, k)) + additive.query.bias)

    return {
        "dot": (dot, lambda q, k: (q * k).sum()),
        "scaled dot": (scaled, lambda q, k: (q * k).sum() / 6**0.5),
        "general": (general, lambda q, k: torch.einsum("i,ij,j", q, general.weight.weight, k)),
        "projected": (
            projected,
            lambda q, k: (projected.query.weight @ q) @ (projected.key.weight @ k) / 2,
        ),
        "additive": (additive, concat),
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("name", ["dot", "scaled dot", "general", "projected", "additive"])
def test_score_is_its_formula(name, dtype):
    score, formula = formulas()[name]
    score.to(dtype)
    query, key = torch.randn(2, 3, 6, dtype=dtype), torch.randn(2, 4, 6, dtype=dtype)
    expected = pairs(formula, query, key)
    within = {"atol": 1e-6 if dtype == torch.float32 else 1e-12, "rtol": 0}
    torch.testing.assert_close(score(query, key), expected, **within)
    torch.testing.assert_close(score.compare(query, score.keys(key)), expected, **within)
    weights = attend(query, key, score=score).weights
    normalised = expected.exp() / expected.exp().sum(-1, keepdim=True)
    torch.testing.assert_close(weights, normalised, **within)


def test_location_looks_at_the_query_alone():
    score = LocationScore(6, length=5)
    query, key = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    expected = (query @ score.weight.weight.T + score.weight.bias)[..., :4]
    torch.testing.assert_close(score(query, key), expected)
    torch.testing.assert_close(score(query, torch.randn(2, 4, 9)), expected)
    with pytest.raises(ValueError, match="5 places, the source has 6"):
        score(query, torch.randn(2, 6, 6))


@pytest.mark.parametrize(
    "score", [GeneralScore(6, 3), ProjectedDotScore(6, 3, width=4), AdditiveScore(6, 3, hidden=4)]
)
def test_widths_may_differ(score):
    assert score(torch.randn(2, 3, 6), torch.randn(2, 4, 3)).shape == (2, 3, 4)


def test_the_layer_is_the_function_and_ignores_padding():
    score = AdditiveScore(6, 6, hidden=5)
    layer = Attention(score, value=torch.nn.Linear(6, 2))
    query, source = torch.randn(2, 3, 6), torch.randn(2, 4, 6)
    memory = layer.remember(source, torch.tensor([4, 2]))
    found = layer(query, memory)
    for row, length in ((0, 4), (1, 2)):
        alone = source[row : row + 1, :length]
        expected = attend(query[row : row + 1], alone, layer.value(alone), score=score)
        torch.testing.assert_close(found.context[row : row + 1], expected.context)
        torch.testing.assert_close(found.weights[row : row + 1, :, :length], expected.weights)
        assert (found.weights[row, :, length:] == 0).all()


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
