"""What segmentations and detectors are asked about in each picture."""

import pytest
import torch
import torchvision

from visattn import class_activation
from visattn.recording.asking import Asked, question_of
from visattn.recording.network_maps import maps_of
from visattn.recording.targets import box_score, region_score

SIZE = (64, 96)


def logits_of(*labels, known=4):
    """Logits (N, K, 2, 4) of which each place has the class that a row of numbers says."""
    numbers = torch.tensor(labels).view(len(labels), 2, 4)
    return torch.nn.functional.one_hot(numbers, known).movedim(3, 1).float()


def found(*boxes):
    """Detections of one picture from (left, top, right, bottom, label, score)."""
    table = torch.tensor(boxes).reshape(-1, 6)
    return {"boxes": table[:, :4], "labels": table[:, 4].long(), "scores": table[:, 5]}


def test_the_largest_region_but_the_background_is_asked_about():
    logits = logits_of([0, 0, 0, 0, 2, 2, 3, 0], [0] * 8, [1, 1, 1, 1, 1, 3, 3, 3])
    question = question_of(logits, size=SIZE)
    assert question.words == [
        "class 2, predicted on 25 % of the picture",
        "class 0, predicted on 100 % of the picture",
        "class 1, predicted on 62 % of the picture",
    ]
    assert question.regions[0].nonzero().amin(0).tolist() == [32, 0]
    assert question.regions[0].nonzero().amax(0).tolist() == [63, 47]
    assert question.score(logits).tolist() == [2, 8, 5]
    shares = logits.softmax(1)
    for picture, (label, cells) in enumerate([(2, 2), (0, 8), (1, 5)]):
        inside = logits.argmax(1)[picture] == label
        assert int(inside.sum()) == cells
        expected = shares[:, label][:, inside].mean(1)
        torch.testing.assert_close(question.share(logits, picture=picture), expected)


def test_names_say_which_class_is_the_background():
    logits = logits_of([0, 0, 0, 0, 0, 2, 2, 3])
    named = {"names": ["wall", "sky", "background", "cat"]}
    assert question_of(logits, size=SIZE, **named).words[0].startswith("wall, predicted on 62 %")
    named["names"][0], named["names"][2] = "__background__", "dog"
    assert question_of(logits, size=SIZE, **named).words[0].startswith("dog, predicted on 25 %")


def test_a_class_that_is_nowhere_scores_zero():
    logits = logits_of([1] * 8, [0, 0, 3, 3, 0, 0, 0, 0]).requires_grad_()
    question = question_of(logits, size=SIZE, asked=Asked(3))
    assert question.words[0] == "class 3, predicted nowhere"
    assert question.found.tolist() == [False, True]
    scores = question.score(logits)
    assert scores.tolist() == [0, 2]
    (slopes,) = torch.autograd.grad(scores.sum(), logits)
    assert not slopes[0].any()
    assert slopes[1].nonzero().tolist() == [[3, 0, 2], [3, 0, 3]]
    assert question.share(logits, picture=0).tolist() == [0, 0]


def test_a_rectangle_takes_every_cell_that_it_touches():
    logits = logits_of([1] * 8)
    question = question_of(logits, size=SIZE, asked=Asked.of("2:20,10,49,32"))
    assert question.words == ["class 2 in the outlined rectangle"]
    assert question.regions[0, 0, ::24].tolist() == [True, True, True, False]
    assert not question.regions[0, 32:].any()  # the rectangle ends where the second row begins
    assert question.score(logits + 1).tolist() == [3]


def test_one_logit_a_place_is_no_or_yes():
    logits = torch.tensor([[[[-1.0, 2.0, 3.0]]]])
    question = question_of({"out": logits}, size=(8, 24))
    assert question.words == ["class 1, predicted on 67 % of the picture"]
    assert question.score({"out": logits}).tolist() == [5]
    expected = logits[0, 0, 0, 1:].sigmoid().mean()
    torch.testing.assert_close(question.share({"out": logits}, picture=0)[0], expected)
    no = question_of({"out": logits}, size=(8, 24), asked=Asked(0))
    assert no.score({"out": logits}).tolist() == [1]
    with pytest.raises(ValueError, match="classes 0 to 1, not 2"):
        question_of(logits, size=(8, 24), asked=Asked(2))


def test_boxes():
    boxes = [(0.0, 0.0, 10.0, 10.0, 1, 0.4), (20.0, 0.0, 40.0, 8.0, 2, 0.9)]
    outputs = [found(*boxes), found()]
    question = question_of(outputs, size=SIZE)
    assert question.words == ["box of class 2, score 0.90", "no box is found"]
    assert question.found.tolist() == [True, False]
    assert question.score(outputs).tolist() == [pytest.approx(0.9), 0]
    assert question.regions[0].nonzero().amax(0).tolist() == [7, 39]
    assert not question.regions[1].any()
    weaker = question_of(outputs[:1], size=SIZE, asked=Asked(1), names=["no", "cat", "dog"])
    assert weaker.words == ["box of cat, score 0.40"]
    near, far = (
        question_of(outputs[:1], size=SIZE, asked=Asked.of(words))
        for words in ("1:1,1,10,10", "2:1,1,10,10")
    )
    assert near.words == ["box of class 1, score 0.40"]
    assert far.words == ["no box of class 2 is found there"]
    versions = [outputs[0], found((21.0, 0.0, 40.0, 8.0, 2, 0.5)), found(boxes[0])]
    assert question.share(versions, picture=0).tolist() == [pytest.approx(0.9), 0.5, 0]


def test_what_there_is_instead():
    boxes = [(0.0, 0.0, 10.0, 10.0, 1, 0.4), (20.0, 0.0, 40.0, 8.0, 2, 0.9)]
    outputs = [found(*boxes), found(*boxes, *boxes), found()]
    missed = question_of(outputs, size=SIZE, asked=Asked.of("1:5,0,15,10"), names=["no", "cat"])
    cat, other = "cat at 0,0,10,10 (score 0.40, IoU 0.33)", "class 2 at 20,0,40,8 (score 0.90, IoU"
    assert missed.instead == [
        f"{cat}; {other} 0.00)",
        f"{cat}; {cat}; {other} 0.00); and 1 more",
        "no box at all (a detector gives none below a score of its own)",
    ]
    unknown = question_of(outputs[:1], size=SIZE, asked=Asked(3))
    assert unknown.instead == [
        "class 2 at 20,0,40,8 (score 0.90); class 1 at 0,0,10,10 (score 0.40)"
    ]
    assert question_of(outputs[:1], size=SIZE).instead == [""]
    logits = logits_of([1] * 8, [0, 0, 3, 3, 3, 2, 0, 0])
    nowhere = question_of(logits, size=SIZE, asked=Asked(2), names=["wall", "sky", "cat", "dog"])
    assert nowhere.instead == ["sky on 100 %", ""]
    assert question_of(logits, size=SIZE, asked=Asked(1)).instead[1] == (
        "class 0 on 50 %; class 3 on 38 %; class 2 on 12 %"
    )


def test_what_can_be_asked_about():
    assert question_of(torch.zeros(2, 5), size=SIZE) is None
    with pytest.raises(TypeError, match=r"returned logits \(2, 3, 5\): expected logits \(N, K\)"):
        question_of(torch.zeros(2, 3, 5), size=SIZE)
    with pytest.raises(TypeError, match="returned dict: expected"):
        question_of({"boxes": torch.zeros(2, 4)}, size=SIZE)
    with pytest.raises(ValueError, match="no class 'cta'; did you mean cat"):
        Asked.of("cta", names=["dog", "cat"])
    with pytest.raises(ValueError, match="left below right"):
        Asked.of("3:10,0,5,20")
    classifier = torchvision.models.squeezenet1_1(num_classes=3).eval()
    images = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match="rectangle is for segmentations and detectors"):
        maps_of(classifier, images, otherwise="gradcam", asked=Asked.of("1:0,0,5,5"))
    with pytest.raises(ValueError, match="classes 0 to 2, not 3"):
        maps_of(classifier, images, otherwise="gradcam", asked=Asked(3))


PLAIN = {"weights": None, "weights_backbone": None}


def segmentation(name):
    torch.manual_seed(0)
    return getattr(torchvision.models.segmentation, name)(**PLAIN, num_classes=5).eval()


def detector(name, **options):
    torch.manual_seed(0)
    build = getattr(torchvision.models.detection, name)
    return build(**PLAIN, num_classes=4, **options).eval()


@pytest.mark.parametrize("name", ["lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"])
def test_segmentations_of_torchvision(name):
    model = segmentation(name)
    images = torch.rand(2, 3, 64, 96)
    maps = maps_of(model, images, otherwise="gradcam")
    with torch.no_grad():
        predicted = model(images)["out"].argmax(1)
    (heat,) = maps.maps.values()
    for row, words in enumerate(maps.question.words):
        label = int(words.split(",")[0].removeprefix("class "))
        region = predicted[row : row + 1] == label
        expected = class_activation(
            model,
            images[row : row + 1],
            target=region_score(label, region),
            layer=maps.cam_at,
        )
        torch.testing.assert_close(heat[row : row + 1], expected)


def test_a_detector_of_torchvision():
    model = detector("ssdlite320_mobilenet_v3_large", score_thresh=0.0)
    images = torch.rand(1, 3, 64, 96)
    maps = maps_of(model, images, otherwise="gradcam")
    with torch.no_grad():
        seen = model(images)[0]
    best = int(seen["scores"].argmax())
    target = box_score(seen["boxes"][best : best + 1], int(seen["labels"][best]))
    expected = class_activation(model, images, target=target)
    torch.testing.assert_close(maps.maps[f"Grad-CAM, {maps.cam_at}"], expected)
    nothing = maps_of(
        detector("ssdlite320_mobilenet_v3_large", score_thresh=0.99), images, otherwise="gradcam"
    )
    assert nothing.question.words == ["no box is found"]
    assert not nothing.maps["Grad-CAM"].any()


def test_attention_through_a_transformer_needs_classes():
    with pytest.raises(ValueError, match="LeGrad follows a transformer's attention"):
        maps_of(
            segmentation("lraspp_mobilenet_v3_large"), torch.rand(1, 3, 64, 64), layers=["legrad"]
        )
