"""What the command line offers: one function a command, its docstring the help text.

Only a command that needs PyTorch imports it, inside the function. Where the first line takes
``locals()``, all arguments are handed on as they are.
"""

from collections.abc import Callable, Sequence

from visattn.commands.auditing import audit_classifier, gather_audit
from visattn.commands.benchmarks import gather_bench, measure_costs
from visattn.commands.completion import print_completion
from visattn.commands.maps import (
    draw_overlay,
    gather_page,
    gather_pictures,
    measure_maps,
    write_report,
)
from visattn.commands.masks import (
    apply_proposals,
    import_annotations,
    propose_objects,
    review_proposals,
)
from visattn.commands.models import gather_blocks, list_blocks, show_plan, write_model
from visattn.commands.packing import pack_pictures
from visattn.commands.scenes import compare_on_scenes, render_scenes
from visattn.commands.sentences import caption_picture, highlight_words, translate_text
from visattn.commands.trainings import (
    compare_recipes,
    compare_starts,
    gather_comparison,
    gather_smiles,
    gather_spread,
    show_smiles,
    show_spread,
)

__all__ = ["COMMANDS", "GATHERED", "GROUPS", "SHARED", "TUNED"]

# None of the functions has the name of a public one: jsonargparse would look that up in visattn,
# and so import PyTorch for the sake of --help.
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": compare_on_scenes,
    "finetune": compare_starts,
    "plan": show_plan,
    "blocks": list_blocks,
    "export": write_model,
    "render": render_scenes,
    "pack": pack_pictures,
    "overlay": draw_overlay,
    "translate": translate_text,
    "caption": caption_picture,
    "highlight": highlight_words,
    "spread": show_spread,
    "smiles": show_smiles,
    "report": write_report,
    "evaluate-maps": measure_maps,
    "audit": audit_classifier,
    "bench": measure_costs,
    "compare": compare_recipes,
    "completion": print_completion,
}

GROUPS: dict[str, tuple[str, dict[str, Callable[..., None]]]] = {
    "masks": (
        "Masks that nobody has to draw: import, propose, review on a page, apply.",
        {
            "import": import_annotations,
            "propose": propose_objects,
            "review": review_proposals,
            "apply": apply_proposals,
        },
    ),
}
"""Commands of several actions: what they are about, and the function of each action."""

GATHERED: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "compare": gather_comparison,
    "overlay": gather_pictures,
    "report": gather_page,
    "audit": gather_audit,
    "bench": gather_bench,
    "blocks": gather_blocks,
    "spread": gather_spread,
    "smiles": gather_smiles,
}
"""Commands that take any number of words: to the words that the parser takes."""

TUNED = ("demo", "finetune", "evaluate-maps", "audit", "bench")
"""Commands that compute for long: before PyTorch is imported, the process is tuned for them."""

SHARED = ("evaluate-maps", "audit")
"""Commands whose work processes share that ``torchrun`` started; the first does others alone."""
