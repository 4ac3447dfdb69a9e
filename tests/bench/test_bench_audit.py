"""What the bench of an audit reports."""

import pytest

from visattn.bench.audit import audit_cost
from visattn.data import SushiData

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenes():
    return SushiData(size=32, train=16, val=8, test=8).locate()


def test_an_audit_is_measured(scenes):
    cost = audit_cost(10, model="resnet10t", root=scenes, size=32)
    assert cost.busy > 0
    assert cost.peak > 100e6  # PyTorch alone takes that


def test_a_failure_says_what_the_audit_said(scenes):
    with pytest.raises(RuntimeError, match="did you mean resnet10t"):
        audit_cost(10, model="resnt10t", root=scenes, size=32)
