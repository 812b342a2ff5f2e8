"""The exercise's formulas, corrected, Step 2 to Step 4, in float64: what autodiff and the objectives are held to.

Nothing here is needed to train. Everything is dense (Λ is [D, D]) and works with log w, never with w, which overflows
at D = 784. What the course's notes have otherwise stands in `assignment.derivation.errata`.

| symbol                                   | here                           | shape     |
|------------------------------------------|--------------------------------|-----------|
| x_i, x'_j                                | `data`, `noise`                | [N, D], [M, D] |
| Λ_θ, Λ_n, log Z_θ                        | `precision`, `noise_precision`, `log_partition` | [D, D], [D, D], [] |
| log w = log p_n − log p_θ = −G           | `log_weight`                   | [N] or [M] |
| ν = 1/η − 1                              | `nu`                           | float     |
| ∂Λ/∂θ_k, all k                           | `derivative`                   | [D, D, P] |
| xᵀ(∂Λ/∂θ_k)x                             | `moments`                      | [N, P]    |
| tr(Σ ∂Λ/∂θ_k)                            | `traces`                       | [P]       |
| s_k(x) = ∂ log p_θ(x)/∂θ_k               | `scores`                       | [N, P]    |
"""

import math
from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow import Tensor

Constant = Tensor | float | None

# Densities.


def energy(x: Tensor, precision: Tensor) -> Tensor:
    """f(x) = −½ xᵀΛx for x [N, D], as [N]."""
    return -0.5 * tf.reduce_sum(x * (x @ precision), axis=-1)


def log_determinant(precision: Tensor) -> Tensor:
    """log det Λ; NaN where Λ is not positive definite."""
    return 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tf.linalg.cholesky(precision))))


def log_partition(precision: Tensor) -> Tensor:
    """log Z = D/2 log 2π − ½ log det Λ."""
    return 0.5 * precision.shape[-1] * math.log(2 * math.pi) - 0.5 * log_determinant(precision)


def log_density(x: Tensor, precision: Tensor, c: Constant = None) -> Tensor:
    """log p(x) = f(x) − log Z, [N]; a free estimate `c` takes the place of log Z where it is given."""
    return energy(x, precision) - (log_partition(precision) if c is None else c)


def log_posterior(
    z: int, x: Tensor, precision: Tensor, noise_precision: Tensor, nu: float, c: Constant = None
) -> Tensor:
    """log p_{θ,n}(z|x) = log [(1 − z)p_θ(x) + νz p_n(x)] / [p_θ(x) + νp_n(x)] for z = 0 or 1, [N]."""
    model, noise = log_density(x, precision, c), log_density(x, noise_precision) + math.log(nu)
    return (noise if z else model) - tfp.math.log_add_exp(model, noise)


# Step 2: the weights.


def log_weight(x: Tensor, precision: Tensor, noise_precision: Tensor, c: Constant = None) -> Tensor:
    """log w(x) = log p_n(x) − log p_θ(x) = ½ xᵀ(Λ_θ − Λ_n)x + log Z_θ − log Z_n, [N].

    log Z_θ − log Z_n is ½ log(det Λ_n/det Λ_θ), unless a free `c` takes the place of log Z_θ.
    """
    constant = (log_partition(precision) if c is None else c) - log_partition(noise_precision)
    return -energy(x, precision - noise_precision) + constant


# Step 3: forms of one number J, a log-likelihood: to be maximised. The one that needs no cancellation is that which
# trains, −`nce_loss` in `assignment.objectives.nce`.


def objective_by_definition(
    data: Tensor, noise: Tensor, precision: Tensor, noise_precision: Tensor, nu: float, c: Constant = None
) -> Tensor:
    """J = mean_i log p(z = 0|x_i) + ν mean_j log p(z = 1|x'_j), straight from the posterior."""
    kept = log_posterior(0, data, precision, noise_precision, nu, c)
    caught = log_posterior(1, noise, precision, noise_precision, nu, c)
    return tf.reduce_mean(kept) + nu * tf.reduce_mean(caught)


def objective_noise_factored(log_weight_data: Tensor, log_weight_noise: Tensor, nu: float) -> Tensor:
    """J with p_n factored out: mean_i G + ν log ν − mean_i log(e^G + ν) − ν mean_j log(e^G + ν), where G = −log w."""
    log_nu = math.log(nu)
    data, noise = (
        tf.reduce_mean(tfp.math.log_add_exp(-log_w, log_nu)) for log_w in (log_weight_data, log_weight_noise)
    )
    return tf.reduce_mean(-log_weight_data) + nu * log_nu - data - nu * noise


def objective_model_factored(log_weight_data: Tensor, log_weight_noise: Tensor, nu: float) -> Tensor:
    """J with p_θ factored out: ν mean_j log w + ν log ν − mean_i log(νw + 1) − ν mean_j log(νw + 1)."""
    log_nu = math.log(nu)
    data, noise = (tf.reduce_mean(tf.nn.softplus(log_nu + log_w)) for log_w in (log_weight_data, log_weight_noise))
    return nu * tf.reduce_mean(log_weight_noise) + nu * log_nu - data - nu * noise


# Step 4: the gradient.


def precision_derivative(assemble: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    """∇_θΛ as one tensor [D, D, P], by `GradientTape.jacobian`, for any differentiable `assemble(θ)` → Λ [D, D].

    `tape.jacobian(Λ, θ)` would take D² backward passes. The pull-back V ↦ Σ_ij V_ij ∂Λ_ij/∂θ is linear in V, and its
    own Jacobian is the same tensor in P passes: a second at D = 784 for five weights.
    """
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape() as inner:
            inner.watch(theta)
            precision = assemble(theta)
        direction = tf.zeros_like(precision)
        outer.watch(direction)
        # The inner gradient is taken on the outer tape, which thus sees how it depends on the direction.
        pulled_back = inner.gradient(precision, theta, output_gradients=direction)
    # A loop: tracing pfor for every call costs more than it saves for a few weights.
    jacobian = outer.jacobian(pulled_back, direction, experimental_use_pfor=False)
    return tf.transpose(jacobian, [1, 2, 0])


def quadratic_derivatives(x: Tensor, derivative: Tensor) -> Tensor:
    """The moments xᵀ(∂Λ/∂θ_k)x of x [N, D], as [N, P]; `StencilPrecision.quadratic_moments` has them without ∇Λ."""
    return tf.einsum("ni,ijk,nj->nk", x, derivative, x)


def trace_derivatives(precision: Tensor, derivative: Tensor) -> Tensor:
    """tr(Σ ∂Λ/∂θ_k) = ∂ log det Λ/∂θ_k, [P] (Jacobi's formula)."""
    return tf.einsum("ij,jik->k", tf.linalg.inv(precision), derivative)


def scores(moments: Tensor, traces: Tensor) -> Tensor:
    """s_k(u) = ∂ log p_θ(u)/∂θ_k = ½[tr(Σ ∂Λ/∂θ_k) − uᵀ(∂Λ/∂θ_k)u] where the determinant normalises p_θ, [N, P]."""
    return 0.5 * (traces - moments)


def scores_free(moments: Tensor) -> Tensor:
    """The same where c, the estimate of log Z, is free, and s_c beside them, [N, P + 1]: −½ uᵀ(∂Λ/∂θ_k)u, and −1."""
    return tf.concat([-0.5 * moments, -tf.ones_like(moments[:, :1])], axis=1)


def gradient(
    log_weight_data: Tensor, log_weight_noise: Tensor, scores_data: Tensor, scores_noise: Tensor, nu: float
) -> Tensor:
    """∂J/∂θ_k = mean_i νw/(νw + 1) s_k(x_i) − ν mean_j 1/(νw + 1) s_k(x'_j), [P]; and ∂J/∂c beside them, if s_c is."""
    taken_for_noise = tf.sigmoid(math.log(nu) + log_weight_data)  # νw/(νw + 1), per datum
    taken_for_data = tf.sigmoid(-math.log(nu) - log_weight_noise)  # 1/(νw + 1), per noise image
    data = tf.reduce_mean(taken_for_noise[:, None] * scores_data, axis=0)
    return data - nu * tf.reduce_mean(taken_for_data[:, None] * scores_noise, axis=0)


# The remark on ∂Σ.


def covariance_derivative(precision: Tensor, derivative: Tensor) -> Tensor:
    """∂Σ/∂θ_k = −Σ(∂Λ/∂θ_k)Σ, [D, D, P]."""
    sigma = tf.linalg.inv(precision)
    return -tf.einsum("ij,jlk,lm->imk", sigma, derivative, sigma)


def derivative_from_covariance(precision: Tensor, derivative_of_covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The remark: (∂Λ = −Λ∂ΣΛ, Σ∂Λ = −∂ΣΛ), both [D, D, P], where ∂Σ is the easier one to have."""
    sigma_times = -tf.einsum("ijk,jl->ilk", derivative_of_covariance, precision)
    return tf.einsum("ij,jlk->ilk", precision, sigma_times), sigma_times


# "It would be nice if we could rewrite Σ ∂Λ/∂θ_k as the derivative ∂M/∂θ_k of some matrix M."


def curl(precision: Tensor, derivative: Tensor) -> Tensor:
    """∂_l(Σ∂_kΛ) − ∂_k(Σ∂_lΛ) = [Σ∂_kΛ, Σ∂_lΛ], the commutator, as [P, P, D, D].

    If some M had ∂_kM = Σ∂_kΛ for all k, its mixed partials would agree and this would vanish. It does not in general,
    so there is no such M. Its trace does, as a commutator's must: tr(Σ∂_kΛ) is the derivative of log det Λ = tr log Λ.
    Where all ∂_kΛ and Λ commute, as for the four neighbours with shared weights, it vanishes and M = log Λ will do.
    """
    b = tf.einsum("ij,jlk->kil", tf.linalg.inv(precision), derivative)
    product = tf.einsum("kij,ljm->klim", b, b)
    return product - tf.transpose(product, [1, 0, 2, 3])


def matrix_logarithm(precision: Tensor) -> Tensor:
    """log Λ, [D, D], of a symmetric positive definite Λ."""
    values, vectors = tf.linalg.eigh(precision)
    return (vectors * tf.math.log(values)) @ tf.linalg.matrix_transpose(vectors)


# What the formulas are held to.


def central_differences(function: Callable[[Tensor], Tensor], theta: Tensor, step: float = 1e-5) -> Tensor:
    """∂f/∂θ_k, [..., P], of any f(θ) → [...] by (f(θ + h e_k) − f(θ − h e_k))/2h; error O(h²) + O(rounding/h)."""
    shifts = step * tf.eye(theta.shape[0], dtype=theta.dtype)
    return tf.stack([(function(theta + s) - function(theta - s)) / (2 * step) for s in shifts], axis=-1)
