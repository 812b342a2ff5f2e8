"""The command line: one sub-command for each part of the exercise, with the options that `Settings` has for it."""

from __future__ import annotations

import argparse
import codecs
import importlib.metadata
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NoReturn

from assignment.errors import UserError, did_you_mean
from assignment.exercise.settings import PARTS, Settings
from assignment.progress import say

LONGEST = 500  # characters of a complaint
# The packages that decide whether the others fit together, and the versions that this one was made for.
NEEDED = {"tensorflow": "2.20.", "tensorflow-probability": "0.25.", "keras": "3.", "tf-keras": "2.20."}
_INSTALL = "make setup, or pip install -r requirements.txt, installs what is needed"
# What a terminal that knows only ASCII shows instead.
_PLAIN = {"Λ": "Lambda", "λ": "lambda", "η": "eta", "ν": "nu", "ε": "epsilon", "θ": "theta", "Σ": "Sigma", "±": "+-"}
_PLAIN |= {"−": "-", "–": "-", "×": "x", "…": "...", "·": ",", "²": "^2", "½": "1/2", "░": " ", "█": "#"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one part and returns the exit status: 0 done, 1 a fit failed, 2 bad usage or input, 130 interrupted."""
    _print_whatever_the_encoding()
    options = vars(parser().parse_args(arguments))
    try:
        _prepare_surroundings()
        run_part = _import_run_part()
        run_part(options.pop("part"), options)
    except (ValueError, TypeError) as error:  # A UserError is a ValueError.
        return _complain(error, 2)
    except (ArithmeticError, RuntimeError) as error:
        return _complain(error, 1)
    except MemoryError as error:
        return _complain(f"out of memory: {error}; take fewer or smaller images", 1)
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}; choose another --output", 2)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", 130)
    except Exception as error:
        if not type(error).__module__.startswith("tensorflow."):
            raise
        return _complain(f"TensorFlow: {error}", 1)
    return 0


def _complain(error: object, status: int) -> int:
    words = " ".join(str(error).split())
    say(f"assignment: {words[:LONGEST]}{'…' if len(words) > LONGEST else ''}")
    return status


def _print_whatever_the_encoding() -> None:
    codecs.register_error("plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plain")


def _plain(error: UnicodeEncodeError) -> tuple[str, int]:
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(letter, "?") for letter in letters), error.end


def _prepare_surroundings() -> None:
    """Sets what must be set before TensorFlow and matplotlib are imported; UserError where they cannot serve."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["MPLBACKEND"] = "agg"  # Figures go to files, whatever a notebook has chosen.
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    os.environ["KERAS_BACKEND"] = backend  # Or else a file of the user's decides.
    if backend != "tensorflow":
        raise UserError(f"KERAS_BACKEND is {backend!r}, but Keras must use TensorFlow here: unset KERAS_BACKEND")
    for package, needed in NEEDED.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise UserError(f"the package {package} is not installed; {_INSTALL}") from None
        if not version.startswith(needed):
            raise UserError(f"{package} is of version {version}, but {needed}x is needed; {_INSTALL}")


def _import_run_part() -> Any:
    """TensorFlow takes seconds to import; --help and errors must not wait for it."""
    try:
        from assignment.exercise.run import run_part
    except (ImportError, AttributeError) as error:
        if (getattr(error, "name", None) or "").startswith("assignment"):
            raise  # That one is ours.
        raise UserError(f"the packages do not work together: {error}; {_INSTALL}") from error
    return run_part


def parser() -> argparse.ArgumentParser:
    """The argparse parser of all parts."""
    top = _Parser(
        prog="python -m assignment",
        description="Models noisy MNIST images as a Gaussian on a lattice of pixels and estimates its precision Λ.",
        epilog="Results, figures and tables are left in --output, `reports` by default.",
    )
    parts = top.add_subparsers(dest="part", required=True, metavar="PART")
    for name, words in PARTS.items():
        part = parts.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        for option in fields(Settings):
            if name in option.metadata["parts"]:
                flag = f"--{option.name.replace('_', '-')}"
                part.add_argument(flag, default=option.default, **option.metadata["argument"])
    return top


class _Parser(argparse.ArgumentParser):
    """Complains in one line, and suggests the name that was meant."""

    def error(self, message: str) -> NoReturn:
        self.exit(_complain(f"{message} ({self.prog} --help)", 2))

    def parse_known_args(self, args=None, namespace=None):
        options, rest = super().parse_known_args(args, namespace)
        if rest:
            known = [option for action in self._actions for option in action.option_strings]
            self.error(f"unknown argument {rest[0]!r}{did_you_mean(rest[0].partition('=')[0], known)}")
        return options, rest

    def _check_value(self, action, value):
        if action.choices is not None and value not in action.choices:
            words = f"must be one of {', '.join(map(str, action.choices))}, not {value!r}"
            raise argparse.ArgumentError(action, words + did_you_mean(value, action.choices))
