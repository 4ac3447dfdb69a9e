"""Residual blocks and blocks that join branches, found in what was observed of a forward pass.

They are told by the additions and concatenations that really happen, not by names of classes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from torch import nn

from visattn.wrapping.observing import ADDITIONS, CONVOLUTIONS, Call, Like, Map, Node, Observation


@dataclass(frozen=True)
class Block:
    """A residual block, or a module that joins branches of its own.

    Attributes:
        path: The module.
        output: Its map; None where the block is no module with a map of its own.
        branch: For residual blocks, the branch's last module, and its map.
        branch_map: That module's map.
        conv: The last convolution of the branch with a kernel larger than 1, if it has one.
        stage: The number of its stage, from 1; None outside of the stages.
        last: The part that gives its map, where the module itself gives several tensors.
    """

    path: str
    output: Map | None
    branch: str | None = None
    branch_map: Map | None = None
    conv: str | None = None
    stage: int | None = None
    last: str | None = None

    @property
    def giver(self) -> str:
        """The module that gives its map."""
        return self.last or self.path


class Passage:
    """What was observed, ready for questions about paths.

    Attributes:
        modules: The model's modules by path.
        outputs: Each module's first map, by path, in order of completion.
        inputs: The first map that each module took, by path.
        calls: Each module's calls, by path; those inside of adapters are left out.
        likes: Device and type of the first map after and before each module.
    """

    def __init__(self, model: nn.Module, seen: Observation) -> None:
        self.model, self.seen = model, seen
        self.modules = dict(model.named_modules())
        self.calls: dict[str, list[Call]] = {}
        for call in seen.calls:
            if not self._in_adapter(call.path):
                self.calls.setdefault(call.path, []).append(call)
        self.outputs: dict[str, Map] = {}
        self.inputs: dict[str, Map] = {}
        self.likes: dict[tuple[str, str], Like] = {}
        for call in (call for call in seen.calls if call.path in self.calls):
            for node, place in ((call.given, "after"), (call.taken, "before")):
                if node is not None and node.map is not None:
                    self.likes.setdefault((call.path, place), node.like)
            for node, maps in ((call.given, self.outputs), (call.taken, self.inputs)):
                if call.path and node is not None and node.map is not None:
                    maps.setdefault(call.path, node.map)

    def restricted(self, keeps: Callable[[Call], bool]) -> "Passage":
        """The same passage with some of the calls alone, and the joins in them."""
        calls = [call for call in self.seen.calls if keeps(call)]
        joins = [node for node in self.seen.joins if node.call in calls]
        return Passage(self.model, replace(self.seen, calls=calls, joins=joins))

    def _in_adapter(self, path: str) -> bool:
        """Whether a module lies inside of a LoRA adapter, which adds what is no branch."""
        parts = path.split(".")
        above = (".".join(parts[:number]) for number in range(1, len(parts)))
        return any(is_adapter(self.modules.get(other)) for other in above)

    def kinds(self, path: str) -> list[str]:
        """What a module gives over all its calls, in words, each once."""
        given = [call.given.map if call.given else None for call in self.calls.get(path, [])]
        words = [
            f"maps of {one.channels} channels ({', '.join(one.layout)})" if one else "no maps"
            for one in given
        ]
        return list(dict.fromkeys(words))

    def is_convolution(self, path: str, *, larger_than: int = 0) -> bool:
        """Whether a module is a convolution, with a kernel larger than that."""
        module = self.modules[path]
        module = module.base_layer if is_adapter(module) else module
        return isinstance(module, nn.Conv2d) and max(module.kernel_size) > larger_than

    def giver(self, node: Node, inside: str = "") -> str | None:
        """The module below ``inside`` that gave a tensor, one that is called once if possible.

        Parts that pass it on unchanged count as their parent.
        """
        makers = [path for path in node.makers if path and is_below(path, inside)]
        makers = [path for path in makers if path in self.outputs and len(self.kinds(path)) == 1]
        once = [path for path in makers if len(self.calls[path]) == 1]
        path = next(iter(once or makers), None)
        if path is None:
            return None
        while (parent := path.rpartition(".")[0]) in makers and type(
            self.modules[parent]
        ) is not nn.Sequential:
            path = parent
        return path

    def stand_in(self, node: Node, inside: str, channels: int) -> tuple[str, Map] | None:
        """The module nearest before a tensor, without a convolution between, with its map."""
        for before in backwards(node):
            found = self.giver(before, inside)
            if found and before.map and before.map.channels == channels:
                return found, before.map
            if before.operation in CONVOLUTIONS:
                return None
        return None


def residual_blocks(passage: Passage) -> list[Block]:
    """The blocks that add a branch to a shortcut, in order of completion, each once."""
    found: dict[str, Block] = {}
    parallel = _parallel_sums(passage)
    for total in passage.seen.joins:
        block = None if total in parallel else _residual(passage, total)
        if block is None or any(block.branch == other.branch for other in found.values()):
            continue
        found.pop(block.path, None)
        found[block.path] = block
    return _without_nested(list(found.values()))


def _without_nested(blocks: list[Block]) -> list[Block]:
    """Blocks without those inside others; one that holds more than two is a container, no block."""
    kept = blocks
    for block in sorted(blocks, key=lambda block: block.path.count(".")):
        inner = [other for other in kept if is_below(other.path, block.path)]
        if block in kept:
            # ESRGAN: three blocks and a skip around them; RepGhostNet: a block with two sums in it
            dropped = [block] if len(inner) > 2 else inner
            kept = [other for other in kept if other not in dropped]
    return kept


def _residual(passage: Passage, total: Node) -> Block | None:
    """The block of one addition, if it adds a branch to a shortcut and ends with that."""
    maps = [node for node in total.parents if node.map]
    if total.operation not in ADDITIONS or len(maps) != 2 or maps[0].map != maps[1].map:
        return None
    call = total.call
    if call is None or total.map is None or is_adapter(passage.modules.get(call.path)):
        return None
    branch, shortcut = sorted(maps, key=lambda node: -node.depth)
    if branch.depth == shortcut.depth:
        return None
    given = call.given
    if call.path and (given is None or given.map is None or not _ends_with(given, total)):
        return None
    channels = (given.map if call.path and given and given.map else total.map).channels
    stand_in = passage.stand_in(branch, call.path, channels)
    if stand_in is None:
        return None
    if call.path and given:
        conv = _last_convolution(passage, branch, call) or last_convolution_of(passage, call.path)
        return Block(call.path, given.map, *stand_in, conv)
    return Block(stand_in[0], None, *stand_in, last_convolution_of(passage, stand_in[0]))


def _ends_with(given: Node, total: Node) -> bool:
    """Whether no convolution lies between a sum and what its module gives."""
    return given.depth == total.depth and given.index >= total.index


def _parallel_sums(passage: Passage) -> set[Node]:
    """The additions that are, or are part of, a sum of parallel branches of equal depth."""
    found: set[Node] = set()
    for total in reversed(passage.seen.joins):
        if total in found or _is_parallel(total):
            found.add(total)
            found |= {node for node in total.parents if node.call is total.call}
    return {node for node in found if node.operation in ADDITIONS}


def _is_parallel(total: Node) -> bool:
    """Whether an addition sums up parallel branches of equal depth."""
    depths = sorted(node.depth for node in _terms(total, total.call))
    return total.operation in ADDITIONS and len(depths) > 1 and depths[-1] == depths[-2]


def _terms(node: Node, call: Call | None) -> list[Node]:
    """What a chain of additions in one call adds up."""
    parents = [parent for parent in node.parents if parent.map]
    if node.operation not in ADDITIONS or node.call is not call or not parents:
        return [node]
    return [term for parent in parents for term in _terms(parent, call)]


def joining_blocks(passage: Passage) -> list[Block]:
    """The modules that join branches of their own by concatenation or a sum, the outermost."""
    found: dict[str, Block] = {}
    for joined in passage.seen.joins:
        call = joined.call
        if call is not None and call.path and len(passage.calls.get(call.path, ())) == 1:
            block = _joining(passage, joined, call)
            if block is not None:
                found[call.path] = block
    outer = [path for path in found if not any(is_below(path, other) for other in found)]
    blocks: dict[str, Block] = {}
    for path in outer:
        lifted = _lifted(passage, path, outer)
        block = found[path] if lifted == path else Block(lifted, passage.outputs[lifted])
        blocks[lifted] = replace(block, conv=last_convolution_of(passage, lifted))
    return list(blocks.values())


def _joining(passage: Passage, joined: Node, call: Call) -> Block | None:
    """The block of one concatenation or sum, if what it joins was made in the same call."""
    maps = [node for node in joined.parents if node.map]
    own = [
        node
        for node in maps
        if (node.call is call or any(is_below(path, call.path) for path in node.makers))
        and (call.taken is None or node.index > call.taken.index)
    ]
    if len(maps) < 2 or not own or not _is_join(joined, maps):
        return None
    if call.given is not None and call.given.map is not None:
        # HGNetV2: two convolutions after what is joined; LCNetV2: four after a sum of kernels
        near = 0 <= call.given.depth - joined.depth <= 3 and call.given.index >= joined.index
        return Block(call.path, call.given.map) if near else None
    after = [
        path
        for path in passage.outputs
        if is_below(path, call.path) and passage.calls[path][0].given_after(joined)
    ]
    if joined.operation in ADDITIONS or not after:
        return None
    return Block(call.path, passage.outputs[after[-1]], last=after[-1])


def _is_join(joined: Node, maps: list[Node]) -> bool:
    """Whether maps of one size are joined along their channels, or summed up as equals."""
    sizes = {node.map.size for node in maps if node.map}
    if joined.map is None or len(sizes) > 1:
        return False
    if joined.operation in ADDITIONS:
        return _is_parallel(joined)
    return joined.map.channels == sum(node.map.channels for node in maps if node.map)


def _lifted(passage: Passage, path: str, others: list[str]) -> str:
    """The module around a joining one that is a block of its own, or the same."""
    while True:
        parent = path.rpartition(".")[0]
        if not parent or parent not in passage.outputs or is_list(passage.modules[parent]):
            return path
        if len([other for other in others if is_below(other, parent)]) > 1:
            return path
        path = parent


def _last_convolution(passage: Passage, node: Node, call: Call) -> str | None:
    """The convolution with a kernel larger than 1 nearest before a tensor, made in a call."""
    for before in backwards(node):
        if call.taken is not None and before.index <= call.taken.index:
            return None
        for path in before.makers:
            if is_below(path, call.path) and passage.is_convolution(path, larger_than=1):
                return path
    return None


def last_convolution_of(passage: Passage, path: str) -> str | None:
    """The last convolution with a kernel larger than 1 that gives a map inside a module."""
    inside = [
        name
        for name in passage.outputs
        if (name == path or is_below(name, path)) and passage.is_convolution(name, larger_than=1)
    ]
    return inside[-1] if inside else None


def backwards(node: Node) -> Iterator[Node]:
    """A tensor and those before it, on the way that the map takes."""
    here: Node | None = node
    while here is not None:
        yield here
        here = _main_parent(here)


def _main_parent(node: Node) -> Node | None:
    """What a tensor was mainly made of: the map itself and not its gate, the deepest of a sum."""
    maps = [parent for parent in node.parents if parent.map] or node.parents
    alike = [parent for parent in maps if parent.shape == node.shape] or maps
    if node.operation in ADDITIONS or node.operation in ("sub", "__sub__"):
        return max(alike, key=lambda parent: (parent.depth, parent.index), default=None)
    if len(alike) > 1 and alike is maps:
        return max(alike, key=lambda parent: (parent.depth, parent.index))
    return alike[0] if alike else None


def is_below(path: str, above: str) -> bool:
    """Whether a path lies inside another; everything lies inside of ""."""
    return path.startswith(f"{above}.") if above else bool(path)


def is_adapter(module: nn.Module | None) -> bool:
    """Whether a module is one of PEFT's LoRA layers: ``base_layer(x) + lora_B(lora_A(x))``."""
    return hasattr(module, "base_layer") and hasattr(module, "lora_A")


def is_list(module: nn.Module) -> bool:
    """Whether a module does nothing but hold others in order."""
    return isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))


def completed(paths: Iterable[str], passage: Passage) -> list[str]:
    """Paths in the order in which they were first completed."""
    order = {path: number for number, path in enumerate(passage.calls)}
    return sorted(paths, key=lambda path: order.get(path, len(order)))
