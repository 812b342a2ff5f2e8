"""Report: that it speaks of what the exercise asks for. Whether it speaks well, a person must judge."""

import json
import re

from grading.grader.judge import call, require
from grading.grader.rubric import item
from grading.grader.submission import once

WORDS = 300
TOPICS = {
    "why this p_n": (
        r"(?<![a-z])p\s*_?\s*\{?\s*(\\[a-z]+\s*)?\{?\s*(n|noise)\b|pₙ|p<sub>\s*n"
        r"|noise[\s~-]+(distribution|densit|model|sample)|(choice|distribution|density) of (the )?noise"
        r"|contrasti\w{1,4} (distribution|densit)"
    ),
    "how close log Z is": (
        r"\b(log|ln)\b[^a-z0-9]{0,8}((hat|widehat|tilde|bar|mathcal|mathrm|left|bigl?)[^a-z0-9]{0,3})*z(?![a-y])"
        r"|partition[\s~-]+(function|sum|constant)|log[\s~-]*partition|normali[sz](ing|ation|er)"
    ),
    "the second estimator": r"scores?[\s~-]*match|conditional[\s~-]+(nce|noise)|c-?nce\b|hyv[äa]rinen",
    "the optimiser": (
        r"\bsgd\b|stochastic[\s~-]+gradient|gradient[\s~-]+(de|a)scent|rms[\s-]?prop|\badam(w|ax)?\b|\bnadam\b|adagrad|adadelta"
        r"|\b(l[\s-]?)?bfgs\b|newton|conjugate[\s~-]+gradient|fisher[\s~-]+scoring|\bmomentum\b|optimi[sz]er"
    ),
    "pictures of samples": (
        r"includegraphics|includesvg|includepdf|!\[|<img|<svg|<figure|image/(png|jpe?g|svg)|data:image|tikz|pgfplot|pgfpicture"
        r"|begin\{figure|\\input\{[^}\s]{0,99}(fig|plot|sample)|(image|figure)::"
    ),
}


@once
def report(submission):
    """The report's text in small letters, a notebook's cells one after the other."""
    value = call(submission, "report")
    require(isinstance(value, str), "report must return the source text of the report, as one string.")
    return _of_notebook(value).lower()


def _of_notebook(text):
    if not text.lstrip().startswith("{"):
        return text
    try:
        cells = json.loads(text)["cells"]
        markdown = ["".join(cell["source"]) for cell in cells if cell["cell_type"] != "code"]
        shown = [kind for cell in cells for output in cell.get("outputs", []) for kind in output.get("data", {})]
        return "\n\n".join([*markdown, *shown])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return text


def words(text):
    """The words of prose: no identifiers, commands, formulas or code. No text makes a pattern slower than linear."""
    listing = r"\\begin\{(?:verbatim|lstlisting)\}(?:(?!\\begin\{).)*?\\end"
    for code in (r"```.*?```", r"`[^`\n]*`", r"\$\$.*?\$\$", r"\$[^$\n]*\$", listing, r"<[^<>]*>"):
        text = re.sub(code, " ", text, flags=re.DOTALL)
    return re.findall(r"(?<![\w\\./=(])[^\W\d_]{2,}(?![\w(=]|\.\w)", text)


@item("report", 1, "a report of 300 words or more")
def length(submission):
    count = len(words(report(submission)))
    require(count >= WORDS, f"The report has {count} words of prose; {WORDS} are enough.", count / WORDS)


@item("report", 5, "the report treats what the exercise asks for")
def topics(submission):
    text = report(submission)
    joined = re.sub(r"-\s*\n\s*", "", text)  # words divided at the end of a line
    missing = [
        topic
        for topic, pattern in TOPICS.items()
        if not any(re.search(pattern, re.sub(r"\s+", " ", spelling)) for spelling in (text, joined))
    ]
    require(
        not missing,
        f"Nothing was found in the report on: {'; '.join(missing)}. If it is there, show this to your teacher.",
        1 - len(missing) / len(TOPICS),
    )
