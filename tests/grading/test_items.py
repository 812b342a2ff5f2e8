"""Every graded item is a test, which passes where all of its points are earned."""

import pytest

import grading.items  # noqa: F401
from grading.grader.rubric import new_items


@pytest.mark.parametrize("item", new_items(), ids=lambda item: f"{item.part}: {item.name}")
def test_item(item, rubric):
    rubric.judge(item)
    if item.share < 1:
        pytest.fail(item.sentence, pytrace=False)
