"""Models as people have them: no classifier of timm's or torchvision's as it comes."""

import itertools
import threading

import lightning as L
import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.utils import prune, spectral_norm, weight_norm
from torchmetrics.classification import MulticlassAccuracy
from torchvision.models import detection, segmentation


def small():
    return timm.create_model("test_resnet", num_classes=4)


def down(taken, given):
    return nn.Sequential(
        nn.Conv2d(taken, given, 3, 2, 1, bias=False), nn.BatchNorm2d(given), nn.ReLU()
    )


class Around(nn.Module):
    """A network inside a module of somebody's own."""

    def __init__(self):
        super().__init__()
        self.net = small()

    def forward(self, x):
        return self.net(x)


class PlainTensor(Around):
    def __init__(self):
        super().__init__()
        self.mean = torch.full((1, 3, 1, 1), 0.4)

    def forward(self, x):
        return self.net(x - self.mean)


class Generator(Around):
    def __init__(self):
        super().__init__()
        self.generator = torch.Generator()


class Lock(Around):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.net(x)


class KeepsFeatures(Around):
    def forward(self, x):
        self.kept = self.net.forward_features(x)
        return self.net.forward_head(self.kept)


class Counts(Around):
    def __init__(self):
        super().__init__()
        self.seen, self.sizes = 0, []

    def forward(self, x):
        self.seen += 1
        self.sizes.append(x.shape)
        return self.net(x)


class Classifier(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.net, self.accuracy = small(), MulticlassAccuracy(4)
        self.save_hyperparameters()

    def forward(self, x):
        return self.net(x)


class Decides(Around):
    def forward(self, x):
        return self.net(x if x.mean() > 0 else -x)


class Item(Around):
    def forward(self, x):
        return self.net(x) * x.abs().max().clamp(min=1e-3).item()


class Asserts(Around):
    def forward(self, x):
        assert x.min() >= 0
        return self.net(x)


class NumPy(Around):
    def forward(self, x):
        scale = torch.from_numpy(x.detach().cpu().numpy().std(keepdims=True)).to(x)
        return self.net(x / scale.clamp(min=1e-3))


class Siamese(Around):
    def forward(self, first, second):
        return (self.net(first) - self.net(second)).square().sum(1)


class WithMetadata(Around):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4 + 2, 3)

    def forward(self, image, metadata):
        return self.head(torch.cat([self.net(image), metadata], 1))


class TakesMapping(Around):
    def forward(self, batch):
        return {"logits": self.net(batch["image"])}


class UNet(nn.Module):
    """As it stands in tutorials: no class for the encoder, transposed convolutions up."""

    def __init__(self, up="transposed"):
        super().__init__()
        widths = (8, 16, 32, 64)
        self.first = down(3, 8)
        self.down1, self.down2, self.down3 = (down(a, b) for a, b in itertools.pairwise(widths))
        ups = [nn.ConvTranspose2d(2 * c, c, 2, 2) for c in (32, 16, 8)]
        if up == "interpolate":
            ups = [
                nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2 * c, c, 1))
                for c in (32, 16, 8)
            ]
        self.up3, self.up2, self.up1 = ups
        self.join3, self.join2, self.join1 = (
            nn.Conv2d(2 * c, c, 3, padding=1) for c in (32, 16, 8)
        )
        self.last = nn.ConvTranspose2d(8, 8, 2, 2)
        self.segment = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        a = self.first(x)
        b = self.down1(a)
        c = self.down2(b)
        d = self.down3(c)
        c = self.join3(torch.cat([self.up3(d), c], 1))
        b = self.join2(torch.cat([self.up2(c), b], 1))
        a = self.join1(torch.cat([self.up1(b), a], 1))
        return self.segment(self.last(a))


class NestedUNet(UNet):
    """A UNet++: it enlarges each map as soon as there is one to join, before the smallest."""

    def forward(self, x):
        a = self.first(x)
        b = self.down1(a)
        a = self.join1(torch.cat([self.up1(b), a], 1))
        c = self.down2(b)
        b = self.join2(torch.cat([self.up2(c), b], 1))
        d = self.down3(c)
        c = self.join3(torch.cat([self.up3(d), c], 1))
        return self.segment(self.last(a)) + c.mean() + b.mean()


class SegNet(nn.Module):
    """Enlarges by the places of the maxima that its pooling kept."""

    def __init__(self):
        super().__init__()
        widths = (3, 8, 16, 32)
        pairs = list(itertools.pairwise(widths))
        self.encoder = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.decoder = nn.ModuleList(nn.Conv2d(b, max(a, 8), 3, padding=1) for a, b in pairs)
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.segment = nn.Conv2d(8, 2, 1)

    def forward(self, x):
        places = []
        for conv in self.encoder:
            x, place = self.pool(conv(x).relu())
            places.append(place)
        for conv in reversed(self.decoder):
            x = conv(self.unpool(x, places.pop())).relu()
        return self.segment(x)


class ResidualUnit(nn.Module):
    """As in MONAI: convolution, norm, dropout and activation in one, a shortcut around."""

    def __init__(self, taken, given, stride=1):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(taken, given, 3, stride, 1), nn.InstanceNorm2d(given), nn.PReLU()
        )
        self.residual = nn.Conv2d(taken, given, 3 if stride > 1 else 1, stride, int(stride > 1))

    def forward(self, x):
        return self.conv(x) + self.residual(x)


def monai_like():
    return nn.Sequential(
        ResidualUnit(1, 8, 2),
        ResidualUnit(8, 16, 2),
        ResidualUnit(16, 32, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 2),
    )


class MMResNet(nn.Module):
    """As in mmcv: norms by names, layers by ``getattr``, maps of several stages out."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.res_layers = []
        for number, (taken, given) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            block = torchvision.models.resnet.BasicBlock(
                taken, given, stride=2, downsample=nn.Conv2d(taken, given, 1, 2)
            )
            self.add_module(f"layer{number}", nn.Sequential(block))
            self.res_layers.append(f"layer{number}")

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        outs = []
        for name in self.res_layers:
            x = getattr(self, name)(x)
            outs.append(x)
        return tuple(outs)


class KeywordCall(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(input=self.conv(input=x)).mean((2, 3))


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.LazyConv2d(8, 3, 2, 1),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
            nn.LazyConv2d(16, 3, 2, 1),
            nn.LazyBatchNorm2d(),
            nn.ReLU(),
        )
        self.head = nn.LazyLinear(3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class PartScripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small()
        self.head = torch.jit.script(nn.Sequential(nn.Linear(4, 8), nn.ReLU()))

    def forward(self, x):
        return self.head(self.net(x))


class CheckpointedRun(Around):
    def forward(self, x):
        return torch.utils.checkpoint.checkpoint(self.net, x, use_reentrant=False)


class BoundMethods(Around):
    """What is called is kept as a bound method, and the layers in a plain list too."""

    def __init__(self):
        super().__init__()
        self.run, self.steps = self.net.forward_features, [self.net.layer1, self.net.layer2]

    def forward(self, x):
        return self.net.forward_head(self.run(x))


class TwoHeads(Around):
    def __init__(self):
        super().__init__()
        self.aux = nn.Linear(4, 2)

    def forward(self, x):
        y = self.net(x)
        return {"main": y, "aux": self.aux(y), "note": "two heads"}


@torch.library.custom_op("visattn_tests::half_of", mutates_args=())
def half_of(x: torch.Tensor) -> torch.Tensor:
    """A custom operation that has no fake kernel."""
    return x * 0.5


class CustomOperation(Around):
    def forward(self, x):
        return self.net(half_of(x))


def with_hook():
    model = small()
    kept = []
    model.layer4.register_forward_hook(lambda module, given, output: kept.append(output))
    return model


def normed(norm):
    model = small()
    norm(model.conv1[0] if isinstance(model.conv1, nn.Sequential) else model.conv1)
    return model


def pruned():
    model = small()
    for module in list(model.modules()):
        if isinstance(module, nn.Conv2d):
            prune.l1_unstructured(module, "weight", amount=0.3)
    return model


def parametrized():
    model = small()
    nn.utils.parametrizations.weight_norm(model.fc)
    return model


def after_a_pass():
    model = KeepsFeatures()
    model(torch.randn(2, 3, 64, 64))
    return model


def adapted():
    peft = pytest.importorskip("peft")

    model = torchvision.models.resnet18(num_classes=3)
    return peft.get_peft_model(model, peft.LoraConfig(target_modules=["conv1", "conv2"], r=2))


def smp(kind, encoder):
    import segmentation_models_pytorch as models

    return getattr(models, kind)(encoder, encoder_weights=None, classes=2)


def detector(name):
    options = {"weights": None, "weights_backbone": None, "num_classes": 3}
    if "ssd" not in name:
        options |= {"min_size": 64, "max_size": 96}
    return getattr(detection, name)(**options)


def images(*size):
    return (torch.rand(2, *(size or (3, 64, 64))),)


def pictures():
    return ([torch.rand(3, 64, 80), torch.rand(3, 72, 64)],)


PAIR = {"image": torch.rand(2, 3, 64, 64), "metadata": torch.rand(2, 2)}

MODELS = {  # what builds it, what it is called with, arguments for wrap
    "a plain tensor": (PlainTensor, images, {}),
    "a torch.Generator": (Generator, images, {}),
    "a lock": (Lock, images, {}),
    "a kept feature": (KeepsFeatures, images, {}),
    "a kept feature, after a pass": (after_a_pass, images, {}),
    "counters and lists": (Counts, images, {}),
    "a LightningModule with a metric": (Classifier, images, {}),
    "a user's hook": (with_hook, images, {}),
    "if on a value": (Decides, images, {}),
    "an item": (Item, images, {}),
    "an assert on values": (Asserts, images, {}),
    "NumPy inside": (NumPy, images, {}),
    "Siamese": (
        Siamese,
        lambda: images() * 2,
        {"example_inputs": (torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))},
    ),
    "two inputs by name": (WithMetadata, lambda: tuple(PAIR.values()), {"example_inputs": PAIR}),
    "a mapping as input": (TakesMapping, lambda: (PAIR,), {"example_inputs": PAIR}),
    "a mapping out": (TwoHeads, images, {}),
    "a U-Net": (UNet, images, {"at": "stage"}),
    "a SegNet": (SegNet, images, {"at": "stage"}),
    "a UNet++": (NestedUNet, images, {"at": "stage"}),
    "a U-Net that interpolates": (lambda: UNet("interpolate"), images, {"at": "stage"}),
    "like MONAI": (monai_like, lambda: images(1, 64, 64), {}),
    "like mmcv": (MMResNet, images, {}),
    "calls by keyword": (KeywordCall, images, {"at": ["conv", "bn"]}),
    "lazy modules": (Lazy, images, {"at": "stage"}),
    "a scripted part": (PartScripted, images, {}),
    "gradient checkpointing": (CheckpointedRun, images, {}),
    "bound methods": (BoundMethods, images, {}),
    "a custom operation without a fake": (CustomOperation, images, {}),
    "old spectral_norm": (lambda: normed(spectral_norm), images, {}),
    "old weight_norm": (lambda: normed(weight_norm), images, {}),
    "a parametrisation": (parametrized, images, {}),
    "pruned": (pruned, images, {}),
    "LoRA": (adapted, images, {}),
    "FCN": (
        lambda: segmentation.fcn_resnet50(weights=None, weights_backbone=None),
        images,
        {},
    ),
    "DeepLab": (
        lambda: segmentation.deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None),
        images,
        {},
    ),
    "smp U-Net, ResNet": (lambda: smp("Unet", "resnet18"), images, {}),
    "smp U-Net, VGG": (lambda: smp("Unet", "vgg11_bn"), images, {}),
    "smp U-Net, DenseNet": (lambda: smp("Unet", "densenet121"), images, {"at": "stage"}),
    "smp FPN": (lambda: smp("FPN", "resnet18"), images, {}),
    "smp PSPNet": (lambda: smp("PSPNet", "resnet18"), images, {}),
    "Faster R-CNN": (lambda: detector("fasterrcnn_mobilenet_v3_large_320_fpn"), pictures, {}),
    "Faster R-CNN, ResNet": (lambda: detector("fasterrcnn_resnet50_fpn"), pictures, {}),
    "RetinaNet": (lambda: detector("retinanet_resnet50_fpn"), pictures, {}),
    "FCOS": (lambda: detector("fcos_resnet50_fpn"), pictures, {}),
    "SSDlite": (lambda: detector("ssdlite320_mobilenet_v3_large"), pictures, {}),
    "Mask R-CNN": (lambda: detector("maskrcnn_resnet50_fpn"), pictures, {}),
    "Keypoint R-CNN": (lambda: detector("keypointrcnn_resnet50_fpn"), pictures, {}),
}
