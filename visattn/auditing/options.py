"""What can be asked of an audit, said once: for `visattn.audit` and for its command.

Nothing here imports torch, so that ``visattn audit --help`` needs none.
"""

import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, final, get_args

import docstring_parser

from visattn.basics.squares import Fit, Interpolation
from visattn.basics.suggestions import nearest

if TYPE_CHECKING:
    from torch import Tensor, nn

    from visattn.data import MaskValues

P = ParamSpec("P")
M = TypeVar("M")
D = TypeVar("D")
R = TypeVar("R")

Masks = Literal["given", "grabcut"]
ClassMap = Mapping[str, int | Sequence[int]] | Mapping[int, int]
"""From the name of a class folder to the logits that mean it, such as ``{"dog": [151, 152]}``; or,
as ImageNet-9's ``in_to_in9.json`` has it, from each logit to the number of its class, counted from
0 in the order of the class folders, -1 for none: ``{"151": 0, "152": 0, "153": -1}``."""

_LEAST = dict.fromkeys(("limit", "cases", "workers", "seed", "adversarial", "noise"), 0)


@final
@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """The options of an audit.

    Args:
        weights: For the name of a timm model, a file of your own weights: a state dict, as .pth or
            .safetensors.
        split: Which split; the last that ends in _original or else begins with test.
        masks: given, or grabcut to cut the objects out by their colours where no masks are given,
            starting from the pictures' centre: the numbers are then an estimate.
        mask_model: A checkpoint with a spatial mask, or a salient-object network as ONNX, to
            predict masks where there are none: the numbers are then an estimate.
        class_map: From class folder to the logits that mean it, or from logit to the number of its
            class (-1 for none, as ImageNet-9's ``in_to_in9.json``). Needed where the classes are
            not those of the model; a logit in no class is a wrong answer.
        backgrounds: A folder of pictures without objects, for mixed-new.
        size: Side to which the pictures are scaled; that of the training if not given.
        fit: crop or stretch; as in training if not given.
        interpolation: bilinear or bicubic; as in training if not given.
        mean: By which pictures are normalised; as in training if not given.
        std: The same.
        mask_values: What the values of the mask files mean; if None what they meant in the
            checkpoint's training, or alpha = value / 255.
        adversarial: On how many backgrounds a foreground must be recognised; 0 leaves it out. With
            --data sushi, 64 renders each foreground on 64 backgrounds.
        noise: Standard deviation of the noise for the RFS, colours being in [0, 1]; 0 for none.
        background_column: Column of metadata.csv that names the background.
        limit: How many pictures, drawn at random; 0 for all.
        cases: How many random objects and how many of the worst flips to draw.
        batch_size: Pictures a call of the model.
        workers: Processes that read pictures; 0 reads in this one.
        seed: Of all draws.
        pretrained: Load timm's weights for the name of a model.
        flips_only: Look at no classes: flip rates alone.
        skip_broken: Go on without pictures of which a file is broken; how many is told.
        composites: Cut and paste even where the folder has variants that were rendered.
        progress: Show a progress bar.

    Raises:
        ValueError: A number out of its range, or a class map where no class is looked at.
    """

    weights: str | Path | None = None
    split: str | None = None
    masks: Masks = "given"
    mask_model: "str | Path | nn.Module | Callable[[Tensor], Tensor] | None" = None
    class_map: ClassMap | None = None
    backgrounds: str | Path | None = None
    size: int | None = None
    fit: Fit | None = None
    interpolation: Interpolation | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    mask_values: "MaskValues | None" = None
    adversarial: int = 8
    noise: float = 0.25
    background_column: str = "style"
    limit: int = 0
    cases: int = 6
    batch_size: int = 4
    workers: int = 0
    seed: int = 0
    pretrained: bool = False
    flips_only: bool = False
    skip_broken: bool = False
    composites: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        for name, least in {**_LEAST, "batch_size": 1}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.masks not in get_args(Masks):
            known = " or ".join(map(repr, get_args(Masks)))
            raise ValueError(f"masks must be {known}, got {self.masks!r}")
        if self.masks != "given" and self.mask_model is not None:
            raise ValueError(f"masks={self.masks!r} and mask_model both predict masks: give one")
        if self.flips_only and self.class_map is not None:
            raise ValueError("flips_only looks at no classes: leave class_map out")


def read_options(given: Mapping[str, Any]) -> AuditOptions:
    """The options by their names.

    Raises:
        TypeError: There is no such option; the nearest is named.
        ValueError: See `AuditOptions`.

    Example:
        >>> read_options({"limit": 8}).limit
        8
        >>> read_options({"limits": 8})
        Traceback (most recent call last):
        TypeError: an audit has no option 'limits'; did you mean limit?
    """
    names = [field.name for field in fields(AuditOptions)]
    for name in given:
        if name not in names:
            raise TypeError(f"an audit has no option {name!r}{nearest(name, names=names)}")
    return AuditOptions(**given)


def declare_options(
    function: Callable[..., Any],
    *,
    types: Mapping[str, Any] = MappingProxyType({}),
    without: Collection[str] = (),
) -> None:
    """Give a function that takes ``**options`` the signature and docstring that say which.

    Options come after the first two parameters; in the docstring, where its Args have
    ``**options``. What the docstring tells of an option itself goes before the words here.

    Args:
        function: It is changed in place.
        types: Of options that the function takes in another form.
        without: Options that it does not take.
    """
    signature = inspect.signature(function)
    *own, _ = signature.parameters.values()
    options = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=types.get(field.name, field.type),
        )
        for field in fields(AuditOptions)
        if field.name not in without
    ]
    parameters = [*own[:2], *options, *own[2:]]
    function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    text = inspect.cleandoc(function.__doc__ or "")
    told = {entry.arg_name for entry in docstring_parser.parse(text).params} | set(without)
    entries = "\n".join(
        f"    {entry.arg_name}: {entry.description}".replace("\n", "\n        ")
        for entry in docstring_parser.parse(AuditOptions.__doc__ or "").params
        if entry.arg_name not in told
    )
    place = re.compile(r"^    \*\*options:.*$", re.MULTILINE)
    function.__doc__ = place.sub(lambda _: entries, text)


def with_options(
    options: Callable[P, AuditOptions],
) -> Callable[[Callable[Concatenate[M, D, ...], R]], Callable[Concatenate[M, D, P], R]]:
    """A decorator: `declare_options`, for people and for type checkers."""

    def declared(
        function: Callable[Concatenate[M, D, ...], R],
    ) -> Callable[Concatenate[M, D, P], R]:
        declare_options(function)
        return function

    return declared
