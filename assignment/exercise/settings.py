"""What a user can choose, with the defaults of the command line; no TensorFlow is needed.

The command line is made from the fields of `Settings`: a field says in its metadata for which parts it is, and what
`argparse` must know of it.
"""

import argparse
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assignment.exercise.estimators import ESTIMATING

PARTS = ESTIMATING | {
    "second": "flip the coin between conditional NCE and score matching, and run what it names",
    "bonus8": "everything again with 8-connected neighbours, beside the 4-connected results",
    "report": "the typeset answer, from results; what is missing is fitted first",
    "bench": "time and memory by size, ours against the dense way, and a fit of 256 × 256 pixels",
    "data": "prepare the data set and say where it came from",
}
FITTING = (*ESTIMATING, "second", "bonus8", "report")


def _number(convert: Callable, good: Callable, words: str) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not good(value):
            raise argparse.ArgumentTypeError(f"must be {words}, not {text}")
        return value

    return parse


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().replace("×", "x").partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) > 1 and int(width) > 1):
        raise argparse.ArgumentTypeError(f"must be height x width in pixels, such as 20x24, from 2x2 up, not {text}")
    return int(height), int(width)


_natural = _number(int, lambda n: 0 <= n < 2**31, "a whole number from 0 to 2147483647")
_count = _number(int, lambda n: n > 0, "a whole number above 0")
_positive = _number(float, lambda x: 0 < x < math.inf, "a number above 0")
_probability = _number(float, lambda x: 0 < x < 1, "a probability strictly between 0 and 1")
_path = os.path.expanduser


def _option(default: Any, parts: tuple[str, ...], words: str, **argument: Any) -> Any:
    """A field of Settings; `argument` goes to argparse as it stands, beside a help that shows the default."""
    words += "" if default is None or default is False else f" (default: {default})"
    return field(default=default, metadata={"parts": parts, "argument": {"help": words, **argument}})


_DATA = (*FITTING, "data")
_AGAIN = ("bonus8", "report")


@dataclass(frozen=True)
class Settings:
    """The choices of one run; the names are those of the options."""

    # fmt: off
    dataset: str = _option("mnist", _DATA, "mnist, fashion_mnist, mnist_sample, … (tensorflow-datasets)")
    data_dir: str | None = _option(
        None, _DATA, "where prepared data sets are kept ($ASSIGNMENT_DATA_DIR, or ./data)", type=_path)
    idx_dir: str | None = _option(None, _DATA, "folder of IDX files to use instead of a download", type=_path)
    transpose: bool = _option(False, _DATA, "swap rows and columns, as EMNIST's IDX files need it", action="store_true")
    images: str | None = _option(
        None, _DATA, "your own images: .npy or .npz of 8-bit images, a picture, or a folder of pictures", type=_path)
    patch: tuple[int, int] | None = _option(
        None, _DATA, "cut patches of this size from the pictures", type=_size, metavar="HxW")
    patches: int | None = _option(None, _DATA, "how many patches to cut (60000)", type=_count)
    name: str | None = _option(None, _DATA, "what to call your own images (the name of the file or folder)")
    seed: int = _option(0, _DATA, "decides all randomness, of data and of training", type=_natural)
    connectivity: int = _option(4, FITTING, "neighbours; bonus8 and report take both", type=int, choices=(4, 8))
    weights: str = _option(
        "shared", FITTING, "one stencil, or each edge its own; bonus8 and report take both",
        choices=("shared", "per_edge"))
    optimizer: str = _option("adam", FITTING, "for gradient training", choices=("sgd", "rmsprop", "adam"))
    strategy: str = _option(
        "none", FITTING, "share each minibatch among all GPUs, or among the workers that TF_CONFIG names",
        choices=("none", "mirrored", "multiworker"))
    output: str = _option("reports", (*FITTING, "bench"), "folder for results, figures and tables", type=_path)
    noise: str = _option("both", ("nce",), "what p_n does", choices=("both", "fixed", "telescoped"))
    eta: float = _option(0.5, ("nce",), "η = P(z = 0), the share of data; ν = 1/η − 1", type=_probability)
    epochs: int | None = _option(
        None, ("nce",), "passes over the data, for fixed noise (3, and more over few or small images)", type=_count)
    noise_variance: str = _option("per_pixel", ("nce",), "of the diagonal p_n", choices=("per_pixel", "isotropic"))
    noise_scale: float = _option(1.0, ("nce",), "factor on that variance", type=_positive)
    log_partition: bool = _option(
        False, ("cnce", "sm", "second"), "also learn log Z of the fit, by bridges", action="store_true")
    coin_seed: int = _option(0, ("second", "report"), "a number that decides the coin, such as yours", type=_natural)
    fresh: bool = _option(False, _AGAIN, "train again what is there already", action="store_true")
    # fmt: on

    def of_data(self) -> dict[str, Any]:
        """The arguments of `load_splits` that a user chose."""
        names = ("seed", "images", "patch", "patches", "data_dir", "idx_dir", "transpose")
        return {"name": self.name or self.dataset} | {name: getattr(self, name) for name in names}


def noise_changes(chosen: Mapping[str, Any]) -> list[str]:
    """Of settings by name, those of NCE's noise that are not the defaults, in words: ["isotropic", "scale 4"]."""
    words = {"noise_variance": "{}", "noise_scale": "scale {:g}", "eta": "eta {:g}"}
    changed = [name for name in words if chosen.get(name, getattr(Settings, name)) != getattr(Settings, name)]
    return [words[name].format(chosen[name]) for name in changed]
