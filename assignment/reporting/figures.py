"""Which figures a part has, and where they go."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from assignment.reporting.drawing import comparison, curves, images
from assignment.reporting.drawing.style import save
from assignment.reporting.labels import by_family, estimator_label, family, family_label
from assignment.reporting.selection import best_gains, part_fits
from assignment.results import Fit, load_part

# Figures of one fit: what they show, how they are drawn, the arrays that are drawn.
_OF_ONE_FIT = {
    "samples": (images.samples, "data samples"),
    "weights": (images.weights, "diagonal couplings"),
    "covariance": (images.covariance, "covariance_pixel covariance_fitted covariance_empirical"),
    "training": (curves.training, "loss learned_log_partition? exact_steps? exact_log_partition?"),
    "log-ratios": (curves.log_ratios, "data_log_ratio noise_log_ratio"),
    "stages": (
        curves.stages,
        "stage_learned stage_standard_error stage_exact stage_spread stage_overlap stage_held_out ceiling",
    ),
    "stage-samples": (images.stage_samples, "stage_samples stage_samples_at data"),
}
# A figure's name without its part, the title of its picture, the function that draws it and what that takes.
_Planned = tuple[str, str | None, Callable, list[Any]]


def draw_part(
    part: str, results_directory: str | Path, reports_directory: str | Path, only: Collection[str] | None = None
) -> list[Path]:
    """Draws the figures of a part, each as figures/<part>-<what>[-<fit>].pdf and .png.

    Args:
      results_directory: results/<data set>; reports_directory: the folder of `figures`.
      only: names of figures ("nce-samples"), to draw no others; None for all.

    Returns:
      The paths of the part's figures; [] while the part has no fits.

    Raises:
      UserError: a result is damaged, or a figure cannot be written.
    """
    own, compared = load_part(Path(results_directory) / part), part_fits(part, results_directory)
    paths = []
    for name, title, draw, arguments in [*_of_each(own), *_of_all(compared)]:
        if only is None or f"{part}-{name}" in only:
            stem = Path(reports_directory) / "figures" / f"{part}-{name}"
            paths += save(draw(*arguments), stem, title and f"{title} · {_data_label(own[0])}")
    return paths


def _data_label(fit):
    """The data set's name, and that it is a substitute where it is one."""
    dataset = fit.record["dataset"]
    return dataset["name"] + (" (the bundled sample)" if dataset.get("fallback") else "")


def _of_each(fits: list[Fit]) -> Iterator[_Planned]:
    """The figures of single fits."""
    for fit in fits:
        arrays = fit.arrays | {"ceiling": fit.record["held_out"]["maximum_likelihood"]}
        title = f"{estimator_label(fit)} · {family_label(family(fit))}"
        for what, (draw, keys) in _OF_ONE_FIT.items():
            if all(key in arrays or key.endswith("?") for key in keys.split()):
                yield f"{what}-{fit.name}", title, draw, [arrays.get(key.rstrip("?")) for key in keys.split()]


def _of_all(fits: list[Fit]) -> Iterator[_Planned]:
    """The figures that compare fits."""
    pictured = [fit for fit in fits if "data" in fit.arrays]
    if len(pictured) > 1:
        yield "samples", "samples", comparison.sample_panel, [pictured]
    for (weights, connectivity), group in by_family(fits).items():
        if scanned := [fit for fit in group if "epsilon" in fit.arrays]:
            title = family_label((weights, connectivity))
            yield f"epsilon-{weights}-{connectivity}", title, comparison.scan, [scanned]
    if {fit.record["connectivity"] for fit in fits} == {4, 8}:
        yield "neighbourhoods", "4 and 8 neighbours", comparison.neighbourhoods, [fits]
    if mapped := [gain for gain in best_gains(fits) if "conditional_log_likelihood" in gain.eight.arrays]:
        title = "gain in conditional log-likelihood, 8 over 4 neighbours"
        yield "gain", title, comparison.gain_map, [mapped]
    named = {fit.name: fit for fit in fits}
    best = [named.get(f"nce-telescoped-{weights}-{k}") for weights in ("shared", "per_edge") for k in (4, 8)]
    if all(best):
        yield "best", None, comparison.showcase, [best]
