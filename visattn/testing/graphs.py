"""The promises about programs that are traced: ``torch.fx``, ``torch.jit.trace``."""

import copy
import warnings

import torch
from torch import Tensor, fx, nn

from visattn.recording import find_taps
from visattn.testing.outputs import check_recording, close, seeded


def check_graphs(model: nn.Module, x: Tensor) -> None:
    """``torch.fx.symbolic_trace`` and ``torch.jit.trace`` take the model, with the same outputs.

    They do on another batch and size than those of the trace, too, and what can be recorded of the
    model can be recorded of its graph.

    Args:
        model: A block or a wrapped model, in evaluation mode.
        x: Its input, at least two images.

    Raises:
        AssertionError: The outputs differ, or a tap is missing in the graph.
    """
    graph = fx.symbolic_trace(copy.deepcopy(model))
    with warnings.catch_warnings():  # of TorchScript's end, and of sizes in Python
        warnings.simplefilter("ignore")
        program = torch.jit.trace(copy.deepcopy(model), (x,), check_trace=False)
    kinds = [type(tap).__name__ for _, _, tap in find_taps(model)]
    assert [type(tap).__name__ for _, _, tap in find_taps(graph)] == kinds, "the graph lacks taps"
    check_recording(graph, x)
    larger = torch.randn(1, x.shape[1], x.shape[2] + 9, x.shape[3] + 4)
    for images in (x, x[:1], larger):
        expected = seeded(model, images)
        assert torch.equal(seeded(graph, images), expected), (
            f"torch.fx changes the output on {tuple(images.shape)}"
        )
        with torch.jit.optimized_execution(False):
            close(seeded(program, images), expected, f"torch.jit.trace on {tuple(images.shape)}")


def check_graph_trains(model: nn.Module, x: Tensor) -> None:
    """A graph that was traced in evaluation trains as the model does: outputs and statistics.

    Args:
        model: A block, in evaluation mode.
        x: Its input.

    Raises:
        AssertionError: The outputs or the statistics differ.
    """
    model = copy.deepcopy(model)
    graph = fx.symbolic_trace(copy.deepcopy(model))
    expected, ours = seeded(model.train(), x), seeded(graph.train(), x)
    assert torch.equal(ours, expected), "torch.fx changes the output in training"
    state = model.state_dict()
    for name, value in graph.state_dict().items():
        assert torch.equal(value, state[name]), f"training a graph changes {name} otherwise"


def check_prepared(model: nn.Module, x: Tensor) -> None:
    """``prepare_fx``, before a quantisation, keeps attention and, in floating point, the outputs.

    Args:
        model: A wrapped model, in evaluation mode.
        x: Its input.

    Raises:
        AssertionError: Attention is lost, or the outputs differ.
    """
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_fx

    with warnings.catch_warnings():  # of its move to torchao
        warnings.simplefilter("ignore")
        prepared = prepare_fx(copy.deepcopy(model), get_default_qconfig_mapping("x86"), (x,))
    count = len(list(find_taps(model)))
    assert len(list(find_taps(prepared))) == count, "prepare_fx drops attention"
    close(seeded(prepared, x), seeded(model, x), "prepare_fx")
