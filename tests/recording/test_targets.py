"""What a map is asked about: one logit, labels, values, regions, boxes."""

import pytest
import torch
import torchvision
from torch import nn

from visattn import class_activation, grad_cam
from visattn.recording.cam import cam_layer
from visattn.recording.targets import box_score, label_score, output_value, region_score


class Sums(nn.Module):
    """Two maps, of red and of green; some answer that is linear in their means."""

    def __init__(self, weights, *, flat=False):
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1, bias=False)
        self.maps.weight.data = torch.eye(3)[:2, :, None, None]
        self.weights, self.flat = torch.tensor(weights), flat

    def forward(self, x):
        found = self.maps(x).mean((2, 3)) @ self.weights.T
        return found[:, 0] if self.flat else found


@pytest.fixture
def picture():
    """Red at (0, 0), green at (3, 3)."""
    found = torch.zeros(1, 3, 4, 4)
    found[0, 0, 0, 0] = found[0, 1, 3, 3] = 1
    return found


def places(maps):
    return [tuple(place) for place in maps[0].nonzero().tolist()]


@pytest.mark.parametrize("flat", [True, False])
def test_one_logit_speaks_for_the_predicted_of_two_classes(picture, flat):
    model = Sums([[1.0, -3.0]], flat=flat).eval()
    assert model(picture).item() < 0
    assert places(grad_cam(model, picture)) == [(3, 3)]
    assert places(grad_cam(model, picture, classes=0)) == [(3, 3)]
    assert places(grad_cam(model, picture, classes=1)) == [(0, 0)]
    assert float(grad_cam(model, picture, classes=1).max()) == 1 / 16  # of the logit itself
    assert places(class_activation(model, picture, method="hirescam")) == [(3, 3)]
    with pytest.raises(ValueError, match="classes 0 to 1; classes go from 2"):
        grad_cam(model, picture, classes=2)


def test_several_labels_and_values(picture):
    model = Sums([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]).eval()
    labels = torch.tensor([True, True, False])
    assert places(class_activation(model, picture, target=label_score(labels))) == [(0, 0), (3, 3)]
    assert places(class_activation(model, picture, target=output_value(1))) == [(3, 3)]
    below = Sums([[1.0, -3.0]]).eval()
    assert places(class_activation(below, picture, target=output_value())) == [(0, 0)]
    own = class_activation(below, picture, target=lambda values: -values[:, 0])
    assert places(own) == [(3, 3)]
    with pytest.raises(ValueError, match="truth values"):
        label_score(torch.tensor([1, 0]))
    with pytest.raises(ValueError, match=r"don't fit \(1, 3\)"):
        class_activation(model, picture, target=label_score(labels[:2]))
    with pytest.raises(ValueError, match="values 0 to 2, not 3"):
        class_activation(model, picture, target=output_value(3))


class Segmentation(nn.Module):
    def __init__(self, classes):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, classes, 1)

    def forward(self, x):
        return {"out": self.head(self.body(x))}


@pytest.mark.parametrize("classes", [1, 3])
def test_a_class_over_a_region(classes):
    model = Segmentation(classes).eval()
    batch = torch.randn(2, 3, 6, 8)
    region = torch.zeros(2, 6, 8, dtype=torch.bool)
    region[0, 1:3], region[1, :, 5] = True, True
    target = region_score(0, region)
    assert cam_layer(model, batch, target=target) == "body"  # the head's maps are the answer
    found = class_activation(model, batch, target=target)
    sign = -1 if classes == 1 else 1  # class 0 of one logit is no
    sizes = region.flatten(1).sum(1) / 48
    weights = sign * sizes[:, None] * model.head.weight[0, :, 0, 0]
    expected = torch.relu(torch.einsum("nchw,nc->nhw", model.body(batch), weights)).detach()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    peer = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    theirs = [
        sign * peer.SemanticSegmentationTarget(0, mask.numpy())(output)
        for mask, output in zip(region.float(), model(batch)["out"], strict=True)
    ]
    torch.testing.assert_close(target(model(batch)), torch.stack(theirs), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="region of image 1 is empty"):
        region_score(0, torch.stack([region[0], torch.zeros_like(region[0])]))
    with pytest.raises(ValueError, match=f"classes 0 to {max(classes, 2) - 1}, not 3"):
        region_score(3, region)(model(batch))
    with pytest.raises(ValueError, match="for anything else give a target"):
        class_activation(model, batch)


def test_a_box_of_a_detector():
    torch.manual_seed(0)
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=4, score_thresh=0.0, topk_candidates=20
    ).eval()
    batch = torch.rand(2, 3, 64, 96)
    seen = model(batch)
    boxes = torch.stack([one["boxes"][0] for one in seen]).detach()
    labels = torch.stack([one["labels"][0] for one in seen])
    target = box_score(boxes, labels)
    torch.testing.assert_close(target(seen), torch.stack([one["scores"][0] for one in seen]))
    layer = cam_layer(model, batch, target=target)
    found = class_activation(model, batch, target=target)
    assert layer.startswith("backbone.")
    assert found.shape[0] == 2
    assert float(found.max()) > 0
    nowhere = box_score(boxes - 1000, labels)
    assert nowhere(seen).tolist() == [0, 0]
    with pytest.raises(ValueError, match=r"the logits don't depend on 'backbone"):
        class_activation(model, batch, target=nowhere, layer=layer)
    with pytest.raises(ValueError, match="detections of 2 images"):
        target(seen[:1])
    with pytest.raises(ValueError, match=r"\(N, 4\)"):
        box_score(torch.ones(4), 1)


def test_a_feature_pyramid_is_asked_where_all_its_levels_read():
    torch.manual_seed(0)
    detection = torchvision.models.detection
    backbone = detection.backbone_utils.resnet_fpn_backbone(backbone_name="resnet18", weights=None)
    size = {"min_size": 96, "max_size": 96}
    model = detection.RetinaNet(backbone, num_classes=3, score_thresh=0.0, **size).eval()
    images = torch.rand(1, 3, 96, 96)
    seen = model(images)[0]
    target = box_score(seen["boxes"][:1].detach(), int(seen["labels"][0]))
    assert cam_layer(model, images, target=target) == "backbone.body.layer4"
    found = class_activation(model, images, target=target)
    kept = []
    with backbone.body.layer4.register_forward_hook(lambda *call: kept.append(call[2])):
        score = target(model(images))
    (slopes,) = torch.autograd.grad(score.sum(), kept[0])
    expected = (slopes.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu().detach()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)
    assert float(found.max()) > 0
    kept.clear()
    with backbone.body.layer4.register_forward_hook(lambda *call: kept.append(call[2])):
        levels = backbone(images)
    for level in levels.values():  # each of them reads that layer
        (slopes,) = torch.autograd.grad(level.sum(), kept[0], retain_graph=True)
        assert slopes.abs().sum() > 0


def test_a_box_is_its_best_overlap():
    peer = torchvision.ops.box_iou
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(9, 2, 2, generator=generator).sort(1).values.flatten(1)
    scores, labels = torch.rand(9, generator=generator), torch.tensor([1, 2, 1] * 3)
    own = corners[4] + 0.01
    found = box_score(own[None], 1, overlap=0.1)(
        [{"boxes": corners, "labels": labels, "scores": scores}]
    )
    covered = peer(corners, own[None])[:, 0]
    best = max((i for i in range(9) if labels[i] == 1), key=lambda i: float(covered[i]))
    assert float(covered[best]) >= 0.1
    assert found.item() == scores[best].item()


def test_targets_in_plain_python_are_taken_or_refused_by_name(picture):
    model = Sums([[1.0, 0.0], [0.0, 1.0]]).eval()
    assert places(class_activation(model, picture, target=label_score([False, True]))) == [(3, 3)]
    with pytest.raises(ValueError, match=r"labels must be .* class_score takes a label's number"):
        label_score(1)
    with pytest.raises(ValueError, match=r"boxes must be \(N, 4\)"):
        box_score([0.0, 0.0, 2.0, 2.0], 1)
    with pytest.raises(ValueError, match="region must be truth values"):
        region_score(1, [[0, 1]])
