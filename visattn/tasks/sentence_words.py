"""A sentence as somebody types it, to the words of a vocabulary."""

import re

from visattn.basics.suggestions import nearest
from visattn.sequence import Vocabulary
from visattn.sequence.vocabulary import SIGNS

_SIGNS = ".,;:!?"
_TOKEN = re.compile(rf"[{_SIGNS}]|[^\s{_SIGNS}]+")


def known_words(sentence: str, *, vocabulary: Vocabulary) -> list[str]:
    """The words of a sentence, as the vocabulary has them.

    Signs are split off the words, and left out if the vocabulary has none such. Capitals don't
    matter.

    Args:
        sentence: Words with blanks between them.
        vocabulary: The words that there are.

    Raises:
        ValueError: There is no word.
        KeyError: A word is unknown; the nearest are named, or all if none is near.

    Example:
        >>> known_words("i Love you.", vocabulary=Vocabulary(["I", "love", "you"]))
        ['I', 'love', 'you']
    """
    names = vocabulary.words(range(len(SIGNS), len(vocabulary)))
    lower = {name.lower(): name for name in reversed(names)}
    found = []
    for token in _TOKEN.findall(sentence):
        if token in names:
            found.append(token)
        elif token.lower() in lower:
            found.append(lower[token.lower()])
        elif token not in _SIGNS:
            near = nearest(token.lower(), names=names)
            raise KeyError(
                f"unknown word {token!r}{near or f'; there are {len(names)}: ' + ', '.join(names)}"
            )
    if not found:
        raise ValueError("the sentence has no word")
    return found
