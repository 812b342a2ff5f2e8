"""What every test relies on: quiet TensorFlow, warnings as errors, and small lattices with known Λ."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["ASSIGNMENT_OFFLINE"] = "1"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # The tests run in two processes.

import numpy as np
import pytest
from small_parts import without_progress


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "error")
    # The libraries' own.
    theirs = "tensorflow tensorflow_probability tf_keras tensorflow_datasets google keras flatbuffers gast"
    for module in theirs.split():
        config.addinivalue_line("filterwarnings", f"ignore::DeprecationWarning:{module}")


def pytest_collection_modifyitems(items):
    """Files with slow tests come first in either half, where two processes begin: both end with quick ones, together.

    Files stay whole, for what their tests share.
    """
    slow = {item.path: None for item in items if item.get_closest_marker("slow")}
    first, second = ([item for path in list(slow)[k::2] for item in items if item.path == path] for k in (0, 1))
    quick = [item for item in items if item.path not in slow]
    rest = max(0, len(items) // 2 - len(first))
    items[:] = first + quick[:rest] + second + quick[rest:]


def random_layer(connectivity, weights, height, width, seed=0, dtype="float64", least=None):
    """A layer with a positive definite Λ that is not diagonally dominant, and of this least eigenvalue, if any."""
    from assignment.lattice.precision import StencilPrecision

    if least is not None:
        layer = random_layer(connectivity, weights, height, width, seed)
        theta = layer.theta.numpy()
        theta[: layer.group_sizes[0]] += least - np.linalg.eigvalsh(layer.to_dense())[0]
        layer = random_layer(connectivity, weights, height, width, seed, dtype)
        layer.theta.assign(theta)
        return layer
    layer = StencilPrecision(connectivity, weights, dtype=dtype)
    layer.build((None, height, width))
    random = np.random.default_rng(seed)
    theta = 0.45 * random.standard_normal(layer.theta.shape)
    pixels = layer.group_sizes[0]
    theta[:pixels] = 2 + random.uniform(size=pixels)
    layer.theta.assign(theta)
    while not layer.operator().positive_definite():
        theta[pixels:] *= 0.9
        layer.theta.assign(theta)
    return layer


@pytest.fixture(params=[(4, "shared"), (4, "per_edge"), (8, "shared"), (8, "per_edge")], ids=lambda p: f"{p[1]}-{p[0]}")
def layer(request):
    """Every kind of stencil, float64, on 5 × 4 pixels."""
    return random_layer(*request.param, 5, 4)


@pytest.fixture
def eager():
    """No graphs, which would be traced for longer than they run."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def run_here(capsys, monkeypatch):
    """`python -m assignment`, but in this process: a function of what is typed after `python -m assignment`."""
    import tensorflow as tf

    from assignment.command_line import main

    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)  # It could not be undone.

    def run(*arguments):
        try:
            status = main([*map(str, arguments)])
        except SystemExit as stop:
            status = stop.code
        printed, said = capsys.readouterr()
        return status, printed, without_progress(said)

    return run
