"""Which fits each part is made of, and which of them are there already."""

from dataclasses import replace
from functools import partial

from assignment.checkpoint import Checkpoint
from assignment.errors import UserError
from assignment.parts import maximum_likelihood, nce, second
from assignment.parts.record import fit_name_for, folder, request
from assignment.progress import Progress
from assignment.reporting.results import load_fit

KINDS = {
    "ml": maximum_likelihood.fit,
    "nce-fixed": nce.fit_fixed,
    "nce-telescoped": nce.fit_telescoped,
    "cnce-isotropic": partial(second.conditional_nce, variant="isotropic"),
    "cnce-matched": partial(second.conditional_nce, variant="matched"),
    "sm-plain": partial(second.score_matching, variant="plain"),
    "sm-preconditioned": partial(second.score_matching, variant="preconditioned"),
}
_OPTIMIZERS = ("sgd", "rmsprop")
_NOISES = (dict(noise_variance="isotropic"), dict(noise_scale=4.0), dict(noise_scale=0.25), dict(eta=0.1))


def plan(part, settings):
    """The fits of a part, as a list of (kind, folder's part, settings); the part's own fits first."""
    return {
        "nce": _nce,
        "ml": lambda s: [("ml", "ml", s)],
        "cnce": lambda s: _variants("cnce", "cnce", s),
        "sm": lambda s: _variants("sm", "sm", s),
        "second": lambda s: _variants(second.flip(s.coin_seed)[1], "second", s),
        "bonus8": _bonus8,
        "report": _report,
    }[part](settings)


def run(kind, part, exercise, settings, checkpoint=None):
    """Trains and saves one fit."""
    with Progress(f"{kind} {settings.weights} {settings.connectivity}") as progress:
        return KINDS[kind](exercise, settings, progress, part, checkpoint or Checkpoint())


def planned_name(kind, settings):
    """The name under which a kind of fit will be saved."""
    estimator, _, variant = kind.partition("-")
    return fit_name_for(estimator, variant or None, settings)


def done(kind, part, exercise, settings):
    """The saved fit of this kind for just these settings and data; None where there is none that is whole."""
    name = planned_name(kind, settings)
    try:
        fit = load_fit(folder(settings, exercise, part), name)
        fit.arrays  # noqa: B018  (reading them finds a damaged file)
    except UserError:
        return None
    record = fit.record
    same_data = record["dataset"]["sha256"] == exercise.train.sha256
    same_request = request(settings).items() <= record.get("request", {}).items()
    same_coin = part != "second" or record["coin"]["seed"] == settings.coin_seed
    return fit if same_data and same_request and same_coin else None


def _variants(estimator, part, settings):
    return [(kind, part, settings) for kind in KINDS if kind.startswith(f"{estimator}-")]


def _nce(settings):
    chosen = ("fixed", "telescoped") if settings.noise == "both" else (settings.noise,)
    return [(f"nce-{kind}", "nce", settings) for kind in chosen]


def _bonus8(settings):
    """Every estimator, both weightings: 8-connected here, 4-connected where the other parts keep it."""
    fits = []
    for connectivity in (8, 4):
        for weights in ("shared", "per_edge"):
            family = replace(settings, connectivity=connectivity, weights=weights)
            fits += [(kind, "bonus8" if connectivity == 8 else kind.partition("-")[0], family) for kind in KINDS]
    return fits


def _report(settings):
    """All that the report speaks of: the coin, both neighbourhoods, the three optimizers and the choice of p_n."""
    default = replace(settings, connectivity=4, weights="shared")
    optimizers = [
        ("nce-telescoped", "nce", replace(default, weights=weights, optimizer=name))
        for weights in ("shared", "per_edge")
        for name in _OPTIMIZERS
    ]
    noises = [("nce-fixed", "nce", replace(default, **change)) for change in _NOISES]
    return plan("second", default) + _bonus8(settings) + optimizers + noises
