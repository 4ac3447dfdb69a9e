"""Have one sentence judged, tagged or copied by a trained network, and draw which words counted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from visattn.pictures import draw_alignment, draw_highlighted, save
from visattn.sequence import TAGS, Vocabulary, review_vocabulary
from visattn.sequence.copying import BLANK, AttentionCopier
from visattn.sequence.reviews import DISHES
from visattn.tasks.copying.module import CopyingModule
from visattn.tasks.sentence_words import known_words
from visattn.tasks.sentiment.module import SentimentModule
from visattn.tasks.sequence_module import SequenceModule
from visattn.tasks.tagging.module import TaggingModule
from visattn.tasks.trained import load_trained

LABELS = ("unkind", "kind")


def highlight_sentence(
    sentence: str, *, model: str | Path, out: str | Path | None = None
) -> tuple[str, Path | None]:
    """Ask a network about a sentence.

    Args:
        sentence: Words of `visattn.sequence.reviews`, capitals and signs as you like; for a
            network that copies the numbers of as many symbols as it was trained on.
        model: A checkpoint of `SentimentModule` (is the sentence kind?), `TaggingModule` (which
            noun is called good?) or `CopyingModule` with attention.
        out: PNG or PDF for the picture: the words on a ground that is the darker, the more they
            count, or for tags and copies a heat map, the sentence on x; none if None.

    Returns:
        The answer, with its probability, and the picture's file.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        KeyError: A word is unknown; the nearest are named.
        ValueError: The checkpoint is of another task, the sentence is none for it, or a picture is
            wanted of a network without attention.
    """
    network = load_trained(model, *_ASKED)
    with torch.no_grad():
        answer, drawn = _ASKED[type(network)](sentence, network)
    if out is None:
        return answer, None
    if drawn is None:
        raise ValueError(f"{model} has no attention to draw; leave out the picture")
    return answer, save(drawn, out)


def _judged(sentence: str, network: SentimentModule) -> tuple[str, Figure | None]:
    """Kind or not, and the sentence highlighted."""
    words, given = _numbered(sentence)
    found = network.model(*given)
    share, label = found.logits[0].softmax(0).max(0)
    answer = f"{LABELS[int(label)]}, p = {share.item():.3f}"
    weights = found.weights
    return answer, None if weights is None else draw_highlighted(words, weights[0], title=answer)


def _tagged(sentence: str, network: TaggingModule) -> tuple[str, Figure]:
    """The tag of each noun, and where the nouns look."""
    words, given = _numbered(sentence)
    nouns = [place for place, word in enumerate(words) if word in DISHES]
    if not nouns:
        raise ValueError(f"the sentence has no noun; expected one of {', '.join(DISHES)}")
    found = network.model(*given)
    shares, tags = found.logits[0, nouns].softmax(-1).max(-1)
    rows = [f"{words[place]}: {TAGS[tag]}" for place, tag in zip(nouns, tags, strict=True)]
    answers = (f"{row} (p = {p:.3f})" for row, p in zip(rows, shares.tolist(), strict=True))
    return ", ".join(answers), draw_alignment(found.weights[0, nouns], words, rows)


def _copied(sentence: str, network: CopyingModule) -> tuple[str, Figure | None]:
    """The copy, and for self-attention where each of its symbols looks, the mean over the heads."""
    length, symbols = network.hparams["length"], network.hparams["symbols"]
    words = known_words(sentence, vocabulary=Vocabulary(map(str, range(1, symbols + 1))))
    if len(words) != length:
        raise ValueError(f"the network copies {length} symbols, the sentence has {len(words)}")
    given = torch.tensor([[*map(int, words), *[BLANK] * length]])
    model = network.model
    if isinstance(model, AttentionCopier):
        logits, weights = model.look(given)
    else:
        logits, weights = model(given), None
    shares, copy = logits[0].softmax(-1).max(-1)
    said = [str(int(symbol)) for symbol in copy]
    answer = f"{' '.join(said)} (p at least {shares.min().item():.3f})"
    if weights is None:
        return answer, None
    return answer, draw_alignment(weights[0].mean(0)[:, :length], words, said)


def _numbered(sentence: str) -> tuple[list[str], tuple[Tensor, Tensor]]:
    """The words, and what a network reads: numbers (1, S) and their length (1,)."""
    vocabulary = review_vocabulary()
    words = known_words(sentence, vocabulary=vocabulary)
    return words, (torch.tensor([vocabulary.numbers(words)]), torch.tensor([len(words)]))


_ASKED: dict[type[SequenceModule], Callable[[str, Any], tuple[str, Figure | None]]] = {
    SentimentModule: _judged,
    TaggingModule: _tagged,
    CopyingModule: _copied,
}
