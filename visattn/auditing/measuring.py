"""Asking a classifier about every variant of every picture, a batch at a time."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, final

import torch
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from visattn.auditing import variants as v
from visattn.auditing.arrangement import Arrangement
from visattn.auditing.classes import Subject
from visattn.auditing.pictures import decoder_of
from visattn.auditing.scenes import colours, planes
from visattn.basics.processes import from_shares, leads, own_share, sharing
from visattn.data import Item, remove_foreground
from visattn.metrics import mask_iou

UNDEFINED = -1
NOISE = {"foreground": "noise on the foreground", "background": "noise on the background"}


@final
class Answers:
    """What the classifier said, in columns of a value a picture.

    There are ``row`` in the data set and ``label``; ``answer/VARIANT``, -1 where there is no such
    picture; ``share/VARIANT``, the probability of the answer, of those variants that are drawn;
    ``lender/VARIANT``, the row that lent the background, -1 for nobody; ``iou`` of predicted masks
    with given ones, NaN without.

    A small tensor kept from every batch would lie in memory between the large ones of the pictures;
    what these leave behind could not be joined again, and the process would grow with every batch.
    So columns are laid out whole with the first batch.

    Args:
        count: How many pictures there may be.

    Attributes:
        empty: How many pictures' masks mark nothing; these are not kept.
        right: Whether each picture is recognised on all of the fixed backgrounds, or each that is
            rendered on many of them on all of these; None if that was not asked.
    """

    def __init__(self, count: int) -> None:
        self.count, self.filled, self.empty = count, 0, 0
        self.right: Tensor | None = None
        self._columns: dict[str, Tensor] = {}

    def add(self, found: Mapping[str, Tensor]) -> None:
        """Keep a batch: values (N,) under the same names each time."""
        end = self.filled + len(found["row"])
        for name, values in found.items():
            if name not in self._columns:
                self._columns[name] = values.new_empty(self.count)
            self._columns[name][self.filled : end] = values
        self.filled = end

    def __contains__(self, name: str) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> Tensor:
        return self._columns[name][: self.filled]

    def join(self) -> None:
        """Take what other processes found too, in the order of the rows; see `shared_work`."""
        if not sharing():
            return
        found = from_shares(({name: self[name] for name in self._columns}, self.empty))
        columns = [part for part, _ in found if part]
        self.empty = sum(empty for _, empty in found)
        self._columns, self.filled = {}, 0
        if columns:
            order = torch.cat([part["row"] for part in columns]).argsort()
            self.add({n: torch.cat([part[n] for part in columns])[order] for n in columns[0]})

    @property
    def by_variant(self) -> dict[str, Tensor]:
        """The answers (N,) by variant."""
        names = [name for name in self._columns if name.startswith("answer/")]
        return {name.removeprefix("answer/"): self[name] for name in names}


class Variant(NamedTuple):
    """A variant of a batch: pictures (N, 3, H, W), and for which rows (N,) they exist."""

    name: str
    pictures: Tensor
    exists: Tensor


def ask(subject: Subject, arranged: Arrangement) -> Answers:
    """Ask about all variants of all pictures; only answers are kept.

    Raises:
        ValueError: No mask marks anything.
    """
    options, masks_of = arranged.options, arranged.masks_of
    answers = Answers(len(arranged.items))
    own = Subset(arranged.items, own_share(range(len(arranged.items))))
    loader: DataLoader[dict[str, Tensor]] = DataLoader(
        own, batch_size=options.batch_size, num_workers=options.workers
    )
    shown = partial(track, transient=True, disable=not (options.progress and leads()))
    for number, batch in enumerate(shown(loader, "Auditing"), start=1):
        images, masks, marked = open_batch(batch, arranged, device=subject.device)
        answers.empty += int((~marked).sum())
        if not marked.any():
            continue
        chosen = marked.cpu()
        batch = {name: values[chosen] for name, values in batch.items()}
        images, masks = images[marked], masks[marked]
        found = {"row": batch["row"], "label": batch["label"]}
        if masks_of is not None:
            given = batch["mask"].float().div(255)
            iou = mask_iou(masks.cpu(), given)
            found["iou"] = torch.where(given.flatten(1).amax(1) > 0, iou.float(), torch.nan)
        for name in arranged.items.composites:
            found[f"lender/{name}"] = batch[f"lender_row/{name}"]
        cutouts = v.cut_out(images, masks)
        for variant in make(batch, arranged, images=images, cutouts=cutouts):
            told, shares = _answers_where(subject, variant, batch=number)
            found[f"answer/{variant.name}"] = told
            if variant.name in (v.ORIGINAL, v.MIXED_RAND):
                found[f"share/{variant.name}"] = shares
        if arranged.fixed is not None:
            found["right"] = _right_on_fixed(subject, cutouts, arranged.fixed, batch["label"])
        answers.add(found)
    answers.join()
    if not answers.filled:
        raise ValueError(
            f"none of the {answers.empty} pictures' masks marks anything; say what the values of "
            "the mask files mean (mask_values=..., --mask_values)"
        )
    if arranged.fixed is not None:
        answers.right = answers["right"]
    many = arranged.files.adversarial
    if many:
        rows = shown(own_share(list(many)), "Adversarial")
        right = {row: _right_on_rendered(subject, arranged, row, many[row]) for row in rows}
        everywhere = {row: hit for found in from_shares(right) for row, hit in found.items()}
        answers.right = torch.tensor([everywhere[row] for row in many])
    return answers


def open_batch(
    batch: Mapping[str, Tensor], arranged: Arrangement, *, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures and masks in [0, 1], and which masks (N,) mark anything."""
    images = colours(batch["image"], device=device)
    if arranged.masks_of is None:
        masks = colours(batch["mask"], device=device)
    else:
        masks = arranged.masks_of(images)
    return images, masks, v.has_foreground(masks)


def make(
    batch: Mapping[str, Tensor], arranged: Arrangement, *, images: Tensor, cutouts: v.Cutouts
) -> Iterator[Variant]:
    """The variants of a batch, one after the other, so that one is held at a time."""
    masks, device, renders = cutouts.masks, images.device, arranged.items.renders
    always = torch.ones(len(images), dtype=torch.bool, device=device)
    yield Variant(v.ORIGINAL, images, always)
    for name in arranged.items.composites:
        yield Variant(name, *_laid_on_lent(batch, name, arranged, cutouts=cutouts))
    if arranged.items.composites:
        behind = remove_foreground(images, masks, rim=_rim(arranged))
        yield Variant(v.PUT_BACK, cutouts.on(behind), always)
    for name in renders:
        pictures = colours(batch[f"render/{name}"], device=device)
        yield Variant(name, pictures, batch[f"rendered/{name}"].to(device))
    if not arranged.whole:
        return
    has_rest = v.leaves_background(masks)
    if v.ONLY_FG not in renders:
        yield Variant(v.ONLY_FG, cutouts.on(torch.zeros_like(images)), always)
    if v.ONLY_BG_T not in renders:
        yield Variant(v.ONLY_BG_T, v.only_background_filled(images, masks), has_rest)
    if v.ONLY_BG_B not in renders:
        yield Variant(v.ONLY_BG_B, v.only_background_boxed(images, masks), has_rest)
    if v.NO_FG not in renders:
        yield Variant(v.NO_FG, v.no_foreground(images, masks), always)
    deviation, seed = arranged.options.noise, arranged.options.seed
    if deviation > 0:
        noise = v.row_noise(batch["row"], like=images, deviation=deviation, seed=seed)
        yield Variant(NOISE["foreground"], v.noisy(images, masks, noise=noise), always)
        yield Variant(NOISE["background"], v.noisy(images, 1 - masks, noise=noise), always)


def _laid_on_lent(
    batch: Mapping[str, Tensor], name: str, arranged: Arrangement, *, cutouts: v.Cutouts
) -> tuple[Tensor, Tensor]:
    """Foregrounds on the backgrounds of a variant, and for which rows there are any."""
    device = cutouts.colours.device
    images = colours(batch[f"lender/{name}"], device=device)
    exists = (batch[f"lender_row/{name}"] >= 0).to(device)
    if name != v.MIXED_NEW:
        if arranged.masks_of is None:
            masks = colours(batch[f"lender_mask/{name}"], device=device)
        else:
            masks = arranged.masks_of(images)
            exists = exists & v.has_background(masks)
        images = remove_foreground(images, masks, rim=_rim(arranged))
    return cutouts.on(images), exists


def _rim(arranged: Arrangement) -> int:
    return v.RIM if arranged.masks_of is None else v.PREDICTED_RIM


def _answers_where(subject: Subject, variant: Variant, *, batch: int) -> tuple[Tensor, Tensor]:
    """Answers (N,) and their probabilities, undefined where there is no picture."""
    of = f"{variant.name} pictures of batch {batch}"
    exists = variant.exists.cpu()
    if exists.all():
        return subject.answers(variant.pictures, of=of)
    answers = torch.full(exists.shape, UNDEFINED)
    shares = torch.full(exists.shape, torch.nan)
    if exists.any():
        answers[exists], shares[exists] = subject.answers(variant.pictures[variant.exists], of=of)
    return answers, shares


def _right_on_fixed(
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


def _right_on_rendered(
    subject: Subject, arranged: Arrangement, row: int, items: Sequence[Item]
) -> bool:
    """Whether the answer to every one of a row's pictures on other backgrounds is right."""
    decoder, label = decoder_of(arranged.pictures), arranged.pictures.items[row].label
    size = arranged.options.batch_size
    for start in range(0, len(items), size):
        part = [planes(decoder(item).image) for item in items[start : start + size]]
        pictures = colours(torch.stack(part), device=subject.device)
        if not bool((subject.answers(pictures, of="adversarial pictures")[0] == label).all()):
            return False
    return True
