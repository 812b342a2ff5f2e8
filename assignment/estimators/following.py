"""Fits whose estimator follows them: conditional NCE chooses ε and the noise, score matching M, by the present fit.

Both losses are convex in θ and know nothing of log Z. With M = Σ̂ or noise N(x, ε²Λ̂⁻¹) they are stationary where
maximum likelihood is, up to O(ε²). With M = I or noise N(x, ε²I) they pursue an optimum that need not be positive
definite, and is not on MNIST: the fit then ends on the border of the cone, and says so.
"""

import numpy as np
import tensorflow as tf

from assignment.batches import as_images, second_moments
from assignment.checkpoint import Checkpoint
from assignment.checks import array, image_shape, one_of, positive, trainable, whole
from assignment.distribution import shareable
from assignment.estimators.conditional_nce import TARGET, ConditionalNCE, isotropic_noise
from assignment.estimators.maximum_likelihood import mean_log_likelihood
from assignment.estimators.score_matching import ScoreMatching, closed_form
from assignment.fit import Trainer
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.information import covariance, fisher_information, pool_moments, root

REACH = 0.75  # The longest step, in nats of spread; it shrinks to nothing over the run.
WHITEN_AFTER = 2.0  # New coordinates, by the present fit's Fisher information, after so many nats of spread.
SGD_SHARE = 0.2  # SGD's step as a share of Newton's.
TUNE_EVERY = 25  # Steps between two choices of ε.
PRECONDITION_EVERY = 5  # Steps with the same M: many more, and it lags so far behind that the fit swings.
SETTLED = 1.0  # In a settled run the averages over its third and last quarter are closer than this, in nats of spread.

CONVERGED = "converged"
NOT_SETTLED = "not settled: the average over the last steps still moves"
ON_BORDER = "ended on the border of positive definiteness: the unconstrained optimum is not positive definite"
UNDETERMINED = "not known to be the optimum: these images leave the unconstrained one undetermined"


def fit_conditional_nce(
    layer,
    images,
    variant="matched",
    optimizer="adam",
    *,
    steps=400,
    batch_size=1024,
    noise_ratio=512,
    target=TARGET,
    seed=0,
    progress=None,
    checkpoint=None,
    strategy=None,
):
    """Fits Λ by conditional NCE.

    Args:
      layer: a built `StencilPrecision` at its start, say a diagonal one; left at the fit.
      images: [N, H, W], mean subtracted; or a stream of them, see `assignment.batches`.
      variant: "matched", p_n(x'|x) = N(x, ε²Λ̂⁻¹) with Λ̂ the present fit, or "isotropic", N(x, ε²I).
      optimizer: "sgd", "rmsprop", "adam" or a Keras optimizer (whose learning rate is then left alone).
      noise_ratio: κ, noise images for each image; target: the loss at which ε is held.
      progress: called as progress(step, steps, loss) after every step.
      checkpoint, strategy: see `assignment.fit.fit`.

    Returns:
      A dict. By step: `loss` and `epsilon`, [steps]. Of the end: `status` ("converged" or words for what happened),
      `drift` (how far the average still moved, nats), `halvings` (steps shortened to stay positive definite) and
      `min_eigenvalue` of Λ. Where the noise is isotropic also `optimum_min_eigenvalue`, of the unconstrained optimum at
      ε → 0 (plain score matching's, in closed form), and the losses `loss_at_fit` and `loss_at_optimum`: a lower one
      beyond the border means that no Λ inside is the optimum. They are left out where the images leave that optimum
      undetermined; the status says so.

    Raises:
      ValueError: bad arguments. ArithmeticError: the loss or its gradient was not finite.
    """
    images = _checked(layer, images, steps, batch_size, seed)
    estimator = ConditionalNCE(_noise(layer, variant), noise_ratio=noise_ratio)

    def renew(trainer, x, seed):
        estimator.tune(trainer.model, x, seed, target)
        return _cnce_curvature(layer, estimator, variant)

    descent = Descent(
        layer, estimator, optimizer, renew, TUNE_EVERY, steps, seed, strategy, {"epsilon": estimator.epsilon}
    )
    result = descent.run(images, batch_size, progress, checkpoint)
    return result | (_evidence(layer, estimator, images) if variant == "isotropic" else {})


def fit_score_matching(
    layer,
    images,
    variant="preconditioned",
    optimizer="adam",
    *,
    steps=300,
    batch_size=512,
    seed=0,
    progress=None,
    checkpoint=None,
    strategy=None,
):
    """Fits Λ by score matching on minibatches.

    Args:
      variant: "preconditioned", with M = Σ̂ of the present fit, or "plain", M = I.
      The others are those of `fit_conditional_nce`.

    Returns:
      As `fit_conditional_nce`, without `epsilon`; "plain" here is what "isotropic" is there.
    """
    images = _checked(layer, images, steps, batch_size, seed)
    plain = one_of("variant", variant, ("preconditioned", "plain")) == "plain"
    preconditioner = None if plain else tf.Variable(tf.eye(layer.pixels), trainable=False)
    estimator = ScoreMatching(preconditioner)

    def renew(*_):
        if plain:
            return 2 * _largest_eigenvalue_bound(layer)
        preconditioner.assign(covariance(layer))
        return 2.0

    kept = [] if plain else [preconditioner]
    descent = Descent(layer, estimator, optimizer, renew, PRECONDITION_EVERY, steps, seed, strategy, kept=kept)
    result = descent.run(images, batch_size, progress, checkpoint)
    return result | (_evidence(layer, estimator, images) if plain else {})


def scan_epsilon(layer, images, held_out, variant="matched", optimizer="adam", *, factors=None, steps=50, seed=0):
    """What ε does to conditional NCE: short fits with fixed ε, each from the layer's present weights.

    Args:
      layer: at a fit, where it is left; held_out: test images [n, H, W].
      factors: the ε to try, as multiples of the one that the loss chooses at this fit.

    Returns:
      {`epsilon`, `epsilon_loss`, `epsilon_held_out`}: ε, the mean loss over the last third of the steps, and the exact
      held-out log-likelihood in nats per image; three arrays of equal length.
    """
    images, held_out = _checked(layer, images, steps, 1, seed), as_images(held_out)
    image_shape("held_out", held_out.take(1), layer.height, layer.width)
    start = layer.theta.numpy()
    estimator = ConditionalNCE(_noise(layer, variant))
    estimator.tune(layer, images.take(512), tf.constant([seed, 0]))
    moments = pool_moments(layer, second_moments(held_out))
    factors = np.geomspace(1 / 8, 4, 6) if factors is None else [positive("factors", factor) for factor in factors]
    epsilon = float(estimator.epsilon) * np.asarray(factors)
    losses, likelihoods = [], []

    def renew(*_):
        return _cnce_curvature(layer, estimator, variant)

    for value in epsilon:
        layer.theta.assign(start)
        estimator.epsilon.assign(value)
        run = Descent(layer, estimator, optimizer, renew, TUNE_EVERY, steps, seed).run(images, 512)
        losses.append(np.mean(run["loss"][-(steps // 3) :]))
        likelihoods.append(mean_log_likelihood(layer, moments))
    layer.theta.assign(start)
    return {"epsilon": epsilon, "epsilon_loss": np.array(losses), "epsilon_held_out": np.array(likelihoods)}


def _checked(layer, images, steps, batch_size, seed):
    whole("steps", steps, least=4)
    whole("batch_size", batch_size, least=1)
    whole("seed", seed)
    images = as_images(images)
    trainable(layer, images)
    return images


def _noise(layer, variant):
    matched = one_of("variant", variant, ("matched", "isotropic")) == "matched"
    return LatticeGaussian(layer) if matched else isotropic_noise(layer.height, layer.width)


def _cnce_curvature(layer, estimator, variant):
    """About the largest eigenvalue of the loss's Hessian in whitened coordinates, for the length of SGD's steps."""
    stretch = _largest_eigenvalue_bound(layer) if variant == "isotropic" else 1.0
    return 0.25 * float(estimator.epsilon) ** 2 * stretch


def _largest_eigenvalue_bound(layer):
    """Gershgorin's: no row of |Λ| sums to more than this."""
    couplings = np.abs(layer.couplings.numpy()).reshape(len(layer.offsets), -1)
    return float(np.max(layer.diagonal.numpy()) + 2 * couplings.max(axis=1).sum())


class Descent:
    """Minimises a loss on minibatches, and leaves the layer at the average over the last half of the steps.

    Args:
      renew: renew(trainer, x, seed) lets the estimator follow the fit and returns the curvature of its loss.
      watched: a dict of the estimator's scalar variables whose values are recorded at every step; all that `renew`
        sets must be among them or in the list `kept`.
    """

    def __init__(
        self, layer, estimator, optimizer, renew, renew_every, steps, seed, strategy=None, watched=None, kept=()
    ):
        self.layer, self.optimizer, self.renew, self.renew_every = layer, optimizer, renew, renew_every
        self.steps, self.seed, self.watched = steps, seed, watched or {}
        self.trainer = Trainer(layer, estimator, optimizer, reach=REACH, strategy=strategy)
        self.variables = [*self.trainer.variables, *self.watched.values(), *kept]
        self.memory = {
            "history": {name: [] for name in ("loss", *self.watched)},
            "curvature": None,
            "third": 0,
            "last": 0,
        }

    @property
    def done(self):
        return len(self.memory["history"]["loss"])

    def run(self, images, batch_size, progress=None, checkpoint=None):
        """All steps; returns the history, the verdict and Λ's least eigenvalue, see `fit_conditional_nce`."""
        checkpoint = checkpoint or Checkpoint()
        self.memory |= checkpoint.restore(self.variables)
        # Few images: rather smaller minibatches than the same one.
        batches = images.minibatches(shareable(min(batch_size, len(images) // 8)), self.seed, skip=self.done)
        for step, x in zip(range(self.done, self.steps), batches, strict=False):
            loss = self._step(step, x)
            checkpoint.keep(lambda: self.memory, now=self.done == self.steps)
            if progress:
                progress(step + 1, self.steps, loss)
        return self._end()

    def _step(self, step, x):
        memory, trainer = self.memory, self.trainer
        if step == 0 or trainer.spread() > WHITEN_AFTER:
            trainer.centre(root(fisher_information(self.layer)))
        if step % self.renew_every == 0:
            memory["curvature"] = self.renew(trainer, x, tf.constant([self.seed + 1, step]))
        _shorten_steps(trainer, self.optimizer, 1 - step / self.steps, memory["curvature"])
        loss = trainer.step(x, tf.constant([self.seed, step]))
        for name, value in {"loss": loss, **self.watched}.items():
            memory["history"][name].append(float(value))
        if step >= self.steps // 2:
            quarter = "third" if step < self.steps // 2 + (self.steps - self.steps // 2) // 2 else "last"
            memory[quarter] = memory[quarter] + self.layer.theta.numpy().astype(np.float64)
        return loss

    def _end(self):
        tail = self.steps - self.steps // 2
        third, last = np.asarray(self.memory["third"]), np.asarray(self.memory["last"])
        move = third / (tail // 2) - last / (tail - tail // 2)
        drift = self.trainer.whitening.length(move)
        _assign_average(self.layer, (third + last) / tail)
        return self.memory["history"] | {
            "status": CONVERGED if drift < SETTLED else NOT_SETTLED,
            "drift": drift,
            "halvings": int(self.trainer.halvings),
            "min_eigenvalue": float(self.layer.operator().min_eigenvalue()),
        }


def _shorten_steps(trainer, optimizer, share, curvature):
    """Sets what is left of the steps: `share` falls from 1 to 0 over the run."""
    trainer.reach.assign(REACH * share)
    if optimizer == "sgd":
        trainer.optimizer.learning_rate.assign(SGD_SHARE * share / curvature)
    elif isinstance(optimizer, str):
        trainer.optimizer.learning_rate.assign(REACH * share / np.sqrt(trainer.phi.shape[0]))


def _assign_average(layer, theta):
    last = layer.theta.numpy()
    try:
        layer.assign_theta(theta)
    except ValueError:  # The cone is convex, but on its border rounding to float32 can leave it: the last step stands.
        layer.assign_theta(last)


def _evidence(layer, estimator, images):
    """Whether the optimum that a fit with M = I, or with isotropic noise, pursues is outside the cone."""
    try:
        optimum = array("optimum", closed_form(layer, second_moments(images)), layer.theta.shape, np.float32)
    except (ArithmeticError, ValueError):
        return {"status": UNDETERMINED}
    x, seed, fitted = images.take(2048), tf.constant([0, 0]), layer.theta.numpy()
    loss_at_fit = float(estimator.loss(layer, x, seed))
    layer.theta.assign(optimum)
    inside = bool(layer.operator().positive_definite())
    evidence = {
        "optimum_min_eigenvalue": float(layer.operator().min_eigenvalue()),
        "loss_at_fit": loss_at_fit,
        "loss_at_optimum": float(estimator.loss(layer, x, seed)),
    }
    layer.theta.assign(fitted)
    if not np.isfinite(list(evidence.values())).all():
        return {"status": UNDETERMINED}
    return evidence if inside else evidence | {"status": ON_BORDER}
