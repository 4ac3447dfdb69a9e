"""Class activation against pytorch-grad-cam and torchcam, on networks of every layout."""

import functools
import warnings

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

import visattn
from visattn import class_activation
from visattn.recording.activation.methods import BY_SLOPES, TITLES
from visattn.recording.cam import cam_layer

LABELS = [3, 5]
STEEP = 1e5
"""So that the epsilon that others have in Grad-CAM++ is small beside the slopes."""
PEERS = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "layercam": "LayerCAM",
    "hirescam": "HiResCAM",
}


def images(size=(64, 96), count=2):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@functools.cache
def build(name):
    """A model in evaluation mode with statistics and a head that are not a fresh model's."""
    torch.manual_seed(0)
    if name == "resnet":
        model = timm.create_model("resnet10t", num_classes=7)
    elif name == "vit":
        options = {"img_size": (64, 96), "patch_size": 16, "depth": 3, "embed_dim": 48}
        model = timm.create_model("vit_tiny_patch16_224", num_classes=7, reg_tokens=2, **options)
    elif name == "swin":
        options = {"img_size": (64, 96), "window_size": 4, "depths": (2, 2), "num_heads": (2, 4)}
        model = timm.create_model(
            "swin_tiny_patch4_window7_224", num_classes=7, embed_dim=16, **options
        )
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.2)
    return model.eval()


def patches(tokens):
    """Tokens of a class, two registers and 4 x 6 patches, in a loop."""
    found = torch.zeros(len(tokens), tokens.shape[2], 4, 6)
    for row in range(4):
        for column in range(6):
            found[:, :, row, column] = tokens[:, 3 + 6 * row + column]
    return found


LAYOUTS = {
    "resnet": ("layer3", None),
    "vit": ("blocks.2.norm1", patches),
    "swin": ("norm", lambda output: output.permute(0, 3, 1, 2)),
}


@pytest.mark.parametrize("method", PEERS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_pytorch_grad_cam_gives_the_same(name, method):
    """It scales maps to [0, 1] and enlarges them; ours get the same treatment."""
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image

    model, batch, (layer, reshape) = build(name), images(), LAYOUTS[name]
    labels = model(batch).argmax(1).tolist()
    with getattr(peer, PEERS[method])(
        model, [model.get_submodule(layer)], reshape_transform=reshape
    ) as reference:
        targets = [lambda logits, label=label: STEEP * logits[label] for label in labels]
        expected = reference(batch, targets=targets)

    def target(logits):
        return STEEP * logits[[0, 1], labels]

    found = class_activation(model, batch, method=method, layer=layer, target=target)
    scaled = scale_cam_image(scale_cam_image(found.numpy(), (96, 64)))
    assert expected.max() > 0.9
    np.testing.assert_allclose(scaled, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", LAYOUTS)
def test_pytorch_grad_cam_gives_the_same_eigen_cam(name):
    peer = pytest.importorskip("pytorch_grad_cam.utils.svd_on_activations")
    model, batch, (layer, reshape) = build(name), images(), LAYOUTS[name]
    kept = []
    hook = model.get_submodule(layer).register_forward_hook(lambda m, i, o: kept.append(o.detach()))
    model(batch)
    hook.remove()
    maps = kept[0] if reshape is None else reshape(kept[0])
    expected = peer.get_2d_projection_with_sign_correction(maps.numpy()).clip(min=0)
    found = class_activation(model, batch, method="eigencam", layer=layer).numpy()
    np.testing.assert_allclose(found / expected.max(), expected / expected.max(), atol=1e-5)


@pytest.fixture(scope="module")
def fine():
    """A model with maps as large as the image: others enlarge smaller ones in other ways.

    torchcam does after bringing them to [0, 1], pytorch-grad-cam with the corners aligned.
    """
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model = model.append(nn.Linear(6, 7)).eval()
    nn.init.normal_(model[-1].weight, std=5)
    return model


def test_torchcam_gives_the_same_score_cam(fine):
    methods = pytest.importorskip("torchcam.methods")
    batch = images((17, 25))
    found = class_activation(fine, batch, method="scorecam", layer="1", target=LABELS)
    for image, label, ours in zip(batch, LABELS, found, strict=True):
        with methods.ScoreCAM(fine, "1", batch_size=4) as reference:
            scores = fine(image[None])
            (expected,) = reference(label, scores, normalized=False)
        torch.testing.assert_close(ours, expected[0], rtol=1e-4, atol=1e-5)


def test_pytorch_grad_cam_gives_the_same_score_cam(fine):
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_cam_image
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    batch = images((17, 25))
    with peer.ScoreCAM(fine, [fine[1]]) as reference:
        expected = reference(batch, targets=[ClassifierOutputTarget(label) for label in LABELS])
    found = class_activation(fine, batch, method="scorecam", layer="1", target=LABELS).numpy()
    assert expected.max() > 0.9
    np.testing.assert_allclose(scale_cam_image(scale_cam_image(found)), expected, atol=1e-5)


def test_score_cam_is_the_same_for_any_batch():
    model = build("resnet")
    options = {"method": "scorecam", "layer": "conv1", "target": LABELS}
    whole = class_activation(model, images((32, 32)), **options)
    for row in range(2):
        one = images((32, 32))[row : row + 1]
        found = class_activation(model, one, **{**options, "target": LABELS[row]}, batch_size=7)
        torch.testing.assert_close(found[0], whole[row], rtol=1e-4, atol=1e-6)


def test_torchcam_gives_the_same_layer_cam():
    """Its Grad-CAM++ (0.5.0) leaves the division of equation 19 out."""
    methods = pytest.importorskip("torchcam.methods")
    model, batch = build("resnet"), images()
    with methods.LayerCAM(model, "layer3") as reference:
        scores = model(batch.clone().requires_grad_())
        (expected,) = reference(LABELS, scores, normalized=False)
    found = class_activation(model, batch, method="layercam", layer="layer3", target=LABELS)
    top = expected.max()
    torch.testing.assert_close(found / top, expected / top, rtol=0, atol=1e-5)


DEFAULTS = {
    ("resnet", (64, 96)): ("layer4", (2, 3)),
    ("resnet", (32, 32)): ("layer3", (2, 2)),
    ("vit", (64, 96)): ("blocks.1", (4, 6)),
    ("swin", (64, 96)): ("norm", (8, 12)),
}


@pytest.mark.parametrize(("name", "size"), DEFAULTS)
def test_the_layer_is_the_last_whose_places_the_logits_read(name, size):
    layer, places = DEFAULTS[name, size]
    assert cam_layer(build(name), images(size)) == layer
    for method in TITLES:
        if method != "scorecam" and (name, method) != ("vit", "hirescam"):
            assert class_activation(build(name), images(size), method=method).shape[1:] == places


SMALL = {  # torchvision's at 32 pixels, of which the last stage leaves one place
    "resnet50": ("layer3", (2, 2)),
    "convnext_tiny": ("features.6.0", (2, 2)),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_images_leave_the_last_layer_of_more_than_one_place(name):
    torch.manual_seed(0)
    model, batch = torchvision.models.get_model(name, num_classes=5).eval(), images((32, 32), 1)
    layer, places = SMALL[name]
    assert cam_layer(model, batch) == layer
    assert class_activation(model, batch).shape[1:] == places


@pytest.mark.parametrize("at", ["branch", "block", "stage"])
@pytest.mark.parametrize("block", ["cbam", "nonlocal"])
def test_a_wrapped_network_is_not_looked_at_inside_of_its_blocks(block, at):
    model = visattn.wrap(timm.create_model("resnet10t", num_classes=5), block, at=at).eval()
    assert cam_layer(model, images((32, 32), 1)) == "layer3"
    assert cam_layer(model, images((64, 64), 1)) == "layer4"


class Layout(nn.Module):
    """As many channels as places along a side: no shape tells which is which."""

    def __init__(self, *, last):
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.norm = nn.Conv2d(3, 16, 4, 4), nn.LayerNorm(16)
        self.step, self.head, self.last = nn.Hardtanh(), nn.Linear(16, 5), last

    def forward(self, x):
        x = self.norm(self.patches(x).permute(0, 2, 3, 1))
        x = self.step(x if self.last else x.permute(0, 3, 1, 2))
        return self.head(x.mean((1, 2) if self.last else (2, 3)))


@pytest.mark.parametrize("last", [True, False])
def test_channels_are_told_from_places_of_the_same_number(last):
    model, batch = Layout(last=last).eval(), images((64, 64))
    inside = model.step(model.norm(model.patches(batch).permute(0, 2, 3, 1)))
    weights = model.head.weight[model(batch).argmax(1)] / 256
    expected = torch.relu(torch.einsum("nhwc,nc->nhw", inside, weights)).detach()
    found = class_activation(model, batch)
    assert cam_layer(model, batch) == "step"
    assert float(expected.max()) > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_channels_last_by_hand():
    torch.manual_seed(0)
    model, batch = timm.create_model("test_mambaout", num_classes=5).eval(), images((64, 96))
    kept = {}
    hook = model.stages.register_forward_hook(lambda _, i, output: kept.update(maps=output))
    logits = model(batch)
    hook.remove()
    (slopes,) = torch.autograd.grad(logits.amax(1).sum(), kept["maps"])
    expected = torch.relu((kept["maps"] * slopes.mean((1, 2), keepdim=True)).sum(-1)).detach()
    found = class_activation(model, batch, layer="stages")
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6 * float(expected.max()))
    assert cam_layer(model, batch) == "stages"


class Patches(nn.Module):
    """A ViT whose patches come from no convolution, with tokens before them."""

    def __init__(self, tokens):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.before = nn.Linear(192, 64), nn.Parameter(torch.randn(1, tokens, 64))
        layer = nn.TransformerEncoderLayer(64, 2, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        x = x.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        x = torch.cat([self.before.expand(len(x), -1, -1), self.embed(x)], 1)
        return self.head(self.encoder(x)[:, 0])


@pytest.mark.parametrize("tokens", [1, 5])
def test_tokens_before_the_patches_are_left_out(tokens):
    model, batch = Patches(tokens).eval(), images((64, 64))
    layer = "encoder.layers.0"
    assert cam_layer(model, batch) == layer
    found = class_activation(model, batch, target=1)
    told = class_activation(
        model,
        batch,
        target=1,
        layer=layer,
        reshape=lambda output: output[:, tokens:].reshape(2, 8, 8, 64).permute(0, 3, 1, 2),
    )
    assert float(told.max()) > 0
    torch.testing.assert_close(found, told, rtol=0, atol=0)


class Sequence(nn.Module):
    """An encoder over 16 tokens that a function makes of 16 x 16 maps, and one behind them."""

    def __init__(self, tokens, channels, *, mixer=None):
        super().__init__()
        torch.manual_seed(0)
        self.maps, self.tokens = nn.Conv2d(3, 4, 4, 4), tokens
        self.embed, self.behind = nn.Linear(channels, 16), nn.Parameter(torch.randn(1, 1, 16))
        self.mixer = mixer or nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.embed(self.tokens(self.maps(x)))
        x = self.mixer(torch.cat([x, self.behind.expand(len(x), -1, -1)], 1))
        return self.head(self.norm(x if isinstance(x, torch.Tensor) else x[0]).mean(1))


ORDER = torch.randperm(16, generator=torch.Generator().manual_seed(0))
ROWS = (lambda maps: maps.permute(0, 2, 1, 3).flatten(2), 64)
COLUMNS = (lambda maps: maps.permute(0, 3, 1, 2).flatten(2), 64)
MIXED = (lambda maps: nn.functional.avg_pool2d(maps, 4).flatten(2).mT[:, ORDER], 4)


@pytest.mark.parametrize(
    ("made", "size", "order"),
    [(ROWS, (16, 1), None), (COLUMNS, (1, 16), None), (MIXED, (4, 4), ORDER.argsort())],
    ids=["rows", "columns", "patches in another order"],
)
def test_tokens_lie_where_the_picture_went(made, size, order):
    model, batch = Sequence(*made).eval(), images((64, 64))
    order = torch.arange(16) if order is None else order
    look = functools.partial(class_activation, model, batch, target=1, method="layercam")
    told = look(layer="norm", reshape=lambda output: output[:, order].mT.unflatten(2, size))
    assert cam_layer(model, batch) == "norm"
    assert float(told.max()) > 0
    for layer in (None, "norm"):
        torch.testing.assert_close(look(layer=layer), told, rtol=0, atol=0)


def test_a_number_of_tokens_alone_says_nothing_of_places():
    recurrent = nn.LSTM(16, 16, batch_first=True)  # through which no place can be followed
    model, batch = Sequence(*ROWS, mixer=recurrent).eval(), images((64, 64))
    assert cam_layer(model, batch) == "embed"  # of a row each
    with pytest.raises(ValueError, match=r"'norm' gives \(2, 17, 16\)"):
        class_activation(model, batch, layer="norm")


def test_a_layer_whose_places_are_not_read_is_refused():
    with pytest.raises(ValueError, match="zero at this layer by construction"):
        class_activation(build("vit"), images(), method="hirescam")
    with pytest.raises(ValueError, match=r"read no place of 'blocks.2', only a token beside them"):
        class_activation(build("vit"), images(), layer="blocks.2")


class Queries(nn.Module):
    """100 queries look at 10 x 10 places: as many, and no places."""

    def __init__(self):
        super().__init__()
        self.patches, self.queries = nn.Conv2d(3, 8, 8, 8), nn.Parameter(torch.randn(1, 100, 8))
        self.looking, self.head = nn.MultiheadAttention(8, 1, batch_first=True), nn.Linear(8, 5)
        self.norm = nn.LayerNorm(8)

    def forward(self, x):
        x = self.patches(x).flatten(2).mT
        return self.head(
            self.norm(self.looking(self.queries.expand(len(x), -1, -1), x, x)[0]).mean(1)
        )


def test_queries_are_no_places():
    model, batch = Queries().eval(), images((80, 80))
    assert cam_layer(model, batch) == "patches"
    with pytest.raises(ValueError, match=r"'norm' gives \(2, 100, 8\)"):
        class_activation(model, batch, layer="norm")


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = build("resnet"), nn.Linear(7, 3)

    def forward(self, x):
        with torch.no_grad():
            x = self.body(x)
        return self.head(x)


def test_a_body_that_the_model_runs_without_gradients():
    torch.manual_seed(0)
    model = Frozen().eval()
    open_model = nn.Sequential(model.body, model.head)
    assert cam_layer(model, images()) == "body.layer4"
    found, expected = class_activation(model, images()), class_activation(open_model, images())
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert torch.is_grad_enabled()


class Twins(nn.Module):
    """One body for two pictures."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(8, 5)

    def forward(self, left, right):
        return self.head(torch.cat([self.body(x).mean((2, 3)) for x in (left, right)], 1))


def test_a_call_by_its_number_of_a_model_of_two_inputs():
    torch.manual_seed(0)
    model = Twins().eval()
    left, right = images((9, 13), 4).chunk(2)
    assert cam_layer(model, (left, right)) == "body, call 1"
    weights = model.head.weight[model(left, right).argmax(1)] / 24
    for call, picture, own in ((1, left, weights[:, :4]), (2, right, weights[:, 4:])):
        expected = torch.relu(torch.einsum("nchw,nc->nhw", model.body(picture), own)).detach()
        found = class_activation(model, (left, right), layer=f"body, call {call}")
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)
    by_name = class_activation(model, {"right": right, "left": left}, layer="body, call 2")
    torch.testing.assert_close(by_name, found, rtol=0, atol=0)
    hidden = class_activation(model, (left, right), method="scorecam", batch_size=3)
    assert hidden.shape == (2, 4, 6)
    with pytest.raises(ValueError, match=r"runs 2 times .* call 3 was asked for"):
        class_activation(model, (left, right), layer="body, call 3")


def test_mistakes_say_what_to_do():
    model = build("resnet")
    with pytest.raises(ValueError, match=r"unknown method 'layer_cam'.*layercam"):
        class_activation(model, images(), method="layer_cam")
    with pytest.raises(ValueError, match="batch_size"):
        class_activation(model, images(), batch_size=0)
    with pytest.raises(ValueError, match=r"one score an image \(2,\), not \(2, 7\)"):
        class_activation(model, images(), target=lambda logits: logits)
    with pytest.raises(ValueError, match=r"maps \(2, C, h, w\), not \(2, 3072\)"):
        class_activation(model, images(), layer="layer4", reshape=lambda x: x.flatten(1))
    with pytest.raises(ValueError, match="one must be images"):
        class_activation(model, (torch.ones(2, 3),))
    assert set(BY_SLOPES) < set(TITLES)


class PreNormViT(nn.Module):
    """A ViT whose residual stream is added up in its own ``forward``: no module gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.first = nn.Parameter(torch.randn(1, 1, 16))
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(3))
        self.attends = nn.ModuleList(
            nn.MultiheadAttention(16, 2, batch_first=True) for _ in self.norms
        )
        self.head = nn.Linear(16, 3)

    def forward(self, images):
        stream = self.patches(images).flatten(2).mT
        stream = torch.cat([self.first.expand(len(stream), -1, -1), stream], 1)
        for norm, attend in zip(self.norms, self.attends, strict=True):
            normed = norm(stream)
            stream = stream + attend(normed, normed, normed)[0]
        return self.head(stream[:, 0])


def test_a_residual_stream_that_no_module_gives_is_seen_where_it_enters_one():
    """Its slopes are those of the whole stream, not of the branch alone."""
    model, images = PreNormViT().eval(), torch.randn(2, 3, 32, 48)
    assert cam_layer(model, images) == "norms.2, input"
    streams = []
    for name in ("norms.1", "norms.2"):
        handle = model.get_submodule(name).register_forward_pre_hook(
            lambda _, given: given[0].retain_grad() or streams.append(given[0])
        )
        model(images).amax(1).sum().backward()
        handle.remove()
        stream = streams[-1]
        tokens = (stream.grad[:, 1:].mean(1, keepdim=True) * stream[:, 1:]).sum(2)
        expected = tokens.relu().unflatten(1, (4, 6))
        found = class_activation(model, images, layer=f"{name}, input")
        torch.testing.assert_close(found, expected.detach())
    assert torch.equal(class_activation(model, images), found)
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("layer", [None, "layer4"])
def test_scripted_and_traced_models_are_refused(layer):
    images = torch.rand(1, 3, 64, 64)
    model = torchvision.models.resnet18(num_classes=3).eval()
    for hidden in (torch.jit.script(model), torch.jit.trace(model, images)):
        with pytest.raises(ValueError, match="the model that it was made of"):
            visattn.class_activation(hidden, images, layer=layer)


@pytest.mark.parametrize("layer", [None, "layer4"])
def test_a_quantised_model_is_refused_for_what_it_is(layer):
    model = torchvision.models.resnet18(num_classes=3).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    images = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"ResNet is quantised: fc is a Linear of torch\.ao"):
        class_activation(quantised, images, layer=layer)
    assert class_activation(model, images, layer=layer).shape == (1, 2, 2)
