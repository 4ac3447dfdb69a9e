"""Caption one picture with a trained captioner and draw what each word looked at."""

from pathlib import Path

import torch

from visattn.data.decoding import Decoder
from visattn.data.generated.sushi.two_dishes import render_two_dishes
from visattn.data.layout import Item
from visattn.pictures import save, word_frames, word_strip
from visattn.tasks.captioning.data import CaptionData, as_input
from visattn.tasks.captioning.module import CaptionerModule
from visattn.tasks.trained import load_trained

MAX_WORDS = 7


def caption_scene(
    *,
    model: str | Path,
    picture: str | Path | None = None,
    seed: int = 1000,
    size: int | None = None,
    out: str | Path | None = None,
) -> tuple[str, Path | None]:
    """Caption.

    Args:
        model: A checkpoint of `CaptionerModule`.
        picture: A picture of two dishes; its middle square is read. One is rendered if None.
        seed: Of the scene that is rendered.
        size: Side in pixels at which the model reads; that of its training if None (64 where an
            older checkpoint doesn't say).
        out: PNG or PDF for the picture with a map a word, GIF for a frame a word; none if None.

    Returns:
        The caption, and the picture's file.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: The checkpoint is of another task, the picture cannot be read, or the model said
            nothing that could be drawn.
    """
    captioner = load_trained(model, CaptionerModule)
    size = int(captioner.data_facts.get("size", 64)) if size is None else size
    if picture is None:
        image = render_two_dishes(1, size=size, seed=seed, pieces=1, backgrounds=1).images[0]
    else:
        image = Decoder(size)(Item(Path(picture))).image
    given = as_input(torch.from_numpy(image)[None])
    height, width = captioner.model.encode(given)[1]
    said = captioner.model.greedy(given, max_length=MAX_WORDS)
    words = CaptionData().vocabulary.words(said.tokens[0])
    if out is None:
        return " ".join(words), None
    if not words or said.weights is None:
        raise ValueError(f"{model} said nothing about the picture, so there is nothing to draw")
    maps = said.weights[0].unflatten(-1, (height, width)).numpy()
    moving = Path(out).suffix.lower() == ".gif"
    drawn = word_frames(image, words, maps) if moving else word_strip(image, words, maps)
    return " ".join(words), save(drawn, out, seconds=1.0)
