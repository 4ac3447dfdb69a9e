"""The data flow of a block as a picture, drawn from a trace of the block itself."""

import operator
import re
from html import escape

from flow_rows import SPACE, Box, arranged
from torch import fx, nn

from visattn.blocks.gates import Gate
from visattn.blocks.taps import PairwiseTap, Tap

MOST = 26
"""Boxes of a picture; a block with more is drawn with its parts as boxes."""
SHAPES = frozenset({
    "flatten", "unflatten", "unsqueeze", "squeeze", "transpose", "permute", "contiguous",
    "expand", "expand_as", "view", "reshape", "to", "unbind", "split", "chunk", "narrow",
    "zeros_like", "ones_like", "getitem", "getattr", "floordiv", "T", "dim", "size", "map_heads",
    "heads_map", "spread", "detach",
})  # fmt: skip
"""Steps that only arrange values: drawn as lines."""
NAMES = {
    "mul": "×", "add": "+", "sub": "−", "truediv": "÷", "iadd": "+", "neg": "−", "rsqrt": "1 / √",
    "matmul": "matrix product", "einsum": "sum of products", "cat": "join", "stack": "join",
    "even_attention": "attention", "_reads": "shares",
    "_maxima": "max of parts", "neighbourhood_attention": "attention nearby",
    "product_attention": "q (k v)", "efficient_features": "softmax", "kernel_features": "elu + 1",
    "vector_norm": "L2 norm", "linalg_vector_norm": "L2 norm", "mean_of_windows": "mean of windows",
    "avg_pool2d": "mean of windows", "max_pool2d": "max of windows", "interpolate": "resize",
    "adaptive_avg_pool2d": "mean of parts", "neighbour": "shift", "pad": "shift", "bins": "parts",
}  # fmt: skip
AXES = {1: "channels", 2: "rows", 3: "columns", -1: "the last axis"}
STYLE = (
    "<style>.flow{max-width:100%;height:auto}.flow text{text-anchor:middle;fill:currentColor;"
    "font:11px ui-monospace,monospace}.flow .arrow{fill:none;stroke:currentColor;opacity:.5}"
    ".flow .tip{fill:currentColor;opacity:.7}.flow rect{fill:var(--md-default-bg-color,#fff);"
    "stroke:currentColor;stroke-opacity:.5}.flow .recorded rect{stroke:#f4511e;stroke-width:2;"
    "stroke-opacity:1}</style>"
)
HEIGHT, GAP = 26, 22


class Tracer(fx.Tracer):
    """Goes into modules, but not into gates and what may be recorded; or not into any part."""

    def __init__(self, *, parts: bool) -> None:
        super().__init__()
        self.parts = parts

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        """What is a box of its own."""
        if isinstance(module, (Gate, Tap, PairwiseTap)):
            return True
        whole = isinstance(module, (nn.Sequential, nn.ModuleList))
        return super().is_leaf_module(module, path) or (self.parts and not whole)


def data_flow(block: nn.Module, *, title: str) -> str:
    """An SVG for a page, in its colours, at most as wide as the page."""
    boxes = boxes_of(block, parts=False)
    if len(boxes) > MOST:
        boxes = boxes_of(block, parts=True)
    rows = arranged(boxes)
    right = max(box.x + box.width / 2 for row in rows for box in row) + SPACE
    left = min(box.x - box.width / 2 for row in rows for box in row) - SPACE
    height = len(rows) * (HEIGHT + GAP) - GAP + 8
    parts = [
        f'<svg class="flow" role="img" aria-label="{escape(title)}" width="{right - left:.0f}"'
        f' viewBox="{left:.0f} 0 {right - left:.0f} {height}" xmlns="http://www.w3.org/2000/svg"'
        f' style="min-width:{min(right - left, 440):.0f}px"><title>{escape(title)}</title>{STYLE}'
    ]
    for row in rows:
        for box in row:
            parts += [_line(before, box) for before in box.before]
    parts += [_box(box) for row in rows for box in row if box.label]
    return f'<div style="overflow-x:auto">{"".join(parts)}</svg></div>'


def boxes_of(block: nn.Module, *, parts: bool) -> list[Box]:
    """The steps of a block, those alike side by side as one."""
    graph = Tracer(parts=parts).trace(block)
    modules = dict(block.named_modules())
    held: dict[fx.Node, Box | None] = {}
    boxes: list[Box] = []

    def add(label: str, before: list[Box], *, recorded: bool = False) -> Box:
        for box in boxes:
            if box.label == label and box.before == before and before:
                box.times += 1
                return box
        boxes.append(Box(label, before, recorded))
        return boxes[-1]

    for node in graph.nodes:
        sources = list(dict.fromkeys(b for n in node.all_input_nodes if (b := held.get(n))))
        name = node.target if isinstance(node.target, str) else node.target.__name__
        if node.op == "placeholder":
            held[node] = add("input" if name == "x" else name.strip("_"), [])
        elif node.op == "output":
            add("output", sources)
        elif node.op == "get_attr":
            held[node] = add(name.rpartition(".")[2].replace("_", " "), [])
        elif node.op == "call_module":
            module = modules[name]
            recorded = isinstance(module, (Gate, Tap, PairwiseTap))
            held[node] = add(label_of(module), sources, recorded=recorded)
        elif name in SHAPES or not sources:
            # Sizes are no data: what is taken of a shape has no box.
            shape = (name == "getattr" and node.args[1] == "shape") or name.endswith("_like")
            held[node] = None if shape or not sources else sources[0]
        elif name == "add" and _continues_a_sum(sources):
            sums = sources[0]
            sums.before += [box for box in sources[1:] if box not in sums.before]
            held[node] = sums
        else:
            held[node] = add(step(name, node), sources)
    return side_by_side(pruned(boxes))


def _continues_a_sum(sources: list[Box]) -> bool:
    """Whether the first is a sum that the second doesn't come from."""
    if len(sources) != 2 or sources[0].label != "+":
        return False
    seen = [sources[1]]
    for box in seen:
        seen += [before for before in box.before if before not in seen]
    return sources[0] not in seen


def pruned(boxes: list[Box]) -> list[Box]:
    """Those on a way to the output, or that are recorded."""
    wanted: list[Box] = [box for box in boxes if box.label == "output" or box.recorded]
    for box in wanted:
        wanted += [before for before in box.before if before not in wanted]
    return [box for box in boxes if box in wanted]


def side_by_side(boxes: list[Box]) -> list[Box]:
    """Convolutions from one to the same place, of several sizes, as one box."""

    def ends(box: Box) -> tuple[frozenset[Box], frozenset[Box]]:
        return frozenset(box.before), frozenset(b for b in boxes if box in b.before)

    for box in boxes:
        word, _, rest = box.label.partition(" ")
        alike = [b for b in boxes if b is not box and b.label.startswith(f"{word} ")]
        alike = [b for b in alike if word == "conv" and ends(b) == ends(box)]
        if alike:
            sizes, _, kind = rest.partition(" depthwise")
            kind = " depthwise" if "depthwise" in rest else kind
            more = [b.label.split(" ", 1)[1].partition(" depthwise")[0] for b in alike]
            box.label = f"conv {', '.join([sizes, *more])}{kind}"
            for other in boxes:
                other.before = [b for b in other.before if b not in alike]
            return side_by_side([b for b in boxes if b not in alike])
    return boxes


def label_of(module: nn.Module) -> str:
    """What a module does, in a few words."""
    if isinstance(module, Gate):
        return f"sigmoid gate: {module.tap.kind}" if module.tap.kind != "gate" else "sigmoid gate"
    if isinstance(module, PairwiseTap):
        return "recorded: pairwise"
    if isinstance(module, Tap):
        return f"recorded: {module.kind.replace('_', ' ')}"
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        wide = " depthwise" if 1 < module.groups == module.in_channels else ""
        apart = f", dilated by {module.dilation[0]}" if max(module.dilation) > 1 else ""
        return f"conv {' × '.join(map(str, module.kernel_size))}{wide}{apart}"
    name = type(module).__name__.strip("_")
    for part, said in (("BatchNorm", "BN"), ("GroupNorm", "GN"), ("LayerNorm", "LN")):
        if part in name:
            return said
    if module.__module__.startswith("torch."):
        return name.lower()
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def _has_more_axes(node: fx.Node) -> bool:
    """Whether an axis of the map was cut in two before, so that its numbers mean others."""
    through = ("mul", operator.mul, operator.getitem, "mean")
    return any(
        before.target in ("unflatten", "unsqueeze")
        or (before.target in through and _has_more_axes(before))
        for before in node.all_input_nodes
    )


def step(name: str, node: fx.Node) -> str:
    """What a function does."""
    name = NAMES.get(name, name)
    if name in ("mean", "amax", "max", "sum", "softmax"):
        said = {"amax": "max"}.get(name, name)
        dims = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", ())
        dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
        if _has_more_axes(node):
            return said
        if dims == (2, 3):
            return f"{said} over places"
        if len(dims) == 1 and dims[0] in AXES and name != "softmax":
            return f"{said} over {AXES[dims[0]]}"
        return said
    return name.replace("_", " ")


def _top(box: Box) -> float:
    return box.row * (HEIGHT + GAP) + 4


def _line(before: Box, box: Box) -> str:
    start = _top(before) + (HEIGHT if before.label else HEIGHT / 2)
    end = _top(box) + (0 if box.label else HEIGHT / 2)
    bend = (end - start) / 2
    path = (
        f"M{before.x:.1f} {start:.1f}C{before.x:.1f} {start + bend:.1f} {box.x:.1f}"
        f" {end - bend:.1f} {box.x:.1f} {end - (5 if box.label else 0):.1f}"
    )
    tip = f'<path class="tip" d="M{box.x - 3.5:.1f} {end - 6:.1f}h7l-3.5 6z"/>' if box.label else ""
    return f'<path class="arrow" d="{path}"/>{tip}'


def _box(box: Box) -> str:
    y, kind = _top(box), "recorded" if box.recorded else "step"
    return (
        f'<g class="{kind}"><rect x="{box.x - box.width / 2:.1f}" y="{y:.1f}"'
        f' width="{box.width:.1f}" height="{HEIGHT}" rx="5"/>'
        f'<text x="{box.x:.1f}" y="{y + HEIGHT / 2 + 4:.1f}">{escape(box.text)}</text></g>'
    )
