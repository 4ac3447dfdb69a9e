"""What the command line offers: one function a command, its docstring the help text.

Only a command that needs PyTorch imports it, inside the function.
"""

from collections.abc import Callable

from visattn.commands.finetuning import compare_starts
from visattn.commands.maps import draw_overlay, measure_maps, write_report
from visattn.commands.models import list_blocks, show_plan, write_model
from visattn.commands.results import show_spread
from visattn.commands.scenes import compare_on_scenes, render_scenes
from visattn.commands.sentences import caption_picture, translate_text

__all__ = ["COMMANDS"]

# None of the functions has the name of a public one: jsonargparse would look that up in visattn,
# and so import PyTorch for the sake of --help.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": compare_on_scenes,
    "finetune": compare_starts,
    "plan": show_plan,
    "blocks": list_blocks,
    "export": write_model,
    "render": render_scenes,
    "overlay": draw_overlay,
    "translate": translate_text,
    "caption": caption_picture,
    "spread": show_spread,
    "report": write_report,
    "evaluate-maps": measure_maps,
}
