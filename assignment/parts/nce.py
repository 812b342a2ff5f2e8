"""Part `nce`: the hand-out's NCE with a fixed noise, and the telescoped one, from the same start."""

import numpy as np

from assignment.checks import array, one_of, positive, varying
from assignment.distribution import shareable
from assignment.estimators import telescoping
from assignment.estimators.bridges import known_log_partition
from assignment.estimators.nce import NCE, check_noise_count, noise_ratio_from
from assignment.estimators.noise import DiagonalNoise
from assignment.estimators.telescoping import MovingNoise, TelescopedNCE, telescope
from assignment.fit import fit
from assignment.lattice.gaussian import LatticeGaussian
from assignment.parts.record import NEAR, save

COMPARED = 2000  # held-out images, and as many noise images, whose log-ratios are kept
BATCH = 512  # images a step, fewer where there are few
EXACT_POINTS = 40  # steps at which the exact log Z is set beside the learned one
VARIANCES = ("per_pixel", "isotropic")


def diagonal_noise(second_moments, size, variance="per_pixel", scale=1.0):
    """p_n = N(0, diag), the hand-out's "diagonal Σ_n", on [H, W].

    Args:
      second_moments: E[xxᵀ] of the training images, [D, D].
      variance: "per_pixel", the variance of each pixel, or "isotropic", their mean.
      scale: factor on the variance.
    """
    variances = np.diag(second_moments).reshape(size) * positive("scale", scale)
    if one_of("variance", variance, VARIANCES) == "isotropic":
        variances = np.full(size, variances.mean())
    varying(array("variances", variances, size, np.float32))
    return DiagonalNoise(variances)


def fit_fixed(exercise, settings, progress, part, checkpoint):
    """The hand-out's NCE, Steps 0 to 4."""
    layer = exercise.new_layer(settings.connectivity, settings.weights)
    noise = diagonal_noise(exercise.second_moments, exercise.size, settings.noise_variance, settings.noise_scale)
    ratio = noise_ratio_from(settings.eta)
    estimator = NCE(noise, ratio, known_log_partition(layer))

    def observe(step, steps, loss):
        progress(step, steps, f"loss {loss:.4g}  c {float(estimator.log_partition):.1f}")

    images = exercise.train
    batch_size = shareable(min(BATCH, len(images) // 50))
    check_noise_count(ratio, batch_size, layer.pixels)
    history = fit(
        layer,
        estimator,
        images,
        settings.optimizer,
        epochs=settings.epochs,
        batch_size=batch_size,
        seed=settings.seed,
        progress=observe,
        snapshots=EXACT_POINTS,
        checkpoint=checkpoint,
        strategy=exercise.strategy,
    )
    seconds = checkpoint.seconds
    data, drawn = compare(estimator, LatticeGaussian(layer), exercise, settings.seed)
    confused = 0.5 * float(np.mean(data < np.log(ratio)) + np.mean(drawn > np.log(ratio)))
    words = (
        f"diagonal Gaussian, {settings.noise_variance} variances of the training images times {settings.noise_scale:g}"
    )
    facts = {
        "noise": {"words": words, "scale": settings.noise_scale, "ratio": ratio, "eta": settings.eta},
        "status": verdict(exercise, layer, float(estimator.log_partition), confused, history["loss"][-1]),
        "confused": confused,
        "final_loss": history["loss"][-1],
    }
    arrays = {
        "loss": history["loss"],
        "learned_log_partition": history["log_partition"],
        "exact_steps": history["snapshot_steps"],
        "exact_log_partition": [exact_log_partition(exercise, layer, theta) for theta in history["snapshots"]],
        "data_log_ratio": data,
        "noise_log_ratio": drawn,
    }
    learned = (float(estimator.log_partition), None)
    return save(
        exercise, settings, part, "nce", "fixed", layer,
        seconds=seconds, steps=len(history["loss"]), facts=facts, arrays=arrays, learned=learned,
    )  # fmt: skip


def fit_telescoped(exercise, settings, progress, part, checkpoint):
    """NCE with a moving noise, and log Z by the bridges between its stages."""
    layer = exercise.new_layer(settings.connectivity, settings.weights)
    ratio = noise_ratio_from(settings.eta)

    def observe(step, stages, spread, loss):
        progress(step, None, f"stage {stages}  spread {spread:.2f} nats  loss {loss:.3f}")

    stages, history = telescope(
        layer,
        exercise.train,
        settings.optimizer,
        noise_ratio=ratio,
        seed=settings.seed,
        progress=observe,
        checkpoint=checkpoint,
        strategy=exercise.strategy,
    )
    seconds = checkpoint.seconds
    last = stages[-1]
    bridges = [stage.bridge for stage in stages[1:]]
    exact = [exact_log_partition(exercise, layer, stage.theta) for stage in stages]
    shown = sorted({round(k) for k in np.linspace(0, len(stages) - 1, 6)})
    data, drawn = compare_with_last_noise(layer, stages, exercise, settings.seed)
    words = f"Gaussian of the same lattice, moved with the fit in {len(bridges)} stages from the diagonal one"
    facts = {
        "noise": {"words": words, "stages": len(bridges), "ratio": ratio, "eta": settings.eta},
        "halvings": history["halvings"],
        "settings": {
            "stage_spread": telescoping.STAGE_SPREAD,
            "noise_decision": telescoping.NOISE_SPREAD,
            "reach": telescoping.REACH,
            "last_reach": telescoping.LAST_REACH,
            "passes": history["passes"],
        },
    }
    arrays = {
        "loss": history["loss"],
        "learned_log_partition": history["log_partition"],
        "exact_steps": [max(stage.step, 1) for stage in stages],
        "exact_log_partition": exact,
        "data_log_ratio": data,
        "noise_log_ratio": drawn,
        "stage_learned": [stage.log_partition for stage in stages],
        "stage_standard_error": [stage.variance**0.5 for stage in stages],
        "stage_exact": exact,
        "stage_spread": [bridge.spread for bridge in bridges],
        "stage_overlap": [bridge.overlap for bridge in bridges],
        "stage_held_out": [exercise.held_out(layer, stage.theta) for stage in stages],
        "stage_samples": np.concatenate([one_sample(exercise, layer, stages[k].theta, settings.seed) for k in shown]),
        "stage_samples_at": shown,
    }
    return save(
        exercise, settings, part, "nce", "telescoped", layer,
        seconds=seconds, steps=len(history["loss"]), facts=facts, arrays=arrays,
        learned=(last.log_partition, last.variance**0.5),
    )  # fmt: skip


def exact_log_partition(exercise, layer, theta):
    return float(LatticeGaussian(exercise.exact_copy(layer, theta)).log_partition())


def one_sample(exercise, layer, theta, seed):
    """The same ε through the Gaussian of θ, mean added, [1, H, W]."""
    gaussian = LatticeGaussian(exercise.exact_copy(layer, theta), mean=exercise.train.mean)
    return gaussian.sample(1, seed=(seed, 2)).numpy()


def compare(estimator, model, exercise, seed):
    """G on held-out images and on as many fresh noise images."""
    images = exercise.test.take(COMPARED)
    drawn = estimator.noise.sample(len(images), seed=(seed, 3))
    return estimator.log_ratio(model, images).numpy(), estimator.log_ratio(model, drawn).numpy()


def compare_with_last_noise(layer, stages, exercise, seed):
    """The same for the fit against the last stage's noise, with their learned constants."""
    fitted, before = stages[-1], stages[-2]
    layer.assign_theta(before.theta)
    estimator = TelescopedNCE(MovingNoise(layer, before.log_partition))
    layer.assign_theta(fitted.theta)
    estimator.log_partition.assign(fitted.log_partition)
    return compare(estimator, LatticeGaussian(layer), exercise, seed)


def verdict(exercise, layer, constant, confused, loss):
    """ "converged" only if the fit is near the ceiling and c near log Z; else what happened, in words and numbers."""
    off = constant - exact_log_partition(exercise, layer, layer.theta.numpy())
    best = exercise.maximum_likelihood(layer.connectivity, layer.weighting)[0]
    below = exercise.held_out(best) - exercise.held_out(layer)
    if abs(off) < NEAR and below < NEAR:
        return "converged"
    return (
        f"failed: {100 * confused:.2g} % of images are on the wrong side of the classifier and its loss is {loss:.1e}, "
        f"yet the fit is {below:.1f} nats below the ceiling and c is {off:+.1f} nats from log Z"
    )
