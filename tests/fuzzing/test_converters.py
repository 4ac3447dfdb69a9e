"""State dicts under other names load rightly, or are refused by name."""

import copy
import random

import pytest
import timm
import torch
from hypothesis import given, strategies as st

from visattn import backbone_names, backbone_state_dict, from_published, wrap
from visattn.testing import enliven


def donor():
    torch.manual_seed(1)
    return enliven(timm.create_model("seresnet18", num_classes=4)).eval()


DONOR = donor()
IMAGES = torch.randn(1, 3, 32, 32)
EXPECTED = DONOR(IMAGES)
WRAPPED = wrap(
    timm.create_model("resnet18", num_classes=4), "se", init="paper", rd_divisor=8
).eval()


@given(
    st.permutations(list(DONOR.state_dict())),
    st.sampled_from(["", "module."]),
    st.sampled_from([None, "state_dict"]),
    st.booleans(),
)
def test_published_names_in_any_order_and_wrapping(names, prefix, under, half):
    state = DONOR.state_dict()
    state = {prefix + name: state[name] for name in names}
    if half:
        state = {k: v.double() if v.is_floating_point() else v for k, v in state.items()}
    model = copy.deepcopy(WRAPPED)
    model.load_state_dict(from_published({under: state, "epoch": 3} if under else state, model))
    torch.testing.assert_close(model(IMAGES), EXPECTED)


@given(st.sampled_from(sorted(DONOR.state_dict())), st.integers(0, 3), st.integers(0, 99))
def test_a_name_that_fits_nothing_is_named(name, kind, seed):
    state, model = dict(DONOR.state_dict()), copy.deepcopy(WRAPPED)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    letters = list(name)
    place = random.Random(seed).randrange(len(letters))
    letters[place] = "#"
    other = "".join(letters) if kind else f"extra.{name}"
    state[other] = state[name] if kind == 1 else state.pop(name)
    with pytest.raises(ValueError, match="fit nothing") as refusal:
        from_published(state, model)
    assert other in str(refusal.value)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]), f"a refused file changes {key}"


@pytest.mark.slow
@given(st.permutations(list(WRAPPED.state_dict())))
def test_a_backbone_goes_out_and_in_by_its_names(names):
    model = enliven(copy.deepcopy(WRAPPED))
    state, own = backbone_state_dict(model), backbone_names(model)
    order = [plain for plain in state if own[plain] in names]
    plain = timm.create_model("resnet18", num_classes=4)
    plain.load_state_dict(
        {name: state[name] for name in random.Random(0).sample(order, len(order))}
    )
    other = copy.deepcopy(WRAPPED)
    other.load_state_dict(plain.state_dict(), strict=False)
    for name, value in backbone_state_dict(other).items():
        assert torch.equal(value, state[name])
