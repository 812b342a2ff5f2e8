"""Figures of plain arrays, for notebooks too: each function returns a matplotlib Figure and needs no backend."""

from assignment.reporting.drawing.curves import log_partition_by_stage, log_ratios, training
from assignment.reporting.drawing.images import covariance, samples, weights

__all__ = ["covariance", "log_partition_by_stage", "log_ratios", "samples", "training", "weights"]
