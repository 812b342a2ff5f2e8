"""Bad input, through Python and on the command line: what is wrong is named, with what was given and how to mend it."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow_probability as tfp
from small_parts import ROOT

from assignment import (
    NCE,
    ConditionalNCE,
    LatticeGaussian,
    MaximumLikelihood,
    ScoreMatching,
    StencilPrecision,
    TelescopedNCE,
    fit,
    fit_conditional_nce,
    fit_nce,
    fit_score_matching,
    fit_telescoped_nce,
)
from assignment.fits.bridges import bridge, log_partition_from_diagonal
from assignment.fits.conditional_nce import scan_epsilon
from assignment.objectives.conditional_nce import isotropic_noise
from assignment.objectives.nce import DiagonalNoise, diagonal_noise, noise_ratio_from
from assignment.objectives.telescoped_nce import MovingNoise

NAN, INF, SEED = float("nan"), float("inf"), (0, 1)
X = np.random.default_rng(0).standard_normal((40, 5, 4)).astype(np.float32)
EIGHT_BIT = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
SCALAR = tfp.distributions.Normal(0.0, 1.0)
DOUBLE = tfp.distributions.Independent(tfp.distributions.Normal(np.zeros([5, 4]), 1.0), 2)
COUPLED, INDEFINITE = [2.0, -0.5, -0.5], [1.0, 5.0, 5.0]


def layer(weights="shared", dtype="float32", theta=None):
    """The identity on 5 × 4 pixels, or another Λ(θ)."""
    built = StencilPrecision(4, weights, dtype=dtype)
    built.build((None, 5, 4))
    if theta is not None:
        built.assign_theta(theta)
    return built


def column():
    built = StencilPrecision(4, "shared")
    built.build((None, 5, 1))
    return built


def gaussian():
    return LatticeGaussian(layer())


def noise(height=5, width=4):
    return isotropic_noise(height, width)


class Loss:
    """An objective of the user's own."""

    trainable_variables = ()

    def __init__(self, value):
        self.value = value

    def loss(self, model, x, seed):
        return self.value(model, x)


def loss(objective, x=X):
    return objective.loss(layer(), x, SEED)


# What raises a ValueError, and words of its message.
VALUES = {
    # The layer.
    "six neighbours": (lambda: StencilPrecision(6), "connectivity must be one of 4, 8, not 6"),
    "mistyped weights": (lambda: StencilPrecision(4, "per-edge"), "'per-edge'; did you mean 'per_edge'?"),
    "unknown height": (lambda: StencilPrecision().build((None, None, 4)), "not (None, None, 4)"),
    "negative height": (lambda: StencilPrecision().build((-5, 4)), "input_shape must be"),
    "unbuilt, used": (lambda: StencilPrecision().to_dense(), "must be built first"),
    "Λx of another size": (lambda: layer()(X[:, :4]), "x must be images [..., 5, 4], not of shape (40, 4"),
    "xᵀΛx of another size": (lambda: layer().quadratic_form(X[:, :4]), "x must be images [..., 5, 4]"),
    "indefinite Λ": (lambda: layer().assign(1.0, [2.0, 2.0]), "Λ must be positive definite"),
    "infinite coupling": (lambda: layer().assign(1.0, [INF, 0.0]), "couplings must be finite"),
    "ragged couplings": (lambda: layer().assign(1.0, [[1.0], 0.0]), "couplings must be an array of shape"),
    "two weights": (lambda: layer().assign_theta([1.0, 0.0]), "theta must have shape (3,), not (2,)"),
    "NaN weight": (lambda: layer().assign_theta([1.0, NAN, 0.0]), "theta must be finite"),
    "weight beyond float32": (lambda: layer().assign_theta([1e300, 0.0, 0.0]), "infinite in float32"),
    "zero Λ": (lambda: layer().assign_theta([0.0, 0.0, 0.0]), "Λ must be positive definite"),
    # The distribution.
    "unbuilt precision": (lambda: LatticeGaussian(StencilPrecision()), "precision must be built first"),
    "mean of another size": (lambda: LatticeGaussian(layer(), mean=np.zeros((4, 4))), "mean must be image"),
    "NaN mean": (lambda: LatticeGaussian(layer(), mean=X[0] * NAN), "mean must be finite"),
    "density of another size": (lambda: gaussian().log_prob(X[:, :4]), "x must be images [..., 5, 4]"),
    "density of text": (lambda: gaussian().log_prob("a digit"), "not of shape ()"),
    # NCE.
    "η = 1": (lambda: noise_ratio_from(1), "eta, the probability of drawing data, must be"),
    "η NaN": (lambda: noise_ratio_from(NAN), "not nan"),
    "ν < 0": (lambda: NCE(noise(), -1), "noise_ratio must be a positive number, not -1"),
    "ν for no noise image": (lambda: loss(NCE(noise(), 1e-9)), "1e-09 means 4e-08 noise"),
    "ν beyond memory": (lambda: loss(NCE(noise(), 1e12)), "too many"),
    "NaN constant": (lambda: NCE(noise(), 1.0, NAN), "log_partition must be finite, not nan"),
    "noise of another size": (lambda: loss(NCE(noise(4, 4))), "noise must be on images"),
    "noise on numbers": (lambda: loss(NCE(SCALAR)), "noise must be on images of shape (5, 4), not ()"),
    "NCE of another size": (lambda: loss(NCE(noise()), X[:, :4]), "x must be images"),
    "NCE with one seed": (lambda: NCE(noise()).loss(layer(), X, 3), "seed must be a pair of integers, not"),
    "noise of zero variance": (lambda: diagonal_noise(0 * X), "images must vary"),
    "mistyped noise": (lambda: diagonal_noise(X, "isotropc"), "did you mean 'isotropic'?"),
    "noise scaled by 0": (lambda: diagonal_noise(X, scale=0), "scale must be a positive number, not 0"),
    "noise without end": (lambda: DiagonalNoise([[INF, 1.0]]), "variances must be finite"),
    "ν for no noise image, fitted": (lambda: fit_nce(layer(), X, noise_ratio=1e-9), "too few"),
    # Conditional NCE.
    "ε = 0": (lambda: ConditionalNCE(noise(), 0.0), "epsilon must be a positive number, not 0"),
    "odd κ": (lambda: ConditionalNCE(noise(), noise_ratio=3), "noise_ratio must be an even number"),
    "displacements of another size": (
        lambda: loss(ConditionalNCE(noise(4, 4))),
        "displacement must be images [..., 5, 4], not of shape (128, 4, 4)",
    ),
    "mistyped variant": (lambda: fit_conditional_nce(layer(), X, variant="matchd"), "did you mean 'matched'?"),
    "zero steps": (lambda: fit_conditional_nce(layer(), X, steps=0), "steps must be at least 4, not 0"),
    "held out of another size": (lambda: scan_epsilon(layer(), X, X[:, :4]), "test_images must be images"),
    # Score matching.
    "M of another size": (lambda: loss(ScoreMatching(noise(4, 4))), "preconditioner must be on images of (5, 4), not"),
    "mistyped M": (lambda: fit_score_matching(layer(), X, variant="plian"), "did you mean 'plain'?"),
    # Maximum likelihood.
    "likelihood of another size": (lambda: loss(MaximumLikelihood(), X[:, :4]), "x must be images"),
    # Telescoped NCE.
    "start with couplings": (lambda: fit_telescoped_nce(layer(theta=COUPLED), X), "starts from a diagonal Λ"),
    "telescoped ν NaN": (lambda: fit_telescoped_nce(layer(), X, noise_ratio=NAN), "noise_ratio must be a positive"),
    "zero passes": (lambda: fit_telescoped_nce(layer(), X, passes=0), "passes must be at least 1, not 0"),
    "passes without end": (lambda: fit_telescoped_nce(layer(), X, passes=10**6), "passes must be fewer: 1000000 of"),
    "bridge to another size": (lambda: bridge(layer(), COUPLED, [1.0, 0.0], SEED), "upper must have shape"),
    "bridge from indefinite": (lambda: bridge(layer(), INDEFINITE, COUPLED, SEED), "must be positive defi"),
    "bridges from seed −1": (lambda: log_partition_from_diagonal(layer(), -1), "seed must be at least 0, not -1"),
    # What is trained, of whichever fit, and `fit` itself.
    "a weight for no edge": (lambda: fit_nce(column(), X[:, :, :1]), "pixels have none of the direction (down, right)"),
    "zero epochs": (lambda: fit(layer(), NCE(noise()), X, epochs=0), "epochs must be at least 1, not 0"),
    "noise that does not fit": (lambda: fit(layer(), NCE(noise(4, 4)), X), "noise must be on images"),
    "noise in double precision": (lambda: fit(layer(), NCE(DOUBLE), X), "noise must be float32, as the images are"),
    "a loss for each image": (lambda: fit(layer(), Loss(lambda m, x: m.log_prob(x)), X), "must return a scalar tensor"),
    "a loss of nothing": (lambda: fit(layer(), Loss(lambda m, x: 1.0), X), "that depends on the model's weights"),
}
# A TypeError.
TYPES = {
    "integer layer": (lambda: layer(dtype="int32"), "dtype must be float32 or float64, not int32"),
    "half precision": (lambda: layer(dtype="float16"), "dtype must be float32 or float64, not float16"),
    "xᵀΛx of 8-bit pixels": (lambda: layer().quadratic_moments(EIGHT_BIT), "not uint8"),
    "xᵀΛx of a list": (lambda: layer().quadratic_form(X.tolist()), "x must hold floating-point numbers, not a list"),
    "diagonal as text": (lambda: layer().assign("one", [0.0, 0.0]), "diagonal must hold real numbers"),
    "complex coupling": (lambda: layer().assign(1.0, [1j, 0.0]), "couplings must hold real numbers, not co"),
    "dense precision": (lambda: LatticeGaussian(np.eye(20)), "not a ndarray"),
    "complex mean": (lambda: LatticeGaussian(layer(), mean=1j * X[0]), "mean must hold real numbers"),
    "ν as text": (lambda: NCE(noise(), "1"), "noise_ratio must be a number, not '1'"),
    "NCE of no model": (lambda: NCE(noise()).loss("model", X, SEED), "model must be a LatticeGaussian or"),
    "noise of no kind": (lambda: fit_nce(layer(), X, noise="white"), "noise must be a distribution on images"),
    "fractional κ": (lambda: ConditionalNCE(noise(), noise_ratio=2.5), "noise_ratio must be an integer"),
    "noise with a mean": (lambda: ConditionalNCE(LatticeGaussian(layer(), X[0])), "without a mean"),
    "M in full": (lambda: ScoreMatching(np.eye(20)), "preconditioner must be a LatticeGaussian, not a ndarr"),
    "noise that cannot move": (lambda: TelescopedNCE(noise()), "noise must be a MovingNoise, not a Lattice"),
    "telescoped of no layer": (
        lambda: TelescopedNCE(MovingNoise(layer(), 0.0)).loss(LatticeGaussian(layer().operator()), X, SEED),
        "model must hold a StencilPrecision, not a LinearOperatorLattice",
    ),
    "half an epoch": (lambda: fit(layer(), NCE(noise()), X, epochs=0.5), "epochs must be an integer, not 0"),
    "a name for a model": (lambda: fit("lattice", NCE(noise()), X), "model must be a LatticeGaussian or"),
    "model without weights": (
        lambda: fit(LatticeGaussian(layer().operator()), NCE(noise()), X),
        "layer must be a StencilPrecision to be trained, not a LinearOperatorLattice",
    ),
    "a name for an objective": (lambda: fit(layer(), "nce", X), "objective must be an object with loss"),
    "a class for an objective": (lambda: fit(layer(), MaximumLikelihood, X), "objective must be an object"),
}
# An ArithmeticError.
FAILURES = {
    "bridge too far": (lambda: bridge(layer(), [1, 0, 0], [1e-6, 0, 0], SEED), "of spread, more than"),
    "bridge without overlap": (lambda: bridge(layer(), [1e-6, 0, 0], [1, 0, 0], SEED), "draws is of the"),
}
ROWS = {
    what: (error, *row)
    for error, rows in ((ValueError, VALUES), (TypeError, TYPES), (ArithmeticError, FAILURES))
    for what, row in rows.items()
}


@pytest.mark.parametrize(("error", "call", "words"), ROWS.values(), ids=ROWS)
def test_python_names_the_argument_and_what_was_given(error, call, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
    assert "in user code" not in str(caught.value)  # TensorFlow's frame around what is raised while it traces


# What is typed after `python -m assignment`, and words of the one line of complaint. These need no TensorFlow.
USAGE = {
    "": "the following arguments are required: PART",
    "nec": "must be one of nce, cnce, sm, ml, second, bonus8, report, bench, data, not 'nec'; did you mean 'nce'?",
    "NCE": "not 'NCE'; did you mean 'nce'?",
    "estimate": "not 'estimate' (",
    "nce --optimiser=adam": "did you mean '--optimizer'?",
    "ml --fresh": "unknown argument '--fresh'",
    "cnce --weights": "--weights: expected one argument",
    "sm --connectivity four": "--connectivity: invalid int value: 'four'",
    "ml --optimizer adma": "--optimizer: must be one of sgd, rmsprop, adam, not 'adma'; did you mean 'adam'?",
    "nce --noise telescope": "did you mean 'telescoped'?",
    "nce --noise-variance isotropc": "did you mean 'isotropic'?",
    "nce --no both": "ambiguous option: --no could match --noise, --noise-variance, --noise-scale",
    "nce --eta nan": "--eta: must be a probability strictly between 0 and 1, not nan",
    "nce --epochs 0": "--epochs: must be a whole number above 0, not 0",
    "nce --epochs 1e3": "--epochs: must be a whole number above 0, not 1e3",
    "nce --noise-scale -2": "--noise-scale: must be a number above 0, not -2",
    "nce --seed 1.5": "--seed: must be a whole number from 0 to 2147483647, not 1.5",
    "cnce --seed 2147483648": "--seed: must be a whole number from 0 to 2147483647, not 2147483648",
    "nce --connectivity 6": "must be one of 4, 8, not 6",
    "nce --patch 20": "such as 20x24",
    "second --coin-seed heads": "--coin-seed: must be a whole number from 0 to 2147483647, not heads",
}


@pytest.mark.parametrize(("arguments", "words"), USAGE.items(), ids=USAGE)
def test_bad_usage_is_two_and_one_line(arguments, words, run_here):
    status, printed, (line,) = run_here(*arguments.split())
    assert (status, printed) == (2, "") and line.startswith("assignment: ") and words in line


def test_bad_usage_does_not_wait_for_tensorflow():
    code = f"""
import sys
from assignment.command_line import main
for arguments in {list(USAGE)}:
    try:
        main(arguments.split())
    except SystemExit:
        pass
assert "tensorflow" not in sys.modules and "numpy" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


# The same for what is found only after the start; FOLDER is empty, FILE is a file.
INPUT = {
    "data --dataset mnsit": "unknown data set 'mnsit'; did you mean 'mnist'?",
    "data --dataset mnist_sample --idx-dir FOLDER": "lacks the train images: an IDX file with a name such as train-im",
    "ml --idx-dir FOLDER/nowhere --output FOLDER": "nowhere does not exist",
    "ml --output FILE": "FILE: File exists; choose another --output",
    "ml --dataset mnist_sample --output /sys/reports": "choose another --output",  # not even root may write there
    "nce --dataset mnist_sample --noise fixed --output FOLDER --eta 0.999999999": "noise_ratio must suit",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --eta 1e-9": "too many",
    "nce --dataset mnist_sample --noise telescoped --output FOLDER --eta 1e-9": "too many",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --noise-scale 1e99": "variances must be finite",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --noise-scale 1e-99": "variances must be positive",
}


@pytest.mark.parametrize(("arguments", "words"), INPUT.items(), ids=INPUT)
def test_bad_input_is_two_and_ends_in_one_line(arguments, words, run_here, tmp_path):
    folder, file = tmp_path / "folder", tmp_path / "FILE"
    folder.mkdir()
    file.touch()
    arguments = arguments.replace("FOLDER", str(folder)).replace("FILE", str(file))
    status, _, (*data, line) = run_here(*arguments.split())
    assert status == 2 and line.startswith("assignment: ") and words in line
    assert all(word.startswith(("mnist_sample: ", "writing the preprocessed images ")) for word in data)
