"""Write the matrix: ``make matrix``."""

import argparse
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from rich.progress import track

import matrix
from matrix.activation import activation_page, check_activation
from matrix.architectures import architectures
from matrix.contract import contract_page, keep, pairs
from matrix.page import MADE, document
from matrix.results import kept
from matrix.survey import examples, survey
from matrix.transformers import BESIDE, check, page, size_of, smallest
from matrix.verification import verify

QUICK = ("inception_v4", "sknet", "torchvision.squeezenet", "xception")
"""Families of the quick matrix."""

PAGES = ("families", "activation", "contract", "transformers")

Item = TypeVar("Item")
Result = TypeVar("Result")


def _all(
    function: Callable[[Item], Result], items: Sequence[Item], jobs: int, title: str, folder: Path
) -> list[Result]:
    """A function of every item, over several processes, in order."""
    function = partial(kept, function, folder=folder)
    if jobs < 2:
        return [function(item) for item in track(items, description=title)]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(function, item): item for item in items}
        for _ in track(as_completed(futures), description=title, total=len(items)):
            pass
        return [future.result() for future in futures]


def main() -> None:
    """Write the matrix."""
    parser = argparse.ArgumentParser(description=matrix.__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--first", action="store_true", help="the first by name of each family")
    parser.add_argument("--only", choices=PAGES, help="one page")
    parser.add_argument("--out", type=Path, default=Path("docs/matrix.md"))
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--kept",
        type=Path,
        default=Path("runs/matrix"),
        help="folder of results so far: an interrupted run goes on where it was",
    )
    given = parser.parse_args()
    known = architectures(QUICK if given.quick else ())
    if given.first:
        known = list({entry.family: entry for entry in reversed(known)}.values())[::-1]
    if given.only in (None, "families"):
        surveyed = _all(survey, known, given.jobs, "planning", given.kept)
        verified = _all(verify, examples(surveyed), given.jobs, "comparing", given.kept)
        given.out.write_text(document(surveyed, verified))
        print(f"Wrote {given.out}.")
    if given.only in (None, "activation"):
        layers = _all(check_activation, known, given.jobs, "class activation", given.kept)
        activation = given.out.with_name("activation.md")
        activation.write_text(activation_page(layers, head=MADE))
        print(f"Wrote {activation}.")
    if given.only in (None, "contract"):
        chosen = [pair for pair in pairs() if pair.block == "se" or not given.quick]
        promises = _all(keep, chosen, given.jobs, "promises", given.kept)
        contract = given.out.with_name("contract.md")
        contract.write_text(contract_page(promises))
        print(f"Wrote {contract}.")
    if given.only in (None, "transformers"):
        sizes = _all(size_of, architectures(), given.jobs, "sizes", given.kept)
        chosen = smallest(sizes)[:: 9 if given.quick else 1]
        found = _all(check, [*chosen, *BESIDE], given.jobs, "recording", given.kept)
        recorded = given.out.with_name("transformers.md")
        recorded.write_text(page(found, head=MADE))
        print(f"Wrote {recorded}.")


if __name__ == "__main__":
    main()
