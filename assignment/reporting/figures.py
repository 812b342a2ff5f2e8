"""Which figures a part has, and where they go."""

import hashlib
from pathlib import Path

import matplotlib

from assignment.reporting.drawing import comparison, curves, images, stages
from assignment.reporting.drawing.style import files, is_current, save, style
from assignment.reporting.gains import best_gains
from assignment.reporting.labels import by_family
from assignment.reporting.results import load_part
from assignment.reporting.selection import part_fits

# what: (the array that a fit must hold for it, how it is drawn)
_OF_ONE_FIT = {
    "samples": ("data", images.samples),
    "weights": ("diagonal", images.weights),
    "covariance": ("covariance_fitted", images.covariance),
    "training": ("loss", curves.training),
    "log-ratios": ("data_log_ratio", curves.log_ratios),
    "stages": ("stage_learned", stages.stages),
    "stage-samples": ("stage_samples", stages.stage_samples),
}


def draw_part(part, results_directory, reports_directory, only=None):
    """Draws the figures of a part, each as figures/<part>-<what>[-<fit>].pdf and .png; those that are current stay.

    Args:
      results_directory: results/<dataset>, the folder of the parts' folders.
      reports_directory: the folder of `figures`.
      only: names of figures ("nce-samples"), to draw no others; None for all.

    Returns:
      The paths of the part's figures; [] while the part has no fits.

    Raises:
      UserError: a result is damaged, or a figure cannot be written.
    """
    own, compared = load_part(Path(results_directory) / part), part_fits(part, results_directory)
    stem = Path(reports_directory) / "figures" / part
    paths = []
    with style():
        for name, draw, subject in [*_of_each(own), *_of_all(compared)]:
            if only is not None and f"{part}-{name}" not in only:
                continue
            place, digest = f"{stem}-{name}", _digest(subject)
            if not is_current(place, digest):
                save(draw(subject), place, digest)
            paths += files(place)
    return paths


def _digest(subject):
    """SHA-256 of all that a figure is made from: the fits, this code, matplotlib."""
    code = sorted(Path(__file__).parent.rglob("*.py"))
    digest = hashlib.sha256(matplotlib.__version__.encode() + b"".join(path.read_bytes() for path in code))
    for fit in subject if isinstance(subject, list) else [subject]:
        digest.update(fit.name.encode() + fit.digest)
    return digest.hexdigest()


def _of_each(fits):
    for fit in fits:
        for what, (needed, draw) in _OF_ONE_FIT.items():
            if needed in fit.arrays:
                yield f"{what}-{fit.name}", draw, fit


def _of_all(fits):
    pictured = [fit for fit in fits if "data" in fit.arrays]
    if len(pictured) > 1:
        yield "samples", comparison.sample_panel, pictured
    for (weights, connectivity), group in by_family(fits).items():
        scanned = [fit for fit in group if "epsilon" in fit.arrays]
        if scanned:
            yield f"epsilon-{weights}-{connectivity}", comparison.scan, scanned
    if {fit.record["connectivity"] for fit in fits} == {4, 8}:
        yield "neighbourhoods", comparison.neighbourhoods, fits
    if any("conditional_log_likelihood" in gain.eight.arrays for gain in best_gains(fits)):
        yield "gain", comparison.gain_map, fits
