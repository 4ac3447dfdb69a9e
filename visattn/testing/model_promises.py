"""The promises of a model with attention in it."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from visattn.blocks.attended import attended
from visattn.recording import record
from visattn.testing.keys import attention_keys, module_paths
from visattn.testing.model_case import ModelCase
from visattn.testing.outputs import check_images_alone, check_recording, close, enliven, seeded
from visattn.testing.tool_promises import TOOL_PROMISES
from visattn.testing.transport_promises import TRANSPORT_PROMISES
from visattn.wrapping.insertion import (
    attention_parameters,
    backbone_parameters,
    disabled,
    unwrap,
    wrap,
)
from visattn.wrapping.planning import Block
from visattn.wrapping.weights import backbone_state_dict


def check_wrapped(
    build: Callable[[], nn.Module],
    block: Block,
    *,
    image_size: tuple[int, int] = (48, 40),
    **options: Any,
) -> None:
    """Check a block in a model: the promises of `wrap`, `unwrap`, `disabled` and `record`.

    Args:
        build: Makes the plain model, from images (N, 3, H, W) to a tensor.
        block: As for `wrap`.
        image_size: Height and width of the images to try.
        **options: For `wrap`; ``init`` is tried both ways.

    Raises:
        AssertionError: A promise is broken; the message says which.

    Example:
        >>> import timm
        >>> class Halving(nn.Module):
        ...     def __init__(self, channels, init="identity"):
        ...         super().__init__()
        ...     def forward(self, x):
        ...         return x / 2
        >>> check_wrapped(lambda: timm.create_model("test_resnet"), Halving)
        Traceback (most recent call last):
        AssertionError: the model with ... differs at the start, training=False: by ...
    """
    case = ModelCase(enliven(build()), torch.randn(2, 3, *image_size), block, options)
    for promise in MODEL_PROMISES:
        promise(case)


def starts_as_the_plain_model(case: ModelCase) -> None:
    """Bit for bit, in both modes; a training pass leaves the backbone's statistics the same."""
    for training in (False, True):
        plain = copy.deepcopy(case.plain).train(training)
        model = copy.deepcopy(case.start).train(training)
        expected, ours = seeded(plain, case.images), seeded(model, case.images)
        assert torch.equal(ours, expected), (
            f"the model with {case.block!r} differs at the start, training={training}: by"
            f" {(ours - expected).abs().max():g}"
        )
        state = backbone_state_dict(model)
        for name, value in plain.state_dict().items():
            assert torch.equal(state[name], value), f"a pass in training changes {name} otherwise"


def takes_plain_checkpoints(case: ModelCase) -> None:
    """The backbone's keys are its own: plain weights go in, and come out for a plain model."""
    for model in (copy.deepcopy(case.start), copy.deepcopy(case.live)):
        before, after = case.plain.state_dict(), backbone_state_dict(model)
        assert before.keys() == after.keys(), "the backbone's names are others"
        other = {k: v + 1 if v.is_floating_point() else v for k, v in before.items()}
        result = model.load_state_dict(other, strict=False)
        assert not result.unexpected_keys, f"unexpected: {result.unexpected_keys[:3]}"
        missing = set(result.missing_keys) - attention_keys(model)
        assert not missing, f"a plain checkpoint doesn't load: {sorted(missing)[:3]} are missing"
        for name, value in backbone_state_dict(model).items():
            assert torch.equal(value, other[name]), f"{name} doesn't come out for a plain model"
        for name, value in unwrap(model).state_dict().items():
            assert torch.equal(value, other[name]), f"a plain checkpoint doesn't reach {name}"


def is_unwrapped(case: ModelCase) -> None:
    """`unwrap` gives the plain model back: keys, types, outputs; `disabled` its outputs."""
    expected = seeded(case.plain.eval(), case.images)
    with disabled(case.live):
        assert torch.equal(seeded(case.live, case.images), expected), "disabled() has an effect"
    bare = unwrap(copy.deepcopy(case.live))
    assert list(bare.state_dict()) == list(case.plain.state_dict()), "unwrap changes the keys"
    types = [(path, type(m)) for path, m in case.plain.named_modules()]
    assert [(path, type(m)) for path, m in bare.named_modules()] == types, "other modules"
    assert torch.equal(seeded(bare, case.images), expected), "unwrap changes the output"
    assert list(attended(case.live)), "unwrap of a copy touched the original"


def is_recorded(case: ModelCase) -> None:
    """Recording changes no output, and leaves no hook, after an exception either."""
    check_recording(case.live, case.images)


def runs_on_any_size(case: ModelCase) -> None:
    """One image, odd and non-square sizes, ``channels_last``: as the definition says."""
    check_images_alone(case.live, case.images)
    turned = copy.deepcopy(case.live).to(memory_format=torch.channels_last)
    last = case.images.contiguous(memory_format=torch.channels_last)
    close(seeded(turned, last), seeded(case.live, case.images), "channels_last")
    height, width = case.images.shape[2:]
    odd = torch.randn(1, case.images.shape[1], height + 7, width + 21)
    start, plain = copy.deepcopy(case.start).eval(), case.plain.eval()
    assert torch.equal(seeded(start, odd), seeded(plain, odd)), "no identity at another size"
    assert seeded(case.live, odd).isfinite().all(), "not finite at another size"


def runs_under_autocast(case: ModelCase) -> None:
    """In bfloat16 by autocast the outputs are finite."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert seeded(case.live, case.images).isfinite().all(), "not finite under autocast"


def trains_attention_alone(case: ModelCase) -> None:
    """With the backbone frozen, only attention's entries change."""
    model = copy.deepcopy(case.live)
    added = attention_parameters(model)
    kept = backbone_parameters(model)
    assert len(added) + len(kept) == len(list(model.parameters())), "a parameter is in no group"
    if not added:
        return
    for parameter in kept:
        parameter.requires_grad_(False)
    for draw in range(2, 7):
        model(case.images).square().mean().backward()
        gradients = [parameter.grad for parameter in added if parameter.grad is not None]
        largest = max((float(gradient.abs().max()) for gradient in gradients), default=0.0)
        if largest > 0:
            break
        for unit in attended(model):  # a few ReLUs may all be dead by the numbers drawn
            enliven(unit.get_submodule("attention"), seed=draw)
    assert largest > 0, "no attention learns"
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.SGD(added, lr=0.1)
    for gradient in gradients:  # a small one would be lost beside the weights
        gradient.div_(largest)
    optimiser.step()
    changed = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert changed, "no attention learns"
    assert changed <= attention_keys(model), f"{sorted(changed - attention_keys(model))[:3]}"


def refuses_or_stacks_a_second_block(case: ModelCase) -> None:
    """Attention at a taken place is an error; with ``stack=True`` both stand there."""
    model = copy.deepcopy(case.start).eval()
    size = (case.images.shape[1], case.images.shape[2], case.images.shape[3])
    taken = sorted({module_paths(model)[0], module_paths(model)[-1]})
    keys = list(model.state_dict())
    try:
        wrap(model, "se", at=taken[:1], input_size=size)
    except ValueError:
        assert list(model.state_dict()) == keys, "a refused wrap changes the model"
    else:
        raise AssertionError("a second block at the same place is not refused")
    before = len(list(attended(model)))
    wrap(model, "se", at=taken, input_size=size, stack=True)
    assert len(list(attended(model))) == before + len(taken), "the second block isn't there"
    expected = seeded(case.plain.eval(), case.images)
    assert torch.equal(seeded(model, case.images), expected), "two blocks are no identity"
    with record(model) as maps:
        seeded(model, case.images)
    assert sum("channel" in entry.kinds.values() for entry in maps.values()) >= len(taken)
    assert list(unwrap(model).state_dict()) == list(case.plain.state_dict())


MODEL_PROMISES: tuple[Callable[[ModelCase], None], ...] = (
    starts_as_the_plain_model,
    takes_plain_checkpoints,
    is_unwrapped,
    is_recorded,
    runs_on_any_size,
    runs_under_autocast,
    trains_attention_alone,
    refuses_or_stacks_a_second_block,
    *TRANSPORT_PROMISES,
    *TOOL_PROMISES,
)
"""What `check_wrapped` checks, in order."""
