import pytest

from visattn.bench.startup import seconds


def test_a_start_is_timed_and_a_failing_one_told():
    clock, processor = seconds(["-c", "import time; time.sleep(0.3); sum(range(10**6))"])
    assert clock > 0.3
    assert 0 < processor < clock
    with pytest.raises(RuntimeError, match="failed: nothing here"):
        seconds(["-c", "import sys; sys.exit('nothing here')"])
