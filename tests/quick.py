"""Which of many parameters the quick tests try; the others run in ``make test-all``."""

import pytest


def slow_but(values, quick):
    """Parameters of a test, of which all but the quick ones are slow."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=() if value in quick else pytest.mark.slow,
        )
        for value in values
    ]
