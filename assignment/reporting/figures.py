"""Which figures a part has, and where they go."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from assignment.reporting.drawing import comparison, curves, images
from assignment.reporting.drawing.style import save
from assignment.reporting.labels import by_family, estimator_label, family, family_label
from assignment.reporting.selection import best_gains, part_fits
from assignment.results import load_part

# Figures of one fit: what they show, how they are drawn, the arrays that are drawn (with ?: where there are any).
_OF_ONE_FIT = {
    "samples": (images.samples, "data samples"),
    "weights": (images.weights, "diagonal couplings"),
    "covariance": (images.covariance, "covariance_pixel covariance_fitted covariance_empirical"),
    "training": (curves.training, "loss learned_log_partition? exact_steps? exact_log_partition?"),
    "log-ratios": (curves.log_ratios, "data_log_ratio noise_log_ratio decision"),
    "stages": (
        curves.stages,
        "stage_learned stage_standard_error stage_exact stage_spread stage_overlap stage_held_out ceiling",
    ),
    "stage-samples": (images.stage_samples, "stage_samples stage_samples_at data"),
}


def draw_part(
    part: str, results_directory: str | Path, reports_directory: str | Path, only: Collection[str] | None = None
) -> list[Path]:
    """Draws the figures of a part, each as figures/<part>-<what>[-<fit>].pdf and .png.

    Args:
      results_directory: results/<data set>; reports_directory: the folder of `figures`.
      only: names of figures ("nce-samples"), to draw no others; None for all.

    Returns:
      The paths of the figures; [] while the part has no fits.

    Raises:
      UserError: a result is damaged, or a figure cannot be written.
    """
    own, paths = load_part(Path(results_directory) / part), []
    for name, title, draw, *arguments in [*_of_each(own), *_of_all(part_fits(part, results_directory))]:
        if only is None or f"{part}-{name}" in only:
            stem = Path(reports_directory) / "figures" / f"{part}-{name}"
            dataset = own[0].record["dataset"]
            where = dataset["name"] + (" (the bundled sample)" if dataset.get("fallback") else "")
            paths += save(draw(*arguments), stem, title and f"{title} · {where}")
    return paths


def _of_each(fits):
    """The figures of single fits: name without the part, title of the picture, what draws it, and what that takes."""
    for fit in fits:
        record = fit.record
        arrays = fit.arrays | {"ceiling": record["held_out"]["maximum_likelihood"]}
        if "ratio" in (record["noise"] or {}):
            arrays["decision"] = np.log(record["noise"]["ratio"])
        if "stage_learned" in arrays:
            del arrays["loss"]  # The noise stays close to the fit, so that the loss hardly changes.
        title = f"{estimator_label(fit)} · {family_label(family(fit))}"
        for what, (draw, keys) in _OF_ONE_FIT.items():
            if all(key in arrays for key in keys.split() if not key.endswith("?")):
                found = (arrays[key] for key in keys.replace("?", "").split() if key in arrays)
                yield f"{what}-{fit.name}", title, draw, *found


def _of_all(fits):
    """The figures that compare fits, likewise."""
    if len(fits) > 1:
        yield "samples", "samples", comparison.sample_panel, fits
    for name, group in by_family(fits).items():
        if scanned := [fit for fit in group if "epsilon" in fit.arrays]:
            yield "epsilon-{}-{}".format(*name), family_label(name), comparison.scan, scanned
    if {fit.record["connectivity"] for fit in fits} == {4, 8}:
        yield "neighbourhoods", "4 and 8 neighbours", comparison.neighbourhoods, fits
    if gained := best_gains(fits):
        yield "gain", "gain in conditional log-likelihood, 8 over 4 neighbours", comparison.gain_map, gained
    named = {fit.name: fit for fit in fits}
    best = [named.get(f"nce-telescoped-{weights}-{k}") for weights in ("shared", "per_edge") for k in (4, 8)]
    if all(best):
        yield "best", None, comparison.showcase, best
