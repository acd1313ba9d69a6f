"""What `status` says in few words, and its lines that are longer than the terminal is wide."""

from __future__ import annotations

from typing import Any

import pytest

from ztaskd.commands import picture
from ztaskd.commands.printing import columns


def test_a_line_of_status_that_is_too_long_goes_on_below_its_words() -> None:
    fact = picture.fact("per second", "1 ok, 2 retried, 3 failed")
    assert picture.folded(fact, 80) == [fact]
    assert picture.folded(fact, 32) == [
        "  per second    1 ok, 2 retried,",
        "                3 failed",
    ]
    assert picture.folded("  -> look into its log", 16) == ["  -> look into", "     its log"]
    assert picture.folded("  web1 (pid 7) is gone", 14) == ["  web1 (pid 7)", "  is gone"]
    for width in (1, 2, 8, 20):
        for line in (fact, "x" * 50, "  state         " + "\u5199" * 30):
            assert all(columns(each) <= width for each in picture.folded(line, width))


@pytest.mark.parametrize(
    ("progress", "words"),
    [
        (None, ""),
        ({"done": 1203, "total": None, "text": "a\nb", "fraction": None}, "1,203 a\\nb"),
        ({"done": 0.5, "total": None, "text": "", "fraction": None}, "0.5"),
        ({"done": 2, "total": 3, "text": "", "fraction": 2 / 3}, "66 %"),
        ({"done": 999, "total": 1000, "text": "pages", "fraction": 0.999}, "99 % pages"),
    ],
)
def test_progress_is_shown_in_a_few_words(progress: Any, words: str) -> None:
    assert picture.progress(progress) == words
