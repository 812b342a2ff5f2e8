"""Exact maximum likelihood against a published solution, against what makes a maximum, and what it says of bad data."""

import numpy as np
import pytest
from conftest import random_layer
from second_cases import covariance, fisher_information, gradient

from assignment import LatticeGaussian, MaximumLikelihood, StencilPrecision, fit_maximum_likelihood
from assignment.fits import maximum_likelihood
from assignment.fits.maximum_likelihood import maximise, newton_step, suboptimality
from assignment.fits.result import CLOSE_ENOUGH, status
from assignment.lattice.information import data_moments, double, expected_moments, mean_log_likelihood


def test_the_four_cycle():
    """Σ₀₂, Σ₁₃ and log det Λ of the maximum likelihood on the cycle 0-1-2-3 (a 2 × 2 lattice)."""
    second = np.array([[10, 1, 5, 4], [1, 10, 2, 6], [5, 2, 10, 3], [4, 6, 3, 10.0]])
    order = [0, 1, 3, 2]  # row-by-row pixels of the cycle's corners
    # Four images that have exactly these second moments.
    images = 2 * np.linalg.cholesky(second[np.ix_(order, order)]).T.reshape(4, 2, 2)
    layer = StencilPrecision(4, "per_edge", dtype="float64").match_variances(images)
    fit_maximum_likelihood(layer, images)
    result = fit_maximum_likelihood(layer, images)  # One step of Newton's from there: to the last digit.
    sigma = covariance(layer)
    np.testing.assert_allclose([sigma[0, 3], sigma[1, 2]], [1.3142, 0.8705], atol=5e-5)
    np.testing.assert_allclose(layer.operator().log_determinant(), -8.894907, atol=5e-7)
    assert result.status == "converged" and 0 <= result.suboptimality < 1e-9
    assert result.log_partition is None and result.standard_error is None
    exact = 2 * np.log(2 * np.pi) + 8.894907 / 2
    assert float(result.model.log_partition()) == pytest.approx(exact, abs=1e-6)


def test_the_maximum_matches_the_data_moments_from_another_start(layer):
    moments = expected_moments(layer)
    other = random_layer(layer.connectivity, layer.weighting, 5, 4, seed=8)
    before = other.theta.numpy()
    theta, likelihoods = maximise(other, moments, double(other))
    assert np.all(np.diff(likelihoods) > 0)
    np.testing.assert_allclose(theta, layer.theta, rtol=1e-5)  # What is left is at most 1e-5 nats squared.
    assert other.operator(theta).positive_definite()
    np.testing.assert_array_equal(other.theta, before)
    assert suboptimality(other, moments) == pytest.approx(likelihoods[-1] - likelihoods[0], rel=1e-6)


@pytest.mark.parametrize("left", [1e-6, 1e-3, 0.029, 0.09])
def test_a_small_gap_is_the_exact_one(layer, left):
    """Also just below QUADRATIC, where half the Newton decrement is several percent off."""
    best, moments = layer.theta.numpy(), expected_moments(layer)
    direction = np.random.default_rng(3).standard_normal(best.shape) * np.sqrt(np.abs(best))
    most = mean_log_likelihood(layer, moments)

    def gap(length):
        return most - mean_log_likelihood(layer, moments, best + length * direction)

    length, beyond = 0.0, 1.0
    for _ in range(20):
        middle = (length + beyond) / 2
        inside = gap(middle) < left  # NaN where that is not positive definite
        length, beyond = (middle, beyond) if inside else (length, middle)
    layer.theta.assign(best + length * direction)
    assert suboptimality(layer, moments) == pytest.approx(gap(length), rel=0.05)


def test_a_gap_that_cannot_be_computed_is_never_called_none(layer, monkeypatch):
    moments, exact = expected_moments(layer), maximum_likelihood.mean_log_likelihood
    layer.theta.assign(1.001 * layer.theta)
    promised = newton_step(layer, moments)[1]

    def undefined(*arguments):
        return exact(*arguments) if len(arguments) == 2 else np.nan

    monkeypatch.setattr(maximum_likelihood, "mean_log_likelihood", undefined)
    assert suboptimality(layer, moments) == promised > 0


def test_newtons_step_and_its_promise_are_those_of_the_dense_information(layer):
    """F⁻¹δ and ½δᵀF⁻¹δ, with δ = E_data[s] − E_θ[s], close to the maximum; that promise is what is left."""
    moments = expected_moments(layer)
    near = random_layer(layer.connectivity, layer.weighting, 5, 4)
    near.theta.assign(layer.theta.numpy() * (1 + 1e-4 * np.random.default_rng(0).standard_normal(layer.theta.shape)))
    delta = 0.5 * (expected_moments(near) - moments)
    expected = np.linalg.solve(fisher_information(near), delta)
    step, promise = newton_step(near, moments)
    left = mean_log_likelihood(layer, moments) - mean_log_likelihood(near, moments)
    assert promise == pytest.approx(0.5 * delta @ expected, rel=1e-3) == pytest.approx(left, rel=1e-2)
    assert (step - expected) @ fisher_information(near) @ (step - expected) < 1e-3 * promise


def test_likelihood_from_moments_is_that_from_images(layer):
    x = LatticeGaussian(layer).sample(50, seed=1)
    moments = data_moments(layer, [x.numpy()[:20], x.numpy()[20:]])
    np.testing.assert_allclose(moments, np.mean(layer.quadratic_moments(x), axis=0), rtol=1e-12)
    loss, slope = gradient(MaximumLikelihood(), layer, x)
    np.testing.assert_allclose(mean_log_likelihood(layer, moments), -loss, rtol=1e-12)
    np.testing.assert_allclose(slope, 0.5 * (moments - expected_moments(layer)), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("per_image", "words"), [(0.999, "converged"), (1.001, "not converged: {:.3g} nats")])
@pytest.mark.parametrize("images", [10, 10_000])
def test_converged_is_said_only_within_the_stated_bound(per_image, words, images):
    """Twice what the sampling of the images costs, P/2N, or a hundredth of a nat."""
    layer = random_layer(4, "per_edge", 5, 4)
    left = per_image * max(CLOSE_ENOUGH, layer.theta.shape[0] / images)
    assert status(layer, images, left, "maximum likelihood").startswith(words.format(left))


X = np.random.default_rng(0).standard_normal((40, 5, 4)).astype(np.float32)


def changed(pixel, values):
    images = X.copy()
    images[:, *pixel] = values
    return images


# Images without a maximum of the likelihood, and words of the error that names the cause.
WITHOUT = {
    "a dark pixel": (changed((2, 1), 0), "the pixels of 1 of 20 diagonal weights are zero in every image"),
    "a pixel equal to its neighbour": (changed((2, 1), X[:, 2, 2]), "(2, 1) and (2, 2) (row, column) are equal or op"),
    "a pixel opposite to its neighbour": (changed((2, 1), -X[:, 3, 1]), "(2, 1) and (3, 1) (row, column) are equal"),
    "one image": (X[:1], "images must be at least 2, as many as there are pixels that are all neighbours, not 1"),
    "two constant neighbours": (np.where(np.arange(20).reshape(5, 4) < 2, 1, X), "(0, 0) and (0, 1)"),
}


@pytest.mark.parametrize(("images", "words"), WITHOUT.values(), ids=WITHOUT)
def test_data_without_a_maximum_is_an_error_that_names_the_cause(images, words):
    layer = StencilPrecision(4, "per_edge")
    layer.build(images.shape)
    with pytest.raises((ValueError, RuntimeError)) as caught:
        fit_maximum_likelihood(layer, images)
    assert words in str(caught.value)


def test_fewer_images_than_pixels_that_are_all_neighbours_are_an_error_that_says_so():
    layer = StencilPrecision(8, "per_edge").match_variances(X[:3])
    with pytest.raises(ValueError, match="images must be at least 4, .* not 3: no finite precision"):
        fit_maximum_likelihood(layer, X[:3])


def test_a_constant_pixel_has_a_maximum_about_zero():
    """Means are subtracted before: what is constant and not zero has a variance about zero."""
    images = changed((2, 1), 0.5)
    layer = StencilPrecision(4, "per_edge").match_variances(images)
    assert fit_maximum_likelihood(layer, images).status == "converged"
    assert float(LatticeGaussian(layer).variance()[2, 1]) == pytest.approx(0.25, rel=1e-4)


def test_a_maximum_that_float32_cannot_hold_is_an_error(monkeypatch):
    images = X[:20, :3, :3]
    layer = StencilPrecision().match_variances(images)
    start, singular = layer.theta.numpy(), np.array([1.0, -0.5, -0.5])
    monkeypatch.setattr(maximum_likelihood, "maximise", lambda *_: (singular, [0.0]))
    with pytest.raises(RuntimeError, match="singular in float32: too few images, or pixels"):
        fit_maximum_likelihood(layer, images)
    np.testing.assert_array_equal(layer.theta, start)


@pytest.mark.parametrize(
    ("weights", "images"),
    [
        ("shared", X[:3, :1, :1] * np.ones((1, 2, 2), np.float32)),  # All pixels are equal in every image.
        ("per_edge", X[:2, :3, :3]),  # Two images are enough for each edge, but not for all of them together.
    ],
)
def test_a_likelihood_that_grows_without_end_is_an_error(weights, images, monkeypatch):
    monkeypatch.setattr(maximum_likelihood, "MOST_STEPS", 20)
    layer = StencilPrecision(4, weights).match_variances(images)
    with pytest.raises(RuntimeError, match="too few images, or pixels that depend on each other"):
        fit_maximum_likelihood(layer, images)
