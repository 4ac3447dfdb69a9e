"""Asking a classifier about every variant of every picture, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.scenes import Scenes, colours, planes
from visattn.auditing.subject import Subject
from visattn.data import Item, remove_foreground
from visattn.data.decoding import Decoder
from visattn.metrics import mask_iou

UNDEFINED = -1
# Pixels beside a lender's mask that are filled too, lest its object's edge remain: masks of real
# photos are a pixel or two off, and predicted ones a little more.
_RIM, _PREDICTED_RIM = 2, 3
MasksOf = Callable[[Tensor], Tensor]


class Made(NamedTuple):
    """A variant of a batch: pictures (N, 3, H, W), and for which rows (N,) they exist."""

    variant: str
    pictures: Tensor
    exists: Tensor


@dataclass(frozen=True)
class Work:
    """What is to be asked.

    Attributes:
        composed: The variants ``mixed-...`` that are put together.
        rendered: The variants that are read from files.
        parts: Whether to ask about only-fg, only-bg-t, only-bg-b and no-fg, those that are not
            rendered.
        noise: Standard deviation of the noise of the RFS in [0, 1]; 0 for none.
        seed: Of the noise.
        masks_of: Predicts masks where those given are not to be used.
    """

    composed: Sequence[str]
    rendered: Sequence[str]
    parts: bool
    noise: float
    seed: int
    masks_of: MasksOf | None = None


@dataclass
class Answers:
    """What the classifier said: a number or two for each picture and variant.

    Attributes:
        rows: Rows of the data set (N,).
        labels: Their classes (N,).
        answers: By variant, (N,); -1 where there is no such picture.
        shares: Probability of the answer, of those variants that are drawn, (N,).
        lenders: Row that lent the background, by variant, (N,); -1 for nobody.
        right_on_all: Whether every fixed background left the answer right (N,), if asked.
        empty: How many pictures' masks mark nothing.
        ious: IoU of predicted masks with given ones, NaN without.
    """

    rows: Tensor
    labels: Tensor
    answers: dict[str, Tensor] = field(default_factory=dict)
    shares: dict[str, Tensor] = field(default_factory=dict)
    lenders: dict[str, Tensor] = field(default_factory=dict)
    right_on_all: Tensor | None = None
    empty: int = 0
    ious: Tensor = field(default_factory=lambda: torch.zeros(0))


NOISE = {"foreground": "noise on the foreground", "background": "noise on the background"}


def ask(
    subject: Subject,
    batches: Iterable[Mapping[str, Tensor]],
    *,
    count: int,
    work: Work,
    backgrounds: Tensor | None,
) -> Answers:
    """Ask about all variants of all pictures; only answers are kept.

    Args:
        subject: The classifier.
        batches: Of `Scenes`.
        count: How many pictures there are in all batches.
        work: What to ask.
        backgrounds: Pictures (K, 3, H, W), bytes, to put every foreground on, for the adversarial
            accuracy; None to leave that out.

    Returns:
        The answers, in the order of the batches.
    """
    kept = _Columns(count)
    empty = 0
    for number, batch in enumerate(batches, start=1):
        images, masks, whole = open_batch(batch, device=subject.device, masks_of=work.masks_of)
        empty += int((~whole).sum())
        if not whole.any():
            continue
        chosen = whole.cpu()
        batch = {name: values[chosen] for name, values in batch.items()}
        images, masks = images[whole], masks[whole]
        found = {"row": batch["row"], "label": batch["label"]}
        if work.masks_of is not None:
            given = batch["mask"].float().div(255)
            iou = mask_iou(masks.cpu(), given)
            marked = given.flatten(1).amax(1) > 0
            found["iou"] = torch.where(marked, iou.float(), torch.nan)
        for name in work.composed:
            found[f"lender/{name}"] = batch[f"lender_row/{name}"]
        cutouts = v.cut_out(images, masks)
        for made in make(batch, images=images, masks=masks, cutouts=cutouts, work=work):
            answers, shares = _answers_where(subject, made, batch=number)
            found[f"answer/{made.variant}"] = answers
            if made.variant in (v.ORIGINAL, v.MIXED_RAND):
                found[f"share/{made.variant}"] = shares
        if backgrounds is not None:
            found["right_on_all"] = _right_on_all(subject, cutouts, backgrounds, batch["label"])
        kept.add(found)
    if not kept.filled:
        raise ValueError(
            f"none of the {empty} pictures' masks marks anything; say what the values of the mask "
            "files mean (mask_values=..., --mask_values)"
        )
    told = kept.values()
    return Answers(
        rows=told["row"],
        labels=told["label"],
        answers=_under(told, "answer/"),
        shares=_under(told, "share/"),
        lenders=_under(told, "lender/"),
        right_on_all=told.get("right_on_all"),
        empty=empty,
        ious=told.get("iou", torch.zeros(0)),
    )


class _Columns:
    """Values by name, a batch of rows at a time, in tensors laid out whole with the first batch.

    A small tensor kept from every batch would lie in memory between the large ones of the pictures;
    what these leave behind could not be joined again, and the process would grow with every batch.

    Args:
        count: How many rows there may be.
    """

    def __init__(self, count: int) -> None:
        self.count, self.filled = count, 0
        self._values: dict[str, Tensor] = {}

    def add(self, found: Mapping[str, Tensor]) -> None:
        """Keep a batch: values (N,) under the same names each time."""
        end = self.filled + len(next(iter(found.values())))
        for name, values in found.items():
            if name not in self._values:
                self._values[name] = values.new_empty(self.count)
            self._values[name][self.filled : end] = values
        self.filled = end

    def values(self) -> dict[str, Tensor]:
        """The rows that were filled."""
        return {name: values[: self.filled] for name, values in self._values.items()}


def open_batch(
    batch: Mapping[str, Tensor], *, device: torch.device, masks_of: MasksOf | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures and masks in [0, 1], and which masks (N,) mark anything."""
    images = colours(batch["image"], device=device)
    masks = colours(batch["mask"], device=device) if masks_of is None else masks_of(images)
    return images, masks, v.has_foreground(masks)


def make(
    batch: Mapping[str, Tensor], *, images: Tensor, masks: Tensor, cutouts: v.Cutouts, work: Work
) -> Iterator[Made]:
    """The variants of a batch, one after the other, so that one is held at a time."""
    device = images.device
    always = torch.ones(len(images), dtype=torch.bool, device=device)
    yield Made(v.ORIGINAL, images, always)
    for variant in work.composed:
        behind, exists = _lent(batch, variant, device=device, masks_of=work.masks_of)
        yield Made(variant, cutouts.on(behind), exists)
    for variant in work.rendered:
        pictures = colours(batch[f"render/{variant}"], device=device)
        yield Made(variant, pictures, batch[f"rendered/{variant}"].to(device))
    if work.parts:
        has_rest = v.leaves_background(masks)
        if v.ONLY_FG not in work.rendered:
            yield Made(v.ONLY_FG, cutouts.on(torch.zeros_like(images)), always)
        if v.ONLY_BG_T not in work.rendered:
            yield Made(v.ONLY_BG_T, v.only_background_filled(images, masks), has_rest)
        if v.ONLY_BG_B not in work.rendered:
            yield Made(v.ONLY_BG_B, v.only_background_boxed(images, masks), has_rest)
        if v.NO_FG not in work.rendered:
            yield Made(v.NO_FG, v.no_foreground(images, masks), always)
    if work.noise > 0:
        noise = v.row_noise(batch["row"], like=images, deviation=work.noise, seed=work.seed)
        yield Made(NOISE["foreground"], v.noisy(images, masks, noise=noise), always)
        yield Made(NOISE["background"], v.noisy(images, 1 - masks, noise=noise), always)


def all_right(
    subject: Subject, items: Sequence[Item], *, label: int, decoder: Decoder, batch_size: int
) -> bool:
    """Whether the answer to every one of some pictures is right."""
    for start in range(0, len(items), batch_size):
        part = [decoder(Item(item.path)).image for item in items[start : start + batch_size]]
        pictures = colours(torch.stack(list(map(planes, part))), device=subject.device)
        if not bool((subject.answers(pictures, of="adversarial pictures")[0] == label).all()):
            return False
    return True


def fixed_backgrounds(scenes: Scenes, *, count: int) -> Tensor:
    """Backgrounds (K, 3, H, W) for every foreground, bytes, as evenly over the classes as may be.

    There are fewer than ``count`` where fewer pictures can lend one.
    """
    found = []
    for row in scenes.background_rows(count):
        image, mask = scenes.opened(row)
        image, mask = image[None].float() / 255, mask[None].float() / 255
        filled = remove_foreground(image, mask, rim=_RIM)
        found.append(filled.mul_(255).round_().clamp_(0, 255).to(torch.uint8))
    return torch.cat(found)


def _lent(
    batch: Mapping[str, Tensor], variant: str, *, device: torch.device, masks_of: MasksOf | None
) -> tuple[Tensor, Tensor]:
    """Backgrounds for a variant, and for which rows there are any."""
    images = colours(batch[f"lender/{variant}"], device=device)
    exists = (batch[f"lender_row/{variant}"] >= 0).to(device)
    if variant == v.MIXED_NEW:
        return images, exists
    if masks_of is None:
        masks = colours(batch[f"lender_mask/{variant}"], device=device)
    else:
        masks = masks_of(images)
        exists = exists & v.has_background(masks)
    rim = _RIM if masks_of is None else _PREDICTED_RIM
    return remove_foreground(images, masks, rim=rim), exists


def _answers_where(subject: Subject, made: Made, *, batch: int) -> tuple[Tensor, Tensor]:
    """Answers (N,) and their probabilities, undefined where there is no picture."""
    of = f"{made.variant} pictures of batch {batch}"
    exists = made.exists.cpu()
    answers = torch.full(exists.shape, UNDEFINED)
    shares = torch.full(exists.shape, torch.nan)
    if exists.all():
        return subject.answers(made.pictures, of=of)
    if exists.any():
        answers[exists], shares[exists] = subject.answers(made.pictures[made.exists], of=of)
    return answers, shares


def _right_on_all(
    subject: Subject, cutouts: v.Cutouts, backgrounds: Tensor, labels: Tensor
) -> Tensor:
    """Whether the answer is right on every background (N,).

    A foreground that was once mistaken is asked about no further: it counts for nothing more.
    """
    right = torch.ones(len(labels), dtype=torch.bool)
    for background in backgrounds:
        left = right.nonzero().flatten()
        if not len(left):
            break
        behind = colours(background, device=subject.device)
        laid = cutouts.rows(left.to(subject.device)).on(behind)
        answers, _ = subject.answers(laid, of="adversarial pictures")
        right[left] = answers == labels[left]
    return right


def _under(found: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): values
        for name, values in found.items()
        if name.startswith(prefix)
    }
