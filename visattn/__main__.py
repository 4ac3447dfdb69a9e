"""``python -m visattn`` is the command ``visattn``."""

import sys

from visattn.cli import run

sys.exit(run())
