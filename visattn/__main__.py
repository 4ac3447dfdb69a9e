"""``python -m visattn`` is the command ``visattn``."""

import sys

from visattn.cli import main

sys.exit(main())
