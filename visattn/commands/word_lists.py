"""Words of a command that takes many things at once and passes options on: to words of a parser."""

import inspect
import json
from collections.abc import Callable, Sequence

from jsonargparse import ArgumentError

from visattn.basics.suggestions import nearest


def gathered(
    words: Sequence[str],
    *,
    command: Callable[..., None],
    things: str,
    options: str = "",
    heads: Sequence[str] = (),
) -> list[str]:
    """The same words with all things in one list, and all options to pass on in another.

    Args:
        words: What stands behind the command's name.
        command: Its function; what it takes itself stays as it is.
        things: Its argument for the words without dashes; a positional one stands first.
        options: Its argument for the options to pass on, each as ``--KEY=VALUE``.
        heads: What the options to pass on begin with.

    Raises:
        ArgumentError: An option that is neither, or has no value.

    Example:
        >>> def compare(recipes: list[str], *, passed: list[str], seeds: int = 5) -> None: ...
        >>> gathered(
        ...     ["a.yaml", "--data.rho", "1.0", "b.yaml", "--seeds", "3"],
        ...     command=compare, things="recipes", options="passed", heads=["data"],
        ... )
        ['["a.yaml", "b.yaml"]', '--seeds', '3', '--passed=["--data.rho=1.0"]']
    """
    parameters = inspect.signature(command).parameters.values()
    first = next(iter(parameters)).kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = {p.name.replace("_", "-"): p.annotation is bool for p in parameters}
    own |= {"help": True, "h": True}
    found: list[str] = []
    passed: list[str] = []
    kept: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        bare = name.lstrip("-").replace("_", "-")
        if not word.startswith("-"):
            found.append(word)
        elif bare in own:
            kept.append(word)
            if not (own[bare] or equals) and rest:
                kept.append(rest.pop(0))
        elif name.removeprefix("--").partition(".")[0] in heads:
            if not equals:
                if not rest or rest[0].startswith("--"):
                    raise ArgumentError(None, f"{name} needs a value: {name} VALUE")
                value = rest.pop(0)
            passed.append(f"{name}={value}")
        else:
            hint = nearest(f"--{bare}", names=[f"--{known}" for known in own], count=1)
            listed = ", ".join(f"--{head}.*" for head in heads)
            passes = f"\nPassed on to the runs are {listed}" if heads else ""
            raise ArgumentError(None, f"unknown option {name}{hint}{passes}")
    if found:
        listed = json.dumps(found)
        kept = [listed, *kept] if first else [*kept, f"--{things}={listed}"]
    return [*kept, *([f"--{options}={json.dumps(passed)}"] if passed else [])]


def joined(words: Sequence[str], *, option: str, positional: int) -> list[str]:
    """The same words with all those that follow an option in one list, as a shell gives them.

    Args:
        words: What stands behind the command's name.
        option: Which takes many.
        positional: How many words the command takes without an option; those that are not given
            before are the last ones.

    Example:
        >>> joined(["--data", "a.jpg", "b.jpg", "last.ckpt"], option="data", positional=1)
        ['--data=["a.jpg", "b.jpg"]', 'last.ckpt']
        >>> joined(["last.ckpt", "--data", "FOLDER"], option="data", positional=1)
        ['last.ckpt', '--data', 'FOLDER']
    """
    if f"--{option}" not in words:
        return list(words)
    place = list(words).index(f"--{option}")
    before, rest = list(words[:place]), list(words[place + 1 :])
    count = next((n for n, word in enumerate(rest) if word.startswith("-")), len(rest))
    many, after = rest[:count], rest[count:]
    alone = [w for n, w in enumerate(before) if not w.startswith("-") and not _valued(before, n)]
    missing = max(0, positional - len(alone))
    last = many[len(many) - missing :] if missing and len(many) > missing else []
    many = many[: len(many) - len(last)]
    if len(many) < 2:
        return list(words)
    return [*before, f"--{option}={json.dumps(many)}", *last, *after]


def _valued(words: Sequence[str], place: int) -> bool:
    """Whether a word is the value of the option before it."""
    return place > 0 and words[place - 1].startswith("--") and "=" not in words[place - 1]
