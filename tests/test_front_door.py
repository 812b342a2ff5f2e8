"""The front door: each public name is what it says, however one comes in, and the README's example runs."""

import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from small_parts import ROOT

import assignment

NAMES = assignment.__all__
MODULES = [module.name for module in pkgutil.walk_packages(assignment.__path__, "assignment.")]
# Each order in a process of its own, the first one before TensorFlow is imported, which the others then share.
COME_IN = """
import importlib, inspect, os, sys

def come_in(modules, names):
    for module in modules:
        importlib.import_module(module)
    for name in names:
        namespace = {}
        exec(f"from assignment import {name}", namespace)
        found = namespace[name]
        assert inspect.isfunction(found) or inspect.isclass(found), (modules, name, found)
        assert found.__name__ == name and found is getattr(sys.modules["assignment"], name), (modules, name, found)

for modules, names in ORDERS:
    child = os.fork()
    if not child:
        try:
            come_in(modules, names)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    import keras, numpy, tensorflow, tensorflow_probability
    assert "assignment" not in sys.modules
"""


@pytest.mark.slow
def test_every_public_name_comes_in_first_and_after_all_modules():
    modules = [module for module in MODULES if not module.endswith("__main__")]
    orders = [([], [name]) for name in ("fit", *NAMES)]
    orders += [(modules, NAMES + NAMES[::-1]), (modules[::-1], NAMES[::-1])]
    command = [sys.executable, "-W", "ignore", "-c", COME_IN.replace("ORDERS", str(orders))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_no_module_bears_a_public_name():
    """Importing it would put the module in the place of the function."""
    assert not [module for module in MODULES if module.rpartition(".")[2] in NAMES]


def test_every_public_name_is_documented_and_no_other_is_there():
    for name in NAMES:
        assert getattr(assignment, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'LatticeGausian'; did you mean 'LatticeGaussian'?"):
        _ = assignment.LatticeGausian


def test_all_fits_are_of_one_shape():
    """fit_x(layer, images, ...) → FitResult, and the same arguments have the same names."""
    for name in NAMES:
        if name.startswith("fit"):
            signature = inspect.signature(getattr(assignment, name))
            first = ["model", "objective", "images"] if name == "fit" else ["layer", "images"]
            assert list(signature.parameters)[: len(first)] == first
            assert {"seed", "progress"} <= set(signature.parameters)
            if name != "fit_maximum_likelihood":
                assert {"optimizer", "strategy"} <= set(signature.parameters)
            assert signature.return_annotation in (assignment.FitResult, "FitResult")


def test_all_objectives_have_one_method():
    for name in ("NCE", "TelescopedNCE", "ConditionalNCE", "ScoreMatching", "MaximumLikelihood"):
        objective = getattr(assignment, name)
        assert list(inspect.signature(objective.loss).parameters) == ["self", "model", "x", "seed"]


def readme_example():
    """The indented block under "From Python"."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## From Python\n")[2]
    return textwrap.dedent(re.search(r"(?:^(?: {4}.*)?\n)+", text.lstrip("\n"), re.MULTILINE)[0])


@pytest.mark.slow
def test_the_readmes_python_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    """It ends in a fit, the gap of log Z, and samples with the mean added."""
    for folder in ("ASSIGNMENT_DATA_DIR", "HOME"):
        monkeypatch.setenv(folder, str(tmp_path))
    names = {}
    exec(readme_example(), names)
    result, samples = names["result"], names["samples"]
    assert abs(result.log_partition - float(result.model.log_partition())) < 5 * result.standard_error, result
    assert result.status == "converged"
    assert samples.shape == (16, 28, 28)
    assert abs(np.mean(samples) - np.mean(names["train"].mean)) < 0.1
    printed = capsys.readouterr().out
    learned, error, exact, likelihood = map(float, re.findall(r"-?\d+\.\d+(?:e-?\d+)?", printed))
    assert abs(learned - exact) < 5 * error
    assert 200 < likelihood < 230
