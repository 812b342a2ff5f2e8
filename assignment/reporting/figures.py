"""Which figures a part has, and where they go."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from assignment.reporting.drawing import comparison, curves, images, stages
from assignment.reporting.drawing.style import save, style
from assignment.reporting.gains import best_gains
from assignment.reporting.labels import by_family, data_label, family_label, title
from assignment.reporting.selection import part_fits
from assignment.results import Fit, load_part

# Figures of one fit: what they show, how they are drawn, the arrays that are drawn.
_OF_ONE_FIT = {
    "samples": (images.samples, "data samples"),
    "weights": (images.weights, "diagonal couplings"),
    "covariance": (images.covariance, "covariance_pixel covariance_fitted covariance_empirical"),
    "training": (curves.training, "loss learned_log_partition? exact_steps? exact_log_partition?"),
    "log-ratios": (curves.log_ratios, "data_log_ratio noise_log_ratio"),
    "stages": (
        stages.stages,
        "stage_learned stage_standard_error stage_exact stage_spread stage_overlap stage_held_out ceiling",
    ),
    "stage-samples": (stages.stage_samples, "stage_samples stage_samples_at data"),
}


def draw_part(
    part: str,
    results_directory: str | Path,
    reports_directory: str | Path,
    only: Collection[str] | None = None,
) -> list[Path]:
    """Draws the figures of a part, each as figures/<part>-<what>[-<fit>].pdf and .png.

    Args:
      results_directory: results/<data set>, the folder of the parts' folders.
      reports_directory: the folder of `figures`.
      only: names of figures ("nce-samples"), to draw no others; None for all.

    Returns:
      The paths of the part's figures; [] while the part has no fits.

    Raises:
      UserError: a result is damaged, or a figure cannot be written.
    """
    own, compared = load_part(Path(results_directory) / part), part_fits(part, results_directory)
    paths = []
    for name, words, draw in [*_of_each(own), *_of_all(compared)]:
        if only is None or f"{part}-{name}" in only:
            with style():
                paths += save(draw(), Path(reports_directory) / "figures" / f"{part}-{name}", words)
    return paths


def _of_each(fits: list[Fit]) -> Iterator[tuple[str, str, partial[Figure]]]:
    """(name, title, function that draws it) of the figures of single fits."""
    for fit in fits:
        for what, (draw, keys) in _OF_ONE_FIT.items():
            arrays = fit.arrays | {"ceiling": fit.record["held_out"]["maximum_likelihood"]}
            if all(key in arrays or key.endswith("?") for key in keys.split()):
                yield (
                    f"{what}-{fit.name}",
                    title(fit),
                    partial(draw, *(arrays.get(k.rstrip("?")) for k in keys.split())),
                )


def _of_all(fits: list[Fit]) -> Iterator[tuple[str, str, partial[Figure]]]:
    """The same of figures that compare fits."""
    pictured = [fit for fit in fits if "data" in fit.arrays]
    if len(pictured) > 1:
        yield "samples", f"samples · {data_label(fits[0])}", partial(comparison.sample_panel, pictured)
    for (weights, connectivity), group in by_family(fits).items():
        if scanned := [fit for fit in group if "epsilon" in fit.arrays]:
            words = f"{family_label((weights, connectivity))} · {data_label(fits[0])}"
            yield f"epsilon-{weights}-{connectivity}", words, partial(comparison.scan, scanned)
    if {fit.record["connectivity"] for fit in fits} == {4, 8}:
        words = f"4 and 8 neighbours · {data_label(fits[0])}"
        yield "neighbourhoods", words, partial(comparison.neighbourhoods, fits)
    if any("conditional_log_likelihood" in gain.eight.arrays for gain in best_gains(fits)):
        words = f"gain in conditional log-likelihood, 8 over 4 neighbours · {data_label(fits[0])}"
        yield "gain", words, partial(comparison.gain_map, fits)
    best = [fit for fit in fits if fit.name in ("nce-telescoped-per_edge-4", "nce-telescoped-per_edge-8")]
    if len(best) == 2:
        best.sort(key=lambda fit: fit.record["connectivity"])
        yield "best", None, partial(comparison.showcase, *best)
