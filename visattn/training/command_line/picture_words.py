"""Pictures among the words of ``visattn predict``, as a shell gives them."""

import json
from collections.abc import Sequence

OPTION = "--data.predict_folder"
_ALONE = ("-h", "--help", "--print_config")


def with_pictures(words: Sequence[str]) -> list[str]:
    """The same words with all that are no options in ``--data.predict_folder``.

    Example:
        >>> with_pictures(["predict", "a.jpg", "b.jpg", "--ckpt_path", "best"])
        ['predict', '--ckpt_path', 'best', '--data.predict_folder=["a.jpg", "b.jpg"]']
        >>> with_pictures(["predict", "--data.predict_folder", "a.jpg", "b.jpg"])
        ['predict', '--data.predict_folder=["a.jpg", "b.jpg"]']
    """
    command, *rest = words
    kept: list[str] = []
    found: list[str] = []
    while rest:
        word = rest.pop(0)
        option, equals, value = word.partition("=")
        if not option.startswith("-"):
            found.append(word)
            continue
        takes = not equals and option not in _ALONE and bool(rest)
        if option == OPTION and (takes or equals):
            found.insert(0, value if equals else rest.pop(0))
            continue
        kept.append(word)
        if takes:
            kept.append(rest.pop(0))
    named = found[0] if len(found) == 1 else json.dumps(found)
    return [command, *kept, *([f"{OPTION}={named}"] if found else [])]
