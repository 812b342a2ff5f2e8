"""The training step: it stays positive definite, respects its reach, and fails loudly."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer

from assignment.batches import ArrayImages
from assignment.fit import Trainer, fit
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision


class Pull:
    """A loss that pulls the weights towards a target, however indefinite."""

    trainable_variables = ()

    def __init__(self, target):
        self.target = tf.constant(target, tf.float32)

    def loss(self, model, x, seed):
        return tf.reduce_sum((model.precision.theta.value - self.target) ** 2)


class Hopeless(Pull):
    def loss(self, model, x, seed):
        return super().loss(model, x, seed) * np.nan


def test_momentum_at_the_border_with_a_vanished_gradient_ends():
    """Where the loss is flat and the optimizer still presses outwards, the step is given up, not tried for ever."""
    layer = random_layer(4, "shared", 4, 4, dtype="float32")
    trainer = Trainer(layer, Pull(np.zeros(3)), "sgd")
    before = trainer.phi.numpy()
    outwards = tf.constant([-100.0, 0.0, 0.0])
    trainer.reach.assign(1e6)
    tf.function(trainer._move)(tf.constant(before), outwards, tf.zeros(3))
    assert np.isfinite(layer.theta).all() and layer.operator().positive_definite()


@pytest.mark.parametrize("weights", ["shared", "per_edge"])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_every_step_ends_positive_definite(weights, optimizer):
    layer = random_layer(8, weights, 4, 4, dtype="float32")
    target = -np.ones(layer.theta.shape)  # Minus the identity, and worse.
    trainer = Trainer(layer, Pull(target), optimizer, reach=1.0, learning_rate=0.3)
    for step in range(40):
        trainer.step(np.zeros((2, 4, 4), np.float32), tf.constant([0, step]))
        assert np.linalg.eigvalsh(layer.to_dense().numpy().astype(np.float64))[0] > 0
    assert int(trainer.halvings) > 0


def test_no_step_is_longer_than_its_reach():
    layer = random_layer(4, "per_edge", 4, 4, dtype="float32")
    trainer = Trainer(layer, Pull(np.full(layer.theta.shape, 5.0)), "sgd", reach=0.01, learning_rate=100.0)
    trainer.step(np.zeros((2, 4, 4), np.float32), tf.constant([0, 0]))
    assert trainer.spread() == pytest.approx(0.01, rel=1e-4)


def test_whitened_coordinates_measure_the_spread_of_the_log_ratio():
    from assignment.lattice.information import fisher_information

    layer = random_layer(4, "per_edge", 5, 4, dtype="float32")
    noise = LatticeGaussian(random_layer(4, "per_edge", 5, 4).operator())
    trainer = Trainer(layer, Pull(layer.theta.numpy() * 1.2), "sgd", reach=0.5, learning_rate=10.0)
    trainer.centre(np.linalg.cholesky(fisher_information(layer)))
    before = layer.theta.numpy()
    trainer.step(np.zeros((2, 5, 4), np.float32), tf.constant([0, 0]))
    x = noise.sample(20_000, seed=3)
    ratio = -0.5 * np.tensordot(layer.quadratic_moments(tf.cast(x, tf.float32)), layer.theta.numpy() - before, 1)
    assert trainer.spread() == pytest.approx(0.5, rel=1e-3)
    assert ratio.std() == pytest.approx(0.5, rel=0.05)


def test_steps_together_are_the_same_steps_and_are_traced_once():
    from assignment.estimators.nce import NCE
    from assignment.estimators.noise import DiagonalNoise

    x = np.random.default_rng(0).standard_normal((5, 32, 4, 4)).astype(np.float32)
    seeds, reaches = [[3, step] for step in range(5)], [0.5, 0.4, 0.3, 0.2, 0.1]
    one, other = (
        Trainer(random_layer(4, "per_edge", 4, 4, dtype="float32"), NCE(DiagonalNoise(np.ones((4, 4)))), "adam")
        for _ in range(2)
    )
    first = one.steps(x, tf.constant(seeds), reaches, 3)
    second = one.steps(np.roll(x, -3, axis=0), tf.constant(seeds[3:] + seeds[:3]), reaches[3:] + reaches[:3], 2)
    found = [np.concatenate(parts) for parts in zip(first, second, strict=True)]
    expected = []
    for minibatch, seed, reach in zip(x, seeds, reaches, strict=True):
        other.reach.assign(reach)
        loss = other.step(minibatch, tf.constant(seed))
        expected.append((loss, other.theta.numpy(), [other.extra[0].numpy()]))
    for values, wanted in zip(found, zip(*expected, strict=True), strict=True):
        np.testing.assert_array_equal(values, np.array(wanted))
    assert len(set(found[0].tolist())) == 5 and one._steps.experimental_get_tracing_count() == 1


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_the_weights():
    layer = random_layer(4, "shared", 4, 4, dtype="float32")
    before = layer.theta.numpy()
    with pytest.raises(ArithmeticError, match="no longer finite"):
        fit(layer, Hopeless(np.zeros(3)), np.ones((4, 4, 4), np.float32))
    np.testing.assert_array_equal(layer.theta, before)


def test_minibatches_show_every_image_once_a_pass():
    images = np.arange(10.0)[:, None, None]
    batches = ArrayImages(images).minibatches(5, seed=0)
    for _ in range(3):
        assert sorted(np.ravel([next(batches), next(batches)])) == list(range(10))


def test_the_same_seed_repeats_exactly_and_another_does_not():
    x = np.random.default_rng(0).standard_normal((64, 4, 4)).astype(np.float32)
    from assignment.estimators.nce import NCE

    fitted = []
    for seed in (0, 0, 1):
        layer = StencilPrecision(4, "shared")
        layer.build((4, 4))
        noise = LatticeGaussian(random_layer(4, "shared", 4, 4, dtype="float32").operator())
        fit(layer, NCE(noise, 1.0), x, epochs=2, batch_size=16, seed=seed)
        fitted.append(layer.theta.numpy())
    np.testing.assert_array_equal(fitted[0], fitted[1])
    assert np.any(fitted[0] != fitted[2])


def test_an_optimizer_instance_is_used_as_it_is():
    layer = random_layer(4, "shared", 4, 4, dtype="float32")
    optimizer = keras.optimizers.SGD(0.0)
    before = layer.theta.numpy()
    fit(layer, Pull(np.zeros(3)), np.ones((4, 4, 4), np.float32), optimizer, epochs=1)
    np.testing.assert_array_equal(layer.theta, before)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((0, 4, 4)), "non-empty"),
        (np.zeros((4, 4)), r"\[N, H, W\]"),
        (np.zeros((2, 4, 4), np.uint8), "floating"),
        (np.full((2, 4, 4), np.nan), "finite"),
    ],
)
def test_bad_images(images, words):
    layer = random_layer(4, "shared", 4, 4, dtype="float32")
    with pytest.raises(ValueError, match=words):
        fit(layer, Pull(np.zeros(3)), images)


def test_unknown_optimizer():
    layer = random_layer(4, "shared", 4, 4, dtype="float32")
    with pytest.raises(ValueError, match="optimizer must be one of sgd, rmsprop, adam"):
        fit(layer, Pull(np.zeros(3)), np.ones((4, 4, 4), np.float32), "adma")


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop", "adam"])
def test_a_settled_trainer_starts_anew_with_shorter_steps(optimizer):
    """The optimizer forgets its gradients and its count of steps, and takes the rate of a new one."""
    layer = random_layer(4, "shared", 4, 4, dtype="float32")
    images, seed, start = np.zeros((8, 4, 4), np.float32), tf.constant([0, 0]), layer.theta.numpy()
    moves = []
    for settled in (False, True):
        layer.assign_theta(start)
        trainer = Trainer(layer, Pull(np.zeros(3)), optimizer, reach=0.4 if settled else 0.04)
        if settled:
            for _ in range(3):
                trainer.step(images, seed)
            trainer.settle(0.04)
            layer.assign_theta(start)
            trainer.centre(np.eye(3, dtype=np.float32))
        trainer.step(images, seed)
        moves.append(layer.theta.numpy() - start)
    np.testing.assert_array_equal(*moves)
    assert 0.01 < np.linalg.norm(moves[0]) < 0.0401


def test_a_learning_rate_that_was_asked_for_stays():
    trainer = Trainer(random_layer(4, "shared", 4, 4, dtype="float32"), Pull(np.zeros(3)), "adam", learning_rate=0.01)
    trainer.settle(0.1)
    assert float(trainer.optimizer.learning_rate) == pytest.approx(0.01)


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_whitened_coordinates_keep_lengths_and_leave_gradient_descent_alone(diagonal, turned):
    """‖φ‖² = (θ − θ₀)ᵀLLᵀ(θ − θ₀), and SGD, which knows no axes, goes down −(LLᵀ)⁻¹∇J."""
    layer = random_layer(4, "per_edge", 3, 4, dtype="float32")
    start = layer.theta.numpy().astype(np.float64)
    dense = np.tril(np.random.default_rng(0).standard_normal((len(start), len(start))), -1) + 3 * np.eye(len(start))
    dense = np.diag(np.linspace(1, 3, len(start))) if diagonal else dense
    trainer = Trainer(layer, Pull(np.zeros(len(start))), keras.optimizers.SGD(0.001), diagonal=diagonal, turned=turned)
    trainer.centre(np.diag(dense) if diagonal else dense)
    trainer.step(np.zeros((8, 3, 4), np.float32), tf.constant([0, 0]))
    moved = layer.theta.numpy() - start
    expected = -0.001 * np.linalg.solve(dense @ dense.T, 2 * start)
    np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-6)
    assert trainer.spread() == pytest.approx(np.linalg.norm(dense.T @ moved), rel=1e-3)
    assert trainer.whitening.length(moved) == pytest.approx(trainer.spread(), rel=1e-3)
