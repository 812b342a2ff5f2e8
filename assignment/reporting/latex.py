"""Words, numbers and tables as LaTeX."""

from collections.abc import Iterable

from assignment.reporting.numbers import NONE

_NAMES = r"- \pm \times \le \ge \cdot \to \dots ^2 \lambda \Lambda \varepsilon \nu \eta \sigma \Sigma".split()
_SPECIAL = {character: f"${name}$" for character, name in zip("−±×≤≥·→…²λΛενησΣ", _NAMES, strict=True)}
_SPECIAL |= {character: "\\" + character for character in "&%$#_{}"}
_SPECIAL |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}


def escape(words: str) -> str:
    """Plain words as LaTeX text; a character that pdfLaTeX may not know becomes a question mark."""
    known = (_SPECIAL.get(character, character) for character in words)
    return "".join(text if text.isascii() or text.isalpha() and text < "\u0180" else "?" for text in known)


def number(text: str) -> str:
    """A printed number for text and formulas alike: a real minus, powers of ten; a dash where there is none."""
    if text == NONE:
        return "--"
    value, space, words = text.partition(" ")
    mantissa, _, exponent = value.replace("\u2009", r"\,").partition("e")
    power = f"\\cdot 10^{{{int(exponent)}}}" if exponent else ""
    return f"\\ensuremath{{{mantissa}{power}}}{space}{words}"


def row(cells: Iterable[str]) -> str:
    """A row of a table."""
    return " & ".join(cells) + r" \\"


def across(columns: int, text: str) -> str:
    """A row of a table that is one cell."""
    return f"\\multicolumn{{{columns}}}{{@{{}}l@{{}}}}{{{text}}} \\\\"


def tabular(alignment: str, lines: Iterable[str]) -> str:
    """A booktabs `tabular` of rows and rules, to be \\input anywhere."""
    begin = rf"\begin{{tabular}}{{@{{}}{alignment}@{{}}}}"
    return "\n".join([begin, r"\toprule", *lines, r"\end{tabular}", ""])
