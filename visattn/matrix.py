"""Which architectures of timm and torchvision take attention: ``python -m visattn.matrix``.

Every architecture is built without memory, traced and planned. Of each family the smallest one of
every structure is built in full, wrapped at every place that it has, and compared with the plain
model bit for bit.
"""

import argparse
import gc
import multiprocessing
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import timm
import torch
import torchvision
from rich.progress import track
from torch import Tensor, nn

from visattn.insertion import unwrap, wrap
from visattn.placement import PLACES, find_sites, own_place
from visattn.planning import plan
from visattn.testing import enliven
from visattn.tracing import default_input_size, trace

QUICK = ("inception_v4", "sknet", "torchvision.squeezenet", "vgg", "xception")
"""Families of the quick matrix."""

BLOCKS = {
    "branch": "se",
    "conv": "eca",
    "block": "cbam",
    "stage": "gc",
    "stem": "se",
    "image": "spatial_mask",
}
"""The block that is tried at each place."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, order=True)
class Architecture:
    """One architecture: its family (timm's module, or torchvision's) and its name."""

    family: str
    name: str

    def build(self) -> nn.Module:
        """The model with fresh weights."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.family.startswith("torchvision."):
                return torchvision.models.get_model(self.name)
            return timm.create_model(self.name)


@dataclass(frozen=True)
class Surveyed:
    """What planning showed of one architecture.

    Attributes:
        architecture: Which.
        parameters: Their number.
        resolutions: Of the maps that its convolutions give.
        stages: Their number.
        sites: Number of sites of each place.
        own: The place that attention goes to by itself; None if there is none.
        reason: Why there is none.
    """

    architecture: Architecture
    parameters: int
    resolutions: int
    stages: int
    sites: dict[str, int]
    own: str | None
    reason: str = ""

    @property
    def convolutional(self) -> bool:
        """Whether convolutions give maps of two or more resolutions."""
        return self.resolutions > 1


@dataclass(frozen=True)
class Verified:
    """What a real forward pass showed of one architecture: the places that held, and a fault."""

    architecture: Architecture
    places: tuple[str, ...]
    fault: str = ""


def architectures(families: Sequence[str] = ()) -> list[Architecture]:
    """All of timm's models and torchvision's classifiers, or those of some families."""
    found = [
        Architecture(timm.model_entrypoint(name).__module__.rpartition(".")[2], name)
        for name in timm.list_models()
        if not name.startswith("test_")
    ]
    for name in torchvision.models.list_models(module=torchvision.models):
        home = torchvision.models.get_model_builder(name).__module__.rpartition(".")[2]
        found.append(Architecture(f"torchvision.{home}", name))
    return sorted(entry for entry in found if not families or entry.family in families)


def survey(architecture: Architecture) -> Surveyed:
    """Trace and plan one architecture without memory for its weights."""
    gc.collect()
    with torch.device("meta"):
        model = architecture.build()
    parameters = sum(p.numel() for p in model.parameters())
    traced = trace(model)
    modules = dict(model.named_modules())
    resolutions = {
        given.size
        for path, given in traced.outputs.items()
        if isinstance(modules[path], nn.Conv2d) and given.size != (1, 1)
    }
    sites = {}
    for place in PLACES:
        try:
            sites[place] = len(find_sites(traced, place))
        except ValueError:
            continue
    own, reason = None, ""
    try:
        own = own_place(traced, "branch")
        plan(model, "se", at=own)
    except ValueError as error:
        own, reason = None, str(error)
    count = len(traced.stages)
    return Surveyed(architecture, parameters, len(resolutions), count, sites, own, reason)


def examples(surveyed: Iterable[Surveyed]) -> list[Surveyed]:
    """The smallest architecture of each structure in each family, of those that take attention."""
    smallest: dict[Any, Surveyed] = {}
    for entry in sorted(surveyed, key=lambda entry: (entry.parameters, entry.architecture.name)):
        if entry.own and entry.convolutional:
            smallest.setdefault((entry.architecture.family, entry.own, entry.stages), entry)
    return sorted(smallest.values(), key=lambda entry: entry.architecture)


def verify(entry: Surveyed) -> Verified:
    """Wrap a real model at each place that it has and compare it with the plain one."""
    torch.manual_seed(0)
    model = enliven(entry.architecture.build())
    held: list[str] = []
    try:
        size = _working_size(model)
        images = torch.randn(2, *size)
        plain = _outputs(model, images)
        if not all(torch.isfinite(one).all() for one in plain):
            raise AssertionError("the plain model's outputs are not finite")
        for places in (("branch", "stage", "stem"), ("conv", "block", "image")):
            there = [place for place in places if place in entry.sites]
            if there:
                _check(model, {place: BLOCKS[place] for place in there}, images, plain)
                held += there
    except (AssertionError, RuntimeError, ValueError) as error:
        return Verified(entry.architecture, tuple(held), f"{type(error).__name__}: {error}"[:200])
    return Verified(entry.architecture, tuple(place for place in PLACES if place in held))


def _working_size(model: nn.Module) -> tuple[int, int, int]:
    """A small image that a model takes, or its own size."""
    own = default_input_size(model)
    for side in (128, 160, 224):
        size = (own[0], side, side)
        try:
            trace(model, input_size=size)
        except ValueError:
            continue
        return size
    return own


def _check(
    model: nn.Module, blocks: dict[str, str], images: Tensor, expected: Sequence[Tensor]
) -> None:
    """Raise AssertionError unless a model with blocks, and without them again, gives the same."""
    keys = list(model.state_dict())
    wrap(model, blocks, input_size=(images.shape[1], images.shape[2], images.shape[3]))
    given = _outputs(model, images)
    if list(unwrap(model).state_dict()) != keys:
        raise AssertionError(f"unwrap of {blocks} changes the keys")
    if not all(torch.equal(one, other) for one, other in zip(given, expected, strict=True)):
        raise AssertionError(f"{', '.join(blocks)} change the outputs")


def _outputs(model: nn.Module, images: Tensor) -> list[Tensor]:
    """All that a model gives in evaluation and in training mode; its statistics are kept."""
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found: list[Tensor] = []
    with torch.no_grad():
        for training in (False, True):
            torch.manual_seed(0)
            found += _leaves(model.train(training)(images.clone()))
        for name, buffer in model.named_buffers():
            if name in before:
                buffer.copy_(before[name])
    return found


def _leaves(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if _many(value) else ():
        yield from _leaves(inner)


def _many(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def table(surveyed: Sequence[Surveyed], verified: Sequence[Verified]) -> list[str]:
    """The lines of the table, one a family."""
    lines = []
    checks = {entry.architecture: entry for entry in verified}
    for family in dict.fromkeys(entry.architecture.family for entry in surveyed):
        inside = [entry for entry in surveyed if entry.architecture.family == family]
        chosen = [entry for entry in examples(inside) if entry.architecture in checks]
        taking = [entry for entry in inside if entry.own]
        places = [place for place in PLACES if any(place in entry.sites for entry in inside)]
        stages = sorted({entry.stages for entry in taking})
        sites = [
            f"{entry.architecture.name}: "
            + ", ".join(f"{place} {count}" for place, count in entry.sites.items())
            for entry in chosen
        ]
        held = [
            checks[entry.architecture].fault or ", ".join(checks[entry.architecture].places)
            for entry in chosen
        ]
        cells = [
            family,
            str(len(inside)),
            str(sum(entry.convolutional for entry in inside)),
            str(len(taking)),
            ", ".join(places),
            ", ".join(map(str, stages)),
            "<br>".join(sites),
            "<br>".join(held),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def document(surveyed: Sequence[Surveyed], verified: Sequence[Verified]) -> str:
    """The whole page."""
    shares = []
    for library in ("timm", "torchvision"):
        own = [
            entry
            for entry in surveyed
            if entry.architecture.family.startswith("torchvision.") == (library == "torchvision")
        ]
        convolutional = [entry for entry in own if entry.convolutional]
        taking = sum(entry.own is not None for entry in convolutional)
        if own:
            shares.append(
                f"- {library}: {len(own)} architectures, {len(convolutional)} with stages of"
                f" convolutions (maps of two or more resolutions); {taking} of these take"
                f" attention ({100 * taking / max(1, len(convolutional)):.1f} %)."
            )
    sound = sum(not entry.fault for entry in verified)
    header = ["family", "architectures", "with stages", "take attention", "places", "stages"]
    header += ["sites", "equal bit for bit at"]
    lines = [
        "# Which architectures take attention",
        "",
        "Made by `make matrix` with"
        f" torch {_short(torch.__version__)}, timm {timm.__version__}, torchvision"
        f" {_short(torchvision.__version__)}. Every architecture is traced and planned; of each"
        " family the smallest of every structure is wrapped with several blocks at each place that"
        " it has, with live normalisations, in evaluation and training mode, and must give the"
        f" plain model's outputs bit for bit: {sound} of {len(verified)} do.",
        "",
        *shares,
        "",
        "| " + " | ".join(header) + " |",
        "|" + " --- |" * len(header),
        *table(surveyed, verified),
        "",
        "## Those that take none at their blocks or stages",
        "",
        *_reasons(surveyed),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _reasons(surveyed: Sequence[Surveyed]) -> list[str]:
    """Why architectures take no attention, one line a family and reason."""
    counts = Counter(
        (entry.architecture.family, entry.reason.partition(". ")[0])
        for entry in surveyed
        if entry.own is None
    )
    return [f"- {family} ({count}): {why}." for (family, why), count in sorted(counts.items())]


def _short(version: str) -> str:
    return version.partition("+")[0]


def _all(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, title: str
) -> list[Result]:
    """A function of every item, over several processes, in order."""
    if jobs < 2:
        return [function(item) for item in track(items, description=title)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(function, item): item for item in items}
        for _ in track(as_completed(futures), description=title, total=len(items)):
            pass
        return [future.result() for future in futures]


def make(families: Sequence[str] = (), *, jobs: int = 1) -> str:
    """The page for some families, or for all."""
    surveyed = _all(survey, architectures(families), jobs, "planning")
    verified = _all(verify, examples(surveyed), jobs, "comparing")
    return document(surveyed, verified)


def main() -> None:
    """Write the matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--out", type=Path, default=Path("docs/matrix.md"))
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    page = make(QUICK if given.quick else (), jobs=given.jobs)
    given.out.write_text(page)
    print(f"Wrote {given.out}.")


if __name__ == "__main__":
    main()
