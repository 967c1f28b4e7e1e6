"""Public path of `reid_dml.ranking.metrics`."""

from reid_dml.ranking.metrics import RankingMetrics, evaluate_distances, evaluate_mean_distances, evaluate_rankings

__all__ = ["RankingMetrics", "evaluate_distances", "evaluate_mean_distances", "evaluate_rankings"]
