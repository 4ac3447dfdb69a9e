"""Commands about sentences."""

from pathlib import Path


def translate_text(sentence: str, *, model: str, out: str | None = None) -> None:
    """Translate a sentence of the generated language, and draw which word looked at which.

    Args:
        sentence: Such as 'I love you and good morning?'.
        model: A checkpoint that visattn fit -c translation/... wrote.
        out: The picture to write: PNG or PDF, or GIF for a frame a word; none if not given.
    """
    from visattn.tasks.translation.translate import translate_sentence

    _print(*translate_sentence(sentence, model=model, out=out))


def caption_picture(
    *,
    model: str,
    picture: str | None = None,
    seed: int = 1000,
    size: int | None = None,
    out: str | None = None,
) -> None:
    """Say which two dishes a picture shows, and draw what each word looked at.

    Args:
        model: A checkpoint that visattn fit -c captioning/... wrote.
        picture: A picture of two dishes; a scene is rendered if not given.
        seed: Of the scene that is rendered.
        size: Side in pixels at which the model reads the picture; that of its training if not
            given.
        out: The picture to write: PNG or PDF for a map a word side by side, GIF for a frame a word;
            none if not given.
    """
    from visattn.tasks.captioning.caption import caption_scene

    _print(*caption_scene(model=model, picture=picture, seed=seed, size=size, out=out))


def highlight_words(sentence: str, *, model: str, out: str | None = None) -> None:
    """Judge, tag or copy a sentence, and draw which of its words counted.

    Args:
        sentence: Such as 'we came by train and the buri was so fresh', or 'this buri is delicious
            but that ika is bad' for tags, or as many numbers as are to be copied.
        model: A checkpoint that visattn fit -c sentiment/..., tagging/... or copying/attention
            wrote.
        out: The picture to write, PNG or PDF; none if not given.
    """
    from visattn.tasks.highlight import highlight_sentence

    _print(*highlight_sentence(sentence, model=model, out=out))


def _print(answer: str, picture: Path | None) -> None:
    print(answer)
    if picture is not None:
        print(picture)
