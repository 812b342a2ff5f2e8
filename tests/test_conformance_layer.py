"""Keras' own checks of a layer, and the layer inside a functional model."""

import keras
import numpy as np
import pytest
from conftest import random_layer
from keras.src.testing import TestCase

from assignment.lattice.gaussian import LatticeGaussian
from assignment.lattice.precision import StencilPrecision

H, W = 5, 4
KINDS_AND_DTYPES = pytest.mark.parametrize(
    ("connectivity", "weights", "dtype"),
    [(4, "shared", "float32"), (4, "per_edge", "float64"), (8, "shared", "float64"), (8, "per_edge", "float32")],
)


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")  # By Keras, of its own generator.
@KINDS_AND_DTYPES
def test_keras_checks_of_a_layer(connectivity, weights, dtype):
    shape = (2, H, W) if dtype == "float32" else (2, 5, 1, W)
    TestCase().run_layer_test(
        StencilPrecision,
        init_kwargs=dict(connectivity=connectivity, weights=weights, dtype=dtype),
        input_shape=shape,
        input_dtype=dtype,
        expected_output_shape=shape,
        expected_output_dtype=dtype,
        expected_num_trainable_weights=1,
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=0,
        supports_masking=False,
    )


def functional(layer):
    """x ↦ −Λx, for any number of images."""
    images = keras.Input((H, W), dtype=layer.dtype)
    return keras.Model(images, keras.layers.Rescaling(-1.0, dtype=layer.dtype)(layer(images)))


@KINDS_AND_DTYPES
def test_a_functional_model(connectivity, weights, dtype, tmp_path):
    layer = random_layer(connectivity, weights, H, W, dtype=dtype)
    model = functional(layer)
    assert model.output_shape == (None, H, W) == layer.compute_output_shape((None, H, W))
    spec = layer.compute_output_spec(keras.KerasTensor((None, 7, H, W), dtype))
    assert (spec.shape, spec.dtype) == ((None, 7, H, W), dtype)
    assert [v.path for v in model.trainable_variables] == [layer.theta.path]
    x = np.random.default_rng(0).standard_normal((5, H, W)).astype(dtype)
    np.testing.assert_array_equal(model(x), -layer(x))
    np.testing.assert_allclose(model.predict(x, verbose=0, batch_size=2), -layer(x).numpy(), rtol=1e-5, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
    assert again.get_layer(layer.name).get_config() == layer.get_config()
    model.save_weights(tmp_path / "theta.weights.h5")
    fresh = functional(StencilPrecision(connectivity, weights, dtype=dtype))
    fresh.load_weights(tmp_path / "theta.weights.h5")
    np.testing.assert_array_equal(fresh(x), model(x))


def test_from_config(layer):
    layer.trainable = False
    config = layer.get_config()
    assert (config["connectivity"], config["weights"]) == (layer.connectivity, layer.weighting)
    again = StencilPrecision.from_config(config)
    assert again.get_config() == config and again.dtype == "float64" and not again.trainable
    again.build_from_config(layer.get_build_config())
    assert not again.trainable_variables and len(again.variables) == 1
    again.load_own_variables({"0": layer.theta.numpy()})
    np.testing.assert_array_equal(again.to_dense(), layer.to_dense())


def test_fit_by_keras(layer):
    """One step of model.fit, with a loss of the user's, is one step of gradient descent."""
    model, theta = functional(layer), layer.theta.numpy()
    x = np.random.default_rng(0).standard_normal((6, H, W))

    def energy(x, y):
        """½ E[xᵀΛx], whose gradient is ½ E[moments]."""
        return -0.5 * keras.ops.mean(keras.ops.sum(x * y, axis=(-2, -1)))

    model.compile(keras.optimizers.SGD(0.1), loss=energy)
    history = model.fit(x, x, batch_size=6, epochs=1, verbose=0).history
    moments = layer.quadratic_moments(x).numpy().mean(0)
    np.testing.assert_allclose(history["loss"], [0.5 * moments @ theta], rtol=1e-6)
    np.testing.assert_allclose(layer.theta, theta - 0.1 * 0.5 * moments, rtol=1e-6)  # Keras' losses are float32.


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16", "float16"])
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield
    keras.config.set_dtype_policy(before)


def test_no_policy_takes_the_precision_out_of_float32(policy):
    layer = StencilPrecision(4, "per_edge")
    layer.match_variances(np.full((2, H, W), 1e-3, np.float32))  # Λ_ii = 1e6, infinite in half precision
    x = np.ones((5, H, W), np.float32)
    assert layer.theta.dtype == layer.compute_dtype == "float32"
    for values in (layer(x), LatticeGaussian(layer).score(-x), keras.Sequential([layer])(x.astype(np.float16))):
        assert values.dtype == "float32"
        np.testing.assert_allclose(values, 1e6 * x, rtol=1e-5)
    assert layer.quadratic_form(x).dtype == LatticeGaussian(layer).log_prob(x).dtype == "float32"
    half = keras.Model(images := keras.Input((H, W)), layer(keras.layers.Rescaling(1.0)(images)))
    np.testing.assert_allclose(half(x), 1e6 * x, rtol=1e-5)
    assert StencilPrecision(dtype="float64").compute_dtype == "float64"
    assert StencilPrecision.from_config(layer.get_config()).compute_dtype == "float32"
