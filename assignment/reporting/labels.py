"""What fits are called in tables and figures, and in which order they stand."""

_ESTIMATORS = {"nce": "NCE", "cnce": "cNCE", "sm": "score matching", "ml": "maximum likelihood"}
_VARIANTS = ("fixed", "telescoped", "isotropic", "matched", "plain", "preconditioned")
_WEIGHTS = {"shared": "shared", "per_edge": "per-edge"}
_OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSProp", "adam": "Adam"}


def estimator_label(fit):
    """Estimator and variant, with the settings that are not the defaults: "NCE telescoped, SGD, seed 3"."""
    record = fit.record
    words = [" ".join(filter(None, [_ESTIMATORS[record["estimator"]], record["variant"]]))]
    if record["optimizer"] not in ("adam", None) and record["estimator"] != "ml":
        words.append(_OPTIMIZERS.get(record["optimizer"], str(record["optimizer"])))
    return ", ".join(words + noise_words(fit) + ([f"seed {record['seed']}"] if record["seed"] else []))


def noise_words(fit):
    """The settings of NCE's noise that are not the defaults, in words; [] for other estimators."""
    request = fit.record.get("request", {}) if fit.record["estimator"] == "nce" else {}
    kind, scale, eta = (request.get(key) for key in ("noise_variance", "noise_scale", "eta"))
    words = [kind] if kind not in (None, "per_pixel") else []
    words += [f"scale {scale:g}"] if scale not in (None, 1) else []
    return words + ([f"eta {eta:g}"] if eta not in (None, 0.5) else [])


def short_label(fit):
    """`estimator_label` for narrow columns."""
    return estimator_label(fit).replace("score matching", "SM").replace("maximum likelihood", "ML, exact")


def family_label(family):
    """(weights, connectivity) in words: "per-edge weights, 4-connected"."""
    weights, connectivity = family
    return f"{_WEIGHTS[weights]} weights, {connectivity}-connected"


def short_family_label(family):
    """(weights, connectivity) for narrow columns: "per-edge, 4"."""
    return f"{_WEIGHTS[family[0]]}, {family[1]}"


def family(fit):
    """The model family of a fit, (weights, connectivity): fits of one family on the same data are comparable."""
    return fit.record["weights"], fit.record["connectivity"]


def title(fit):
    """One line for the head of a figure: the fit, its family and the data set."""
    return " · ".join([estimator_label(fit), family_label(family(fit)), data_label(fit)])


def data_label(fit):
    """The data set's name, and that it is a substitute where it is one."""
    dataset = fit.record["dataset"]
    substitute = " (the small sample served: no other data could be had)"
    return dataset["name"] + (substitute if dataset.get("fallback") else "")


def trouble(fit):
    """In words, how a fit ended that did not simply converge; None for one that did."""
    status = fact(fit, "status")
    return None if status in (None, "converged") else status


def fact(fit, key):
    """A fact that not every fit has (`settings`, `status`, `coin`, `halvings`); None where there is none."""
    return fit.record.get(key)


def coin_line(fits):
    """What the coin decided, in words; None unless one of the fits was chosen by a coin."""
    coins = [coin for fit in fits if (coin := fact(fit, "coin"))]
    return f"The coin (seed {coins[0]['seed']}) fell {coins[0]['outcome']}." if coins else None


def data_line(fits):
    """That the sample data set served, in words; None where none of the fits fell back on it."""
    fallen = [fit for fit in fits if fit.record["dataset"].get("fallback")]
    return f"The small sample data set served: {fallen[0].record['dataset']['source']}." if fallen else None


def by_family(fits):
    """Fits as {(weights, connectivity): [fits]}, both in the order in which they are to be read, the yardstick last."""
    groups = {}
    for fit in sorted(fits, key=_rank):
        groups.setdefault(family(fit), []).append(fit)
    return groups


def _rank(fit):
    record = fit.record
    variant = _VARIANTS.index(record["variant"]) if record["variant"] in _VARIANTS else -1
    optimizer = list(_OPTIMIZERS)[::-1].index(record["optimizer"]) if record["optimizer"] in _OPTIMIZERS else -1
    estimator = list(_ESTIMATORS).index(record["estimator"])
    return (*_family_rank(family(fit)), estimator, variant, optimizer, record["seed"])


def _family_rank(family):
    return list(_WEIGHTS).index(family[0]), family[1]
