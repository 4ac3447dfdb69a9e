"""Translate one sentence with a trained translator and draw where it looked."""

from pathlib import Path

import torch

from visattn.pictures import alignment_frames, draw_alignment, save
from visattn.sequence import clause_vocabularies
from visattn.sequence.clauses import ENDS
from visattn.tasks.sentence_words import known_words
from visattn.tasks.trained import load_trained
from visattn.tasks.translation.module import Translator

MAX_WORDS = 100


def translate_sentence(
    sentence: str, *, model: str | Path, out: str | Path | None = None
) -> tuple[str, Path | None]:
    """Translate.

    Args:
        sentence: Words of `visattn.sequence.clauses`, capitals as you like; a full stop is put
            after the last one if there is no "." or "?".
        model: A checkpoint of `Translator`.
        out: PNG or PDF for the heat map, GIF for a frame a word; no picture if None.

    Returns:
        The translation, and the picture.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        KeyError: A word is unknown; the nearest are named.
        ValueError: There is no word, the checkpoint is of another task, or a picture is wanted of a
            model without attention, or of one that said nothing.
    """
    translator = load_trained(model, Translator)
    source, target = clause_vocabularies()
    words = known_words(sentence, vocabulary=source)
    if words[-1] not in ENDS:
        words.append(".")
    numbers = torch.tensor([source.numbers(words)])
    said = translator.model.greedy(numbers, torch.tensor([len(words)]), max_length=MAX_WORDS)
    found = target.words(said.tokens[0])
    if out is None:
        return " ".join(found), None
    if said.weights is None:
        raise ValueError(f"{model} has no attention to draw; leave out the picture")
    if not found:
        raise ValueError(f"{model} said nothing, so there is nothing to draw")
    draw = alignment_frames if Path(out).suffix.lower() == ".gif" else draw_alignment
    return " ".join(found), save(draw(said.weights[0], words, found), out)
