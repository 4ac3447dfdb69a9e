"""What is seen of a figure."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def texts(figure: Figure) -> list[str]:
    """Every text that is seen."""
    return [
        text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()
    ]


def shown(figure: Figure) -> list[np.ndarray]:
    """The pictures of a figure, in the order in which they were drawn."""
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def assert_nothing_is_clipped(figure: Figure) -> None:
    """Every text lies on the sheet, no two of them overlap, and none lies on a picture."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    page = figure.bbox
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible()
    ]
    assert boxes
    pictures = [axes.images[0].get_window_extent() for axes in figure.axes if axes.images]
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= page.x0 - 0.5, text
        assert box.x1 <= page.x1 + 0.5, text
        assert box.y0 >= page.y0 - 0.5, text
        assert box.y1 <= page.y1 + 0.5, text
        for other, other_box in boxes[place + 1 :]:
            assert not box.padded(-1.5).overlaps(other_box.padded(-1.5)), (text, other)
        for picture in pictures:
            assert not box.padded(-1.5).overlaps(picture), text
