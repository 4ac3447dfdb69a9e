"""What the bench of memory over many steps reports."""

import pytest

from visattn.bench.steady import held_bytes

pytestmark = pytest.mark.slow


def test_recording_is_measured():
    early, late = held_bytes("recording", steps=100)
    assert early > 100e6  # PyTorch alone takes that
    assert late - early < 20e6
