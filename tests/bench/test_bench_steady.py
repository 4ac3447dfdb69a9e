"""What the bench of memory over many steps reports."""

from visattn.bench.steady import held_bytes


def test_recording_is_measured():
    early, late = held_bytes("recording", steps=100)
    assert early > 100e6  # PyTorch alone takes that
    assert late - early < 20e6
