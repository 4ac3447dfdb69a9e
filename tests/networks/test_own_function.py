"""A network from ``FILE.py:FUNCTION``."""

import pytest
import torch
import torchvision

from visattn.data.preparation import preparation, preparation_line
from visattn.networks.loading import load_classifier, untrained_note
from visattn.networks.own_function import facts_of_network

FILE = """
import torch, torchvision
from beside import CLASSES

def classifier(classes=CLASSES):
    torch.manual_seed(1)
    net = torchvision.models.resnet18(num_classes=classes)
    net.data_facts = {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3}
    return net

def needs(classes): ...

def gives_nothing(): ...

VALUE = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "beside.py").write_text("CLASSES = 7\n")
    (tmp_path / "nets.py").write_text(FILE)
    return tmp_path / "nets.py"


def test_the_function_gives_network_weights_and_facts(file):
    network, facts = load_classifier(f"{file}:classifier")
    torch.manual_seed(1)
    expected = torchvision.models.resnet18(num_classes=7)
    assert not network.training
    source = facts.pop("source")
    assert facts == {"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3}
    line = preparation_line({**facts, "source": source}, preparation(facts))
    assert line.startswith("as the network says: size 64, mean [0.5, 0.5, 0.5], std")
    assert line.endswith("; as usual: fit crop, interpolation bilinear")
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value)


@pytest.mark.parametrize(
    ("words", "kind", "message"),
    [
        ("{}:clasifier", ValueError, "no function 'clasifier'; did you mean classifier"),
        ("{}:VALUE", ValueError, "no function 'VALUE'"),
        ("{}:needs", TypeError, "called without arguments, and needs classes"),
        ("{}:gives_nothing", TypeError, "must return a torch.nn.Module, not NoneType"),
        ("{}x.py:classifier", FileNotFoundError, "no file at"),
    ],
)
def test_mistakes(file, words, kind, message):
    with pytest.raises(kind, match=message):
        load_classifier(words.format(file))


def test_weights_are_the_functions_own(file):
    with pytest.raises(ValueError, match="pretrained is for the name of a timm model: load them"):
        load_classifier(f"{file}:classifier", pretrained=True)
    assert untrained_note(f"{file}:classifier") == ""
    assert untrained_note("my_package.nets.trained") == ""
    assert untrained_note("torchvision.models.resnet18") == " (untrained weights)"
    assert untrained_note("resnet50.a1_in1k") == " (untrained weights)"


def test_a_name_without_weights_says_the_only_size_that_it_takes():
    facts = load_classifier("crossvit_tiny_240")[1]
    assert facts == {"size": 240, "source": "as the network says"}
    line = preparation_line(facts, preparation(facts))
    assert line.startswith("as the network says: size 240; as usual: fit crop, ")
    assert load_classifier("tinynet_e")[1] == {}  # which takes any, though timm says 106


def test_detectors_normalise_by_themselves():
    plain = {"weights": None, "weights_backbone": None}
    detection = torchvision.models.detection
    ssd = detection.ssdlite320_mobilenet_v3_large(**plain)
    assert facts_of_network(ssd) == {"mean": [0.0] * 3, "std": [1.0] * 3, "size": 320}
    rcnn = detection.fasterrcnn_mobilenet_v3_large_320_fpn(**plain, min_size=(64, 96))
    assert facts_of_network(rcnn)["size"] == 96
    assert facts_of_network(torchvision.models.resnet18()) == {}


def test_hugging_faces_names():
    class Config:
        id2label = {0: "cat", 1: "dog"}  # noqa: RUF012

    network = torch.nn.Identity()
    network.config = Config()
    assert facts_of_network(network) == {"logit_names": ["cat", "dog"]}
    network.config.id2label = {0: "LABEL_0", 1: "LABEL_1"}
    assert facts_of_network(network) == {}
