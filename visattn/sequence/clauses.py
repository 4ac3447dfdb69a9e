"""A small English and its French, made up of clauses, with every word's origin known.

Three kinds of clause: "I love you" ("je t' aime", the object before the verb), "the red cat see a
dog" ("le chat rouge voit un chien", the adjective after the noun), and phrases that are translated
as a whole ("good morning", "bonjour"). Clauses are joined by "and" or "but". A sentence ends in a
full stop or a question mark; a question begins with "est-ce-que", so that the first word of the
target depends on the last word of the source.
"""

import random
from collections.abc import Sequence

from visattn.sequence.pairs import SentencePair
from visattn.sequence.vocabulary import Vocabulary

SUBJECTS = {"I": "je", "you": "tu", "we": "nous", "they": "ils"}
OBJECTS = {"me": "m'", "you": "t'", "us": "nous", "them": "les"}
VERBS = {
    "love": "aime",
    "see": "voit",
    "find": "trouve",
    "hear": "entend",
    "know": "connaît",
    "follow": "suit",
    "help": "aide",
    "call": "appelle",
}
ARTICLES = {"the": "le", "a": "un"}
NOUNS = {
    "cat": "chat",
    "dog": "chien",
    "bird": "oiseau",
    "horse": "cheval",
    "boy": "garçon",
    "friend": "ami",
    "king": "roi",
    "doctor": "médecin",
    "teacher": "professeur",
    "neighbour": "voisin",
}
ADJECTIVES = {
    "red": "rouge",
    "small": "petit",
    "old": "vieux",
    "black": "noir",
    "young": "jeune",
    "quiet": "calme",
}
PHRASES = {
    "good morning": "bonjour",
    "see you soon": "à bientôt",
    "you say hey": "comment ça va",
    "thanks a lot": "merci",
}
JOINTS = {"and": "et", "but": "mais"}
ENDS = {".": ".", "?": "?"}
QUESTION = "est-ce-que"

_WORDS = (SUBJECTS, OBJECTS, VERBS, ARTICLES, NOUNS, ADJECTIVES, PHRASES, JOINTS, ENDS)

Aligned = tuple[str, frozenset[int]]
"""A target word and the places of its origins."""


def clause_vocabularies() -> tuple[Vocabulary, Vocabulary]:
    """All words of the source and of the target."""
    source = (word for table in _WORDS for text in table for word in text.split())
    target = (word for table in _WORDS for text in table.values() for word in text.split())
    return Vocabulary(dict.fromkeys(source)), Vocabulary(dict.fromkeys([*target, QUESTION]))


def translated(source: Sequence[str]) -> SentencePair:
    """The translation of a sentence, by rule.

    Args:
        source: Words, clauses joined by "and" or "but", with or without "." or "?" at the end.

    Raises:
        ValueError: The sentence is none of this language.

    Example:
        >>> pair = translated("I love you".split())
        >>> pair.target, [sorted(origins) for origins in pair.alignment]
        (('je', "t'", 'aime'), [[0], [2], [1]])
    """
    words = list(source)
    found: list[Aligned] = []
    end = len(words) - (bool(words) and words[-1] in ENDS)
    begin, clauses = 0, 0
    while begin <= end:
        stop = next((i for i in range(begin, end) if words[i] in JOINTS), end)
        found += _clause(words[begin:stop], begin)
        clauses += 1
        if stop < end:
            found.append((JOINTS[words[stop]], frozenset({stop})))
        begin = stop + 1
    if end < len(words):
        found.append((ENDS[words[end]], frozenset({end})))
        if words[end] == "?":
            found.insert(0, (QUESTION, frozenset({end})))
    return SentencePair(
        tuple(words), tuple(word for word, _ in found), tuple(o for _, o in found), clauses
    )


def random_pair(clauses: int, *, random: random.Random) -> SentencePair:
    """A sentence of some clauses with its translation.

    Args:
        clauses: Their number, at least 1.
        random: Where the choices come from.

    Raises:
        ValueError: ``clauses`` is below 1.

    Example:
        >>> from random import Random
        >>> pair = random_pair(2, random=Random(3))
        >>> pair.clauses, len(pair.target) == len(pair.alignment)
        (2, True)
    """
    if clauses < 1:
        raise ValueError(f"a sentence has at least 1 clause, got {clauses}")
    words: list[str] = []
    for number in range(clauses):
        if number:
            words.append(random.choice(list(JOINTS)))
        words += _random_clause(random)
    return translated([*words, random.choice(list(ENDS))])


def random_pairs(count: int, *, clauses: Sequence[int], seed: int) -> list[SentencePair]:
    """``count`` sentences, each with a number of clauses drawn from ``clauses``.

    Example:
        >>> len(random_pairs(4, clauses=[1, 2], seed=0))
        4
    """
    source = random.Random(f"clauses {seed}")
    return [random_pair(source.choice(list(clauses)), random=source) for _ in range(count)]


def _random_clause(random: random.Random) -> list[str]:
    """Words of one clause: 3 in 10 with pronouns, 5 in 10 with nouns, 2 in 10 a phrase."""
    kind = random.random()
    if kind < 0.3:
        return [random.choice(list(table)) for table in (SUBJECTS, VERBS, OBJECTS)]
    if kind < 0.8:
        return [*_random_noun(random), random.choice(list(VERBS)), *_random_noun(random)]
    return random.choice(list(PHRASES)).split()


def _random_noun(random: random.Random) -> list[str]:
    adjective = [random.choice(list(ADJECTIVES))] if random.random() < 0.5 else []
    return [random.choice(list(ARTICLES)), *adjective, random.choice(list(NOUNS))]


def _clause(words: list[str], offset: int) -> list[Aligned]:
    """Translate one clause that begins at ``offset``."""
    text = " ".join(words)
    if text in PHRASES:
        whole = frozenset(range(offset, offset + len(words)))
        return [(word, whole) for word in PHRASES[text].split()]
    if len(words) == 3 and words[0] in SUBJECTS and words[1] in VERBS and words[2] in OBJECTS:
        return [
            (SUBJECTS[words[0]], frozenset({offset})),
            (OBJECTS[words[2]], frozenset({offset + 2})),
            (VERBS[words[1]], frozenset({offset + 1})),
        ]
    verb = next((i for i, word in enumerate(words) if word in VERBS), -1)
    subject, thing = words[: max(verb, 0)], words[verb + 1 :]
    if verb < 0 or not (_is_noun(subject) and _is_noun(thing)):
        raise ValueError(
            f"no clause of this language: {text!r}. Expected such as 'I love you', 'the red cat"
            f" see a dog' or one of {', '.join(map(repr, PHRASES))}"
        )
    return [
        *_noun(subject, offset),
        (VERBS[words[verb]], frozenset({offset + verb})),
        *_noun(thing, offset + verb + 1),
    ]


def _is_noun(words: list[str]) -> bool:
    return (
        len(words) in (2, 3)
        and words[0] in ARTICLES
        and words[-1] in NOUNS
        and all(word in ADJECTIVES for word in words[1:-1])
    )


def _noun(words: list[str], offset: int) -> list[Aligned]:
    """Article, noun, adjective: the last two change places."""
    found = [
        (ARTICLES[words[0]], frozenset({offset})),
        (NOUNS[words[-1]], frozenset({offset + len(words) - 1})),
    ]
    if len(words) == 3:
        found.append((ADJECTIVES[words[1]], frozenset({offset + 1})))
    return found
