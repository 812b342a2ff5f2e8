"""NCE against its golden value and closed forms, and where exp would overflow."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer
from lattice_oracle import covariance_errors

from assignment.fits.fixed_nce import fit_nce
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.nce import NCE, DiagonalNoise, diagonal_noise, nce_loss, noise_ratio_from
from assignment.objectives.telescoped_nce import MovingNoise, TelescopedNCE

tfd = tfp.distributions


class Recorded(DiagonalNoise):
    """Noise that keeps what it has drawn."""

    def __init__(self, variances):
        super().__init__(variances)
        self.drawn = []

    def sample(self, n, seed):
        self.drawn.append(super().sample(n, seed))
        return self.drawn[-1]


def test_golden_value_and_gradient():
    """D = 1, Λ_θ = 2, Λ_n = 1, ν = 2, normalised p_θ: worked out by hand."""
    x, noise = tf.constant([0.0, 1, 2], tf.float64), tf.constant([0, -1, 3, 0.5, -0.5, 1.5], tf.float64)
    precision = tf.Variable(2.0, dtype=tf.float64)
    with tf.GradientTape() as tape:
        ratios = [
            tfd.Normal(0, precision**-0.5).log_prob(u) - tfd.Normal(np.float64(0), 1).log_prob(u) for u in (x, noise)
        ]
        loss = nce_loss(*ratios, 2.0)
    np.testing.assert_allclose(-loss, -2.1995960888, atol=5e-11)
    np.testing.assert_allclose(-tape.gradient(loss, precision), -0.5179196978, atol=5e-11)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 10.0])
def test_model_equal_to_noise_is_undecided(ratio):
    layer = random_layer(4, "shared", 6, 5, dtype="float32")
    model = LatticeGaussian(layer)
    exact = float(model.log_partition())
    for objective in (
        NCE(LatticeGaussian(layer.operator()), ratio, exact),
        TelescopedNCE(MovingNoise(layer, exact), ratio),
    ):
        loss = objective.loss(model, model.sample(40, seed=1), seed=tf.constant([1, 2]))
        np.testing.assert_allclose(loss, (1 + ratio) * np.log(1 + ratio) - ratio * np.log(ratio), rtol=1e-4)


def test_gradients_of_weights_and_constant(layer):
    """With free c: ∂J/∂θ_k = mean σ(log ν − G)s_k − ν mean σ(G − log ν)s_k, s_c = −1."""
    random = np.random.default_rng(0)
    x, drawn = random.standard_normal((2, 7, 5, 4))
    noise = tfd.Independent(tfd.Normal(tf.zeros([5, 4], tf.float64), 0.8), 2)
    constant, ratio = tf.Variable(3.0, dtype=tf.float64), 2.0
    with tf.GradientTape() as tape:
        on_data, on_noise = (-0.5 * layer.quadratic_form(u) - constant - noise.log_prob(u) for u in (x, drawn))
        value = nce_loss(on_data, on_noise, ratio)
    gradient, of_constant = tape.gradient(value, [layer.theta.value, constant])
    weights = tf.sigmoid(np.log(ratio) - on_data), tf.sigmoid(on_noise - np.log(ratio))
    s = [-0.5 * layer.quadratic_moments(u).numpy() for u in (x, drawn)]
    formula = weights[0].numpy() @ s[0] / 7 - ratio * weights[1].numpy() @ s[1] / 7
    np.testing.assert_allclose(-gradient, formula, rtol=1e-10)
    np.testing.assert_allclose(-of_constant, -np.mean(weights[0]) + ratio * np.mean(weights[1]), rtol=1e-10)


def test_a_thousand_nats_of_log_ratio_do_not_overflow():
    ratio = tf.Variable([1000.0, -1000.0])
    with tf.GradientTape() as tape:
        loss = nce_loss(ratio, ratio, 1.0)
    np.testing.assert_allclose(loss, 1000.0)
    np.testing.assert_allclose(tape.gradient(loss, ratio), [0.5, -0.5])


def test_coins_follow_eta_and_pick_every_image_alike():
    """(1 + ν)B coins; z = 0, with probability η, picks any image of the minibatch."""
    layer, size, repeats = random_layer(4, "shared", 2, 2, dtype="float32"), 20, 200
    ratios, shown = tf.Variable(tf.zeros(size)), np.zeros((repeats, size))

    class Known(NCE):
        def log_ratio(self, model, x):
            return ratios if len(x) == size else tf.zeros(len(x))

    objective = Known(Recorded(np.ones((2, 2))), 3.0)
    for k in range(repeats):
        with tf.GradientTape() as tape:
            loss = objective.loss(layer, np.zeros((size, 2, 2), np.float32), tf.constant([0, k]))
        slope = tf.convert_to_tensor(tape.gradient(loss, ratios)).numpy()  # −σ(log ν)/N for each time an image shows
        shown[k] = slope / slope[slope < 0].max()
    counts = np.array([len(drawn) for drawn in objective.noise.drawn])
    np.testing.assert_allclose(shown.sum(axis=1) + counts, 80, rtol=1e-5)
    z = (shown.sum(axis=1).mean() - 20) / np.sqrt(80 * 0.25 * 0.75 / repeats)
    assert abs(z) < 4 and counts.var() / (80 * 0.25 * 0.75) == pytest.approx(1, abs=4.5 * np.sqrt(2 / repeats))
    assert np.abs(shown.mean(axis=0) - 1).max() < 4.5 / np.sqrt(repeats) and (shown > 1).any()


def test_there_is_always_one_image_and_one_draw():
    """Two draws with odds of 1 : 50 are nearly always of one kind."""
    layer = random_layer(4, "shared", 6, 5, dtype="float32")
    for ratio, size in ((0.02, 1), (50.0, 1), (0.02, 3)):
        objective = NCE(Recorded(np.ones((6, 5))), ratio)
        x = np.zeros((size, 6, 5), np.float32)
        losses = [float(objective.loss(layer, x, tf.constant([1, k]))) for k in range(5)]
        counts = [len(drawn) for drawn in objective.noise.drawn]
        assert np.isfinite(losses).all() and min(counts) >= 1
        assert max(counts) < max(2, round(size * (1 + ratio)))


def test_the_loss_is_that_of_the_coins():
    """−J = (1/N) Σ softplus(log ν − G(x_i)) + (ν/M) Σ softplus(G(x'_j) − log ν), with N + M = (1 + ν)B."""
    layer = random_layer(4, "shared", 6, 5, dtype="float32")
    image = LatticeGaussian(layer).sample(1, seed=1)  # One image, so that it does not matter which are picked.
    objective = NCE(Recorded(np.ones((6, 5))), 2.0, log_partition=1.5)
    loss = objective.loss(layer, np.repeat(image, 10, axis=0), tf.constant([3, 4]))
    (drawn,) = objective.noise.drawn
    on_data, on_noise = (objective.log_ratio(layer, u) for u in (image, drawn))
    np.testing.assert_allclose(loss, nce_loss(on_data, on_noise, 2.0), rtol=1e-5)
    expected = -0.5 * layer.quadratic_form(drawn) - 1.5 - objective.noise.log_prob(drawn)
    np.testing.assert_allclose(on_noise, expected, rtol=1e-5, atol=1e-5)


def test_eta_and_noise_ratio_out_of_range():
    assert noise_ratio_from(0.25) == 3.0
    for eta in (0.0, 1.0, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="eta"):
            noise_ratio_from(eta)
    for ratio in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="noise_ratio"):
            NCE(tfd.Normal(0.0, 1.0), ratio)


def test_diagonal_noise_is_normalised():
    """D log 2π + log det, not log(2π det): against a product of Gaussian densities."""
    deviations = np.sqrt([[0.5, 1.0, 2.0], [0.1, 0.2, 0.3]])
    images = (deviations * [[[1.0]], [[-1.0]]]).astype(np.float32)  # Their variances about zero are exactly these.
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    variances = 1.5 * deviations**2
    expected = -0.5 * np.sum(x**2 / variances + np.log(2 * np.pi * variances), axis=(1, 2))
    np.testing.assert_allclose(diagonal_noise(images, scale=1.5).log_prob(x), expected, rtol=1e-5)
    isotropic = diagonal_noise(images, variance="isotropic")
    mean = np.sqrt(np.mean(deviations**2), dtype=np.float32)
    expected = tfd.Independent(tfd.Normal(tf.zeros([2, 3]), mean), 2).log_prob(x)
    np.testing.assert_allclose(isotropic.log_prob(x), expected, rtol=1e-5)


def test_normal_numbers_are_normal():
    """Kolmogorov and Smirnov's distance, moments, and no dependence between neighbours or halves."""
    variances = np.array([[0.25, 1.0], [4.0, 9.0]])
    drawn = DiagonalNoise(variances).sample(50_001, seed=(0, 1)).numpy()
    assert drawn.shape == (50_001, 2, 2)
    white = drawn.reshape(-1, 4) / np.sqrt(variances.ravel())
    ranks = (np.arange(white.size) + 0.5) / white.size
    distance = np.abs(tfd.Normal(np.float64(0), 1).cdf(np.sort(white.ravel())) - ranks).max()
    assert distance < 1.95 / np.sqrt(white.size)  # p = 0.001
    assert np.abs(np.cov(white.T) - np.eye(4)).max() < 4.5 * np.sqrt(2 / 50_000)
    half = len(white) // 2
    for power in (1, 2):
        pairs = np.corrcoef(white[:half].ravel() ** power, white[half + 1 :].ravel() ** power)
        assert abs(pairs[0, 1]) < 4.5 / np.sqrt(4 * half)
    assert np.abs(white).max() > 4.2
    np.testing.assert_array_equal(drawn, DiagonalNoise(variances).sample(50_001, seed=(0, 1)))


def test_the_constant_starts_at_that_of_the_noise():
    layer = random_layer(4, "per_edge", 5, 4, dtype="float32")
    noise = LatticeGaussian(layer.operator())
    np.testing.assert_allclose(NCE(noise).log_partition, noise.log_partition(), rtol=1e-6)
    assert float(NCE(noise, log_partition=3.0).log_partition) == 3.0


def test_the_moving_noise_is_the_fit_it_followed():
    layer = random_layer(8, "per_edge", 5, 4, dtype="float32")
    start = float(LatticeGaussian(layer).log_partition())
    noise = MovingNoise(layer, start)
    x = tf.constant(np.random.default_rng(0).standard_normal((6, 5, 4)), tf.float32)
    objective = TelescopedNCE(noise)
    np.testing.assert_allclose(objective.log_ratio(layer, x), np.zeros(6))
    old = layer.theta.numpy()
    layer.assign_theta(old * 1.5)
    expected = -0.5 * np.tensordot(layer.quadratic_moments(x), 0.5 * old, 1)
    for model in (layer, LatticeGaussian(layer)):
        np.testing.assert_allclose(objective.log_ratio(model, x), expected, rtol=1e-3, atol=1e-4)
    noise.move(start)
    draws = noise.sample(50_000, seed=tf.constant([1, 2]))
    assert np.abs(covariance_errors(draws, np.linalg.inv(layer.to_dense()))).max() < 4.5


def test_nce_learns_weights_and_log_z_where_noise_and_data_overlap():
    """On a small, mildly coupled lattice the exercise's recipe works."""
    truth = StencilPrecision(4, "shared", dtype="float64")
    truth.build((4, 4))
    truth.assign(2.0, [-0.4, -0.3])
    images = LatticeGaussian(truth).sample(20_000, seed=1).numpy().astype(np.float32)
    layer = StencilPrecision(4, "shared").match_variances(images)
    layer.assign_theta([1, 0, 0])
    noise = tfd.Independent(tfd.Normal(tf.zeros([4, 4]), images.std()), 2)
    result = fit_nce(layer, images, noise=noise, epochs=10, batch_size=512)
    np.testing.assert_allclose(layer.theta, truth.theta, atol=0.1)
    assert abs(result.log_partition - float(result.model.log_partition())) < 0.15
