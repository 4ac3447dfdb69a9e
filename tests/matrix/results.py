"""Results on disk, so that a run of an hour that is interrupted goes on where it was."""

import hashlib
import json
import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from matrix.architectures import VERSIONS
from visattn.basics.files import whole_file
from visattn.basics.fingerprint import source_fingerprint

Result = TypeVar("Result")
TRIED = {
    "": ("visattn.testing", "visattn.wrapping.places", "visattn.blocks", "visattn.recording"),
    "matrix.activation": ("visattn.recording.activation", "visattn.wrapping.tracing"),
}
"""The code that is tried, by module here; that of all others is the first."""


def kept(function: Callable[[Any], Result], item: Any, *, folder: Path | None) -> Result:
    """What a function gives for an item: read from the folder where it is there, else written.

    A result counts for the same item (by its ``repr``), library versions and source code (of the
    function's module and of what of visattn it tries) only. Without a folder none is kept.
    """
    if folder is None:
        return function(item)
    module = function.__module__
    said = f"{module}.{function.__qualname__}({item!r}) {fingerprint(module)}"
    path = folder / f"{hashlib.sha256(said.encode()).hexdigest()[:24]}.pickle"
    if path.is_file():
        found: Result = pickle.loads(path.read_bytes())
        return found
    found = function(item)
    with whole_file(path) as part:
        part.write_bytes(pickle.dumps(found))
    return found


@cache
def fingerprint(module: str) -> str:
    """Of the libraries' versions, of a module here, and of the code that it tries."""
    own = source_fingerprint(module, package=Path(__file__).parent)
    code = source_fingerprint(*TRIED.get(module, TRIED[""]))
    return f"{json.dumps(VERSIONS, sort_keys=True)} {own} {code}"
