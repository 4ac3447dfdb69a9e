"""Measurements for who works on visattn: ``python -m visattn.bench NAME``.

``audit``: time and memory of an audit; ``interrupted``: what is left of trainings that are stopped;
``loading``: pictures a second; ``startup``: seconds from cold; ``steady``: memory over many steps.
What attention costs is measured by ``visattn bench``.
"""

import importlib
import sys

from visattn.basics.suggestions import check_name

NAMES = ("audit", "interrupted", "loading", "startup", "steady")

if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--help"], ["-h"]):
        sys.exit((__doc__ or "").replace("``", ""))
    try:
        check_name("the measurement", sys.argv[1], names=NAMES)
    except ValueError as error:
        sys.exit(f"{error}")
    importlib.import_module(f"visattn.bench.{sys.argv[1]}").main(sys.argv[2:])
