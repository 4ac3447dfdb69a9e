"""A command that hands all its arguments on has those of the function that does the work."""

import inspect

import pytest

from visattn.commands.maps import draw_overlay, measure_maps
from visattn.commands.overlays import draw_maps
from visattn.commands.scenes import render_scenes
from visattn.data.generated.sushi import SushiParameters, render_sushi
from visattn.evaluation import map_scores


@pytest.mark.parametrize(
    ("command", "work", "more"),
    [
        (draw_overlay, [draw_maps], {"list_layers"}),
        (measure_maps, [map_scores.measure_maps], set()),
        (render_scenes, [render_sushi, SushiParameters], set()),
    ],
    ids=["overlay", "evaluate-maps", "render"],
)
def test_options_and_their_defaults_are_those_of_the_work(command, work, more):
    first, *options = inspect.signature(command).parameters.values()
    there = {n: p for part in work for n, p in inspect.signature(part).parameters.items()}
    assert first.default is inspect.Parameter.empty
    for option in options:
        if option.name not in more:
            assert option.default == there[option.name].default, option.name
