"""Commands about sentences."""


def translate_text(sentence: str, *, model: str, out: str | None = None) -> None:
    """Translate a sentence of the generated language, and draw which word looked at which.

    Args:
        sentence: Such as 'I love you and good morning ?', with blanks between the words.
        model: A checkpoint that visattn fit -c translation/... wrote.
        out: The picture to write: PNG or PDF; none if not given.
    """
    from visattn.training.translate import translate_sentence

    translation, picture = translate_sentence(sentence, model=model, out=out)
    print(translation)
    if picture is not None:
        print(picture)
