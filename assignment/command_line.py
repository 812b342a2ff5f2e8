"""The command line: one sub-command for each part of the exercise."""

import argparse
import math
import os
import sys

from assignment.errors import UserError, did_you_mean

LONGEST = 500  # characters of a complaint
PARTS = {
    "nce": "noise-contrastive estimation: the hand-out's fixed noise, and the telescoped one",
    "cnce": "conditional NCE, with isotropic and with matched noise",
    "sm": "score matching, plain and preconditioned",
    "second": "flip the coin between conditional NCE and score matching, and run what it names",
    "ml": "exact maximum likelihood, the yardstick",
    "bonus8": "everything again with 8-connected neighbours, beside the 4-connected results",
    "report": "the typeset answer, from results; what is missing is fitted first",
    "bench": "time and memory by size, ours against the dense way, and a fit of 256 × 256 pixels",
    "data": "prepare the data set and say where it came from",
}


def main(arguments=None):
    """Runs one part and returns the exit status: 0 done, 1 a fit failed, 2 bad usage or input, 130 interrupted."""
    options = parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Before TensorFlow is imported, or it talks.
    try:
        from assignment.parts.run import run_part  # TensorFlow takes seconds to import; --help and errors must not.

        run_part(options.part, vars(options))
    except (UserError, ValueError, TypeError) as error:
        return _complain(error, 2)
    except (ArithmeticError, RuntimeError) as error:
        return _complain(error, 1)
    except OSError as error:
        return _complain(f"{error.filename or 'a file'}: {error.strerror or error}; choose another --output", 2)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", 130)
    return 0


def _complain(error, status):
    words = " ".join(str(error).split())
    print(f"assignment: {words[:LONGEST]}{'…' if len(words) > LONGEST else ''}", file=sys.stderr)
    return status


def parser():
    """The argparse parser of all parts."""
    top = _Parser(
        prog="python -m assignment",
        description="Models noisy MNIST images as a Gaussian on a lattice of pixels and estimates its precision Λ.",
        epilog="Results, figures and tables are left in --output, `reports` by default.",
    )
    parts = top.add_subparsers(dest="part", required=True, metavar="PART")
    for name, words in PARTS.items():
        part = parts.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".", formatter_class=_Help)
        if name != "bench":
            _add_data_options(part)
        if name not in ("bench", "data"):
            _add_fit_options(part)
        if name != "data":
            part.add_argument("--output", default="reports", help="folder for results, figures and tables")
        if name == "nce":
            _add_nce_options(part)
        if name in ("cnce", "sm", "second"):
            part.add_argument("--log-partition", action="store_true", help="also learn log Z of the fit, by bridges")
        if name in ("second", "report"):
            part.add_argument(
                "--coin-seed", type=_natural, default=0, help="a number that decides the coin, such as yours"
            )
        if name in ("bonus8", "report"):
            part.add_argument("--fresh", action="store_true", help="train again what is there already")
    return top


class _Parser(argparse.ArgumentParser):
    """Complains in one line, and suggests the name that was meant."""

    def error(self, message):
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


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Defaults in the help, but none that is None."""

    def _get_help_string(self, action):
        return action.help if action.default in (None, False) else super()._get_help_string(action)


def _add_data_options(part):
    part.add_argument("--dataset", default="mnist", help="mnist, fashion_mnist, mnist_sample, … (tensorflow-datasets)")
    part.add_argument("--data-dir", help="where prepared data sets are kept (./data)")
    part.add_argument("--idx-dir", help="folder of the data set's four IDX files, to use instead of a download")


def _add_fit_options(part):
    part.add_argument("--connectivity", type=int, choices=(4, 8), default=4, help="neighbours of a pixel")
    part.add_argument(
        "--weights", choices=("shared", "per_edge"), default="shared", help="one stencil, or each edge its own"
    )
    part.add_argument("--optimizer", choices=("sgd", "rmsprop", "adam"), default="adam", help="for gradient training")
    part.add_argument("--seed", type=_natural, default=0, help="decides all randomness, of data and of training")
    part.add_argument(
        "--strategy",
        choices=("none", "mirrored", "multiworker"),
        default="none",
        help="share each minibatch among all GPUs, or among the workers that TF_CONFIG names",
    )


def _add_nce_options(part):
    part.add_argument("--noise", choices=("both", "fixed", "telescoped"), default="both", help="what p_n does")
    part.add_argument("--eta", type=_probability, default=0.5, help="η = P(z = 0), the share of data; ν = 1/η − 1")
    part.add_argument("--epochs", type=_positive_integer, default=3, help="passes over the data, for fixed noise")
    part.add_argument(
        "--noise-variance", choices=("per_pixel", "isotropic"), default="per_pixel", help="of the fixed diagonal p_n"
    )
    part.add_argument("--noise-scale", type=_positive, default=1.0, help="factor on that variance")


def _number(convert, good, words):
    def parse(text):
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not good(value):
            raise argparse.ArgumentTypeError(f"must be {words}, not {text}")
        return value

    return parse


_natural = _number(int, lambda n: 0 <= n < 2**31, "a whole number from 0 to 2147483647")
_positive_integer = _number(int, lambda n: n > 0, "a whole number above 0")
_positive = _number(float, lambda x: 0 < x < math.inf, "a number above 0")
_probability = _number(float, lambda x: 0 < x < 1, "a probability strictly between 0 and 1")
