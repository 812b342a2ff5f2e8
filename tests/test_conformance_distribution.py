"""What TensorFlow Probability asks of a distribution, asked of LatticeGaussian."""

import copy
import functools
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from conftest import random_layer
from lattice_oracle import assert_gradient, precision_matrix, random_fields

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.operator import LinearOperatorLattice

tfd = tfp.distributions
EXACT = dict(rtol=1e-10, atol=1e-10)
H, W = 3, 2
D = H * W


def lattices(batch=(), connectivity=8, weights="per_edge", seed=0, dtype=np.float64):
    """An operator with any batch shape."""
    fields = random_fields(np.random.default_rng(seed), connectivity, weights, H, W, batch)
    return LinearOperatorLattice(*(field.astype(dtype) for field in fields), H, W)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def dense(gaussian):
    """The same law on [D], as TFP has it."""
    matrix = precision_matrix(*map(np.asarray, gaussian.operator().full_fields()), H, W)
    return tfd.MultivariateNormalFullCovariance(
        np.reshape(gaussian.mean(), (*gaussian.batch_shape, D)), np.linalg.inv(matrix)
    )


def flat(x):
    return np.reshape(x, (*np.shape(x)[:-2], D))


SHAPES = [  # of the operator's batch, of the mean's, of both.
    ((), None, ()),
    ((), (4,), (4,)),
    ((4,), None, (4,)),
    ((4,), (), (4,)),
    ((3, 1), (4,), (3, 4)),
    ((4,), (3, 1), (3, 4)),
]


def batched(operator_batch, mean_batch, kind=(8, "per_edge"), **options):
    mean = None if mean_batch is None else normal((*mean_batch, H, W), 1)
    return LatticeGaussian(lattices(operator_batch, *kind), mean, **options)


@pytest.fixture(params=SHAPES, ids=str)
def case(request):
    operator_batch, mean_batch, batch = request.param
    return batched(operator_batch, mean_batch), batch


def test_shapes_and_values_with_batches(case):
    gaussian, batch = case
    oracle = dense(gaussian)
    assert gaussian.dtype == tf.float64 and gaussian.reparameterization_type == tfd.FULLY_REPARAMETERIZED
    assert gaussian.event_shape == [H, W] and gaussian.batch_shape == batch
    np.testing.assert_array_equal(gaussian.event_shape_tensor(), [H, W])
    np.testing.assert_array_equal(gaussian.batch_shape_tensor(), batch)
    assert not gaussian.is_scalar_event() and bool(gaussian.is_scalar_batch()) == (batch == ())
    for name in ("mean", "mode", "variance", "stddev"):
        value = getattr(gaussian, name)()
        assert value.shape == (*batch, H, W), name
        np.testing.assert_allclose(flat(value), getattr(oracle, name)(), **EXACT, err_msg=name)
    for x in (normal((H, W), 2), normal((5, *batch, H, W), 2)):
        for name in ("log_prob", "prob"):
            ours, theirs = getattr(gaussian, name)(x), getattr(oracle, name)(flat(x))
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, **EXACT, err_msg=name)


@pytest.mark.parametrize("sample_shape", [(), 3, (2, 3)], ids=str)
def test_samples(case, sample_shape):
    gaussian, batch = case
    x = gaussian.sample(sample_shape, seed=(1, 2))
    assert x.shape == (*np.atleast_1d(sample_shape).astype(int), *batch, H, W) and x.dtype == tf.float64
    np.testing.assert_array_equal(x, gaussian.sample(sample_shape, seed=(1, 2)))
    assert np.all(x != gaussian.sample(sample_shape, seed=(1, 3)))
    assert gaussian.sample_by_factor(5, seed=(1, 2)).shape == (5, *batch, H, W)
    again, log_prob = gaussian.experimental_sample_and_log_prob(sample_shape, seed=(1, 2))
    np.testing.assert_array_equal(again, x)
    np.testing.assert_allclose(log_prob, gaussian.log_prob(x), **EXACT)


def test_integer_seeds_are_those_of_tensorflow():
    gaussian = batched((4,), ())
    draws = []
    for _ in range(2):
        tf.random.set_seed(7)
        draws.append(gaussian.sample(3, seed=1))
    np.testing.assert_array_equal(*draws)


def test_shapes_known_only_when_the_graph_runs():
    """Batches, the number of images and of samples may be unknown to the graph; the size of an image may not."""
    mean, x, operator = normal((4, H, W), 1), normal((5, 4, H, W), 2), lattices((3, 1))
    lattice = [tf.TensorSpec([None, None, H, W], tf.float64), tf.TensorSpec([None, None, 4, H, W], tf.float64)]
    images = [tf.TensorSpec([None, H, W], tf.float64), tf.TensorSpec([None, None, H, W], tf.float64)]

    def values(gaussian, x, sample_shape):
        sample = gaussian.sample(sample_shape, seed=(1, 2))
        moments = gaussian.mean(), gaussian.variance(), gaussian.covariance(), gaussian.entropy()
        part = gaussian[1:, 0]
        return gaussian.batch_shape_tensor(), gaussian.log_prob(x[:, None]), part.log_prob(x[:, :1]), sample, *moments

    @tf.function(input_signature=[*lattice, *images, tf.TensorSpec([None], tf.int32)])
    def graph(diagonal, couplings, mean, x, sample_shape):
        gaussian = LatticeGaussian(LinearOperatorLattice(diagonal, couplings, H, W), mean)
        assert gaussian.batch_shape.as_list() == [None, None] and gaussian.event_shape == [H, W]
        return values(gaussian, x, sample_shape)

    there = graph(operator.diagonal, operator.couplings, mean, x, [2, 3])
    here = values(LatticeGaussian(operator, mean), tf.constant(x), [2, 3])
    for one, other in zip(there, here, strict=True):
        np.testing.assert_allclose(one, other, **EXACT)


SLICES = [
    np.s_[...],
    np.s_[0],
    np.s_[-1, 2],
    np.s_[1:],
    np.s_[::-1, 1:3],
    np.s_[..., 0],
    np.s_[0, ...],
    np.s_[..., tf.newaxis],
    np.s_[:, tf.newaxis, ..., ::2],
    np.s_[tf.constant(1), 1:2],
]


@functools.cache
def whole(operator_batch, mean_batch):
    """(a distribution with the batch (3, 4), an image, and of them log p, μ and Σ)."""
    gaussian = batched(operator_batch, mean_batch, (4, "shared"), validate_args=True, name="lattice")
    x = normal((H, W), 2)
    return gaussian, x, gaussian.log_prob(x).numpy(), gaussian.mean().numpy(), gaussian.covariance().numpy()


@pytest.mark.parametrize("slices", SLICES)
@pytest.mark.parametrize(
    "batches", [((3, 4), None), ((3, 4), ()), ((3, 1), (4,)), ((4,), (3, 1)), ((), (3, 4))], ids=str
)
def test_slices(batches, slices):
    gaussian, x, log_prob, mean, covariance = whole(*batches)
    part = gaussian[slices]
    assert type(part) is LatticeGaussian and part.validate_args and part.name == gaussian.name
    assert part.batch_shape == log_prob[slices].shape
    np.testing.assert_allclose(part.log_prob(x), log_prob[slices], **EXACT)
    chosen = np.unravel_index(np.arange(12).reshape(3, 4)[slices], (3, 4))
    np.testing.assert_allclose(part.mean(), mean[chosen], **EXACT)
    np.testing.assert_allclose(part[...].covariance(), covariance[chosen], **EXACT)


def test_a_slice_shares_its_layer():
    """A layer has no batch: each part reads the same weights, also those that come later."""
    layer, x = random_layer(4, "shared", H, W), normal((H, W), 2)
    one, three = LatticeGaussian(layer), LatticeGaussian(layer, normal((3, H, W), 1))
    parts = one[tf.newaxis], three[1:]
    layer.assign_theta([5.0, -1.0, -0.5])
    for part, expected in zip(parts, ([one.log_prob(x)], three.log_prob(x)[1:]), strict=True):
        assert part.precision is layer and part.batch_shape == [len(expected)]
        np.testing.assert_allclose(part.log_prob(x), expected, **EXACT)


def test_a_slice_of_what_has_no_batch_is_refused():
    for precision in (random_layer(4, "shared", H, W), lattices()):
        for mean in (None, normal((H, W))):
            with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
                LatticeGaussian(precision, mean)[0]


def test_copy():
    gaussian = batched((4,), (), name="one")
    mean = normal((3, 1, H, W), 5)
    other = gaussian.copy(mean=mean, name="other")
    assert other.precision is gaussian.precision and other.batch_shape == [3, 4] and other.name.startswith("other")
    np.testing.assert_array_equal(other.mean()[:, 0], mean[:, 0])
    assert gaussian.copy(mean=None).location is None and gaussian.batch_shape == [4]
    np.testing.assert_array_equal(gaussian[1:].copy(mean=None).variance(), gaussian.variance()[1:])
    assert {"precision", "mean", "validate_args", "allow_nan_stats", "name"} == set(gaussian.parameters)


def test_parameter_properties_and_default_bijector():
    properties = LatticeGaussian.parameter_properties(dtype=tf.float64)
    assert set(properties) == {"precision", "mean"} and properties["mean"].event_ndims == 2
    gaussian, x = batched((4,), None), normal((5, 4, H, W), 2)
    assert gaussian._broadcast_parameters_with_batch_shape([3, 1]).batch_shape == [3, 4]
    bijector = gaussian.experimental_default_event_space_bijector()
    np.testing.assert_array_equal(bijector.forward(x), x)
    assert float(bijector.forward_log_det_jacobian(x[0, 0], event_ndims=2)) == 0


RATE = 2.0**-7  # Keras holds it in float32.
TWO = tf.constant(2.0, tf.float64)
# What TFP builds: the batch of our means, the whole made of it, and the whole's density of x, by ours.
COMPOUNDS = {
    "the distribution itself": (None, lambda ours: ours, lambda ours, x: ours.log_prob(x)),
    "a copy": (None, lambda ours: ours.copy(name="other"), lambda ours, x: ours.log_prob(x)),
    "sequential": (None, lambda ours: tfd.JointDistributionSequential([ours]), lambda ours, x: ours.log_prob(x[0])),
    "named": (None, lambda ours: tfd.JointDistributionNamed(dict(x=ours)), lambda ours, x: ours.log_prob(x["x"])),
    "named, batched": (
        None,
        lambda ours: tfd.JointDistributionNamedAutoBatched(dict(x=ours)),
        lambda ours, x: ours.log_prob(x["x"]),
    ),
    "sample": (None, lambda ours: tfd.Sample(ours, 3), lambda ours, x: np.sum(ours.log_prob(x), -1)),
    "independent": ((4,), lambda ours: tfd.Independent(ours, 1), lambda ours, x: np.sum(ours.log_prob(x), -1)),
    "transformed": (
        None,
        lambda ours: tfp.bijectors.Scale(TWO)(ours),
        lambda ours, x: ours.log_prob(x / 2) - D * np.log(2),
    ),
    "mixture": (
        (4,),
        lambda ours: tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros(4, tf.float64)), ours),
        lambda ours, x: tf.reduce_logsumexp(ours.log_prob(x[:, None]), -1) - np.log(4),
    ),
    "another batch": (
        (4,),
        lambda ours: tfd.BatchReshape(ours, [2, 2]),
        lambda ours, x: np.reshape(ours.log_prob(np.reshape(x, (5, 4, H, W))), (5, 2, 2)),
    ),
    "vectors": (
        None,
        lambda ours: tfp.bijectors.Reshape([D], [H, W])(ours),
        lambda ours, x: ours.log_prob(np.reshape(x, (5, H, W))),
    ),
    "broadcast": ((4,), lambda ours: tfd.BatchBroadcast(ours, [3, 4]), lambda ours, x: ours.log_prob(x)),
}


@pytest.mark.parametrize("kind", ["Sequential", "Named", "Coroutine", "CoroutineAutoBatched"])
def test_joint_distributions_of_an_image_and_another_around_it(kind):
    first, operator = batched((), ()), lattices(seed=3)

    def second(a):
        return LatticeGaussian(operator, a)

    def coroutine():
        image = yield tfd.JointDistributionCoroutine.Root(first)
        yield second(image)

    model = {"Sequential": [first, second], "Named": {"a": first, "b": second}}.get(kind, coroutine)
    joint = getattr(tfd, f"JointDistribution{kind}")(model)
    x = joint.sample(5, seed=1)
    a, b = tf.nest.flatten(x)
    assert a.shape == b.shape == [5, H, W] and len(np.unique(a)) == len(np.unique(b)) == 5 * D
    expected = first.log_prob(a) + LatticeGaussian(operator).log_prob(b - a)
    np.testing.assert_allclose(joint.log_prob(x), expected, **EXACT)


@pytest.mark.parametrize("compound", COMPOUNDS)
def test_what_is_built_of_it_has_its_density_and_trains_theta(compound):
    batch, build, expected = COMPOUNDS[compound]
    layer = random_layer(4, "per_edge", H, W)
    ours = LatticeGaussian(layer, None if batch is None else normal((*batch, H, W), 1))
    distribution = build(ours)
    assert [id(v) for v in distribution.variables] == [id(layer.theta.value)]
    x, theta = distribution.sample(5, seed=1), layer.theta.numpy()
    with tf.GradientTape() as tape:
        log_prob = distribution.log_prob(x)
        loss = -tf.reduce_sum(log_prob)
    np.testing.assert_allclose(log_prob, expected(ours, x), **EXACT)
    gradients = tape.gradient(loss, distribution.trainable_variables)
    keras.optimizers.SGD(RATE).apply_gradients(zip(gradients, distribution.trainable_variables, strict=True))
    np.testing.assert_allclose(layer.theta, theta - RATE * gradients[0], **EXACT)
    assert np.abs(gradients[0]).max() > 1e-3
    layer.trainable = False
    frozen = build(LatticeGaussian(layer, ours.location))
    assert not frozen.trainable_variables and np.isfinite(frozen.log_prob(x)).all()


@pytest.mark.parametrize("variable", [tf.Variable, keras.Variable])
def test_a_mean_that_is_a_variable_is_trainable_and_read_anew(variable):
    layer, mean = random_layer(4, "shared", H, W), variable(np.zeros((H, W)), dtype="float64")
    gaussian = LatticeGaussian(layer, mean)
    assert len(gaussian.trainable_variables) == 2
    x = normal((H, W), 2)
    expected = LatticeGaussian(layer, x).log_prob(x)
    mean.assign(x)
    np.testing.assert_allclose(gaussian.log_prob(x), expected, **EXACT)


def test_a_deep_copy_has_weights_of_its_own():
    layer, x = random_layer(4, "shared", H, W), normal((H, W), 2)
    gaussian = LatticeGaussian(layer)
    other, expected = copy.deepcopy(gaussian), gaussian.log_prob(x)
    other.trainable_variables[0].assign([5.0, 0.0, 0.0])
    np.testing.assert_array_equal(other.precision.to_dense(), 5 * np.eye(D))
    assert gaussian.log_prob(x) == expected != other.log_prob(x)


def test_a_checkpoint_of_a_distribution_holds_theta(tmp_path):
    gaussian = LatticeGaussian(random_layer(4, "shared", H, W))
    theta = gaussian.precision.theta.numpy()
    path = tf.train.Checkpoint(gaussian).save(tmp_path / "gaussian")
    gaussian.precision.theta.assign([5.0, 0.0, 0.0])
    tf.train.Checkpoint(gaussian).restore(path).assert_consumed()
    np.testing.assert_array_equal(gaussian.precision.theta, theta)


def test_divergences():
    a, b = batched((4,), (3, 1)), LatticeGaussian(lattices(connectivity=4, seed=3), normal((H, W), 4))
    for ours, theirs in ((a, b), (b, a)):
        expected = tfd.kl_divergence(dense(ours), dense(theirs))
        np.testing.assert_allclose(tfd.kl_divergence(ours, theirs), expected, **EXACT)
        np.testing.assert_allclose(ours.kl_divergence(theirs), expected, **EXACT)
        np.testing.assert_allclose(ours.cross_entropy(theirs), expected + ours.entropy(), **EXACT)
    np.testing.assert_allclose(tfd.kl_divergence(a, a), np.zeros((3, 4)), **EXACT)
    with pytest.raises(ValueError, match="one size"):
        tfd.kl_divergence(LatticeGaussian(random_layer(4, "shared", W, H)), b)


METHODS = ["log_prob", "sample", "sample_by_factor", "entropy", "variance"]
EIGENVALUES = {"random": None, "homogeneous": (3, -0.5), "identity": (1, 0)}  # none, some or all of them coincide
# Each method with each kind of eigenvalues, by turns for shared and per-edge weights.
GRADIENTS = [(*case, ["shared", "per_edge"][k % 2]) for k, case in enumerate(itertools.product(METHODS, EIGENVALUES))]


@pytest.mark.parametrize(("method", "eigenvalues", "weights"), GRADIENTS)
def test_gradients(method, eigenvalues, weights):
    layer = random_layer(4, weights, 2, 2)
    if EIGENVALUES[eigenvalues]:
        diagonal, coupling = EIGENVALUES[eigenvalues]
        layer.theta.assign(np.where(np.arange(layer.theta.shape[0]) < layer.group_sizes[0], diagonal, coupling))
    mean = tf.Variable(normal((2, 2)))
    gaussian = LatticeGaussian(layer, mean)
    arguments = {"log_prob": (normal((2, 2, 2)),), "entropy": (), "variance": ()}.get(method, (2, (1, 2)))
    weight = tf.constant(normal((2, 2, 2), 5))

    def value():
        result = getattr(gaussian, method)(*arguments)
        return tf.reduce_sum(result * (1 if result.shape.rank < 2 else weight))

    variables = gaussian.trainable_variables
    assert {id(v) for v in variables} == {id(layer.theta.value), id(mean)}
    with tf.GradientTape() as tape:
        result = value()
    for variable, gradient in zip(variables, tape.gradient(result, variables), strict=True):
        if variable is mean and method in ("entropy", "variance"):
            assert gradient is None
        else:
            assert_gradient(gradient, value, variable)


def test_variables_of_an_operator_are_read_anew():
    fields = [tf.Variable(field) for field in random_fields(np.random.default_rng(0), 4, "per_edge", H, W)]
    gaussian = LatticeGaussian(LinearOperatorLattice(*fields, H, W))
    assert {id(v) for v in gaussian.trainable_variables} == {id(v) for v in fields}
    x = normal((H, W))
    with tf.GradientTape() as tape:
        value = gaussian.log_prob(x)
    assert all(np.any(g) for g in tape.gradient(value, fields))
    fields[0].assign_add(np.ones((H, W)))
    np.testing.assert_allclose(gaussian.log_prob(x), dense(gaussian).log_prob(flat(x)), **EXACT)
    assert gaussian.log_prob(x) != value


def test_validate_args_refuses_an_indefinite_precision():
    indefinite = LinearOperatorLattice(np.ones((1, 1)), np.ones((2, 1, 1)), H, W)
    assert np.isnan(LatticeGaussian(indefinite).log_prob(np.ones((H, W))))
    with pytest.raises(tf.errors.InvalidArgumentError, match="positive definite"):
        LatticeGaussian(indefinite, validate_args=True)
    layer = random_layer(4, "shared", H, W)
    gaussian = LatticeGaussian(layer, validate_args=True)
    gaussian.log_prob(np.ones((H, W)))
    layer.theta.assign([1.0, 1.0, 1.0])
    for method in (lambda: gaussian.log_prob(np.ones((H, W))), gaussian.entropy, lambda: gaussian.sample(seed=(1, 2))):
        with pytest.raises(tf.errors.InvalidArgumentError, match="positive definite"):
            method()
