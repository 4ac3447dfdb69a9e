"""Models of one's own wrap, and are equal at the start; what can't be wrapped says why."""

import pytest
import torch
from own_models import MODELS, Around, NestedUNet, SegNet, UNet, adapted, detector, smp, with_hook
from quick import slow_but
from torch import nn

from visattn import plan, record, unwrap, wrap
from visattn.blocks.attended import attended
from visattn.wrapping.tracing import trace

LARGE = {
    *("FCOS", "Faster R-CNN, ResNet", "Keypoint R-CNN", "Mask R-CNN", "RetinaNet"),
    *("smp U-Net, VGG", "smp U-Net, DenseNet", "FCN"),
}


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [t for part in parts if not isinstance(part, str) for t in flat(part)]


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*Lazy modules.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", slow_but(MODELS, MODELS.keys() - LARGE))
def test_it_wraps_and_is_equal_at_the_start(name):
    build, call, options = MODELS[name]
    torch.manual_seed(0)
    model = build().eval()
    inputs = call()
    lazy = name == "lazy modules"
    with torch.no_grad():
        expected = None if lazy else flat(model(*inputs))
        keys = None if lazy else list(model.state_dict())
        assert wrap(model, "cbam", **options) is model
        assert list(attended(model))
        found = flat(model.eval()(*inputs))
        with record(model) as maps:
            model(*inputs)
        assert len(maps) == len(list(attended(model)))
        bare = flat(unwrap(model)(*inputs))
    for ours, other in zip(found, bare if lazy else expected, strict=True):
        assert torch.equal(ours, other)
    assert keys is None or list(model.state_dict()) == keys


def test_there_are_enough_of_them():
    assert len(MODELS) >= 40


def test_a_users_hook_is_not_called_while_wrap_looks():
    model, seen = with_hook(), []
    model.layer1.register_forward_hook(lambda *_: seen.append(1))
    model.layer1.register_forward_pre_hook(lambda *_: seen.append(2))
    wrap(model, "se")
    assert not seen


def test_nothing_of_the_model_changes_while_wrap_looks():
    from own_models import Counts

    model = Counts().train()
    plan(model, "se")
    assert (model.seen, model.sizes) == (0, [])
    assert model.training


class Shifts(nn.Module):
    """Changes its input in place, by a value of it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        return self.conv(x.sub_(x.mean().item()))


def test_nothing_of_an_example_changes_while_wrap_looks():
    images = torch.rand(2, 3, 16, 16)
    before = images.clone()
    wrap(Shifts(), "se", at="conv", example_inputs=images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "build",
    [UNet, NestedUNet, SegNet, lambda: smp("Unet", "resnet18"), lambda: smp("PSPNet", "vgg11_bn")],
)
def test_an_encoder_decoder_has_the_stages_of_its_encoder(build):
    model = build()
    traced = trace(model, input_size=(3, 64, 64))
    assert len(traced.stages) >= 3
    sizes = [stage.output.height for stage in traced.stages]
    assert sizes == sorted(sizes, reverse=True)
    paths = [member for stage in traced.stages for member in stage.members]
    assert not any(word in path for path in paths for word in ("decoder", "segment", "up", "join"))


def test_no_attention_lands_inside_of_an_adapter():
    model = wrap(adapted(), "se")
    paths = [path for path, m in model.named_modules() if type(m).__name__ == "Attended"]
    assert paths
    assert not any("lora" in path or "base_layer" in path for path in paths)
    wrap(adapted(), "se", at="conv")


def test_a_detectors_attention_stands_in_its_backbone():
    model = wrap(detector("retinanet_resnet50_fpn"), "se")
    paths = [path for path, m in model.named_modules() if type(m).__name__ == "Attended"]
    assert all(path.startswith("backbone.body.layer") for path in paths)
    assert len(paths) == 16


class Impossible(Around):
    def forward(self, x):
        raise RuntimeError("the flux capacitor is empty")


def test_the_message_says_the_true_reason_and_a_part_that_can_be_wrapped():
    with pytest.raises(ValueError, match="flux capacitor is empty") as error:
        wrap(Impossible(), "se")
    assert "input_size" not in str(error.value)
    assert "wrap(model.net, ...)" in str(error.value)
    wrap(Impossible(), "se", at="net.layer4.*.bn2")
    wrap(Impossible(), "se", at=["net.conv1", "net.bn1"])
    with pytest.raises(ValueError, match=r"input_size=\(C, H, W\)"):
        wrap(Around(), "se", input_size=(7, 64, 64))
    with pytest.raises(ValueError, match="input_size or example_inputs"):
        wrap(Around(), "se", input_size=(3, 64, 64), example_inputs=torch.rand(1, 3, 64, 64))
    with pytest.raises(TypeError, match="a tensor, a tuple of arguments or a mapping"):
        wrap(Around(), "se", example_inputs=7)


class Stored(nn.Module):
    """Its convolution has another type than its normalisation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.scale = nn.Parameter(torch.ones(8, 1, 1, dtype=torch.float64))

    def forward(self, x):
        return self.conv(x) * self.scale


def test_a_block_has_the_type_of_the_map():
    model = nn.Sequential(Stored(), nn.Identity(), nn.AdaptiveAvgPool2d(1)).eval()
    images = torch.rand(2, 3, 16, 16)
    expected = model(images)
    assert expected.dtype == torch.float64
    wrap(model, "cbam", at="1", input_size=(3, 16, 16))
    assert torch.equal(model(images), expected)
    assert {p.dtype for unit in attended(model) for p in unit.attention.parameters()} == {
        torch.float64
    }


class ByParts(nn.Module):
    """Uses a block's parts one by one and never calls it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Module()
        self.body.conv = nn.Conv2d(3, 8, 3)
        self.body.bn = nn.BatchNorm2d(8)

    def forward(self, x):
        return self.body.bn(self.body.conv(x)).mean((2, 3))


def test_a_module_that_is_never_called_is_no_place():
    with pytest.raises(ValueError, match="nor a module that gives a map"):
        wrap(ByParts(), "se", at="body")


@pytest.mark.parametrize("context", [torch.inference_mode, lambda: torch.device("meta")])
def test_what_is_wrapped_inside_of_other_modes_trains(context):
    model = Around()
    with context():
        wrap(model, "se")
    model(torch.rand(2, 3, 64, 64)).square().mean().backward()
    assert all(p.grad is not None for unit in attended(model) for p in unit.attention.parameters())


def test_two_entries_that_meet_at_one_place_stack_only_if_told():
    with pytest.raises(ValueError, match="stack=True"):
        wrap(Around(), {"net.layer1.0.bn2": "se", "net.layer1.0.bn*": "cbam"})
    model = wrap(Around(), {"net.layer1.0.bn2": "se", "net.layer1.0.bn*": "cbam"}, stack=True)
    assert len(list(attended(model))) >= 3
