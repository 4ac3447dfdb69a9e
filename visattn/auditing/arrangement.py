"""From the pictures and what is wanted to what is read, made and asked."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from visattn.auditing import variants as v
from visattn.auditing.checking import check_files
from visattn.auditing.lending import Lenders
from visattn.auditing.measuring import Answers, MasksOf, Work, all_right, fixed_backgrounds
from visattn.auditing.opening import Fit
from visattn.auditing.pictures import decoder_of, find_adversarial, find_beside, find_renders
from visattn.auditing.scenes import Pictures, Renders, Scenes
from visattn.auditing.subject import Subject
from visattn.basics.suggestions import nearest
from visattn.data import Item, PictureDataset

BACKGROUND_COLUMN = "style"
"""The column of ``metadata.csv`` that names backgrounds where no other is asked for."""


@final
@dataclass(frozen=True)
class Arrangement:
    """What is read, made and asked.

    Attributes:
        pictures: What is audited.
        scenes: What is read for each picture.
        work: What is made of it.
        with_classes: Whether labels are looked at.
        fixed: Backgrounds (K, 3, H, W), bytes, that every foreground is put on, if any.
        adversarial: The rendered pictures of each row on many backgrounds, if there are any.
        unmasked: How many pictures have no mask, and are left out.
    """

    pictures: Pictures
    scenes: Scenes
    work: Work
    with_classes: bool
    fixed: Tensor | None
    adversarial: Mapping[int, Sequence[Item]]
    unmasked: int

    @property
    def backgrounds(self) -> int:
        """On how many backgrounds each foreground is seen."""
        if self.adversarial:
            return max(map(len, self.adversarial.values()))
        return 0 if self.fixed is None else len(self.fixed)

    def ask_adversarial(self, subject: Subject, rows: Iterable[int], *, batch_size: int) -> Tensor:
        """Whether each of these rows is recognised in all of its rendered pictures."""
        decoder, items = decoder_of(self.pictures), self.pictures.items
        return torch.tensor(
            [
                all_right(
                    subject,
                    self.adversarial[row],
                    label=items[row].label,
                    decoder=decoder,
                    batch_size=batch_size,
                )
                for row in rows
            ]
        )

    def names_behind(self, found: Answers, *, column: str) -> dict[str, list[Hashable | None]]:
        """The background of each picture on mixed-rand, and on the original where that is known.

        It is named by the column; where no picture has a name there, a lent one is named by the
        class of its lender. None for a picture whose background has no name.
        """
        items, rows = self.pictures.items, found.rows.tolist()
        named = any(item.metadata.get(column) for item in items)
        behind: dict[str, list[Hashable | None]] = {}
        if named:
            behind[v.ORIGINAL] = [items[row].metadata.get(column) or None for row in rows]
        if v.MIXED_RAND in self.scenes.renders:
            others = self.scenes.renders[v.MIXED_RAND].items
            shown = [others.get(row) for row in rows]
        else:
            lenders = found.lenders[v.MIXED_RAND].tolist()
            shown = [items[row] if row >= 0 else None for row in lenders]
            if not named:
                behind[v.MIXED_RAND] = [item and item.class_name for item in shown]
                return behind
        behind[v.MIXED_RAND] = [(item and item.metadata.get(column)) or None for item in shown]
        return behind


def arrange(
    pictures: Pictures,
    *,
    masks_of: MasksOf | None,
    flips_only: bool,
    backgrounds: str | Path | None,
    fit: Fit,
    composites: bool,
    adversarial: int,
    noise: float,
    background_column: str,
    limit: int,
    seed: int,
) -> Arrangement:
    """Find out what can be asked of these pictures; the arguments are those of `audit`.

    Raises:
        ValueError: There is no mask, nobody who could lend a background, or no such column; or
            files that cannot be read, see `check_files`.
    """
    estimate = masks_of is not None
    masked = [
        row for row, item in enumerate(pictures.items) if estimate or item.mask_path is not None
    ]
    if len(masked) < 2:
        raise ValueError(
            f"{len(masked)} of {len(pictures.items)} pictures have a mask, and an audit cuts "
            "objects out with them: they stand in SPLIT/masks/CLASS/ID.png, those of Waterbirds in "
            "CUB's segmentations beside it. Without masks, give a checkpoint that predicts them "
            "(mask_model=..., --mask-model CHECKPOINT); the numbers are then an estimate"
        )
    rows = _drawn(masked, limit=limit, seed=seed)
    with_classes = bool(pictures.class_names) and not flips_only
    everything = with_classes and not estimate
    beside = None if estimate or composites else find_beside(pictures)
    renders = find_renders(pictures, beside)
    _check_column(background_column, pictures=pictures, renders=renders)
    if backgrounds is not None:
        renders.pop(v.MIXED_NEW, None)
    if not everything:
        renders = {name: found for name, found in renders.items() if name in v.MIXED}
    composed = [v.MIXED_SAME, v.MIXED_RAND] if pictures.class_names else [v.MIXED_RAND]
    if everything:
        composed.append(v.MIXED_NEXT)
    composed = [name for name in composed if name not in renders]
    behind = None
    if backgrounds is not None:
        composed.append(v.MIXED_NEW)
        side = pictures.decoded(rows[0]).image.shape[0]
        behind = PictureDataset(backgrounds, size=side, fit=fit)
    scenes = Scenes(
        pictures,
        rows=rows,
        lenders=Lenders.of(pictures.items, needs_mask=not estimate, seed=seed),
        composites=composed,
        renders=renders,
        backgrounds=behind,
        with_masks=not estimate,
    )
    work = Work(
        composed=composed,
        rendered=list(renders),
        parts=everything,
        noise=noise if everything else 0.0,
        seed=seed,
        masks_of=masks_of,
    )
    many = {}
    if everything and adversarial:
        many = find_adversarial(pictures, beside)
        many = {row: many[row] for row in rows if row in many}
    onto = adversarial if everything and not many else 0
    check_files(scenes, adversarial=many, count=onto)
    fixed = None
    if onto:
        fixed = fixed_backgrounds(scenes, count=adversarial)
    return Arrangement(
        pictures=pictures,
        scenes=scenes,
        work=work,
        with_classes=with_classes,
        fixed=fixed,
        adversarial=many,
        unmasked=len(pictures.items) - len(masked),
    )


def _check_column(name: str, *, pictures: Pictures, renders: Mapping[str, Renders]) -> None:
    """Refuse a column that was asked for and names nothing."""
    if name == BACKGROUND_COLUMN:
        return
    others = [item for found in renders.values() for item in found.items.values()]
    items = [*pictures.items, *others]
    if any(item.metadata.get(name) for item in items):
        return
    columns = sorted({column for item in items for column in item.metadata})
    there = f"there are {', '.join(columns)}" if columns else "no picture has any metadata"
    raise ValueError(
        f"no picture has a background in the column {name!r} of metadata.csv (background_column)"
        f"{nearest(name, names=columns)}; {there}"
    )


def _drawn(rows: Sequence[int], *, limit: int, seed: int) -> list[int]:
    if not limit or limit >= len(rows):
        return list(rows)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return sorted(rows[place] for place in order[:limit].tolist())
