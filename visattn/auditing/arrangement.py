"""From the pictures and what is wanted to what is read, made and asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from visattn.annotation.mask_models import MasksOf
from visattn.auditing import variants as v
from visattn.auditing.options import AuditOptions
from visattn.auditing.pictures import DataModule, Pictures, VariantFiles, find_variants
from visattn.auditing.scenes import AuditItems, Lenders
from visattn.basics.suggestions import nearest
from visattn.data import FolderDataset, Item, PictureDataset
from visattn.data.checking import check_items
from visattn.data.layout import raise_problems
from visattn.data.masks import SOFT


@final
@dataclass(frozen=True)
class Arrangement:
    """What is read, made and asked.

    Attributes:
        options: Those of the audit.
        items: What is read for each picture.
        masks_of: Predicts masks where those given are not to be used.
        labelled: Whether labels are looked at.
        files: The variants that are read from files.
        fixed: Backgrounds (K, 3, H, W), bytes, that every foreground is put on, if any.
        unmasked: How many pictures have no mask, and are left out.
    """

    options: AuditOptions
    items: AuditItems
    masks_of: MasksOf | None
    labelled: bool
    files: VariantFiles
    fixed: Tensor | None
    unmasked: int

    @property
    def pictures(self) -> Pictures:
        """What is audited."""
        return self.items.pictures

    @property
    def estimate(self) -> bool:
        """Whether the masks are a model's."""
        return self.masks_of is not None

    @property
    def whole(self) -> bool:
        """Whether all is asked about, and not flips and the originals alone."""
        return self.labelled and not self.estimate

    @property
    def backgrounds(self) -> int:
        """On how many backgrounds each foreground is seen."""
        if self.files.adversarial:
            return max(map(len, self.files.adversarial.values()))
        return 0 if self.fixed is None else len(self.fixed)


def arrange(
    pictures: Pictures,
    *,
    module: DataModule | None,
    masks_of: MasksOf | None,
    reading: Mapping[str, Any],
    options: AuditOptions,
) -> Arrangement:
    """Find out what can be asked of these pictures; ``reading`` is how backgrounds are read.

    Raises:
        ValueError: There is no mask, nobody who could lend a background, or no such column; or
            files that cannot be read.
    """
    estimate = masks_of is not None
    lenders = Lenders.of(pictures.items, needs_mask=not estimate, seed=options.seed)
    masked = sorted(row for rows in lenders.rows.values() for row in rows)
    if len(masked) < 2:
        raise ValueError(
            f"{len(masked)} of {len(pictures.items)} pictures have a mask, and an audit cuts "
            "objects out with them: they stand in SPLIT/masks/CLASS/ID.png, those of Waterbirds in "
            "CUB's segmentations beside it. Without masks, have them found by colour (masks="
            "'grabcut', --masks grabcut), or give a checkpoint that predicts them (mask_model=..., "
            "--mask-model CHECKPOINT); the numbers are then an estimate"
        )
    order = torch.randperm(len(masked), generator=torch.Generator().manual_seed(options.seed))
    rows = sorted(masked[place] for place in order[: options.limit or None].tolist())
    labelled = bool(pictures.class_names) and not options.flips_only
    whole = labelled and not estimate
    files = VariantFiles()
    if not estimate and not options.composites:
        files = find_variants(pictures, module=module)
    _check_column(options.background_column, pictures=pictures, files=files)
    renders = {
        name: found
        for name, found in files.items.items()
        if (whole or name in v.MIXED) and (name != v.MIXED_NEW or options.backgrounds is None)
    }
    composed = [v.MIXED_SAME, v.MIXED_RAND] if pictures.class_names else [v.MIXED_RAND]
    if whole:
        composed.append(v.MIXED_NEXT)
    composed = [name for name in composed if name not in renders]
    behind = None
    if options.backgrounds is not None:
        composed.append(v.MIXED_NEW)
        side = pictures.decoded(rows[0]).image.shape[0]
        behind = PictureDataset(
            options.backgrounds, size=side, **reading, skip_broken=options.skip_broken
        )
    items = AuditItems(
        pictures,
        rows=rows,
        lenders=lenders,
        composites=composed,
        renders=renders,
        backgrounds=behind,
        with_masks=not estimate,
    )
    count = options.adversarial if whole else 0
    many = files.adversarial if count else {}
    many = {row: many[row] for row in rows if row in many}
    onto = 0 if many else count
    _check_files(items, adversarial=many, count=onto)
    return Arrangement(
        options=options,
        items=items,
        masks_of=masks_of,
        labelled=labelled,
        files=VariantFiles(files.splits, renders, many, files.made),
        fixed=items.fixed_backgrounds(onto) if onto else None,
        unmasked=len(pictures.items) - len(masked),
    )


def _check_column(name: str, *, pictures: Pictures, files: VariantFiles) -> None:
    """Refuse a column that was asked for and names nothing."""
    if name == AuditOptions.background_column:  # the default
        return
    others = [item for found in files.items.values() for item in found.values()]
    items = [*pictures.items, *others]
    if any(item.metadata.get(name) for item in items):
        return
    columns = sorted({column for item in items for column in item.metadata})
    there = f"there are {', '.join(columns)}" if columns else "no picture has any metadata"
    raise ValueError(
        f"no picture has a background in the column {name!r} of metadata.csv (background_column)"
        f"{nearest(name, names=columns)}; {there}"
    )


def _check_files(
    items: AuditItems, *, adversarial: Mapping[int, Sequence[Item]], count: int
) -> None:
    """Read every file that the audit may open.

    These are the chosen pictures, those that may lend them a background, and those that are
    rendered, so that none of them ends the audit in the middle. A data set of another kind than
    visattn's reads its files in its own way, and only what is not its own is looked at.

    Raises:
        ValueError: Files that cannot be read, masks of another size than their picture; up to ten
            are listed with their path.
    """
    pictures, chosen = items.pictures, set(items.rows)
    found: list[Item] = []
    if isinstance(pictures, FolderDataset):
        rows = chosen.union(_lender_rows(items, count=count))
        found.extend(pictures.items[row] for row in sorted(rows))
    if items.backgrounds is not None:
        behind, drawn = items.backgrounds.items, items.lenders.one_of
        places = {drawn(row, count=len(behind), variant=v.MIXED_NEW) for row in items.rows}
        found.extend(behind[place] for place in sorted(places))
    for renders in items.renders.values():
        found.extend(item for row, item in renders.items() if row in chosen)
    for many in adversarial.values():
        found.extend(many)
    where = getattr(pictures, "root", None) or type(pictures).__name__
    values = getattr(getattr(pictures, "decoder", None), "mask_values", SOFT)
    raise_problems(check_items(found, mask_values=values), where=str(where))


def _lender_rows(items: AuditItems, *, count: int) -> Iterator[int]:
    """Rows that may lend a background."""
    lenders = {row for rows in items.lenders.rows.values() for row in rows}
    if lenders <= set(items.rows):
        return  # each of them is looked at in any case
    if count:
        yield from items.lenders.spread(count)
    for row in items.rows:
        label = items.pictures.items[row].label
        for variant in items.composites:
            if variant != v.MIXED_NEW:
                yield from items.lenders.candidates(row, label, variant=variant)
