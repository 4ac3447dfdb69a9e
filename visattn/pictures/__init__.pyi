from .alignments import draw_alignment as draw_alignment
from .animations import (
    frames as frames,
    training_frames as training_frames,
    word_frames as word_frames,
)
from .arrays import IMAGENET as IMAGENET
from .blending import overlay as overlay
from .cases import panels as panels
from .gates import channel_bars as channel_bars
from .layers import grid as grid
from .queries import query_map as query_map
from .random_and_worst import (
    choose_cases as choose_cases,
    chosen as chosen,
)
from .saving import save as save
from .strips import word_strip as word_strip
from .words import (
    alignment_frames as alignment_frames,
    draw_highlighted as draw_highlighted,
)
