"""The one seam between the graded items and a solution: thirteen functions on plain NumPy arrays.

A solution has a file `adapters.py` at the top of its folder with these functions, as many as it has, written in
whatever it likes: what is missing costs its own points only. The folder comes first on the import path; the working
directory is empty and thrown away. Beyond the arguments, and its own files, nothing is needed and nothing can be read.

Arguments come by keyword. Images are float64 [N, H, W] with their mean subtracted, of any height and width, which
differ; pixels are numbered row by row, D = H·W. Λ is given by two arguments, in either of two ways:

  shared weights       `diagonal` is a number, `couplings` is [K]
  one for each edge    `diagonal` is [H, W],   `couplings` is [K, H, W]: entry [k, h, w] belongs to pixel (h, w) and its
                       neighbour in direction k, and is zero where that neighbour is off the image

Directions are right and down (K = 2, 4-connected), and down-right and down-left after them (K = 4, 8-connected).
`couplings` are the entries of Λ themselves, so neighbours that resemble each other have negative ones.
Results may be arrays, tensors, sparse matrices, lists or numbers.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf

from assignment import LatticeGaussian, StencilPrecision, fit_conditional_nce, fit_telescoped_nce
from assignment.data.preprocessing import preprocess as preprocess_splits
from assignment.objectives import conditional_nce, nce
from assignment.objectives.nce import DiagonalNoise

_REPORT = Path(__file__).resolve().parents[2] / "reports" / "report.tex"


def preprocess(train: np.ndarray, test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """8-bit images → [0, 1] → + N(0, 1/100) on each pixel → minus the mean image of the training split.

    Args:
      train: [N, H, W] uint8. test: [M, H, W] uint8.
      seed: decides the noise.

    Returns:
      (train [N, H, W], test [M, H, W], the mean image that was subtracted from both [H, W]).
    """
    return preprocess_splits(train, test, seed=seed)


def precision_matrix(diagonal: np.ndarray, couplings: np.ndarray, height: int, width: int) -> np.ndarray:
    """Λ as a matrix [D, D]."""
    return _layer(diagonal, couplings, height, width).to_dense()


def quadratic_form(diagonal: np.ndarray, couplings: np.ndarray, images: np.ndarray) -> np.ndarray:
    """xᵀΛx of each image, [N]."""
    return _layer(diagonal, couplings, *images.shape[1:]).quadratic_form(images)


def is_positive_definite(diagonal: np.ndarray, couplings: np.ndarray, height: int, width: int) -> bool:
    """Whether all eigenvalues of Λ are positive; exactly, not by a condition that is merely sufficient."""
    try:
        _layer(diagonal, couplings, height, width)
    except ValueError:  # it takes no other Λ
        return False
    return True


def log_partition(diagonal: np.ndarray, couplings: np.ndarray, height: int, width: int) -> float:
    """The exact log Z = D/2 log 2π + ½ log det Σ with Σ = Λ⁻¹.

    A Λ that is not positive definite has none: NaN, or an error.
    """
    return LatticeGaussian(_layer(diagonal, couplings, height, width)).log_partition()


def sample(diagonal: np.ndarray, couplings: np.ndarray, mean: np.ndarray, epsilon: np.ndarray) -> np.ndarray:
    """The exercise's x' = μ + Aε with A = Λ^(−½), for a given ε.

    Args:
      mean: μ, [H, W]. epsilon: [S, H, W]; it need not be a draw from N(0, I).

    Returns:
      [S, H, W].
    """
    return mean + _layer(diagonal, couplings, *mean.shape).operator().inverse_root_images(epsilon)


def noise_log_density(images: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """log p_n(x) of each image, [N], for independent pixels N(0, variance); `variance` is [H, W]."""
    return DiagonalNoise(variance).log_prob(images.astype(np.float32))


def nce_loss(diagonal, couplings, log_partition, data, noise, data_log_noise, noise_log_noise, noise_ratio) -> float:
    """−J of the exercise, the loss that NCE minimises.

    −J = −mean_i log[p_θ(x_i) / (p_θ(x_i) + ν p_n(x_i))] − ν mean_j log[ν p_n(x'_j) / (p_θ(x'_j) + ν p_n(x'_j))]
    with log p_θ(x) = −½xᵀΛx − c. log p_n is given, so that an error in it is paid for once.

    Args:
      log_partition: c, the free estimate of log Z.
      data: x_i, [N, H, W]. noise: x'_j, [M, H, W].
      data_log_noise: log p_n(x_i), [N]. noise_log_noise: log p_n(x'_j), [M].
      noise_ratio: ν; not tied to M/N.
    """
    return nce.nce_loss(
        -0.5 * quadratic_form(diagonal, couplings, data) - log_partition - data_log_noise,
        -0.5 * quadratic_form(diagonal, couplings, noise) - log_partition - noise_log_noise,
        noise_ratio,
    )


def nce_gradient(diagonal, couplings, log_partition, data, noise, data_log_noise, noise_log_noise, noise_ratio):
    """The gradient of `nce_loss` for shared weights, arguments as there.

    Returns:
      Its derivatives (by `diagonal`, a number; by `couplings`, [K]; by c, a number).
    """
    layer = _layer(diagonal, couplings, *data.shape[1:])
    theta, c = tf.constant(np.r_[diagonal, couplings]), tf.constant(log_partition, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([theta, c])
        log_ratios = [
            -0.5 * layer.quadratic_form(x, theta) - c - log_noise
            for x, log_noise in ((data, data_log_noise), (noise, noise_log_noise))
        ]
        loss = nce.nce_loss(*log_ratios, noise_ratio)
    by_theta, by_c = tape.gradient(loss, [theta, c])
    return by_theta[0], by_theta[1:], by_c


def second_estimator() -> str:
    """What your coin chose: "conditional_nce" or "score_matching"."""
    return "conditional_nce"


def second_loss(diagonal: np.ndarray, couplings: np.ndarray, images: np.ndarray, perturbed: np.ndarray) -> float:
    """The loss of the second estimator.

    conditional_nce: mean_i log(1 + exp(f(x'_i) − f(x_i))) with f(x) = −½xᵀΛx, and x'_i = `perturbed` [N, H, W].
    score_matching: mean_i ½‖Λx_i‖² − tr Λ; `perturbed` is not used.
    """
    energies = [quadratic_form(diagonal, couplings, x) for x in (images, perturbed)]
    return conditional_nce.cnce_loss(0.5 * (energies[1] - energies[0]))


def train(
    estimator: str, images: np.ndarray, connectivity: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Fits Λ, and with NCE log Z, in your best way.

    Args:
      estimator: "nce", or "second" for the one that `second_estimator` names.
      images: [N, H, W], mean subtracted, of any contrast; neighbours may resemble each other or be opposite.
      connectivity: 4 or 8 neighbours.
      seed: decides all that is drawn.

    Returns:
      (diagonal, couplings, the learned log Z, or None where none is learned), Λ in either of the two ways above.
    """
    layer = StencilPrecision(connectivity).match_variances(images)
    fit = fit_telescoped_nce if estimator == "nce" else fit_conditional_nce
    learned = fit(layer, images.astype(np.float32), seed=seed).log_partition
    return layer.diagonal, layer.couplings, learned


def report() -> str:
    """The source text of your report (LaTeX, Markdown, HTML or a notebook's JSON), as one string."""
    return _REPORT.read_text(encoding="utf-8")


def _layer(diagonal, couplings, height, width):
    layer = StencilPrecision(2 * len(couplings), "per_edge" if np.ndim(diagonal) else "shared", dtype="float64")
    layer.build((None, height, width))
    layer.assign(diagonal, couplings)
    return layer
