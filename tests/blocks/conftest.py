import pytest
import torch

from visattn import record
from visattn.recording.site_maps import PairwiseMap
from visattn.testing import enliven


@pytest.fixture
def recorded_shapes():
    """What a block of 16 channels records of two maps of 9 x 7: the shape of each kind.

    Of pairwise attention heads, queries' and keys' grid; kinds recorded twice carry the tap's name.
    """

    def shapes(block):
        block = enliven(block).eval()
        with torch.no_grad(), record(block) as maps:
            block(torch.randn(2, 16, 9, 7))
        (site,) = maps.values()
        kinds = list(site.kinds.values())
        found = {}
        for tap, kind in site.kinds.items():
            (value,) = site.values[tap]
            name = kind if kinds.count(kind) == 1 else f"{kind} {tap.partition('.')[0]}"
            found[name] = (
                (value.heads, value.query_size, value.key_size)
                if isinstance(value, PairwiseMap)
                else tuple(value.shape)
            )
        return found

    return shapes
