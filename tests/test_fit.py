"""The training step and the loop: Λ stays positive definite, steps respect their reach, and failures are loud."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import random_layer

from assignment.fits import fixed_nce
from assignment.fits.fixed_nce import fit
from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.operator import LinearOperatorLattice
from assignment.lattice.precision import StencilPrecision
from assignment.objectives.maximum_likelihood import MaximumLikelihood
from assignment.objectives.nce import NCE, DiagonalNoise
from assignment.objectives.telescoped_nce import MovingNoise, TelescopedNCE
from assignment.training.step import OPTIMIZERS, Step
from assignment.training.whitening import whitening_matrix

X = np.random.default_rng(0).standard_normal((64, 4, 4)).astype(np.float32)


def small(connectivity=4, weights="shared", size=(4, 4)):
    return random_layer(connectivity, weights, *size, dtype="float32")


class Pull:
    """A loss that pulls the weights towards a target, however indefinite."""

    trainable_variables = ()

    def __init__(self, target=0.0):
        self.target = target

    def loss(self, model, x, seed):
        return tf.reduce_sum((model.precision.theta.value - self.target) ** 2)


class Hopeless(Pull):
    def loss(self, model, x, seed):
        return super().loss(model, x, seed) * np.nan


def walk(step, count=1, reach=1.0, rate=0.3):
    """θ after each of so many steps."""
    x = np.zeros((count, 2, step.layer.height, step.layer.width), np.float32)
    seeds = tf.constant([[0, k] for k in range(count)])
    return step.run(x, seeds, tf.fill([count], reach), tf.fill([count], rate), tf.constant(count))[1].numpy()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("weights", ["shared", "per_edge"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_ends_positive_definite(weights, optimizer):
    layer = small(8, weights)
    step = Step(layer, Pull(-1.0), optimizer)  # Minus the identity, and worse
    for theta in walk(step, 6):
        assert np.linalg.eigvalsh(layer.operator(theta.astype(np.float64)).to_dense())[0] > 0
    assert int(step.halvings) > 0


def test_momentum_at_the_border_with_a_vanished_gradient_ends():
    """Where the loss is flat and the optimizer still presses outwards, the step is given up, not tried for ever."""
    layer = small()
    step = Step(layer, Pull(), "sgd")
    before = step.phi.numpy()
    tf.function(step._limit)(tf.constant(before), tf.constant([-100.0, 0, 0]), tf.zeros(3), tf.constant(1e6))
    assert np.isfinite(layer.theta).all() and layer.operator().positive_definite()


@pytest.mark.usefixtures("eager")
def test_a_step_of_no_length_stays_and_factorises_nothing(monkeypatch):
    step = Step(small(weights="per_edge"), Pull(), "adam")
    before = step.theta.numpy()
    monkeypatch.setattr(LinearOperatorLattice, "positive_definite", None)
    np.testing.assert_array_equal(walk(step, 2, reach=0.0), [before, before])
    assert np.linalg.norm(step.gradient) > 0


class Lopsided:
    """A loss that pulls at its own unknown; times NaN or infinity it has no finite gradient."""

    def __init__(self, scale=1.0):
        self.scale, self.unknown = scale, tf.Variable(5.0)
        self.trainable_variables = (self.unknown,)

    def loss(self, model, x, seed):
        return self.scale * (tf.reduce_sum(model.precision.theta.value**2) + 1e3 * self.unknown)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_constant_moves_by_no_more_than_the_reach(optimizer):
    for reach in (0.0, 0.01):
        step = Step(small(), Lopsided(), optimizer)
        start = step.theta.numpy()
        walk(step, reach=reach, rate=100.0)
        along = tf.tensordot(step._mean, step.theta - start, 1)
        assert float(5 + along - step.extra[0]) == pytest.approx(reach, abs=1e-4)
        assert step.spread() == pytest.approx(reach, rel=1e-4)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("scale", [np.nan, np.inf])
def test_nothing_moves_where_a_gradient_is_not_finite(scale):
    step = Step(small(), Lopsided(scale), "adam")
    start = step.theta.numpy()
    np.testing.assert_array_equal(walk(step, rate=100.0), [start])
    assert float(step.extra[0]) == 5 and step.spread() == 0


def test_a_move_that_overflows_is_none():
    step = Step(small(), Pull(5.0), keras.optimizers.SGD(3e38))
    start = step.theta.numpy()
    np.testing.assert_array_equal(walk(step), [start])


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("weights", ["shared", "per_edge"])
def test_gradient_descent_in_whitened_coordinates(weights):
    """SGD, which knows no axes, moves θ by −rate·GᵀG∇J, and ‖φ‖ is the length of G⁻ᵀ(θ − θ₀)."""
    layer = small(8, weights, (3, 4))
    start = layer.theta.numpy().astype(np.float64)
    root = whitening_matrix(layer)[1]
    step = Step(layer, Pull(), "sgd")
    moved = walk(step, rate=0.001)[0] - start
    phi = -0.001 * root.product(2 * start)
    np.testing.assert_allclose(moved, root.transposed_product(phi), rtol=1e-3, atol=1e-6)
    assert step.spread() == pytest.approx(np.linalg.norm(phi), rel=1e-3)


@pytest.mark.usefixtures("eager")
def test_the_constant_moves_with_the_weights_as_log_z_does():
    """c = c₀ + E[s]·(θ − θ₀) + φ_c: the tangent of log Z, so that the classifier starts without an offset."""
    layer = small(4, "per_edge", (5, 4))
    step = Step(layer, TelescopedNCE(MovingNoise(layer, 0.0)), "sgd")
    x = LatticeGaussian(layer).sample(40_000, seed=1)
    s = -0.5 * layer.quadratic_moments(x).numpy()
    start = layer.theta.numpy()
    lengths = (tf.constant([0.01]), tf.constant([0.5]))
    moved = step.run(x[None, :10], tf.constant([[0, 0]]), *lengths, tf.constant(1))[1][0].numpy() - start
    slope = s @ moved
    error = slope.std() / 200
    assert np.linalg.norm(moved) > 0
    assert abs(float(step.extra[0]) - float(step._extra_phi[0]) - slope.mean()) < 4.5 * error


def test_steps_together_are_the_same_steps_and_are_traced_once():
    x = np.random.default_rng(0).standard_normal((5, 32, 4, 4)).astype(np.float32)
    seeds, reaches, rates = np.array([[3, k] for k in range(5)]), np.linspace(0.5, 0.1, 5), np.full(5, 0.2)
    one, other = (Step(small(4, "per_edge"), NCE(DiagonalNoise(np.ones((4, 4)))), "adam") for _ in range(2))

    def made(step, steps, count):
        given = (x[steps], seeds[steps], reaches[steps].astype(np.float32), rates[steps].astype(np.float32))
        return [part.numpy() for part in step.run(*map(tf.constant, given), tf.constant(count))]

    first, second = made(one, [0, 1, 2, 3, 4], 3), made(one, [3, 4, 0, 1, 2], 2)
    alone = [made(other, [k], 1) for k in range(5)]
    for found, more, expected in zip(first, second, zip(*alone, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate([found, more]), np.concatenate(expected))
    assert len(set(first[0]) | set(second[0])) == 5
    assert one.run.experimental_get_tracing_count() == 1


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_the_weights():
    layer = StencilPrecision().match_variances(X)
    before = layer.theta.numpy()
    with pytest.raises(ArithmeticError, match="no longer finite"):
        fit(layer, Hopeless(), X)
    np.testing.assert_array_equal(layer.theta, before)


def test_the_same_seed_repeats_exactly_and_another_does_not():
    fitted = []
    for seed in (0, 0, 1):
        layer = small()
        noise = LatticeGaussian(small().operator())
        fit(layer, NCE(noise), X, epochs=2, batch_size=16, seed=seed)
        fitted.append(layer.theta.numpy())
    np.testing.assert_array_equal(fitted[0], fitted[1])
    assert np.any(fitted[0] != fitted[2])


@pytest.mark.parametrize("start", [1.001, 1e6])
def test_an_optimizer_instance_is_used_as_it_is_and_a_hopeless_start_is_replaced(start):
    layer, optimizer = StencilPrecision().match_variances(X), keras.optimizers.SGD(0.0)
    matched = layer.theta.numpy()
    layer.assign_theta(start * matched)
    fit(layer, Pull(), X, optimizer, epochs=1)
    np.testing.assert_allclose(layer.theta, matched * (start if 1 <= start < 2 else 1), rtol=1e-6)
    assert float(optimizer.learning_rate) == 0 and int(optimizer.iterations) == 1


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_step_that_forgets_starts_anew(optimizer):
    """The optimizer forgets its gradients and its count of steps, and takes the rate of a new one."""
    layer = small()
    start, moves = layer.theta.numpy(), []
    for forgets in (False, True):
        layer.assign_theta(start)
        step = Step(layer, Pull(), optimizer)
        if forgets:
            walk(step, 3, reach=0.4)
            step.forget()
            layer.assign_theta(start)
            step.centre()
        moves.append(walk(step, reach=0.04, rate=0.02)[0] - start)
    np.testing.assert_allclose(*moves, rtol=1e-6)
    assert np.linalg.norm(moves[0]) > 1e-3


def test_a_mean_is_a_part_of_the_model():
    """Images around a constant mean are fitted like those around zero, and judged so."""
    images = LatticeGaussian(small()).sample(500, seed=1).numpy()
    results = [
        fit(LatticeGaussian(small(), mean=mean), MaximumLikelihood(), x, epochs=1, batch_size=100)
        for mean, x in ((None, images), (np.full((4, 4), 3.0, np.float32), images + 3))
    ]
    np.testing.assert_allclose(results[1].model.precision.theta, results[0].model.precision.theta, rtol=1e-3)
    assert results[1].suboptimality == pytest.approx(results[0].suboptimality, rel=0.05)
    assert float(results[1].model.mean()[0, 0]) == 3


def test_snapshots_are_the_weights_of_their_steps(monkeypatch):
    monkeypatch.setattr(fixed_nce, "SNAPSHOTS", 4)
    layer = small()
    start = layer.theta.numpy()
    said = []
    result = fit(layer, MaximumLikelihood(), X, epochs=3, batch_size=8, progress=lambda *said_: said.append(said_))
    steps, theta = result.history["snapshot_step"], result.history["snapshot_theta"]
    assert steps[0] == 1 and steps[-1] == 24 == len(result.history["loss"]) and 4 <= len(steps) <= 6
    np.testing.assert_array_equal(theta[-1], layer.theta)
    assert theta.shape == (len(steps), 3) and np.any(theta[0] != start) and np.all(np.any(np.diff(theta, axis=0), 1))
    assert said[-1][:2] == (24, 24) and "loss" in said[-1][2]
