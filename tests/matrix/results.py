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
TRIED = ("visattn.testing", "visattn.wrapping.places", "visattn.blocks", "visattn.recording")


def kept(function: Callable[[Any], Result], item: Any, *, folder: Path | None) -> Result:
    """What a function gives for an item: read from the folder where it is there, else written.

    A result counts for the same item (by its ``repr``), library versions and source code of visattn
    only. Without a folder none is kept.
    """
    if folder is None:
        return function(item)
    said = f"{function.__module__}.{function.__qualname__}({item!r}) {fingerprint()}"
    path = folder / f"{hashlib.sha256(said.encode()).hexdigest()[:24]}.pickle"
    if path.is_file():
        found: Result = pickle.loads(path.read_bytes())
        return found
    found = function(item)
    with whole_file(path) as part:
        part.write_bytes(pickle.dumps(found))
    return found


@cache
def fingerprint() -> str:
    """Of the libraries' versions, of the matrix's own code, and of the code that it tries."""
    own = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    digest = hashlib.sha256(own.encode()).hexdigest()[:12]
    code = source_fingerprint(*TRIED)
    return f"{json.dumps(VERSIONS, sort_keys=True)} {digest} {code}"
