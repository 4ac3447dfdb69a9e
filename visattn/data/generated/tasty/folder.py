"""The data set on disk: rendered once, into a folder that is whole or not there.

What draws the scenes is imported only when some are rendered.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from visattn.data.generated.folder import rendered_folder
from visattn.data.generated.tasty.parameters import TastyParameters


def render_tasty(
    parameters: TastyParameters, root: str | Path | None = None, *, progress: bool = True
) -> Path:
    """Render a data set and return its folder; at once if it is there already.

    ======================  ====================================================================
    ``train``, ``val``      scenes of `tasty_scenes` with one sushi
    ``test``                the same, of other people on other tables
    ``test_without_faces``  the test scenes with empty rings: nothing tells the answer
    ``test_distance_D``     the test scenes with D rows between rings and plate, for ``distances``
    ======================  ====================================================================

    A network that has never seen an empty ring may be sure of itself before one. With
    ``train_without_faces`` so many scenes with empty rings are added to ``train``; each stands
    there with either answer, which teaches a probability of one half.

    The layout is ``ROOT/SPLIT/images/CLASS/ID.png`` with the classes ``not_tasty`` and ``tasty``,
    beside it ``masks`` (the head of the diner whose sushi it is), ``buri``, ``plates`` and
    ``faces`` (all heads), and ``ROOT/metadata.csv``: the plate's colour, the number of its diner
    from the left, the row and column of the plate's middle in pixels, who smiles (1 or 0 each) and
    the colours of the rings.

    Args:
        parameters: What to render.
        root: The folder; chosen by `tasty_cache` if None.
        progress: Whether to show a progress bar.

    Raises:
        FileExistsError: If the folder holds something else.

    >>> from tempfile import TemporaryDirectory
    >>> few = TastyParameters(train=4, val=4, test=4)
    >>> with TemporaryDirectory() as place:
    ...     folder = render_tasty(few, Path(place, "scenes"), progress=False)
    ...     sorted(path.name for path in (folder / "train").iterdir())
    ['buri', 'faces', 'images', 'masks', 'plates']
    """

    def renderer() -> Callable[[Path], None]:
        from visattn.data.generated.tasty.rendering import render_all

        return partial(render_all, parameters=parameters, progress=progress)

    return rendered_folder(parameters, root, renderer=renderer)
