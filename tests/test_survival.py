"""What a wrapped model goes through outside of visattn."""

import copy

import pytest
import timm
import torch
from timm.utils import ModelEmaV3
from torch.nn.parallel import DistributedDataParallel

from visattn import record, wrap
from visattn.blocks.attended import attended
from visattn.testing import enliven


@pytest.fixture
def model():
    """A ResNet with CBAM at its branches and a mask on the image, none of it at its start."""
    plain = timm.create_model("resnet18", num_classes=5)
    return enliven(wrap(plain, {"branch": "cbam", "image": "spatial_mask"}, init="paper")).eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 96)


def dynamic(min_size=33):  # below that the last map is a single place, a case of its own
    batch = torch.export.Dim("batch", min=1, max=16)
    height = torch.export.Dim("height", min=min_size, max=512)
    width = torch.export.Dim("width", min=min_size, max=512)
    return ({0: batch, 2: height, 3: width},)


def test_export_with_dynamic_batch_and_size(model, images):
    with torch.no_grad():
        program = torch.export.export(model, (images,), dynamic_shapes=dynamic()).module()
        for other in (images, torch.randn(1, 3, 97, 65), torch.randn(3, 3, 64, 64)):
            torch.testing.assert_close(program(other), model(other), atol=1e-5, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")  # of the exporter's own
def test_onnx_in_onnxruntime(model, images, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    path = tmp_path / "model.onnx"
    torch.onnx.export(model, (images,), path, dynamo=True, dynamic_shapes=dynamic(), verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (entry.name for entry in session.get_inputs())
    for other in (images, torch.randn(1, 3, 97, 65)):
        (ours,) = session.run(None, {name: other.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(ours), model(other), atol=1e-4, rtol=1e-3)


def test_channels_last_and_autocast(model, images):
    with torch.no_grad():
        expected = model(images)
        turned = copy.deepcopy(model).to(memory_format=torch.channels_last)
        ours = turned(images.to(memory_format=torch.channels_last))
        torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert model(images).isfinite().all()


def test_half_precision_starts_as_the_identity_too(images):
    plain = enliven(timm.create_model("resnet10t", num_classes=5)).eval().bfloat16()
    model = wrap(copy.deepcopy(plain), "cbam")
    assert model.layer1[0].bn2.attention.channel.fc1.weight.dtype is torch.bfloat16
    with torch.no_grad():
        assert torch.equal(model(images.bfloat16()), plain(images.bfloat16()))


def test_exponential_moving_average(model, images):
    average = ModelEmaV3(model, decay=0.5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    before = copy.deepcopy(average.module.state_dict())
    average.update(model)
    for name, value in average.module.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (before[name] + model.state_dict()[name]) / 2)
    assert list(average.module.state_dict()) == list(model.state_dict())


def test_distributed_data_parallel(model, images, tmp_path):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1
    )
    try:
        parallel = DistributedDataParallel(model)
        with record(parallel) as maps:
            torch.testing.assert_close(parallel(images), model(images))
        assert maps["layer1.0"].calls == 2
        parallel(images).square().sum().backward()
        assert all(p.grad is not None for unit in attended(model) for p in unit.block.parameters())
    finally:
        torch.distributed.destroy_process_group()


def test_timms_own_tools(model, images):
    with torch.no_grad():
        features = model.forward_features(images)
        torch.testing.assert_close(model.forward_head(features), model(images))
        model.reset_classifier(3)
        assert model(images).shape == (2, 3)
    assert len(list(attended(model))) == 9


def test_features_only(images):
    plain = enliven(timm.create_model("resnet10t", features_only=True)).eval()
    expected = plain(images)
    wrapped = wrap(plain, "cbam")
    assert all(torch.equal(a, b) for a, b in zip(wrapped(images), expected, strict=True))
    with record(wrapped) as maps:
        wrapped(images)
    assert list(maps) == [f"layer{i}.0" for i in range(1, 5)]


def test_state_dicts_through_optimisers_and_functional_calls(model, images):
    parameters = dict(model.named_parameters())
    expected = model(images)
    buffers = dict(model.named_buffers())
    ours = torch.func.functional_call(model, {**parameters, **buffers}, (images,))
    torch.testing.assert_close(ours, expected)
