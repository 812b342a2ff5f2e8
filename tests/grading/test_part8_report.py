"""Report: that it speaks of what the hand-out asks for. Whether it speaks well, a person must judge."""

import re

import pytest

from grading.grader.judge import require
from grading.grader.rubric import Lost
from grading.grader.supervisor import Failure

TOPICS = {
    "the choice of p_n": (
        r"p_n|p_\{n\}|noise distribution|choice of (the )?noise",
        "The report does not explain the choice of p_n.",
    ),
    "how close log Z is": (r"log\W*z|partition function", "The report does not say how close the learned log Z is."),
    "the second estimator": (
        r"score matching|conditional n|cnce",
        "The report does not present the second estimator (conditional NCE or score matching).",
    ),
    "the optimiser": (r"\bsgd\b|rmsprop|\badam\b", "The report does not say which optimiser was used."),
    "pictures of samples": (
        r"includegraphics|!\[|<img|image/png",
        "The report shows no picture; the hand-out asks to visualise samples.",
    ),
}


@pytest.fixture(scope="module")
def text(submission):
    def asked():
        try:
            value = submission.call("report")
        except Failure as failure:
            raise Lost(f"report {failure}.") from failure
        require(isinstance(value, str), "report must return the source text of the report.")
        return value.lower()

    return asked


@pytest.mark.item("report", 1, "a report of 300 words or more")
def test_length(text):
    words = len(re.findall(r"[a-z]{2,}", text()))
    require(words >= 300, f"The report has {words} words.", words / 300)


@pytest.mark.item("report", 5, "the report treats what the hand-out asks for")
def test_topics(text):
    words = text()
    missing = [sentence for pattern, sentence in TOPICS.values() if not re.search(pattern, words)]
    require(not missing, " ".join(missing), 1 - len(missing) / len(TOPICS))
