"""numbers.tex: every number of the report as a LaTeX macro, from saved results alone.

A number of one fit is called by the fit and the fact, `\\NceTelescopedEdgeFourTestGap` for example; what a result lacks
is defined all the same and typesets as a visible "n/a".
"""

import itertools
import json
from pathlib import Path

import numpy as np

from assignment.lattice.stencil import weight_sizes
from assignment.reporting.files import write_text
from assignment.reporting.gains import gains
from assignment.reporting.labels import fact
from assignment.reporting.numbers import NONE, gap, nats, small
from assignment.reporting.results import fit_name, load_results
from assignment.reporting.tables import escape

NOT_AVAILABLE = r"\textbf{n/a}"
PARTS = ("nce", "cnce", "sm", "second", "ml", "bonus8")
_VARIANTS = {
    "nce": ("fixed", "telescoped"),
    "cnce": ("isotropic", "matched"),
    "sm": ("plain", "preconditioned"),
    "ml": (None,),
}
_WORDS = {"per_edge": "edge", 4: "four", 8: "eight", "bonus8": "bonus"}
_COUPLINGS = ("Right", "Down", "DownRight", "DownLeft")
_SETTINGS = {
    "StageSpread": "stage_spread",
    "NoiseDecision": "noise_decision",
    "FirstReach": "reach",
    "LastReach": "last_reach",
    "Passes": "passes",
}


def write_numbers(results_directory, reports_directory):
    """Writes numbers.tex and returns its path.

    Args:
      results_directory: results/<dataset>; the derivation's numbers are looked for beside it, in `derivation.json`.
      reports_directory: where the report is typeset.
    """
    path = Path(reports_directory) / "numbers.tex"
    defined = macros(load_results(results_directory), read_derivation(results_directory))
    lines = [f"\\newcommand{{\\{name}}}{{{text}}}" for name, text in defined.items()]
    write_text(path, "% Generated from the results; do not edit.\n" + "\n".join(lines) + "\n")
    return path


def read_derivation(results_directory):
    """The record of `assignment.slips`, or None where it has not been made."""
    path = Path(results_directory).parent / "derivation.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def macros(fits, derivation=None):
    """Macro names and their LaTeX text, the same names whatever the results, as a dict.

    Args:
      fits: all Fits of one data set, those of every part's folder.
      derivation: the record of `assignment.slips`, or None.
    """
    fits_by_name = {fit.name: fit for fit in fits}
    found = {}
    for key in _grid():
        fit = fits_by_name.get(fit_name(*key))
        found |= {_name(*key) + name: fit and value(fit) for name, value in _FACTS.items()}
    once = list(fits_by_name.values())
    found |= _data(once) | _spectra(fits_by_name) | _gains(once) | _costs(fits) | _coin(fits)
    found |= _settings(fits_by_name) | _answers(derivation)
    return {name: NOT_AVAILABLE if text is None else text for name, text in found.items()}


def number(text):
    """A printed number for text and formulas alike: a real minus, powers of ten; a dash where there is none."""
    if text == NONE:
        return "--"
    mantissa, _, exponent = text.partition("e")
    power = f"\\cdot 10^{{{int(exponent)}}}" if exponent else ""
    return f"\\ensuremath{{{mantissa}{power}}}"


def _grid():
    """(estimator, variant, weights, connectivity, optimizer) of all fits that the report may speak of."""
    for estimator, variants in _VARIANTS.items():
        yield from itertools.product([estimator], variants, ("shared", "per_edge"), (4, 8), ["adam"])
    yield from itertools.product(["nce"], _VARIANTS["nce"], ("shared", "per_edge"), [4], ("sgd", "rmsprop"))


def _name(*words):
    """CamelCase of letters only; the default optimizer is not named."""
    return "".join(str(_WORDS.get(word, word)).capitalize() for word in words if word not in (None, "adam"))


# Facts of one fit: functions that return LaTeX, or None for what the fit lacks.


def _inner(group, key, printed):
    def text(fit):
        value = fit.record[group].get(key)
        return None if value is None else number(printed(value))

    return text


def _stencil(index):
    def text(fit):
        stencil = fit.record.get("stencil")
        values = [stencil["diagonal"], *stencil["couplings"]] if stencil else []
        return number(nats(values[index])) if index < len(values) else None

    return text


def _dominance(fit):
    """Λ_ii minus the sizes of a pixel's couplings: below zero, Λ is not diagonally dominant."""
    stencil = fit.record.get("stencil")
    return stencil and number(gap(stencil["diagonal"] - 2 * sum(map(abs, stencil["couplings"]))))


def _array(keys, summary, printed=small):
    """A number made of arrays, named in one string."""

    def text(fit):
        if any(key not in fit.arrays for key in keys.split()):
            return None
        return number(printed(float(summary(*(fit.arrays[key] for key in keys.split())))))

    return text


def small_fact(fit, key):
    """A fact that some fits have, wherever in the record it stands; None where it is missing."""
    record = fit.record
    places = record, record.get("history"), fact(fit, "settings"), record.get("noise")
    return next((place[key] for place in places if isinstance(place, dict) and place.get(key) is not None), None)


def _small_fact(key, printed=small):
    def text(fit):
        value = small_fact(fit, key)
        return None if value is None else number(printed(value))

    return text


def _sigmas(fit):
    """The gap of log Z in units of its standard error."""
    difference, error = (fit.record["log_partition"].get(key) for key in ("gap", "standard_error"))
    return number(f"{abs(difference) / error:.1f}") if error and difference is not None else None


def _percent(share):
    return f"{100 * share:.2g}"


def _count(value):
    return f"{value:.0f}" if value < 1e4 else f"{value:,.0f}".replace(",", r"\,")


def _wrong_side(data, noise):
    """The share of images on the wrong side of G = 0."""
    return 0.5 * (np.mean(data < 0) + np.mean(noise > 0))


_RATIOS = "data_log_ratio noise_log_ratio"
_FACTS = {
    "Learned": _inner("log_partition", "estimate", nats),
    "Exact": _inner("log_partition", "exact", nats),
    "LogGap": _inner("log_partition", "gap", gap),
    "LogError": _inner("log_partition", "standard_error", gap),
    "LogSigmas": _sigmas,
    "Test": _inner("held_out", "log_likelihood", nats),
    "Ceiling": _inner("held_out", "maximum_likelihood", nats),
    "TestGap": _inner("held_out", "gap", gap),
    "Least": lambda fit: number(small(fit.record["min_eigenvalue"])),
    "Seconds": lambda fit: number(f"{fit.record['seconds']:.1f}"),
    "Steps": lambda fit: number(_count(fit.record["steps"])),
    "Ending": lambda fit: escape(small_fact(fit, "status") or "") or None,
    "Halvings": _small_fact("halvings", _count),
    "Epsilon": _small_fact("epsilon"),
    "FreeLeast": _small_fact("closed_form_min_eigenvalue"),
    "Diagonal": _stencil(0),
    "Dominance": _dominance,
    **{name: _stencil(k + 1) for k, name in enumerate(_COUPLINGS)},
    "Loss": _array("loss", lambda loss: np.mean(loss[-max(1, len(loss) // 10) :])),
    "DataRatio": _array("data_log_ratio", np.median),
    "NoiseRatio": _array("noise_log_ratio", np.median),
    "Wrong": _array(_RATIOS, _wrong_side, _percent),
    "Stages": _array("stage_spread", len, _count),
    "Spread": _array("stage_spread", np.max),
    "Path": _array("stage_spread", np.sum),
    "Overlap": _array("stage_overlap", np.min),
    "BestEpsilon": _array("epsilon epsilon_held_out", lambda epsilon, test: epsilon[np.nanargmax(test)]),
}


# Facts of several fits.


def _data(fits):
    names = "DataName DataSource DataImages TestImages Height Width Pixels EdgeWeightsFour EdgeWeightsEight"
    found = dict.fromkeys(names.split()) | {"DataNote": ""}
    if not fits:
        return found
    dataset, arrays = fits[0].record["dataset"], fits[0].arrays
    height, width = arrays["mean"].shape
    found |= {
        "DataName": escape(dataset["name"]),
        "DataSource": escape(dataset["source"]),
        "DataImages": number(_count(dataset["images"])),
        "Height": number(str(height)),
        "Width": number(str(width)),
        "Pixels": number(str(height * width)),
        "EdgeWeightsFour": number(_count(sum(weight_sizes(4, height, width)))),
        "EdgeWeightsEight": number(_count(sum(weight_sizes(8, height, width)))),
    }
    if "test_images" in dataset:
        found["TestImages"] = number(_count(dataset["test_images"]))
    if dataset.get("fallback"):
        found["DataNote"] = r"\textbf{These are the bundled sample's numbers: no other data could be had.}"
    return found


def _spectra(fits_by_name, most_pixels=2500):
    """The largest eigenvalue of the maximum likelihood fits."""
    found = {}
    for weights, connectivity in itertools.product(("shared", "per_edge"), (4, 8)):
        fit = fits_by_name.get(fit_name("ml", None, weights, connectivity))
        small_enough = fit and fit.arrays["mean"].size <= most_pixels
        largest = number(small(_largest_eigenvalue(fit.arrays))) if small_enough else None
        found[_name("ml", weights, connectivity) + "Largest"] = largest
    return found


def _largest_eigenvalue(arrays):
    precision = np.zeros([arrays["mean"].size] * 2)
    precision[arrays["rows"], arrays["cols"]] = arrays["values"]
    return np.linalg.eigvalsh(precision)[-1]


def _gains(fits):
    """What four more neighbours buy the telescoped fits, in nats per test image."""
    by_name = {gain.eight.name: gain for gain in gains(fits)}
    found = {}
    for weights in ("shared", "per_edge"):
        gain = by_name.get(fit_name("nce", "telescoped", weights, 8))
        found[_name("gain", weights)] = gain and number(nats(gain.mean))
        found[_name("gain", weights) + "Error"] = gain and number(nats(gain.standard_error))
        found[_name("gain", weights) + "Sigmas"] = gain and number(f"{gain.mean / gain.standard_error:.0f}")
    return found


def _costs(fits):
    """Seconds of training, by part and in all."""
    seconds = {part: [fit.record["seconds"] for fit in fits if fit.record["part"] == part] for part in PARTS}
    found = {"Seconds" + _name(part): number(f"{sum(each):.0f}") if each else None for part, each in seconds.items()}
    return found | {"SecondsTotal": number(f"{sum(map(sum, seconds.values())):.0f}") if fits else None}


def _coin(fits):
    thrown = [fit for fit in fits if small_fact(fit, "coin")]
    coin = small_fact(thrown[0], "coin") if thrown else {}
    names = {"cnce": "conditional NCE", "sm": "score matching"}
    return {
        "CoinSeed": number(str(coin["seed"])) if coin else None,
        "CoinOutcome": escape(str(coin["outcome"])) if coin else None,
        "CoinEstimator": names[thrown[0].record["estimator"]] if coin else None,
    }


def _settings(fits_by_name):
    fit = fits_by_name.get(fit_name("nce", "telescoped", "per_edge", 4))
    return {name: fit and _small_fact(key)(fit) for name, key in _SETTINGS.items()}


_ANSWERS = "forms_differ curl_shared_4 curl_per_edge_4 curl_shared_8 curl_by_differences trace logarithm jacobian"


def _answers(derivation):
    given = derivation["answers"] if derivation else {}
    digits = {"4": "four", "8": "eight"}
    found = {}
    for key in _ANSWERS.split():
        name = "Answer" + "".join(digits.get(word, word).capitalize() for word in key.split("_"))
        found[name] = number(f"{given[key]:.1e}" if given[key] < 1e-3 else small(given[key])) if key in given else None
    return found
