"""How good are a network's maps: every metric on every map, beside baselines that know nothing."""

from visattn.evaluation.map_metrics import evaluate_maps
from visattn.evaluation.scores import MapScores, Score
from visattn.evaluation.sources import BASELINES, baseline_maps, network_maps

__all__ = [
    "BASELINES",
    "MapScores",
    "Score",
    "baseline_maps",
    "evaluate_maps",
    "network_maps",
]
