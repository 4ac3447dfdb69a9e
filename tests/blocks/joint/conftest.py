import pytest


@pytest.fixture
def timm_coord():
    """Modules of timm to compare with, which its lowest version that we allow doesn't have."""
    return pytest.importorskip("timm.layers.coord_attn", reason="a newer timm has coord_attn")
