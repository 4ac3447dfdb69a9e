"""Grad-CAM against its formula written out, and against three other implementations."""

import copy
import functools

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

import visattn
from visattn import grad_cam
from visattn.metrics import resize_saliency
from visattn.recording.cam import cam_layer

SIZE = (64, 96)


def images(count=2, size=SIZE):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@functools.cache
def build(name):
    """A model in evaluation mode, the same one each time: tests that change it take a copy."""
    torch.manual_seed(0)
    if name == "wrapped":
        model = visattn.wrap(
            torchvision.models.resnet18(num_classes=7), "cbam", stages=[4], init="paper"
        )
    elif name.startswith("timm/"):
        model = timm.create_model(name[5:], num_classes=7)
    else:
        model = torchvision.models.get_model(name, num_classes=7)
    for module in model.modules():  # statistics that are not those of a fresh model
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


LAYERS = {
    "resnet18": "layer4",
    "densenet121": "features",
    "mobilenet_v3_small": "features",
    "squeezenet1_1": "classifier.2",
    "timm/resnet10t": "layer4",
    "timm/convnext_atto": "stages",
    "timm/mobilenetv3_small_050": "blocks",
    "timm/efficientnet_b0": "bn2",
    "wrapped": "layer4",
}


PEERS = pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet18", "layer4"),
        ("resnet18", "layer2.0"),
        ("densenet121", "features.denseblock3"),
        ("squeezenet1_1", "features.7"),
        ("timm/resnet10t", "layer4"),
        ("wrapped", "layer4"),
        ("wrapped", "layer4.0"),
    ],
)


@pytest.fixture(scope="module")
def resnet():
    return build("resnet18")


def by_hand(model, batch, layer, classes):
    """Each image by itself, from a graph over the whole model, a sum over channels in a loop."""
    found = []
    for image, label in zip(batch, classes, strict=True):
        kept = []

        def keep(module, inputs, output, kept=kept):
            kept.append(output)
            return output.clone()  # what follows may change its input in place

        hook = model.get_submodule(layer).register_forward_hook(keep)
        logits = model(image[None])
        hook.remove()
        (slopes,) = torch.autograd.grad(logits[0, label], kept)
        maps = kept[0][0].detach()
        total = torch.zeros(maps.shape[1:])
        for channel in range(len(maps)):
            total += slopes[0, channel].sum() / slopes[0, channel].numel() * maps[channel]
        found.append(total.clamp(min=0))
    return torch.stack(found)


@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_is_the_last_maps_and_the_values_are_the_formula(name):
    model, batch = build(name), images()
    assert cam_layer(model, batch) == LAYERS[name]
    found = grad_cam(model, batch, classes=[3, 5])
    expected = by_hand(model, batch, LAYERS[name], [3, 5])
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.max()))


@PEERS
def test_captum_gives_the_same(name, layer):
    attr = pytest.importorskip("captum.attr")
    model, batch, labels = build(name), images(), torch.tensor([3, 5])
    reference = attr.LayerGradCam(model, model.get_submodule(layer))
    expected = reference.attribute(batch, target=labels, relu_attributions=True).squeeze(1)
    found = grad_cam(model, batch, layer=layer, classes=labels)
    top = float(expected.detach().max())
    torch.testing.assert_close(found / top, expected.detach() / top, rtol=0, atol=1e-5)


@PEERS
def test_torchcam_gives_the_same(name, layer):
    methods = pytest.importorskip("torchcam.methods")
    model, batch, labels = build(name), images(), [3, 5]
    with methods.GradCAM(model, layer) as reference:
        scores = model(batch.clone().requires_grad_())
        (expected,) = reference(labels, scores, normalized=False)
    found = grad_cam(model, batch, layer=layer, classes=labels)
    top = float(expected.max())
    torch.testing.assert_close(found / top, expected / top, rtol=0, atol=1e-5)


@pytest.mark.slow
@PEERS
def test_pytorch_grad_cam_gives_the_same(name, layer):
    """It returns maps that are scaled to [0, 1] and enlarged; ours get the same treatment."""
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, batch, labels = build(name), images(), [3, 5]
    with peer.GradCAM(model, [model.get_submodule(layer)]) as reference:
        expected = reference(batch, targets=[ClassifierOutputTarget(label) for label in labels])
    found = grad_cam(model, batch, layer=layer, classes=labels).numpy()
    scaled = scale_cam_image(scale_cam_image(found, (SIZE[1], SIZE[0])))
    assert float(expected.max()) > 0.9
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-5)


def test_classes_are_the_predicted_ones_unless_told(resnet):
    batch = images()
    predicted = resnet(batch).argmax(1)
    expected = grad_cam(resnet, batch, classes=predicted)
    torch.testing.assert_close(grad_cam(resnet, batch), expected, rtol=0, atol=0)
    one = grad_cam(resnet, batch, classes=4)
    torch.testing.assert_close(one, grad_cam(resnet, batch, classes=torch.tensor([4, 4])))
    assert not torch.equal(one, expected)


def test_the_size_is_the_layers_or_the_one_asked_for(resnet):
    small = grad_cam(resnet, images(), layer="layer2", classes=1)
    assert small.shape == (2, 8, 12)
    large = grad_cam(resnet, images(), layer=resnet.layer2, classes=1, size=SIZE)
    assert large.shape == (2, *SIZE)
    torch.testing.assert_close(large, resize_saliency(small, size=SIZE))


def test_a_finer_layer_can_be_asked_for(resnet):
    assert cam_layer(resnet, images(), least=7) == "layer2"
    assert cam_layer(resnet, images(), least=16) == "layer1"
    with pytest.raises(ValueError, match="at least 65 places a side"):
        cam_layer(resnet, images(), least=65)


def test_an_adaptive_pooling_is_passed_over():
    layers = [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(196, 5)]
    assert cam_layer(nn.Sequential(*layers), images()) == "0"


def test_what_follows_the_layer_in_place_changes_nothing(resnet):
    """After bn1 stands a ReLU in place, which overwrites what the layer gave."""
    separate = copy.deepcopy(resnet)
    for module in separate.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    batch = images()
    expected = by_hand(separate, batch, "bn1", [2, 2])
    found = grad_cam(resnet, batch, layer="bn1", classes=2)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def state_of(model):
    hooks = sum(len(module._forward_hooks) for module in model.modules())
    modes = [module.training for module in model.modules()]
    grads = [parameter.grad for parameter in model.parameters()]
    return hooks, modes, grads, {key: value.clone() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("layer", [None, "layer3"])
def test_nothing_is_left_behind(layer):
    model = copy.deepcopy(build("resnet18")).train()
    model.layer1.eval()
    before = state_of(model)
    grad_cam(model, images(), layer=layer)
    after = state_of(model)
    assert after[:3] == before[:3]
    assert all(gradient is None for gradient in after[2])
    torch.testing.assert_close(after[3], before[3], rtol=0, atol=0)
    assert torch.is_grad_enabled()


class Refusing(nn.Module):
    def forward(self, x):
        raise RuntimeError("refused")


def test_nothing_is_left_behind_after_an_exception():
    model = copy.deepcopy(build("resnet18"))
    model.fc = Refusing()
    model.train()
    before = state_of(model)
    for layer in (None, "layer4"):
        with pytest.raises(RuntimeError, match="refused"):
            grad_cam(model, images(), layer=layer)
        assert state_of(model)[:3] == before[:3]
    assert torch.is_grad_enabled()


def test_contexts_without_gradients_and_frozen_parameters_do_not_matter(resnet):
    batch = images()
    expected = grad_cam(resnet, batch, classes=1)
    frozen = copy.deepcopy(resnet).requires_grad_(False)
    torch.testing.assert_close(grad_cam(frozen, batch, classes=1), expected, rtol=0, atol=0)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            found = grad_cam(resnet, batch.clone(), classes=1)
            assert not found.requires_grad
            assert not torch.is_grad_enabled()
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_training_mode_gives_what_evaluation_gives(resnet):
    model = copy.deepcopy(resnet).train()
    torch.testing.assert_close(grad_cam(model, images()), grad_cam(resnet, images()))


@pytest.mark.slow
def test_a_compiled_model_gives_the_same(resnet):
    compiled = torch.compile(resnet, backend="eager")
    compiled(images())
    assert cam_layer(compiled, images()) == "_orig_mod.layer4"
    torch.testing.assert_close(grad_cam(compiled, images()), grad_cam(resnet, images()))


def test_half_precision_inside_single_outside(resnet):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = grad_cam(resnet, images(), classes=1)
    assert found.dtype == torch.float32
    expected = grad_cam(resnet, images(), classes=1)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.05 * float(expected.max()))


class SideBranch(nn.Module):
    """The last map that is computed is not the one that the logits come from."""

    def __init__(self):
        super().__init__()
        self.trunk, self.side = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        self.pool, self.head = nn.AdaptiveAvgPool2d(4), nn.Linear(4, 5)
        self.unused = nn.Conv2d(3, 3, 1)

    def forward(self, x):
        maps = self.trunk(x)
        self.side(maps)
        return self.head(self.pool(maps).mean((2, 3)))


def test_maps_without_an_influence_on_the_logits():
    model = SideBranch()
    assert cam_layer(model, images()) == "trunk"
    assert grad_cam(model, images()).shape == (2, 62, 94)
    with pytest.raises(ValueError, match="don't depend on 'side'"):
        grad_cam(model, images(), layer="side")
    with pytest.raises(ValueError, match="'unused' doesn't run"):
        grad_cam(model, images(), layer="unused")
    with pytest.raises(ValueError, match=r"'head' gives \(2, 5\)"):
        grad_cam(model, images(), layer="head")
    with pytest.raises(ValueError, match="no part of the model"):
        grad_cam(model, images(), layer=nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match=r"no module of Sequential gives maps .* 64 x 96"):
        grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 96, 2)), images())


def test_mistakes_say_what_to_do(resnet):
    with pytest.raises(KeyError, match=r"no layer 'layer5'. Did you mean 'layer4'"):
        grad_cam(resnet, images(), layer="layer5")
    with pytest.raises(TypeError, match="must be a name or a module, not int"):
        grad_cam(resnet, images(), layer=4)
    with pytest.raises(TypeError, match=r"floating point, not torch\.uint8"):
        grad_cam(resnet, images().byte())
    with pytest.raises(ValueError, match=r"images\[None\]"):
        grad_cam(resnet, images()[0])
    with pytest.raises(ValueError, match="classes 0 to 6; classes go from 3 to 7"):
        grad_cam(resnet, images(), classes=[3, 7])
    with pytest.raises(ValueError, match=r"one an image \(2,\), not \(3,\)"):
        grad_cam(resnet, images(), classes=[1, 2, 3])
    with pytest.raises(TypeError, match=r"integers, not torch\.float32"):
        grad_cam(resnet, images(), classes=torch.ones(2))
    with pytest.raises(ValueError, match=r"logits \(N, K\), it returned \(2, 512, 2, 3\)"):
        grad_cam(nn.Sequential(*list(resnet.children())[:-2]), images(), layer="7")
