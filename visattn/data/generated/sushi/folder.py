"""The data set on disk: rendered once, into a folder that is whole or not there.

What draws the scenes is imported only when some are rendered.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from visattn.data.generated.folder import rendered_folder
from visattn.data.generated.sushi.parameters import SushiParameters


def render_sushi(
    root: str | Path | None = None,
    *,
    workers: int | None = None,
    progress: bool = True,
    **parameters: Any,
) -> Path:
    """Render the sushi scenes and return their folder; at once if they are there already.

    The layout is ``ROOT/SPLIT/images/CLASS/ID.png``, ``ROOT/SPLIT/masks/CLASS/ID.png`` (the matte,
    0 to 255) and ``ROOT/metadata.csv``. Splits:

    ============================  ==============================================================
    ``train``, ``val``            the background is the class's own style with probability rho,
                                  otherwise a random other training style
    ``test_original``             the same, fresh foregrounds and backgrounds
    ``test_mixed_same``           always the own style, another background
    ``test_mixed_rand``           a random training style, whatever the class
    ``test_mixed_next``           the style of the next class
    ``test_mixed_new``            styles that are in no other split
    ``test_only_fg``, ``..grey``  the sushi on black, on grey
    ``test_only_bg``              ``test_original`` without sushi and its shadow (mattes all 0)
    ``test_no_fg``                ``test_original`` with the sushi's shape blacked out
    ``test_adversarial``          each of the first ``adversarial`` foregrounds on 64 backgrounds
    ``train_random``              the training foregrounds on random styles (an upper bound)
    ============================  ==============================================================

    An ID names the same foreground in all test variants, with the same light and noise. Foregrounds
    and backgrounds of different splits have different seeds. Pixels depend on the parameters alone,
    not on the number of workers.

    The work goes into ``ROOT.partial`` and is renamed when it is whole, so a data set that is there
    is complete; an interrupted one is taken up where it stopped.

    Args:
        root: the folder; chosen by :func:`sushi_cache` if not given.
        workers: processes; as many as there are processors if not given, 1 for none but this one.
        progress: whether to show a progress bar.
        parameters: those of `visattn.data.generated.sushi.SushiParameters`.

    Returns:
        The folder.

    Raises:
        ValueError, TypeError: for parameters out of range or unknown names.
        FileExistsError: if the folder holds something else.
        ImportError: if OpenCV is missing.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as place:
    ...     folder = render_sushi(
    ...         Path(place, "scenes"), size=32, train=8, val=0, test=0, progress=False
    ...     )
    ...     sorted(path.name for path in (folder / "train" / "images").iterdir())[:3]
    ['buri', 'ebi', 'ika']
    """
    chosen = SushiParameters(**parameters)
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")

    def renderer() -> Callable[[Path], None]:
        from visattn.data.generated.sushi import rendering

        rendering.refuse_while_starting()
        return partial(rendering.render_all, parameters=chosen, workers=workers, progress=progress)

    return rendered_folder(chosen, root, renderer=renderer)
