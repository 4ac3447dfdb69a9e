import pytest
import timm
import torch

from visattn import load_attention, save_attention, wrap
from visattn.testing import enliven


@pytest.fixture
def wrapped():
    plain = timm.create_model("resnet10t", num_classes=5)
    return enliven(wrap(plain, "cbam", init="paper"), seed=1).eval()


def test_an_adapter_gives_the_same_outputs_to_the_bit(wrapped, tmp_path):
    images = torch.randn(2, 3, 32, 32)
    path = save_attention(wrapped, tmp_path / "adapter" / "cbam.safetensors")
    other = wrap(timm.create_model("resnet10t", num_classes=5), "cbam", init="paper").eval()
    backbone = {k: v for k, v in wrapped.state_dict().items() if ".attention." not in k}
    other.load_state_dict(backbone, strict=False)
    assert not torch.equal(other(images), wrapped(images))
    assert torch.equal(load_attention(other, path)(images), wrapped(images))


def test_only_what_was_added_is_saved(wrapped, tmp_path):
    from safetensors.torch import load_file

    state = load_file(save_attention(wrapped, tmp_path / "a.safetensors"))
    assert all(".attention." in key for key in state)
    assert any(key.endswith("running_mean") for key in state)


def test_a_mismatch_names_the_first_site_and_loads_nothing(wrapped, tmp_path):
    path = save_attention(wrapped, tmp_path / "a.safetensors")
    for options, message in [
        ({"block": "se"}, r"differs from the model's at 'layer1.0.bn2.attention'.*CBAM.*SE"),
        ({"block": "cbam", "stages": [1, 2]}, "at 'layer3.0.bn2.attention'.*here nothing"),
        (
            {"block": "cbam", "reduction": 8},
            r"'layer1.0.bn2.attention'.*options \{\} there, \{'reduction': 8\} here",
        ),
    ]:
        other = wrap(timm.create_model("resnet10t", num_classes=5), init="paper", **options)
        before = {k: v.clone() for k, v in other.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            load_attention(other, path)
        assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_errors(wrapped, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.safetensors"):
        save_attention(wrapped, tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match="No saved attention"):
        load_attention(wrapped, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match="no attention that wrap put in"):
        save_attention(timm.create_model("resnet10t"), tmp_path / "a.safetensors")


def test_a_state_dict_of_another_init_is_refused_by_name(wrapped, tmp_path):
    torch.save(wrapped.state_dict(), tmp_path / "a.pt")
    state = torch.load(tmp_path / "a.pt", weights_only=True)
    other = wrap(timm.create_model("resnet10t", num_classes=5), "cbam")
    with pytest.raises(RuntimeError, match=r"'layer1.0'.*made otherwise: init 'paper' there"):
        other.load_state_dict(state)
    assert not wrapped.load_state_dict(state).missing_keys
