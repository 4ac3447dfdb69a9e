"""A model's stages and stem: where its blocks stand in the tree of modules, and their sizes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from torch import nn

from visattn.wrapping.anatomy import (
    Block,
    Passage,
    backwards,
    completed,
    is_below,
    is_list,
    joining_blocks,
    last_convolution_of,
    residual_blocks,
)
from visattn.wrapping.observing import Call, Map, Node


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        number: From 1.
        path: Its module, or the last of its modules where they lie in one flat list.
        last: The module that gives its last map, and that map.
        output: That map.
        members: The modules it is made of.
        conv: Its last convolution with a kernel larger than 1, if it has one.
    """

    number: int
    path: str
    last: str
    output: Map
    members: tuple[str, ...]
    conv: str | None = None

    def holds(self, path: str) -> bool:
        """Whether a module is this stage or lies in it."""
        return path == self.path or any(_is_or_below(path, member) for member in self.members)


def find_encoder(passage: Passage) -> Passage:
    """Of a model that gives maps larger than its smallest ones: what comes before it enlarges them.

    Such are encoder-decoders and networks for segmentation; of any other model all. The encoder is
    the first module that gives several maps (those of segmentation_models.pytorch, torchvision's
    backbones), or else what was done before the first map after the smallest was enlarged (a U-Net
    of one's own).
    """
    seen = passage.seen
    maps = [call.given for call in seen.calls if call.given and _area(call.given) > 1]  # no gates
    root = seen.calls[-1]
    lowest = min(maps, key=_area, default=seen.image)
    least = _area(lowest)
    results = [root.given] if root.given else root.several
    several_scales = any(_area(node) == least for node in results)  # HRNet's features
    if several_scales or not any(_area(n) > least and n.index > lowest.index for n in results):
        return passage
    # SegNet: pooling gives a map and whole numbers, the places of its maxima
    inner = [
        call
        for call in seen.calls[:-1]
        if any(_area(node) > 1 for node in call.several)
        and all(node.like[1].is_floating_point for node in call.several)
    ]
    if inner:
        path = inner[0].path
        return passage.restricted(lambda call: call.path == path or is_below(call.path, path))
    end = next((node.index for node in seen.enlarged if node.index > lowest.index), None)
    if end is None:
        return passage

    def encodes(call: Call) -> bool:
        """UNet++ enlarges before the smallest map is made, which is made of none enlarged."""
        node = call.given
        return node is not None and node.index < end and node.enlarged <= lowest.enlarged

    return passage.restricted(encodes)


def _area(node: Node) -> int:
    """The number of places of a map; 0 for what is none."""
    return node.map.height * node.map.width if node.map else 0


def find_blocks(passage: Passage) -> list[Block]:
    """Residual blocks, and joining ones where those are of their kind or do most of the work."""
    residual = residual_blocks(passage)
    joining = joining_blocks(passage)
    mapped = [block for block in residual if block.output]
    if not mapped:
        return joining + residual
    sizes = {block.output.size for block in mapped if block.output}
    kinds = {type(passage.modules[block.path]) for block in mapped} - {nn.Sequential}
    paths = [block.path for block in mapped]
    more = [
        block
        for block in joining
        if not any(_is_or_below(block.path, p) for p in paths)
        and (
            type(passage.modules[block.path]) in kinds
            # MobileViT xs: residual blocks of one resolution, joining ones of others; xxs: of two
            or (len(sizes) < 2 and not any(is_below(p, block.path) for p in paths))
        )
    ]
    found = {block.path: block for block in [*mapped, *more]}
    return [found[path] for path in completed(found, passage)]


def find_stages(passage: Passage, blocks: Sequence[Block]) -> list[Stage]:
    """The stages, in order: containers of blocks, or runs of one resolution in a flat list."""
    maps = {block.path: block.output or block.branch_map for block in blocks}
    sizes = {path: given.size for path, given in maps.items() if given}
    plain = not sizes
    convs = _sizes(passage, convolutions=True)
    # LCNetV2: blocks in one of five resolutions; Inception v3: in three of seven
    if 3 * len(set(sizes.values())) < len(set(convs.values())):
        sizes = convs | sizes
    # LeViT: four resolutions in its stem are enough
    if len(set(sizes.values())) < 2 and plain:
        sizes = _sizes(passage, convolutions=not passage.seen.sequences)
    # CoaT: sequences between maps of four resolutions; ViT: of one
    if not sizes or (plain and passage.seen.sequences and len(set(sizes.values())) < 2):
        return []
    trunk = _trunk(sizes, share=0 if plain else 0.5)
    members = _members(passage, trunk, sizes)
    # ReXNet: most children are blocks, and some hold none; Inception-ResNet: few are
    flat = 2 * sum(path in sizes for path in members) > len(members)
    resolutions = len(set(sizes.values()))
    # ConvMixer: no pooling, thirty-two blocks; DPN of Cadene's: blocks that give two maps
    many = resolutions == 1 or (plain and len(members) > 2 * resolutions)
    if plain and not is_list(passage.modules[trunk]):
        groups = _runs(passage, completed(sizes, passage), list(passage.outputs), sizes)
    elif flat or many:
        order = [path for path in passage.calls if _is_child(path, trunk)]
        groups = _runs(passage, members, order, sizes)
    else:
        groups = iter([path] for path in members)
    givers = {block.path: block.giver for block in blocks if block.output}
    stages = [_stage(passage, group, givers) for group in groups]
    found = [stage for stage in stages if stage is not None]
    return [replace(stage, number=number) for number, stage in enumerate(found, 1)]


def _sizes(passage: Passage, *, convolutions: bool) -> dict[str, tuple[int, int]]:
    """The resolutions of all maps, or of those that convolutions give."""
    return {
        path: given.size
        for path, given in passage.outputs.items()
        if given.size != (1, 1)  # the gates of EfficientViM
        and (passage.is_convolution(path) or not convolutions)
    }


def with_stages(blocks: Sequence[Block], stages: Sequence[Stage]) -> list[Block]:
    """The blocks that lie in stages, with the stages' numbers; all if none does."""
    numbered = [
        replace(block, stage=next((s.number for s in stages if s.holds(block.path)), None))
        for block in blocks
    ]
    return [block for block in numbered if block.stage] or numbered


def find_stem(passage: Passage, stages: Sequence[Stage]) -> tuple[str, Map] | None:
    """The last module before the first stage, or the last that gives a map, and its map."""
    if not stages:
        last = next(reversed(passage.outputs.items()), None)
        return last
    inside = [call for call in passage.seen.calls if stages[0].holds(call.path)]
    first = min(inside, key=lambda call: call.order)
    if first.taken is None or first.taken.map is None:
        return None
    for node in backwards(first.taken):
        if node.map is None or node.shape != first.taken.shape:
            return None
        before = [p for p in node.makers if p in passage.outputs and not stages[0].holds(p)]
        if before and len(passage.kinds(before[-1])) == 1:
            return before[-1], node.map
    return None


def _below(paths: Sequence[str] | dict[str, tuple[int, int]], above: str) -> list[str]:
    return [path for path in paths if is_below(path, above)]


def _is_or_below(path: str, above: str) -> bool:
    return path == above or is_below(path, above)


def _child(path: str, above: str) -> str:
    """The child of a module that a path is or lies in."""
    rest = path[len(above) + 1 :] if above else path
    return f"{above}.{rest.partition('.')[0]}" if above else rest.partition(".")[0]


def _trunk(sizes: dict[str, tuple[int, int]], *, share: float) -> str:
    """The module whose children are the stages, or the blocks of all of them.

    It holds more than a share of all.
    """
    resolutions = len(set(sizes.values()))
    trunk = ""
    while True:
        children = list(dict.fromkeys(_child(path, trunk) for path in _below(sizes, trunk)))
        # PiT: the stem has a resolution of its own; FastViT: a stage that begins with pooling holds
        # two; NesT: there are two in all; HarDNet: a stage of three resolutions holds two, and few
        # blocks
        wide = [
            child
            for child in children
            if child not in sizes
            and len(_sizes_in(sizes, child)) >= max(2, resolutions - 1)
            and len(_below(sizes, child)) > share * len(sizes)
        ]
        if len(wide) == 1:
            trunk = wide[0]
        elif len(children) == 1 and children[0] not in sizes:
            trunk = children[0]
        else:
            return trunk


def _sizes_in(sizes: dict[str, tuple[int, int]], path: str) -> set[tuple[int, int]]:
    """The resolutions of the blocks inside a module."""
    return {sizes[inner] for inner in _below(sizes, path)}


def _members(passage: Passage, trunk: str, sizes: dict[str, tuple[int, int]]) -> list[str]:
    """The trunk's children that hold blocks, and those of their kind, in order of execution."""
    children = [_child(path, trunk) for path in passage.modules if is_below(path, trunk)]
    holding = dict.fromkeys(_child(path, trunk) for path in _below(sizes, trunk))
    kinds = {type(passage.modules[path]) for path in holding}
    if not is_list(passage.modules[trunk]):
        kinds -= {nn.Sequential, nn.ModuleList}
    alike = [
        path
        for path in dict.fromkeys(children)
        if path in holding or (type(passage.modules[path]) in kinds and _works(passage, path))
    ]
    if any(path in passage.calls for path in alike):
        # HRNet: the lists of modules between its stages are no stages
        alike = [p for p in alike if p in passage.calls or len(_sizes_in(sizes, p)) < 2]
    starts = {path: start for path in alike if (start := _start(passage, path)) is not None}
    return sorted(starts, key=lambda path: starts[path])


def _works(passage: Passage, path: str) -> bool:
    """Whether a module gives a map and, if it is a mere sequence, has several convolutions."""
    if is_list(passage.modules[path]):
        # MobileNetV3 ends with a single convolution; MobileNetV2's first stage has two
        return _convolutions_in(passage, path) > 1
    return path in passage.outputs


def _convolutions_in(passage: Passage, path: str, *, but: Sequence[str] = ()) -> int:
    """The number of convolutions that a module is or holds, without some."""
    inside = [p for p in passage.outputs if _is_or_below(p, path) and p not in but]
    return sum(passage.is_convolution(p) for p in inside)


def _start(passage: Passage, path: str) -> int | None:
    """When a module, or the first one inside it, was first called."""
    orders = [calls[0].order for name, calls in passage.calls.items() if _is_or_below(name, path)]
    return min(orders, default=None)


def _runs(
    passage: Passage,
    members: list[str],
    order: list[str],
    sizes: dict[str, tuple[int, int]],
) -> Iterator[list[str]]:
    """Runs of members of one resolution, with what follows them and keeps the map's shape."""
    for path in members:
        if inside := [p for p in passage.outputs if _is_or_below(p, path)]:
            sizes = {path: passage.outputs[inside[-1]].size} | sizes
    for _, group in groupby((p for p in members if p in sizes), key=lambda path: sizes[path]):
        run = list(group)
        last = run[-1]
        for path in order[order.index(last) + 1 :] if last in order else []:
            given = passage.outputs.get(path)
            same = given is not None and given == passage.outputs.get(last)
            if path in members or not same or _convolutions_in(passage, path, but=run):
                break
            if len(passage.kinds(path)) == 1:
                run.append(path)
        yield run


def _is_child(path: str, above: str) -> bool:
    return is_below(path, above) and _child(path, above) == path


def _stage(passage: Passage, members: list[str], givers: dict[str, str]) -> Stage | None:
    """A stage of some members; None if no map is inside."""
    path = last = members[-1]
    if path not in passage.outputs:
        blocks = [giver for block, giver in givers.items() if _is_or_below(block, path)]
        ends = blocks or _below(list(passage.outputs), path)
        if not ends:
            return None
        last = ends[-1]
    convs = [conv for member in members if (conv := last_convolution_of(passage, member))]
    output = passage.outputs[last]
    return Stage(0, path, last, output, tuple(members), convs[-1] if convs else None)
