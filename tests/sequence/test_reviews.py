"""Sentences about sushi, their classifier and their tagger."""

from typing import get_args

import pytest
import torch

from visattn.sequence import (
    PositionName,
    SelfAttentionTagger,
    SentenceClassifier,
    collate_reviews,
    collate_tagged,
    random_reviews,
    random_tagged,
    review_vocabulary,
)
from visattn.sequence.reviews import BAD, DISHES, GOOD

VOCABULARY = review_vocabulary()


@pytest.mark.parametrize("negated", [0.0, 1.0])
def test_the_label_follows_from_the_deciding_words_alone(negated):
    labels = []
    for review in random_reviews(200, negated=negated, seed=0):
        deciding = [review.words[place] for place in sorted(review.deciding)]
        assert deciding[:-1] == ["not"] * int(negated)
        assert review.label == (deciding[-1] in GOOD) ^ review.negated
        rest = [w for place, w in enumerate(review.words) if place not in review.deciding]
        assert not set(rest) & {*GOOD, *BAD, "not"}
        labels.append(review.label)
    assert 70 < sum(labels) < 130


def test_the_share_of_negated_sentences():
    reviews = random_reviews(1000, negated=0.3, seed=1)
    assert 250 < sum(review.negated for review in reviews) < 350
    assert random_reviews(3, negated=0.3, seed=1) == reviews[:3]


@pytest.mark.parametrize("nouns", [1, 2, 3])
def test_each_noun_is_tagged_by_its_own_adjective(nouns):
    for sentence in random_tagged(100, nouns=nouns, seed=0):
        assert sum(word in DISHES for word in sentence.words) == nouns
        for place, (word, tag) in enumerate(zip(sentence.words, sentence.tags, strict=True)):
            assert (tag > 0) == (word in DISHES)
            if tag:
                origin = sentence.origins[place]
                assert sentence.words[origin] in (GOOD if tag == 1 else BAD)
                between = sentence.words[place + 1 : origin]
                assert not set(between) & {*GOOD, *BAD, *DISHES}
            else:
                assert sentence.origins[place] == -1


def test_batches():
    reviews = random_reviews(5, negated=0.5, seed=2)
    batch = collate_reviews(reviews, vocabulary=VOCABULARY)
    for row, review in enumerate(reviews):
        assert VOCABULARY.words(batch["words"][row]) == review.words
        assert set(batch["deciding"][row].nonzero().flatten().tolist()) == review.deciding
        assert batch["lengths"][row] == len(review.words)
    tagged = random_tagged(5, nouns=2, seed=2)
    batch = collate_tagged(tagged, vocabulary=VOCABULARY)
    for row, sentence in enumerate(tagged):
        length = len(sentence.words)
        assert tuple(batch["tags"][row, :length].tolist()) == sentence.tags
        assert tuple(batch["origins"][row, :length].tolist()) == sentence.origins
        assert (batch["tags"][row, length:] == 0).all()
        assert (batch["origins"][row, length:] == -1).all()


@pytest.mark.parametrize("attention", [True, False])
def test_a_sentence_is_classified_the_same_in_any_batch(attention):
    model = SentenceClassifier(len(VOCABULARY), classes=2, attention=attention)
    reviews = random_reviews(6, negated=0.5, seed=3)
    batch = collate_reviews(reviews, vocabulary=VOCABULARY)
    many = model(batch["words"], batch["lengths"])
    assert (many.weights is not None) == attention
    for row, review in enumerate(reviews):
        alone = collate_reviews([review], vocabulary=VOCABULARY)
        one = model(alone["words"], alone["lengths"])
        torch.testing.assert_close(one.logits[0], many.logits[row])
        if attention:
            size = len(review.words)
            torch.testing.assert_close(one.weights[0], many.weights[row, :size])
            torch.testing.assert_close(many.weights[row, :size].sum(), torch.tensor(1.0))
            assert (many.weights[row, size:] == 0).all()


@pytest.mark.parametrize("positions", get_args(PositionName))
def test_a_sentence_is_tagged_the_same_in_any_batch(positions):
    model = SelfAttentionTagger(len(VOCABULARY), tags=3, heads=2, positions=positions)
    sentences = [*random_tagged(3, nouns=1, seed=3), *random_tagged(3, nouns=3, seed=3)]
    batch = collate_tagged(sentences, vocabulary=VOCABULARY)
    many = model(batch["words"], batch["lengths"])
    for row, sentence in enumerate(sentences):
        alone = collate_tagged([sentence], vocabulary=VOCABULARY)
        one, size = model(alone["words"], alone["lengths"]), len(sentence.words)
        torch.testing.assert_close(one.logits[0], many.logits[row, :size])
        torch.testing.assert_close(one.weights[0], many.weights[row, :size, :size])


@pytest.mark.parametrize("positions", get_args(PositionName))
def test_only_positions_tell_which_adjective_is_whose(positions):
    """Without them, to swap two adjectives changes no noun's logits."""
    model = SelfAttentionTagger(len(VOCABULARY), tags=3, positions=positions)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    words = ["this", "buri", "is", "delicious", "and", "that", "ika", "is", "bad"]
    swapped = list(words)
    swapped[3], swapped[8] = words[8], words[3]
    first, second = (
        model(torch.tensor([VOCABULARY.numbers(text)]), torch.tensor([9])).logits[0, [1, 6]]
        for text in (words, swapped)
    )
    assert torch.allclose(first, second, rtol=0, atol=1e-5) == (positions == "none")


def test_unknown_positions_are_refused():
    with pytest.raises(ValueError, match="one of none, sine, learned, relative, got 'sinus'"):
        SelfAttentionTagger(9, tags=3, positions="sinus")
