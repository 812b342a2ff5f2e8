"""The one seam between the graded tests and a solution: thirteen functions on plain NumPy arrays.

This file serves this package. To hand in a solution of your own, put a file `adapters.py` at the top of your folder
with the same functions, as many as you have, written in whatever you like: what is missing costs its own points only.
Your folder comes first on the import path; the working directory is empty and thrown away. Beyond the arguments, and
your own files, nothing is needed and nothing can be read.

Images are float64 [N, H, W] with their mean subtracted, pixels are numbered row by row, D = H·W. Λ is given by two
arguments, in either of two ways:

  shared weights       `diagonal` is a number, `couplings` is [K]
  one for each edge    `diagonal` is [H, W],   `couplings` is [K, H, W]: entry [k, h, w] belongs to pixel (h, w) and its
                       neighbour in direction k, and is zero where that neighbour is off the image

Directions are right and down (K = 2, 4-connected), and down-right and down-left after them (K = 4, 8-connected).
`couplings` are the entries of Λ themselves, so neighbours that resemble each other have negative ones.
Results may be NumPy arrays, tensors or numbers. A call may take 12 seconds, `train` 45.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from assignment.data import preprocess as preprocess_splits
from assignment.estimators import nce
from assignment.estimators.conditional_nce import cnce_loss
from assignment.estimators.following import fit_conditional_nce
from assignment.estimators.telescoping import telescope
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision
from assignment.parts.nce import diagonal_noise

_REPORT = Path(__file__).resolve().parents[2] / "reports" / "report.tex"


# Data.


def preprocess(train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """8-bit images → [0, 1] → + N(0, 1/100) on each pixel → minus the mean image of the training split.

    Args:
      train: [N, H, W] uint8. test: [M, H, W] uint8.
      seed: decides the noise.

    Returns:
      (train [N, H, W], test [M, H, W], the mean image that was subtracted from both [H, W]).
    """
    return preprocess_splits(train, test, seed=seed)


# Model.


def precision_matrix(diagonal: np.ndarray, couplings: np.ndarray, height: int, width: int) -> np.ndarray:
    """Λ as a matrix [D, D]."""
    return _operator(diagonal, couplings, height, width).to_dense()


def quadratic_form(diagonal: np.ndarray, couplings: np.ndarray, images: np.ndarray) -> np.ndarray:
    """xᵀΛx of each image, [N]."""
    return -2 * _model(diagonal, couplings, images).unnormalized_log_prob(images)


def is_positive_definite(diagonal: np.ndarray, couplings: np.ndarray, height: int, width: int) -> bool:
    """Whether all eigenvalues of Λ are positive; exactly, not by a condition that is merely sufficient."""
    return bool(_operator(diagonal, couplings, height, width).positive_definite())


def log_partition(diagonal: np.ndarray, couplings: np.ndarray, height: int, width: int) -> float:
    """The exact log Z = D/2 log 2π + ½ log det Σ with Σ = Λ⁻¹.

    A Λ that is not positive definite has none: NaN, or an error.
    """
    return LatticeGaussian(_operator(diagonal, couplings, height, width)).log_partition()


def sample(diagonal: np.ndarray, couplings: np.ndarray, mean: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """The hand-out's x' = μ + Aε with A = Λ^(−½), for a given ε.

    Args:
      mean: μ, [H, W]. epsilon: [S, H, W]; the tests need not draw it from N(0, I).

    Returns:
      [S, H, W].
    """
    return mean + _operator(diagonal, couplings, *mean.shape).inverse_root_images(epsilon)


# NCE. log p_n is handed to the loss, so that a slip in it is paid for once.


def noise_log_density(images: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """log p_n(x) of each image, [N], for independent pixels N(0, variance); `variance` is [H, W]."""
    return diagonal_noise(np.diag(variance.ravel()), variance.shape).log_prob(images.astype(np.float32))


def nce_loss(
    diagonal: np.ndarray,
    couplings: np.ndarray,
    log_partition: float,
    data: np.ndarray,
    noise: np.ndarray,
    data_log_noise: np.ndarray,
    noise_log_noise: np.ndarray,
    noise_ratio: float,
) -> float:
    """−J of the hand-out, the loss that NCE minimises.

    −J = −mean_i log[p_θ(x_i) / (p_θ(x_i) + ν p_n(x_i))] − ν mean_j log[ν p_n(x'_j) / (p_θ(x'_j) + ν p_n(x'_j))]
    with log p_θ(x) = −½xᵀΛx − c.

    Args:
      log_partition: c, the free estimate of log Z.
      data: x_i, [N, H, W]. noise: x'_j, [M, H, W].
      data_log_noise: log p_n(x_i), [N]. noise_log_noise: log p_n(x'_j), [M].
      noise_ratio: ν; not tied to M/N.
    """
    return nce.nce_loss(
        _model(diagonal, couplings, data).unnormalized_log_prob(data) - log_partition - data_log_noise,
        _model(diagonal, couplings, noise).unnormalized_log_prob(noise) - log_partition - noise_log_noise,
        noise_ratio,
    )


def nce_gradient(
    diagonal: np.ndarray,
    couplings: np.ndarray,
    log_partition: float,
    data: np.ndarray,
    noise: np.ndarray,
    data_log_noise: np.ndarray,
    noise_log_noise: np.ndarray,
    noise_ratio: float,
) -> tuple[np.ndarray, np.ndarray, float]:
    """The gradient of `nce_loss`, arguments as there.

    Returns:
      Its derivatives by `diagonal`, by `couplings` and by c, each in the shape of what it is by.
    """
    unknowns = [tf.constant(value, tf.float64) for value in (diagonal, couplings, log_partition)]
    with tf.GradientTape() as tape:
        tape.watch(unknowns)
        loss = nce_loss(*unknowns, data, noise, data_log_noise, noise_log_noise, noise_ratio)
    return tape.gradient(loss, unknowns)


# The second estimator.


def second_estimator() -> str:
    """What your coin chose: "conditional_nce" or "score_matching"."""
    return "conditional_nce"


def second_loss(diagonal: np.ndarray, couplings: np.ndarray, images: np.ndarray, perturbed: np.ndarray) -> float:
    """The loss of the second estimator.

    conditional_nce: mean_i log(1 + exp(f(x'_i) − f(x_i))) with f(x) = −½xᵀΛx, and x'_i = `perturbed` [N, H, W].
    score_matching: mean_i ½‖Λx_i‖² − tr Λ; `perturbed` is not used.
    """
    model = _model(diagonal, couplings, images)
    return cnce_loss(model.unnormalized_log_prob(images) - model.unnormalized_log_prob(perturbed))


# All together.


def train(
    estimator: str, images: np.ndarray, connectivity: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Fits Λ, and with NCE log Z, in your best way.

    Args:
      estimator: "nce", or "second" for the one that `second_estimator` names.
      images: [N, H, W], mean subtracted.
      connectivity: 4 or 8 neighbours.
      seed: decides all that is drawn.

    Returns:
      (diagonal, couplings, the learned log Z, or None where none is learned), Λ in either of the two ways above.
    """
    layer = StencilPrecision(connectivity, "shared")
    layer.build((None, *images.shape[1:]))
    layer.assign_theta(np.r_[1 / images.var(), np.zeros(connectivity // 2)])
    if estimator == "nce":
        stages, _ = telescope(layer, images.astype(np.float32), seed=seed)
        return layer.diagonal, layer.couplings, stages[-1].log_partition
    fit_conditional_nce(layer, images.astype(np.float32), seed=seed)
    return layer.diagonal, layer.couplings, None


# The report.


def report() -> str:
    """The source text of your report (LaTeX, Markdown, HTML or a notebook's JSON), as one string."""
    return _REPORT.read_text(encoding="utf-8")


def _operator(diagonal, couplings, height, width):
    diagonal, couplings = tf.convert_to_tensor(diagonal, tf.float64), tf.convert_to_tensor(couplings, tf.float64)
    if diagonal.shape.rank == 0:
        diagonal, couplings = diagonal[None, None], couplings[:, None, None]
    return LinearOperatorLattice(diagonal, couplings, height, width)


def _model(diagonal, couplings, images):
    return LatticeGaussian(_operator(diagonal, couplings, *images.shape[1:]))
