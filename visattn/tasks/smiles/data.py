"""Tasty scenes in memory, batches of whole groups, an answer for each sushi."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from visattn.data.generated.tasty.arrays import SceneArrays, cached_arrays, joined
from visattn.data.generated.tasty.palette import check_colours
from visattn.data.generated.tasty.parameters import SceneSet
from visattn.data.generated.tasty.plan import GROUP
from visattn.data.loading.loaders import share_of
from visattn.tasks.split_data import Batch, SplitData, dealing_loader
from visattn.training.checks import check_in

MEAN, STD = 0.45, 0.25
_POOLS = 5  # of seeds: train, val, test, and the two without faces
_APART = 1000  # seeds of one distance from those of the next


@final
class SmileData(SplitData):
    """Is this buri tasty? Scenes of `visattn.data.generated.tasty`, rendered once.

    Batches hold whole groups of four scenes, which differ in expressions and plates alone, see
    `visattn.data.generated.tasty.draw_group`: ``image`` (N, 3, size, size), normalised; ``answer``
    and ``owners`` (N, sushi); ``plates`` (N, sushi, 2) and ``rings`` (N, diners, 2), row and column
    of their middles in pixels; ``index`` (N,).

    Test splits: ``test``; ``test_without_faces``, where nothing tells the answer; and
    ``test_distance_D`` for each of ``test_distances``, the same scenes with D rows of bare table.

    Args:
        size: Side of the pictures in pixels.
        diners: Number of diners, even; half of them smile.
        sushi: Number of sushi, each with an answer of its own.
        colours: Of how many colours those of a scene are drawn, 6 or 24.
        distance: Rows of bare table between rings and plates; nearly all there is room for if None.
        train_distances: Distances to train on, an equal part of the scenes each; ``distance`` if
            None.
        test_distances: Distances to test on besides.
        train: Scenes to train on.
        train_balanced: Train on groups as above, in which the number of smiles says nothing, too.
            If not, each diner of a training scene smiles or not by chance, see
            `visattn.data.generated.tasty.draw_independent`: a network then has something easy to
            begin with.
        train_without_faces: Further ones with empty rings, which stand there with either answer.
        val: Scenes to validate on.
        test: Scenes of each test split.
        scene_seed: Of the scenes; that of the training is ``seed_everything``.
        batch_size: Scenes a batch, a multiple of 4.
        flip: Turn half of the groups left to right in training.
        root: Folder of the cache; `visattn.data.generated.tasty.tasty_cache`'s if None.

    Attributes:
        plate: Diameter of a plate in pixels.
        ring: The same of a ring.

    Raises:
        ValueError: A number is out of its range, or no multiple of 4.
    """

    def __init__(
        self,
        *,
        size: int = 64,
        diners: int = 4,
        sushi: int = 1,
        colours: int = 6,
        distance: int | None = None,
        train_distances: list[int] | None = None,
        test_distances: list[int] | None = None,
        train: int = 8000,
        train_balanced: bool = False,
        train_without_faces: int = 0,
        val: int = 800,
        test: int = 800,
        scene_seed: int = 0,
        batch_size: int = 32,
        flip: bool = True,
        root: str | Path | None = None,
    ) -> None:
        check_in("[4, inf)", train=train, val=val, test=test, batch_size=batch_size)
        check_in("[0, inf)", train_without_faces=train_without_faces, scene_seed=scene_seed)
        check_colours(colours)
        counts = {"train": train, "train_without_faces": train_without_faces}
        counts |= {"val": val, "test": test, "batch_size": batch_size}
        for name, count in counts.items():
            if count % GROUP:
                raise ValueError(f"{name} must be a multiple of {GROUP}, a group; got {count}")
        super().__init__(train=train, val=val, test=test, batch_size=batch_size, seed=scene_seed)
        self.size, self.diners, self.sushi, self.distance = size, diners, sushi, distance
        self.colours = colours
        self.train_distances: Sequence[int | None] = train_distances or [distance]
        self.test_distances = test_distances or []
        self.train_balanced = train_balanced
        self.train_without_faces, self.flip, self.root = train_without_faces, flip, root
        for every in (distance, *self.train_distances, *self.test_distances):
            layout = self._set(GROUP, 0, every).layout
        self.plate, self.ring = layout.plate, layout.ring
        further = (f"test_distance_{d}" for d in self.test_distances)
        self.test_names = ("test", "test_without_faces", *further)
        self._read: dict[str, Scenes] = {}

    def scenes(self, split: str) -> "Scenes":
        """The scenes of ``train``, ``val`` or one of ``test_names``, rendered if they aren't there.

        Raises:
            KeyError: There is no such split.
        """
        if split not in self._read:
            parts = [cached_arrays(each, root=self.root) for each in self._sets(split)]
            self._read[split] = Scenes(joined(parts))
        return self._read[split]

    def prepare_data(self) -> None:
        """Render what isn't there."""
        for split in ("train", "val", *self.test_names):
            self.scenes(split)

    def loader(self, split: str, *, shuffle: bool = False) -> DataLoader[Any]:
        """Whole groups, some of them turned in training."""
        scenes = Scenes(self.scenes(split).arrays, flip=self.flip and split == "train")
        groups, each = len(scenes) // GROUP, self.batch_size // GROUP
        return dealing_loader(
            scenes,
            shuffle=shuffle,
            share=share_of(self.trainer),
            rows=_batches(torch.arange(groups), each),
            draw=lambda: _batches(torch.randperm(groups), each),
            batch_size=None,
        )

    def _sets(self, split: str) -> list[SceneSet]:
        """What is rendered for a split."""
        train, val, test, empty, _ = (_POOLS * self.seed + pool for pool in range(_POOLS))
        if split == "train":
            near = self.train_distances
            share = self.sizes["train"] // len(near) // GROUP * GROUP
            sets = [
                self._set(share, train + _APART * place, every, balanced=self.train_balanced)
                for place, every in enumerate(near)
            ]
            if self.train_without_faces:
                sets.append(self._set(self.train_without_faces, empty, near[0], without_faces=True))
            return sets
        if split == "val":
            return [self._set(self.sizes["val"], val, self.distance)]
        if split not in self.test_names:
            raise KeyError(
                f"no split {split!r}; there are train, val, {', '.join(self.test_names)}"
            )
        words = split.removeprefix("test_")
        every = int(words.split("_")[1]) if words.startswith("distance") else self.distance
        return [self._set(self.sizes["test"], test, every, without_faces=words == "without_faces")]

    def _set(self, count: int, seed: int, distance: int | None, **options: bool) -> SceneSet:
        shape = (self.size, self.diners, self.sushi, distance)
        return SceneSet(count, seed, *shape, colours=self.colours, **options)


@final
class Scenes(Dataset[Batch]):
    """Scenes as a dataset that gives whole batches.

    Args:
        arrays: The scenes.
        flip: Turn half of the groups left to right.
    """

    def __init__(self, arrays: SceneArrays, *, flip: bool = False) -> None:
        self.arrays, self.flip = arrays, flip

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.arrays)

    def __getitem__(self, indices: Sequence[int]) -> Batch:
        """A batch, whole groups in a row if some are turned."""
        rows = torch.as_tensor(indices)
        arrays = {
            name: torch.from_numpy(value).index_select(0, rows)
            for name, value in vars(self.arrays).items()
        }
        pixels = arrays["images"]
        plates, rings = arrays["plates"], arrays["rings"]
        if self.flip:
            turn = (torch.rand(-(-len(rows) // GROUP)) < 0.5).repeat_interleave(GROUP)[: len(rows)]
            pixels = torch.where(turn[:, None, None, None], pixels.flip(2), pixels)
            plates, rings = (_turned(places, turn, pixels.shape[2]) for places in (plates, rings))
        images = pixels.permute(0, 3, 1, 2).float().div_(255).sub_(MEAN).div_(STD)
        return {
            "image": images.contiguous(memory_format=torch.channels_last),
            "answer": arrays["answers"],
            "plates": plates,
            "rings": rings,
            "owners": arrays["owners"],
            "index": rows,
        }


def _batches(groups: Tensor, each: int) -> list[list[int]]:
    """Batches of whole groups: the rows of ``each`` groups at a time."""
    rows = groups[:, None] * GROUP + torch.arange(GROUP)
    return [part.flatten().tolist() for part in rows.split(each)]


def _turned(places: Tensor, turn: Tensor, size: int) -> Tensor:
    """Columns counted from the right where a picture is turned."""
    columns = torch.where(turn[:, None], size - 1 - places[..., 1], places[..., 1])
    return torch.stack((places[..., 0], columns), -1)
