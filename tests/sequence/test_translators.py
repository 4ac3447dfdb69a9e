"""Every kind of translator: the same in any batch, and able to learn."""

from itertools import product
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from quick import slow_but

from visattn.attention import (
    Attention,
    DotScore,
    MonotonicWindow,
    PredictiveWindow,
    argmax,
    sample,
    softmax,
)
from visattn.sequence import (
    END,
    PAD,
    AttentionName,
    Decoder,
    Encoded,
    alignment_hits,
    build_translator,
    clause_vocabularies,
    collate_pairs,
    exact_match,
    random_pairs,
)

VARIANTS = get_args(AttentionName)
SOURCE, TARGET = clause_vocabularies()


def small(variant, **options):
    sizes = {"embedding": 8, "hidden": 16, **options}
    words = {"source_words": len(SOURCE), "target_words": len(TARGET)}
    return build_translator(variant, **words, **sizes)


def batch_of(count, clauses=(1, 2, 3), seed=0):
    pairs = random_pairs(count, clauses=clauses, seed=seed)
    return pairs, collate_pairs(pairs, source=SOURCE, target=TARGET)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_batch_of_one_equals_its_row_in_a_batch_of_many(variant):
    model = small(variant).eval()
    pairs, batch = batch_of(5)
    many = model(batch["source"], batch["lengths"], batch["target"])
    said = model.greedy(batch["source"], batch["lengths"], max_length=20)
    for row, pair in enumerate(pairs):
        alone = collate_pairs([pair], source=SOURCE, target=TARGET)
        source, lengths, target = alone["source"], alone["lengths"], alone["target"]
        one = model(source, lengths, target)
        words, places = target.shape[1], source.shape[1]
        torch.testing.assert_close(one.logits[0], many.logits[row, :words])
        if many.weights is not None:
            torch.testing.assert_close(one.weights[0], many.weights[row, :words, :places])
            if not variant.startswith("encoder"):
                assert (many.weights[row, :, places:] == 0).all()
                torch.testing.assert_close(
                    many.weights[row].sum(-1), torch.ones(batch["target"].shape[1])
                )
        greedy = model.greedy(source, lengths, max_length=20).tokens
        assert exact_match(greedy, said.tokens[row : row + 1]).item()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("max_length", [1, 3, 40])
def test_greedy_decoding_says_and_weighs_as_many_words(variant, max_length):
    _, batch = batch_of(3)
    said = small(variant).eval().greedy(batch["source"], batch["lengths"], max_length=max_length)
    count = said.tokens.shape[1]
    assert 1 <= count <= max_length
    assert said.logits.shape == (3, count, len(TARGET))
    if variant != "none":
        assert said.weights.shape == (3, count, batch["source"].shape[1])


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_gets_a_gradient(variant):
    model = small(variant)
    _, batch = batch_of(4)
    said = model(batch["source"], batch["lengths"], batch["target"])
    F.cross_entropy(said.logits.flatten(0, 1), batch["target"].flatten()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]


@pytest.mark.parametrize(
    ("variant", "cell"),
    slow_but(
        product(["none", "dot", "additive", "encoder_qkv"], ["lstm", "gru"]),
        [("none", "lstm"), ("dot", "gru"), ("additive", "lstm"), ("encoder_qkv", "gru")],
    ),
)
def test_learns_a_few_sentences_by_heart(variant, cell):
    model = small(variant, hidden=32, cell=cell)
    _, batch = batch_of(6, clauses=(1,))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        said = model(batch["source"], batch["lengths"], batch["target"])
        loss = F.cross_entropy(
            said.logits.flatten(0, 1), batch["target"].flatten(), ignore_index=PAD
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    said = model.greedy(batch["source"], batch["lengths"], max_length=12)
    assert exact_match(said.tokens, batch["target"]).all()


def decoder_and_source():
    decoder = Decoder(9, source_channels=6, attention=None, embedding=5, hidden=8)
    return decoder, Encoded(torch.randn(4, 3, 6), torch.tensor([3, 3, 3, 3]), torch.randn(4, 6))


def test_teacher_forcing_at_its_ends():
    """At 1 the target is fed, at 0 what was predicted: greedy decoding, but for the end."""
    decoder, source = decoder_and_source()
    target = torch.randint(3, 9, (4, 7))
    free = decoder(source, target, forcing=0.0)
    assert torch.equal(free.logits, decoder(source, target.flip(0), forcing=0.0).logits)
    steps = decoder.greedy(source, max_length=7)
    length = steps.tokens.shape[1]
    ended = (steps.tokens == END).cumsum(1) - (steps.tokens == END).int() > 0
    torch.testing.assert_close(free.logits[:, :length][~ended], steps.logits[~ended])

    forced = decoder(source, target, forcing=1.0)
    changed = target.clone()
    changed[:, 3] = 3 + (target[:, 3] - 2) % 6
    again = decoder(source, changed, forcing=1.0)
    torch.testing.assert_close(again.logits[:, :4], forced.logits[:, :4])
    assert (again.logits[:, 4] - forced.logits[:, 4]).abs().max() > 1e-4
    # What was predicted, given as the target, is the same as to feed it back.
    torch.testing.assert_close(decoder(source, free.tokens, forcing=1.0).logits, free.logits)


def test_teacher_forcing_of_one_half_feeds_either():
    decoder, source = decoder_and_source()
    first = Encoded(*(part[:1].expand(400, *part.shape[1:]) for part in source))
    target = torch.randint(3, 9, (1, 2)).expand(400, 2)
    second = {
        forcing: decoder(first, target, forcing=forcing).logits[:, 1] for forcing in (0.0, 1.0)
    }
    assert (second[0.0][0] - second[1.0][0]).abs().max() > 1e-4
    mixed = decoder(first, target, forcing=0.5).logits[:, 1]
    forced = (mixed - second[1.0]).abs().amax(1) < 1e-6
    free = (mixed - second[0.0]).abs().amax(1) < 1e-6
    assert (forced ^ free).all()
    assert 0.4 < forced.float().mean() < 0.6
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 1.5"):
        decoder(source, target[:4], forcing=1.5)


def test_greedy_decoding_ends():
    decoder, source = decoder_and_source()
    with torch.no_grad():
        decoder.out.bias[END] = 50.0
    said = decoder.greedy(source, max_length=9)
    assert said.tokens.tolist() == [[END]] * 4
    with torch.no_grad():
        decoder.out.bias[END] = -50.0
        decoder.out.bias[5] = 50.0
    assert decoder.greedy(source, max_length=9).tokens.tolist() == [[5] * 9] * 4


@pytest.mark.parametrize("normaliser", [softmax, sample])
@pytest.mark.parametrize(
    "window", [None, MonotonicWindow(1), PredictiveWindow(8, hidden=4, half_width=2)]
)
def test_a_decoder_takes_any_attention(normaliser, window):
    attention = Attention(DotScore(), normaliser=normaliser, window=window)
    decoder = Decoder(9, source_channels=8, attention=attention, embedding=5, hidden=8)
    source = Encoded(torch.randn(2, 6, 8), torch.tensor([6, 3]), torch.randn(2, 8))
    said = decoder(source, torch.randint(3, 9, (2, 4)))
    torch.testing.assert_close(said.weights.sum(-1), torch.ones(2, 4))
    assert (said.weights[1, :, 3:] == 0).all()
    assert (said.log_probability is None) == (normaliser is softmax)
    if isinstance(window, MonotonicWindow):
        for target in range(4):
            outside = [s for s in range(6) if abs(s - target) > 1]
            assert (said.weights[0, target, outside] == 0).all()
    loss = said.logits.square().mean()
    if said.log_probability is not None:
        loss = loss + said.log_probability.sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in decoder.parameters())


@pytest.mark.parametrize(
    "window",
    [MonotonicWindow(1), PredictiveWindow(8, hidden=4, half_width=2)],
    ids=["monotonic", "predictive"],
)
@pytest.mark.parametrize("normaliser", [softmax, argmax], ids=["soft", "hard"])
def test_with_a_local_window_a_row_is_the_same_in_any_batch(window, normaliser):
    """Padding included, and targets that go on after the end of the source."""
    attention = Attention(DotScore(), normaliser=normaliser, window=window)
    decoder = Decoder(9, source_channels=8, attention=attention, embedding=5, hidden=8)
    source = Encoded(torch.randn(3, 6, 8), torch.tensor([6, 3, 1]), torch.randn(3, 8))
    target = torch.randint(3, 9, (3, 8))
    many, said = decoder(source, target), decoder.greedy(source, max_length=8)
    for row, length in enumerate((6, 3, 1)):
        own = slice(row, row + 1)
        alone = Encoded(source.states[own, :length], source.lengths[own], source.summary[own])
        one = decoder(alone, target[own])
        torch.testing.assert_close(one.logits[0], many.logits[row])
        torch.testing.assert_close(one.weights[0], many.weights[row, :, :length])
        torch.testing.assert_close(one.weights.sum(-1), torch.ones(1, 8))
        assert exact_match(decoder.greedy(alone, max_length=8).tokens, said.tokens[own]).item()


def test_unknown_variants_and_long_sources_are_refused():
    with pytest.raises(ValueError, match="attention must be one of none, dot"):
        small("dotty")
    _, batch = batch_of(2)
    with pytest.raises(ValueError, match="knows 3 places"):
        small("location", max_source=3)(batch["source"], batch["lengths"], batch["target"])


def test_measures():
    tokens = torch.tensor([[5, 6, 2, 0], [5, 6, 7, 2], [5, 2, 0, 0]])
    target = torch.tensor([[5, 6, 2], [5, 6, 2], [5, 2, 0]])
    assert exact_match(tokens, target).tolist() == [True, False, True]
    weights = torch.eye(3).expand(1, 3, 3)
    truth = torch.tensor([[[True, True, False], [True, False, False], [True, True, True]]])
    hits, counted = alignment_hits(weights, truth, torch.tensor([[5, 6, 2]]))
    assert hits.tolist() == [[True, False, False]]
    assert counted.tolist() == [[True, True, False]]


def test_the_sizes_of_the_tutorial():
    """Sentences of 100 words, vectors of 300, states of 500, vocabularies of 9k and 10k."""
    model = build_translator(
        "dot", source_words=9_000, target_words=10_000, embedding=300, hidden=500, max_source=100
    )
    source, target = torch.randint(3, 9_000, (1, 100)), torch.randint(3, 10_000, (1, 4))
    with torch.no_grad():
        encoded = model.encoder(source, torch.tensor([100]))
        said = model(source, torch.tensor([100]), target)
    assert encoded.states.shape == (1, 100, 500)
    assert said.weights.shape == (1, 4, 100)
    assert said.logits.shape == (1, 4, 10_000)
    assert model.encoder.embedding.weight.shape == (9_000, 300)
    assert model.decoder.embedding.weight.shape == (10_000, 300)
    assert model.decoder.out.weight.numel() == 5_000_000
