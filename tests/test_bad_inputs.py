"""Bad input, through Python and on the command line: what is wrong is named, with what was given and how to mend it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from assignment import (
    NCE,
    ConditionalNCE,
    LatticeGaussian,
    MaximumLikelihood,
    ScoreMatching,
    StencilPrecision,
    load_images,
)
from assignment.command_line import main
from assignment.estimators.bridges import bridge, bridge_from_diagonal
from assignment.estimators.conditional_nce import isotropic_noise
from assignment.estimators.following import fit_conditional_nce, fit_score_matching, scan_epsilon
from assignment.estimators.maximum_likelihood import fisher_scoring
from assignment.estimators.nce import noise_ratio_from
from assignment.estimators.score_matching import closed_form
from assignment.estimators.telescoping import telescope
from assignment.fit import fit
from assignment.parts.nce import diagonal_noise

ROOT = Path(__file__).parents[1]
NAN, INF, SEED = float("nan"), float("inf"), (0, 1)
X = np.random.default_rng(0).standard_normal((40, 5, 4)).astype(np.float32)
EIGHT_BIT = np.random.default_rng(0).integers(0, 256, (3, 5, 4), dtype=np.uint8)
DARK = np.where(np.arange(4) == 0, 0, X)  # its first column is zero in every image
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


def with_pixel(value):
    images = X.copy()
    images[7, 2, 1] = value
    return images


# The call, its error, and words of the message.
PYTHON = {
    # The layer.
    "six neighbours": (lambda: StencilPrecision(6), ValueError, "connectivity must be one of 4, 8, not 6"),
    "neighbours as text": (lambda: StencilPrecision("4"), ValueError, "connectivity must be one of 4, 8, not '4'"),
    "mistyped weights": (lambda: StencilPrecision(4, "per-edge"), ValueError, "'per-edge'; did you mean 'per_edge'?"),
    "integer layer": (lambda: layer(dtype="int32"), TypeError, "dtype must be a floating-point one, not int32"),
    "unknown height": (lambda: StencilPrecision().build((None, None, 4)), ValueError, "not (None, None, 4)"),
    "negative height": (lambda: StencilPrecision().build((-5, 4)), ValueError, "input_shape must be"),
    "unbuilt, used": (lambda: StencilPrecision().to_dense(), ValueError, "must be built first"),
    "Λx of another size": (lambda: layer()(X[:, :4]), ValueError, "x must be images [..., 5, 4], not of shape (40, 4"),
    "xᵀΛx of another size": (lambda: layer().quadratic_form(X[:, :4]), ValueError, "x must be images [..., 5, 4]"),
    "xᵀΛx of 8-bit pixels": (lambda: layer().quadratic_moments(EIGHT_BIT), TypeError, "not uint8"),
    "xᵀΛx of a list": (
        lambda: layer().quadratic_form(X.tolist()),
        TypeError,
        "x must hold floating-point numbers, not a list",
    ),
    "indefinite Λ": (lambda: layer().assign(1.0, [2.0, 2.0]), ValueError, "Λ must be positive definite"),
    "infinite coupling": (lambda: layer().assign(1.0, [INF, 0.0]), ValueError, "couplings must be finite"),
    "diagonal as text": (lambda: layer().assign("one", [0.0, 0.0]), TypeError, "diagonal must hold real numbers"),
    "complex coupling": (lambda: layer().assign(1.0, [1j, 0.0]), TypeError, "couplings must hold real numbers, not co"),
    "ragged couplings": (lambda: layer().assign(1.0, [[1.0], 0.0]), ValueError, "couplings must be an array of shape"),
    "two weights": (lambda: layer().assign_theta([1.0, 0.0]), ValueError, "theta must have shape (3,), not (2,)"),
    "NaN weight": (lambda: layer().assign_theta([1.0, NAN, 0.0]), ValueError, "theta must be finite"),
    "weight beyond float32": (lambda: layer().assign_theta([1e300, 0.0, 0.0]), ValueError, "infinite in float32"),
    "zero Λ": (lambda: layer().assign_theta([0.0, 0.0, 0.0]), ValueError, "Λ must be positive definite"),
    # The distribution.
    "dense precision": (lambda: LatticeGaussian(np.eye(20)), TypeError, "not a ndarray"),
    "unbuilt precision": (lambda: LatticeGaussian(StencilPrecision()), ValueError, "precision must be built first"),
    "mean of another size": (lambda: LatticeGaussian(layer(), mean=np.zeros((4, 4))), ValueError, "mean must be image"),
    "NaN mean": (lambda: LatticeGaussian(layer(), mean=X[0] * NAN), ValueError, "mean must be finite"),
    "complex mean": (lambda: LatticeGaussian(layer(), mean=1j * X[0]), TypeError, "mean must hold real numbers"),
    "density of another size": (lambda: gaussian().log_prob(X[:, :4]), ValueError, "x must be images [..., 5, 4]"),
    "density of text": (lambda: gaussian().log_prob("a digit"), ValueError, "not of shape ()"),
    # NCE.
    "η = 1": (lambda: noise_ratio_from(1), ValueError, "eta, the probability of drawing data, must be"),
    "η NaN": (lambda: noise_ratio_from(NAN), ValueError, "not nan"),
    "ν < 0": (lambda: NCE(noise(), -1), ValueError, "noise_ratio must be a positive number, not -1"),
    "ν as text": (lambda: NCE(noise(), "1"), TypeError, "noise_ratio must be a number, not '1'"),
    "ν for no noise image": (lambda: NCE(noise(), 1e-9).loss(layer(), X, SEED), ValueError, "1e-09 means 4e-08 noise"),
    "ν beyond memory": (lambda: NCE(noise(), 1e12).loss(layer(), X, SEED), ValueError, "too many"),
    "NaN constant": (lambda: NCE(noise(), 1.0, NAN), ValueError, "log_partition must be finite, not nan"),
    "noise of another size": (lambda: NCE(noise(4, 4)).loss(layer(), X, SEED), ValueError, "noise must be on images"),
    "noise on numbers": (
        lambda: NCE(tfp.distributions.Normal(0.0, 1.0)).loss(layer(), X, SEED),
        ValueError,
        "noise must be on images of shape (5, 4), not ()",
    ),
    "NCE of another size": (lambda: NCE(noise()).loss(layer(), X[:, :4], SEED), ValueError, "x must be images"),
    "NCE of no model": (lambda: NCE(noise()).loss("model", X, SEED), TypeError, "model must be a LatticeGaussian or"),
    "NCE with one seed": (lambda: NCE(noise()).loss(layer(), X, 3), ValueError, "seed must be a pair of integers, not"),
    "noise of zero variance": (lambda: diagonal_noise(np.zeros((20, 20)), (5, 4)), ValueError, "images must vary"),
    "mistyped noise": (lambda: diagonal_noise(np.eye(20), (5, 4), "isotropc"), ValueError, "did you mean 'isotropic'?"),
    # Conditional NCE.
    "ε = 0": (lambda: ConditionalNCE(noise(), 0.0), ValueError, "epsilon must be a positive number, not 0"),
    "odd κ": (lambda: ConditionalNCE(noise(), noise_ratio=3), ValueError, "noise_ratio must be an even number"),
    "fractional κ": (lambda: ConditionalNCE(noise(), noise_ratio=2.5), TypeError, "noise_ratio must be an integer"),
    "noise with a mean": (lambda: ConditionalNCE(LatticeGaussian(layer(), X[0])), TypeError, "without a mean"),
    "displacements of another size": (
        lambda: ConditionalNCE(noise(4, 4)).loss(layer(), X, SEED),
        ValueError,
        "displacement must be images [..., 5, 4], not of shape (128, 4, 4)",
    ),
    "loss to aim at": (lambda: ConditionalNCE(noise()).tune(layer(), X, SEED, 0.7), ValueError, "target must be betwe"),
    "mistyped variant": (lambda: fit_conditional_nce(layer(), X, "matchd"), ValueError, "did you mean 'matched'?"),
    "zero steps": (lambda: fit_conditional_nce(layer(), X, steps=0), ValueError, "steps must be at least 4, not 0"),
    "no minibatch": (lambda: fit_conditional_nce(layer(), X, batch_size=0), ValueError, "batch_size must be at least"),
    "negative seed": (lambda: fit_conditional_nce(layer(), X, seed=-1), ValueError, "seed must be at least 0, not -1"),
    "fit of another size": (lambda: fit_conditional_nce(layer(), X[:, :4]), ValueError, "images must be of the layer'"),
    "no ε to try": (lambda: scan_epsilon(layer(), X, X, factors=[0.0]), ValueError, "factors must be a positive numbe"),
    "held out of another size": (lambda: scan_epsilon(layer(), X, X[:, :4]), ValueError, "held_out must be images"),
    # Score matching.
    "M of another size": (lambda: ScoreMatching(np.eye(19)).loss(layer(), X), ValueError, "D = 20, not (19, 19)"),
    "M not symmetric": (lambda: ScoreMatching(np.triu(np.ones((20, 20)))), ValueError, "preconditioner must be symm"),
    "M indefinite": (lambda: ScoreMatching(-np.eye(20)), ValueError, "preconditioner must be positive definite"),
    "M with NaN": (lambda: ScoreMatching(np.full((20, 20), NAN)), ValueError, "preconditioner must be finite"),
    "mistyped M": (lambda: fit_score_matching(layer(), X, "plian"), ValueError, "did you mean 'plain'?"),
    "moments of another size": (lambda: closed_form(layer(), np.eye(19)), ValueError, "second_moments must have shape"),
    "unbuilt, trained": (lambda: fit_score_matching(StencilPrecision(), X), ValueError, "layer must be built first"),
    "constant images": (lambda: fit_score_matching(layer(), 0 * X), ValueError, "images must vary"),
    # Maximum likelihood.
    "two moments": (lambda: fisher_scoring(layer(), [1.0, 0.0]), ValueError, "moments must have shape (3,), not (2,)"),
    "zero moments": (lambda: fisher_scoring(layer(), np.zeros(3)), ValueError, "images must vary: the pixels of 1 of"),
    "zero iterations": (
        lambda: fisher_scoring(layer(), np.ones(3), max_iterations=0),
        ValueError,
        "max_iterations must be at least 1, not 0",
    ),
    # Telescoped NCE.
    "start with couplings": (lambda: telescope(layer(theta=COUPLED), X), ValueError, "starts from a diagonal Λ"),
    "dark pixels": (lambda: telescope(layer("per_edge"), DARK), ValueError, "images must vary: the pixels of 5 of 20"),
    "NaN pixel": (lambda: telescope(layer(), with_pixel(NAN)), ValueError, "images must be finite"),
    "pixel beyond float32": (lambda: telescope(layer(), 1e39 * np.ones((2, 5, 4))), ValueError, "infinite in float32"),
    "ragged images": (lambda: telescope(layer(), [[1.0], [1.0, 2.0]]), ValueError, "images must be an array [N, H, W]"),
    "complex images": (lambda: telescope(layer(), 1j * X), ValueError, "images must be floating point, not complex"),
    "no images": (lambda: telescope(layer(), X[:0]), ValueError, "images must be a non-empty array [N, H, W]"),
    "float64 layer": (lambda: telescope(layer(dtype="float64"), X), ValueError, "must be float32 to be trained, not f"),
    "telescoped ν NaN": (lambda: telescope(layer(), X, noise_ratio=NAN), ValueError, "noise_ratio must be a positive"),
    "zero passes": (lambda: telescope(layer(), X, passes=0), ValueError, "passes must be at least 1, not 0"),
    "passes without end": (lambda: telescope(layer(), X, passes=10**6), ValueError, "passes must be fewer: 1000000 of"),
    "seed beyond 32 bits": (lambda: telescope(layer(), X, seed=2**40), ValueError, "below 2³¹, not 1099511627776"),
    "fractional seed": (lambda: telescope(layer(), X, seed=0.5), TypeError, "seed must be an integer, not 0.5"),
    "bridge to another size": (lambda: bridge(layer(), COUPLED, [1.0, 0.0], SEED), ValueError, "upper must have shape"),
    "bridge from indefinite": (lambda: bridge(layer(), INDEFINITE, COUPLED, SEED), ValueError, "must be positive defi"),
    "bridge too far": (lambda: bridge(layer(), [1, 0, 0], [1e-6, 0, 0], SEED), ArithmeticError, "of spread, more than"),
    "bridge without overlap": (lambda: bridge(layer(), [1e-6, 0, 0], [1, 0, 0], SEED), ArithmeticError, "none of 2"),
    "a weight for no edge": (lambda: telescope(column(), X[:, :, :1]), ValueError, "5 × 1 pixels have none of the dir"),
    "the same to the ceiling": (lambda: fisher_scoring(column(), np.ones(3)), ValueError, "use weights='per_edge'"),
    "bridges from seed −1": (lambda: bridge_from_diagonal(layer(), -1), ValueError, "seed must be at least 0, not -1"),
    # Data; more of it in test_data_images.
    "mistyped data": (lambda: load_images("mnsit"), ValueError, "unknown data set 'mnsit'; did you mean 'mnist'?"),
    "mistyped split": (
        lambda: load_images("mnist_sample", "tset"),
        ValueError,
        "split must be 'train' or 'test', not 'tset'",
    ),
}

# What `fit` itself refuses.
FIT = {
    "zero epochs": (lambda: fit(layer(), NCE(noise()), X, epochs=0), ValueError, "epochs must be at least 1, not 0"),
    "half an epoch": (lambda: fit(layer(), NCE(noise()), X, epochs=0.5), TypeError, "epochs must be an integer, not 0"),
    "empty minibatch": (lambda: fit(layer(), NCE(noise()), X, batch_size=0), ValueError, "batch_size must be at least"),
    "batch of −1": (lambda: fit(layer(), NCE(noise()), X, batch_size=-1), ValueError, "batch_size must be at least 1"),
    "seed −1": (lambda: fit(layer(), NCE(noise()), X, seed=-1), ValueError, "seed must be at least 0, not -1"),
    "rate 0": (lambda: fit(layer(), NCE(noise()), X, learning_rate=0), ValueError, "learning_rate must be a positive"),
    "rate NaN": (lambda: fit(layer(), NCE(noise()), X, learning_rate=NAN), ValueError, "learning_rate must be a posit"),
    "mistyped optimizer": (lambda: fit(layer(), NCE(noise()), X, "adma"), ValueError, "'adma'; did you mean 'adam'?"),
    "no optimizer": (lambda: fit(layer(), NCE(noise()), X, None), ValueError, "optimizer must be one of sgd, rmsprop,"),
    "a name for a model": (lambda: fit("lattice", NCE(noise()), X), TypeError, "model must be a LatticeGaussian or"),
    "model without weights": (
        lambda: fit(LatticeGaussian(layer().operator()), NCE(noise()), X),
        TypeError,
        "model must hold a StencilPrecision to be trained, not a LinearOperatorLattice",
    ),
    "a name for an estimator": (lambda: fit(layer(), "nce", X), TypeError, "estimator must be an object with loss"),
    "a class for an estimator": (lambda: fit(layer(), MaximumLikelihood, X), TypeError, "estimator must be an object"),
    "images of another size": (lambda: fit(layer(), NCE(noise()), X[:, :4]), ValueError, "not 4 × 4"),
    "noise that does not fit": (lambda: fit(layer(), NCE(noise(4, 4)), X), ValueError, "noise must be on images"),
    "images of nothing": (lambda: fit(layer(), MaximumLikelihood(), 0 * X), ValueError, "images must vary"),
    "infinite pixel": (lambda: fit(layer(), NCE(noise()), with_pixel(INF)), ValueError, "images must be finite"),
    "8-bit images": (lambda: fit(layer(), NCE(noise()), EIGHT_BIT), ValueError, "floating point, not uint8"),
    "float64 fit": (lambda: fit(layer(dtype="float64"), NCE(noise()), X), ValueError, "must be float32 to be trained"),
}


@pytest.mark.parametrize(("call", "error", "words"), [*PYTHON.values(), *FIT.values()], ids=[*PYTHON, *FIT])
def test_python_names_the_argument_and_what_was_given(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
    assert "in user code" not in str(caught.value)  # TensorFlow's frame around what is raised while it traces


# What is typed after `python -m assignment`, and words of the one line of complaint. These need no TensorFlow.
USAGE = {
    "": "the following arguments are required: PART",
    "nec": "must be one of nce, cnce, sm, second, ml, bonus8, report, bench, data, not 'nec'; did you mean 'nce'?",
    "NCE": "not 'NCE'; did you mean 'nce'?",
    "estimate": "not 'estimate' (",
    "nce --wieghts shared": "unknown argument '--wieghts'; did you mean '--weights'?",
    "nce --optimiser=adam": "did you mean '--optimizer'?",
    "ml --fresh": "unknown argument '--fresh'",
    "nce --weights per-edge": "--weights: must be one of shared, per_edge, not 'per-edge'; did you mean 'per_edge'?",
    "cnce --weights": "--weights: expected one argument",
    "sm --connectivity 6": "--connectivity: must be one of 4, 8, not 6",
    "sm --connectivity four": "--connectivity: invalid int value: 'four'",
    "ml --optimizer adma": "--optimizer: must be one of sgd, rmsprop, adam, not 'adma'; did you mean 'adam'?",
    "nce --noise telescope": "did you mean 'telescoped'?",
    "nce --noise-variance isotropc": "did you mean 'isotropic'?",
    "nce --no both": "ambiguous option: --no could match --noise, --noise-variance, --noise-scale",
    "nce --eta 1": "--eta: must be a probability strictly between 0 and 1, not 1",
    "nce --eta nan": "--eta: must be a probability strictly between 0 and 1, not nan",
    "nce --epochs 0": "--epochs: must be a whole number above 0, not 0",
    "nce --epochs 1e3": "--epochs: must be a whole number above 0, not 1e3",
    "nce --noise-scale -2": "--noise-scale: must be a number above 0, not -2",
    "nce --seed -1": "--seed: must be a whole number from 0 to 2147483647, not -1",
    "nce --seed 1.5": "--seed: must be a whole number from 0 to 2147483647, not 1.5",
    "cnce --seed 2147483648": "--seed: must be a whole number from 0 to 2147483647, not 2147483648",
    "second --coin-seed heads": "--coin-seed: must be a whole number from 0 to 2147483647, not heads",
}


def complaint(arguments, capsys):
    """The line that `python -m assignment arguments` prints before it exits with 2; nothing else may be printed."""
    try:
        status = main(arguments.split())
    except SystemExit as stop:
        status = stop.code
    printed = capsys.readouterr()
    assert status == 2 and printed.out == ""
    (line,) = printed.err.splitlines()
    assert line.startswith("assignment: ")
    return line


@pytest.mark.parametrize(("arguments", "words"), USAGE.items(), ids=USAGE)
def test_bad_usage_is_two_and_one_line(arguments, words, capsys):
    assert words in complaint(arguments, capsys)


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
    "data --dataset fashion-mnist": "did you mean 'fashion_mnist'?",
    "data --dataset mnist/large": "data set 'mnist' has no configuration 'large'",
    "data --dataset mnist_sample --idx-dir FOLDER": "comes with this package",
    "data --idx-dir FOLDER/nowhere": "nowhere does not exist",
    "data --idx-dir FOLDER": "train-images-idx3-ubyte",
    "ml --output FILE": "FILE: File exists; choose another --output",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --eta 0.999999999": "noise_ratio must suit",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --eta 1e-9": "too many",
    "nce --dataset mnist_sample --noise telescoped --output FOLDER --eta 1e-9": "too many",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --noise-scale 1e99": "variances must be finite",
    "nce --dataset mnist_sample --noise fixed --output FOLDER --noise-scale 1e-99": "images must vary",
}


@pytest.mark.parametrize(("arguments", "words"), INPUT.items(), ids=INPUT)
def test_bad_input_is_two_and_ends_in_one_line(arguments, words, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)  # It could not be undone.
    folder, file = tmp_path / "folder", tmp_path / "FILE"
    folder.mkdir()
    file.touch()
    status = main([word.replace("FOLDER", str(folder)).replace("FILE", str(file)) for word in arguments.split()])
    line = capsys.readouterr().err.splitlines()[-1]  # Before it, the data that were loaded.
    assert status == 2 and line.startswith("assignment: ") and words in line


def test_a_mistyped_public_name_is_suggested():
    import assignment

    with pytest.raises(AttributeError, match="no attribute 'LatticeGausian'; did you mean 'LatticeGaussian'?"):
        _ = assignment.LatticeGausian
