"""A classifier's answers: from pictures to logits, from logits to the classes of a folder."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, final

import torch
from torch import Tensor, nn

from visattn.auditing.opening import Classifier, Preparation
from visattn.auditing.options import ClassMap
from visattn.basics.logits import class_logits, main_output
from visattn.basics.suggestions import nearest


@final
@dataclass(frozen=True)
class LogitClasses:
    """What each logit means.

    An answer is a number: the class's of the folder, or, for a logit that means none of these,
    the number of classes plus the logit's own.

    Args:
        answers: The answer that each logit means (L,).
        names: Names of the answers.
    """

    answers: Tensor
    names: Sequence[str]

    def __call__(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Answers (N,) to logits (N, L), and the probability (N,) of each.

        The answer is that of the largest logit; its probability is the sum over all logits that
        mean it.

        Example:
            >>> classes = LogitClasses(torch.tensor([0, 1, 1]), ["cat", "dog"])
            >>> answers, shares = classes(torch.tensor([[2.0, 1.0, 1.0]]).log())
            >>> answers.tolist(), shares.tolist()
            ([0], [0.5])
        """
        shares = logits.detach().float().softmax(1).cpu()
        answers = self.answers[shares.argmax(1)]
        same = answers[:, None] == self.answers
        return answers, (shares * same).sum(1)


def read_logits(
    logits: int,
    *,
    folders: Sequence[str],
    known: Sequence[str] | None,
    class_map: ClassMap | None,
    flips_only: bool,
    called: Sequence[str] | None = None,
) -> LogitClasses:
    """Find what each logit means.

    Args:
        logits: How many there are.
        folders: The folder's classes.
        known: The names of the model's classes in the order of its logits, if it says.
        class_map: Which logits mean which class folder, either way round; one whose keys are all
            class folders is read as from these.
        flips_only: No class folder is looked at.
        called: What to call logits that mean no class folder, where the model doesn't say; of two
            that are called the same, or as a class folder, the number is added.

    Raises:
        TypeError: If the class map is no mapping.
        ValueError: If the logits cannot be matched to the folder's classes; it says what to do.

    Example:
        >>> read_logits(3, folders=["b"], known="abc", class_map=None, flips_only=False).names
        ['b', 'a', 'b', 'c']
    """
    own = [str(name) for name in known] if known else _names(logits, called, folders=folders)
    if len(own) != logits:
        raise ValueError(f"the model has {logits} logits, and names of {len(own)} classes")
    if flips_only:
        return LogitClasses(torch.arange(logits), own)
    if class_map is not None:
        meant = _checked_map(class_map, folders=folders, logits=logits)
    elif known:
        missing = [name for name in folders if name not in own]
        if missing:
            raise ValueError(
                f"the model knows {_some(own)}; the data have {_some(missing)} besides"
                f"{nearest(missing[0], names=own)}. {_WAYS_OUT}"
            )
        meant = {own.index(name): place for place, name in enumerate(folders)}
    elif logits == len(folders):
        meant = {place: place for place in range(logits)}
    else:
        raise ValueError(
            f"the model has {logits} logits, the data have {len(folders)} classes "
            f"({_some(folders)}), and nothing says which belong together. {_WAYS_OUT}"
        )
    answers = [meant.get(place, len(folders) + place) for place in range(logits)]
    return LogitClasses(torch.tensor(answers), [*folders, *own])


def _names(logits: int, called: Sequence[str] | None, *, folders: Sequence[str]) -> list[str]:
    """Names of logits, each another one, since equal names would hide a flip."""
    if called is None or len(called) != logits:
        return [f"class {place}" for place in range(logits)]
    often = Counter([*called, *folders])
    return [f"{n} ({place})" if often[n] > 1 else n for place, n in enumerate(called)]


_NO_ANSWERS = (
    ". An audit judges the answers of classifiers: segmentations and detectors are for overlay, "
    "report and evaluate-maps"
)
_WAYS_OUT = (
    'Give a class map, {"CLASS FOLDER": [LOGIT, ...]} (--class-map FILE.json), or ask for the flip '
    "rate alone, which needs no classes (flips_only=True, --flips-only)"
)


def _checked_map(class_map: ClassMap, *, folders: Sequence[str], logits: int) -> dict[int, int]:
    """The class of the folder that each logit means, for those that mean one."""
    if not isinstance(class_map, Mapping):
        raise TypeError(
            'the class map must map class folders to logits, {"CLASS FOLDER": [LOGIT, ...]}, or '
            f'logits to numbers of classes, {{"LOGIT": NUMBER}}; it is a {type(class_map).__name__}'
        )
    by_logit = all(_number(name) is not None for name in class_map)
    if class_map and by_logit and not all(name in folders for name in class_map):
        meant = _by_logit(class_map, classes=len(folders), logits=logits)
    else:
        meant = _by_folder(class_map, folders=folders, logits=logits)
    lacking = [name for place, name in enumerate(folders) if place not in meant.values()]
    if lacking:
        raise ValueError(f"the class map has no logit for {_some(lacking)}")
    return meant


def _by_folder(
    class_map: Mapping[Any, Any], *, folders: Sequence[str], logits: int
) -> dict[int, int]:
    meant: dict[int, int] = {}
    for name, places in class_map.items():
        if name not in folders:
            raise ValueError(
                f"the class map has {name!r}, which is no class of the data"
                f"{nearest(str(name), names=folders)}; there are {_some(folders)}"
            )
        single = isinstance(places, str) or not isinstance(places, Iterable)
        for given in [places] if single else places:
            place = _whole(given)
            if place is None or not 0 <= place < logits:
                raise ValueError(
                    f"the class map gives {name!r} the logit {given!r}; there are 0 to {logits - 1}"
                )
            if place in meant:
                raise ValueError(
                    f"the class map gives logit {place} to {folders[meant[place]]!r} and to "
                    f"{name!r}: a logit means one class"
                )
            meant[place] = folders.index(name)
    return meant


def _by_logit(class_map: Mapping[Any, Any], *, classes: int, logits: int) -> dict[int, int]:
    meant: dict[int, int] = {}
    for name, given in class_map.items():
        place, label = _number(name), _whole(given)
        if place is None or not 0 <= place < logits:
            raise ValueError(f"the class map has the logit {name!r}; there are 0 to {logits - 1}")
        if label is None or not -1 <= label < classes:
            raise ValueError(
                f"the class map gives logit {name!r} the class {given!r}; there are 0 to "
                f"{classes - 1} in the order of the class folders, and -1 for none"
            )
        if place in meant:
            raise ValueError(f"the class map has the logit {place} twice")
        meant[place] = label
    return {place: label for place, label in meant.items() if label >= 0}


def _number(name: object) -> int | None:
    """A logit that is a key, as a number or as JSON writes it; None for anything else."""
    if isinstance(name, str):
        return int(name) if name.isascii() and name.isdigit() else None
    return _whole(name)


def _whole(value: object) -> int | None:
    """A whole number of any library; None for anything else, truth values too."""
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    return None


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


@final
class Subject:
    """A classifier that is asked for answers: pictures in [0, 1] in, classes out.

    Args:
        model: Images (N, 3, H, W) to logits (N, L); a module or any function, with gradients or
            without.
        prepared: How its images are prepared.

    Attributes:
        classes: What its logits mean, as soon as that is known.
    """

    def __init__(self, model: Classifier, *, prepared: Preparation) -> None:
        self.model, self.prepared = model, prepared
        self.classes: LogitClasses
        tensors = []
        if isinstance(model, nn.Module):
            tensors = [*model.parameters(), *model.buffers()]
        self.device = next((t.device for t in tensors), torch.device("cpu"))
        self.dtype = next((t.dtype for t in tensors if t.is_floating_point()), torch.float32)

    def logits(self, pictures: Tensor, *, of: str = "pictures") -> Tensor:
        """Logits (N, L) of pictures (N, 3, H, W) in [0, 1]; a single one as those of no and yes.

        Args:
            pictures: What the model is shown.
            of: Which pictures these are, for messages.

        Raises:
            ValueError: If the model returns something else, or logits that are not finite.
        """
        with torch.no_grad():
            given = self.model(self.prepared.normalise(pictures).to(self.dtype))
        found = given if (logits := main_output(given)) is None else logits
        if not isinstance(found, Tensor):
            try:
                found = torch.as_tensor(found)
            except (TypeError, ValueError, RuntimeError) as error:
                raise ValueError(
                    f"the model must return logits (N, classes); it returned {type(found).__name__}"
                    + _NO_ANSWERS
                ) from error
        if found.shape in ((len(pictures),), (len(pictures), 1)):
            found = class_logits(found) / 2  # of no and yes, whose softmax is the sigmoid
        if found.ndim != 2 or len(found) != len(pictures) or found.shape[1] < 2:
            raise ValueError(
                f"the model must return logits ({len(pictures)}, classes), at least 2 classes, for "
                f"{len(pictures)} images; it returned {tuple(found.shape)}"
                + (_NO_ANSWERS if found.ndim > 2 else "")
            )
        bad = int((~found.isfinite()).any(1).sum())
        if bad:
            raise ValueError(
                f"the model must return finite logits; it returned NaN or infinite ones for {bad} "
                f"of {len(pictures)} {of} (images normalised by mean {self.prepared.mean}, std "
                f"{self.prepared.std}, {self.dtype}). Look whether its weights are finite, and "
                "whether half precision overflows; rule a class out with a class map, not with "
                "-inf"
            )
        return found

    def answers(self, pictures: Tensor, *, of: str = "pictures") -> tuple[Tensor, Tensor]:
        """Answers (N,) and their probabilities (N,), on the CPU; see `LogitClasses`, `logits`."""
        return self.classes(self.logits(pictures, of=of))
