"""NCE against its golden value, closed forms and finite differences, and where exp would overflow."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer

from assignment.distribution import PIECES
from assignment.estimators.nce import NCE, nce_loss, noise_ratio_from, throw_coins, undecided_loss
from assignment.estimators.noise import DiagonalNoise
from assignment.lattice.gaussian import LatticeGaussian

tfd = tfp.distributions


def test_golden_value_and_gradient():
    """mathematics: D = 1, Λ_θ = 2, Λ_n = 1, ν = 2, normalised p_θ."""
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
    estimator = NCE(LatticeGaussian(layer.operator()), ratio, float(model.log_partition()))
    loss = estimator.loss(model, model.sample(40, seed=1), seed=tf.constant([1, 2]))
    np.testing.assert_allclose(loss, undecided_loss(ratio), rtol=1e-4)
    assert undecided_loss(ratio) == pytest.approx((1 + ratio) * np.log(1 + ratio) - ratio * np.log(ratio))


def test_gradients_of_weights_and_constant_against_finite_differences(layer):
    """The formula with free c: ∂J/∂θ_k = mean σ(log ν − G)s_k − ν mean σ(G − log ν)s_k, s_c = −1."""
    random = np.random.default_rng(0)
    x, drawn = random.standard_normal((2, 7, 5, 4))
    noise = tfd.Independent(tfd.Normal(tf.zeros([5, 4], tf.float64), 0.8), 2)
    constant, ratio = tf.Variable(3.0, dtype=tf.float64), 2.0

    def loss():
        ratios = [-0.5 * layer.quadratic_form(u) - constant - noise.log_prob(u) for u in (x, drawn)]
        return nce_loss(*ratios, ratio)

    with tf.GradientTape() as tape:
        value = loss()
    gradient, of_constant = tape.gradient(value, [layer.theta.value, constant])
    on_data, on_noise = (-0.5 * layer.quadratic_form(u) - constant - noise.log_prob(u) for u in (x, drawn))
    weights = tf.sigmoid(np.log(ratio) - on_data), tf.sigmoid(on_noise - np.log(ratio))
    s = [-0.5 * layer.quadratic_moments(u).numpy() for u in (x, drawn)]
    formula = weights[0].numpy() @ s[0] / 7 - ratio * weights[1].numpy() @ s[1] / 7
    np.testing.assert_allclose(-gradient, formula, rtol=1e-10)
    np.testing.assert_allclose(-of_constant, -np.mean(weights[0]) + ratio * np.mean(weights[1]), rtol=1e-10)
    theta, step, k = layer.theta.numpy(), 1e-6, 1
    ends = []
    for sign in (1, -1):
        layer.theta.assign(theta + sign * step * np.eye(len(theta))[k])
        ends.append(float(loss()))
    np.testing.assert_allclose(gradient[k], (ends[0] - ends[1]) / (2 * step), rtol=1e-6)


def test_a_thousand_nats_of_log_ratio_do_not_overflow():
    ratio = tf.Variable([1000.0, -1000.0])
    with tf.GradientTape() as tape:
        loss = nce_loss(ratio, ratio, 1.0)
    np.testing.assert_allclose(loss, 1000.0)
    np.testing.assert_allclose(tape.gradient(loss, ratio), [0.5, -0.5])


def test_coins_follow_eta_always_show_both_sides_and_pick_every_image_alike():
    thrown = [throw_coins(20, 3.0, tf.constant([0, k])) for k in range(200)]
    shown, counts = (np.array([t[i] for t in thrown]) for i in (0, 1))
    assert (shown.sum(axis=1) + counts.sum(axis=1) == 80).all() and counts.shape == (200, PIECES)
    assert (shown.sum(axis=1) > 0).all() and (counts.sum(axis=1) > 0).all()
    z = (shown.sum(axis=1).mean() - 20) / np.sqrt(80 * 0.25 * 0.75 / 200)
    assert abs(z) < 4 and shown.sum(axis=1).std() > 1
    assert np.abs(shown.mean(axis=0) - 1).max() < 4.5 / np.sqrt(200) and (shown > 1).any()
    # A piece's coins, 20 of them, decide about its own 5 images.
    by_piece = shown.reshape(200, PIECES, 5).sum(axis=2)
    np.testing.assert_array_equal(by_piece + counts, 20)


def test_coins_of_few_images():
    """Two draws with odds of 1 : 50 are nearly always of one kind; they are drawn anew until they are not."""
    for k in range(5):
        shown, counts = throw_coins(1, 0.02, tf.constant([1, k]))
        assert (float(shown[0]), int(tf.reduce_sum(counts))) == (1, 1)
    layer = random_layer(4, "shared", 6, 5, dtype="float32")
    estimator = NCE(LatticeGaussian(layer.operator()), 0.02)
    losses = [float(estimator.loss(layer, np.zeros((1, 6, 5), np.float32), tf.constant([1, k]))) for k in range(5)]
    assert np.isfinite(losses).all()


def test_the_loss_is_that_of_the_coins():
    """−J = (1/N) Σ softplus(log ν − G(x_i)) + (ν/M) Σ softplus(G(x'_j) − log ν) over the whole minibatch."""
    layer = random_layer(4, "shared", 6, 5, dtype="float32")
    x = LatticeGaussian(layer).sample(10, seed=1)

    class Recorded(DiagonalNoise):
        def sample(self, n, seed):
            drawn.append(super().sample(n, seed))
            return drawn[-1]

    drawn, seed = [], tf.constant([3, 4])
    estimator = NCE(Recorded(np.ones((6, 5))), 2.0)
    loss = estimator.loss(layer, x, seed)
    shown, counts = throw_coins(10, 2.0, tf.random.split(seed, 2)[0])
    assert [len(images) for images in drawn] == counts.numpy().tolist()
    images = np.repeat(x, shown.numpy().astype(int), axis=0)
    on_data, on_noise = (estimator.log_ratio(layer, u) for u in (images, np.concatenate(drawn)))
    np.testing.assert_allclose(loss, nce_loss(on_data, on_noise, 2.0), rtol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_eta_out_of_range(eta):
    with pytest.raises(ValueError, match="eta"):
        noise_ratio_from(eta)
    assert noise_ratio_from(0.25) == 3.0


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("inf"), float("nan")])
def test_noise_ratio_out_of_range(ratio):
    with pytest.raises(ValueError, match="noise_ratio"):
        NCE(tfd.Normal(0.0, 1.0), ratio)


def test_diagonal_noise_is_normalised():
    """D log 2π + log det, not log(2π det): against a product of Gaussian densities."""
    from assignment.parts.nce import diagonal_noise

    variances = np.array([0.5, 1.0, 2.0, 0.1, 0.2, 0.3])
    noise = diagonal_noise(np.diag(variances), (2, 3), scale=1.5)
    x = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    expected = -0.5 * np.sum(x.reshape(4, 6) ** 2 / (1.5 * variances) + np.log(2 * np.pi * 1.5 * variances), axis=1)
    np.testing.assert_allclose(noise.log_prob(x), expected, rtol=1e-5)
    isotropic = diagonal_noise(np.diag(variances), (2, 3), variance="isotropic")
    expected = tfd.Independent(tfd.Normal(tf.zeros([2, 3]), np.sqrt(variances.mean(), dtype=np.float32)), 2)
    np.testing.assert_allclose(isotropic.log_prob(x), expected.log_prob(x), rtol=1e-5)


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


def test_nce_learns_weights_and_log_z_where_noise_and_data_overlap():
    """The contract's few lines on a small, mildly coupled lattice: there the hand-out's recipe works."""
    from assignment.fit import fit
    from assignment.lattice.precision import StencilPrecision

    truth = StencilPrecision(4, "shared", dtype="float64")
    truth.build((4, 4))
    truth.assign(2.0, [-0.4, -0.3])
    images = LatticeGaussian(truth).sample(20_000, seed=1).numpy().astype(np.float32)
    model = StencilPrecision(4, "shared")
    model.build(images.shape)
    estimator = NCE(tfd.Independent(tfd.Normal(tf.zeros([4, 4]), images.std()), 2))
    fit(model, estimator, images, epochs=10)
    np.testing.assert_allclose(model.theta, truth.theta, atol=0.1)
    exact = float(LatticeGaussian(model).log_partition())
    assert abs(float(estimator.log_partition) - exact) < 0.15
