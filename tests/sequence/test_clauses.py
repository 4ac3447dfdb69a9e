"""The generated language: translations by rule, with every word's origin."""

import random

import pytest

from visattn.sequence import (
    clause_vocabularies,
    collate_pairs,
    random_pair,
    random_pairs,
    translated,
)
from visattn.sequence.clauses import PHRASES


@pytest.mark.parametrize(
    ("source", "target", "origins"),
    [
        ("I love you", "je t' aime", [{0}, {2}, {1}]),
        ("the red cat see a dog", "le chat rouge voit un chien", [{0}, {2}, {1}, {3}, {4}, {5}]),
        ("good morning", "bonjour", [{0, 1}]),
        ("you say hey", "comment ça va", [{0, 1, 2}] * 3),
        ("we hear us .", "nous nous entend .", [{0}, {2}, {1}, {3}]),
    ],
)
def test_translations(source, target, origins):
    pair = translated(source.split())
    assert " ".join(pair.target) == target
    assert [set(found) for found in pair.alignment] == origins


def test_a_question_begins_with_a_word_that_comes_from_its_last():
    pair = translated(["good", "morning", "and", "I", "know", "them", "?"])
    assert pair.target == ("est-ce-que", "bonjour", "et", "je", "les", "connaît", "?")
    assert [sorted(found) for found in pair.alignment] == [[6], [0, 1], [2], [3], [5], [4], [6]]
    assert pair.clauses == 2


def test_what_is_no_sentence_is_refused():
    for text in ("love I you", "the see a dog", "", "I love you and", "they help the king"):
        with pytest.raises(ValueError, match="no clause of this language"):
            translated(text.split())


def test_every_word_is_aligned_and_known():
    source, target = clause_vocabularies()
    seen = set()
    for pair in random_pairs(300, clauses=range(1, 8), seed=0):
        assert len(pair.alignment) == len(pair.target)
        covered = set().union(*pair.alignment)
        assert covered == set(range(len(pair.source)))
        assert all(origins for origins in pair.alignment)
        assert pair.clauses == 1 + sum(word in ("and", "but") for word in pair.source)
        assert target.words(target.numbers(pair.target)) == pair.target
        seen.update(pair.source)
    assert len(seen) == len(source) - 3


def test_order_is_kept_in_some_and_swapped_in_other_clauses():
    kept = swapped = 0
    for pair in random_pairs(200, clauses=[1], seed=1):
        places = [min(origins) for origins in pair.alignment]
        if pair.target[-1] == ".":
            kept += places == sorted(places)
            swapped += places != sorted(places)
    assert kept > 20
    assert swapped > 20


def test_sentences_follow_the_seed():
    assert random_pairs(5, clauses=[2], seed=3) == random_pairs(5, clauses=[2], seed=3)
    assert random_pairs(5, clauses=[2], seed=3) != random_pairs(5, clauses=[2], seed=4)
    with pytest.raises(ValueError, match="at least 1 clause, got 0"):
        random_pair(0, random=random.Random(0))
    assert any(" ".join(p.source[:-1]) in PHRASES for p in random_pairs(50, clauses=[1], seed=0))


def test_a_batch_says_what_is_padding():
    source, target = clause_vocabularies()
    pairs = [translated(["good", "morning", "."]), translated(["I", "love", "you", "?"])]
    batch = collate_pairs(pairs, source=source, target=target)
    assert batch["lengths"].tolist() == [3, 4]
    assert batch["source"][0, 3] == 0
    assert target.words(batch["target"][0]) == ("bonjour", ".")
    assert (batch["target"] == 2).sum(1).tolist() == [1, 1]
    assert batch["alignment"][0].int().tolist()[:3] == [[1, 1, 0, 0], [0, 0, 1, 0], [0] * 4]
    assert batch["alignment"][1].nonzero().tolist() == [[0, 3], [1, 0], [2, 2], [3, 1], [4, 3]]
    with pytest.raises(KeyError, match="unknown word 'salmon'"):
        source.numbers(["the", "salmon"])
