"""Sentences about sushi, kind and unkind: one word decides, each noun has its own adjective."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visattn.sequence.vocabulary import Vocabulary, padded

GOOD = ("delicious", "fresh", "tender", "wonderful", "excellent", "tasty")
BAD = ("bad", "stale", "bland", "awful", "tough", "sour")
DISHES = ("buri", "maguro", "salmon", "tamago", "ika", "ebi", "uni", "saba")
VERBS = ("is", "was")
ADVERBS = ("very", "really", "quite", "so")
NEUTRAL = (
    "we came by train",
    "my friend had tea",
    "it rained that day",
    "the shop stands near the station",
    "they cook with gas",
    "there are six tables",
)
TAGS = ("other", "good", "bad")


@dataclass(frozen=True)
class Review:
    """A sentence with a label.

    Attributes:
        words: The words.
        label: 1 for a kind sentence, 0 for an unkind one.
        deciding: Places of the words that decide: the adjective, and "not" where it is.
        negated: Whether there is a "not".
    """

    words: tuple[str, ...]
    label: int
    deciding: frozenset[int]
    negated: bool


@dataclass(frozen=True)
class TaggedSentence:
    """A sentence with a tag for each word.

    Attributes:
        words: The words.
        tags: For each word 1 if it is a noun that is called good, 2 if bad, 0 if it is no noun.
        origins: For each word the place of the adjective that its tag comes from, -1 without one.
    """

    words: tuple[str, ...]
    tags: tuple[int, ...]
    origins: tuple[int, ...]


def review_vocabulary() -> Vocabulary:
    """All words of both kinds of sentence."""
    texts = (*GOOD, *BAD, *DISHES, *VERBS, *ADVERBS, *NEUTRAL, "the this that not and but")
    return Vocabulary(dict.fromkeys(word for text in texts for word in text.split()))


def random_reviews(count: int, *, negated: float, seed: int) -> list[Review]:
    """Sentences such as "we came by train and the buri was so fresh".

    Args:
        count: Their number.
        negated: Share with "not", which turns the label round.
        seed: Of the choices.

    Example:
        >>> review = random_reviews(1, negated=0.0, seed=0)[0]
        >>> len(review.deciding), review.negated
        (1, False)
    """
    source = random.Random(f"reviews {seed}")
    return [_review(source, negated=source.random() < negated) for _ in range(count)]


def random_tagged(count: int, *, nouns: int, seed: int) -> list[TaggedSentence]:
    """Sentences such as "this buri is fresh but that ika is very bad".

    Args:
        count: Their number.
        nouns: How many nouns there are in each, with an adjective each.
        seed: Of the choices.

    Example:
        >>> sentence = random_tagged(1, nouns=1, seed=0)[0]
        >>> sentence.words[sentence.origins[1]] in GOOD + BAD
        True
    """
    source = random.Random(f"tags {seed}")
    return [_tagged(source, nouns=nouns) for _ in range(count)]


def collate_reviews(reviews: Sequence[Review], *, vocabulary: Vocabulary) -> dict[str, Tensor]:
    """Reviews to a padded batch.

    Returns:
        ``words`` (N, S), ``lengths`` (N,), ``label`` (N,) and ``deciding`` (N, S), boolean.
    """
    batch = _words([review.words for review in reviews], vocabulary)
    batch["label"] = torch.tensor([review.label for review in reviews])
    batch["deciding"] = torch.zeros_like(batch["words"], dtype=torch.bool)
    for row, review in enumerate(reviews):
        batch["deciding"][row, list(review.deciding)] = True
    return batch


def collate_tagged(
    sentences: Sequence[TaggedSentence], *, vocabulary: Vocabulary
) -> dict[str, Tensor]:
    """Tagged sentences to a padded batch.

    Returns:
        ``words`` (N, S), ``lengths`` (N,), ``tags`` (N, S) and ``origins`` (N, S), -1 for none.
    """
    batch = _words([sentence.words for sentence in sentences], vocabulary)
    batch["tags"] = padded([sentence.tags for sentence in sentences], value=0)
    batch["origins"] = padded([sentence.origins for sentence in sentences], value=-1)
    return batch


def _words(sentences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> dict[str, Tensor]:
    return {
        "words": padded([vocabulary.numbers(words) for words in sentences]),
        "lengths": torch.tensor([len(words) for words in sentences]),
    }


def _review(source: random.Random, *, negated: bool) -> Review:
    good = source.random() < 0.5
    adjective = source.choice(GOOD if good else BAD)
    before = [*source.choice(NEUTRAL).split(), "and"] if source.random() < 0.5 else []
    after = ["and", *source.choice(NEUTRAL).split()] if source.random() < 0.5 else []
    adverb = [source.choice(ADVERBS)] if source.random() < 0.5 else []
    dish = [source.choice(("the", "this", "that")), source.choice(DISHES), source.choice(VERBS)]
    words = [*before, *dish, *["not"] * negated, *adverb, adjective]
    deciding = {len(words) - 1} | ({len(before) + len(dish)} if negated else set())
    return Review((*words, *after), int(good != negated), frozenset(deciding), negated)


def _tagged(source: random.Random, *, nouns: int) -> TaggedSentence:
    words: list[str] = []
    tagged: dict[int, tuple[int, int]] = {}
    for number, dish in enumerate(source.sample(DISHES, nouns)):
        if number:
            words.append(source.choice(("and", "but")))
        good = source.random() < 0.5
        adverb = [source.choice(ADVERBS)] if source.random() < 0.5 else []
        place = len(words) + 1
        words += [source.choice(("the", "this", "that")), dish, source.choice(VERBS)]
        words += [*adverb, source.choice(GOOD if good else BAD)]
        tagged[place] = (1 if good else 2), len(words) - 1
    marks = [tagged.get(place, (0, -1)) for place in range(len(words))]
    return TaggedSentence(tuple(words), tuple(t for t, _ in marks), tuple(o for _, o in marks))
