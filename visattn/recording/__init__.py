"""What a forward pass computed: gates, maps, attention rows; class activation maps."""

from visattn.blocks.attended import natural_paths
from visattn.recording.attention_map import AttentionMap
from visattn.recording.recorder import Recording, find_taps, record, record_any
from visattn.recording.site_maps import PairwiseMap, SiteMaps

__all__ = [
    "AttentionMap",
    "PairwiseMap",
    "Recording",
    "SiteMaps",
    "find_taps",
    "natural_paths",
    "record",
    "record_any",
]
