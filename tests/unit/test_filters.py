"""Filters without a database: what a pattern matches, what is no pattern, what a filter becomes."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_ztask import filters
from django_ztask.filters import Filter


def is_matched(text: str, pattern: str) -> bool:
    return re.match(filters.glob(pattern), text) is not None


@given(st.text("ab.[]!-*?\\^%_\n", max_size=8), st.text("ab.[]!-*?\\^%_\n", max_size=8))
def test_a_pattern_matches_what_a_shell_would_match(text: str, pattern: str) -> None:
    try:
        found = is_matched(text, pattern)
    except ValueError:
        return  # (of a range that is empty, a shell makes a set that nothing is in)
    assert found == fnmatch.fnmatchcase(text, pattern)


@given(st.text(max_size=10))
def test_a_text_without_a_wildcard_matches_itself_alone(text: str) -> None:
    escaped = "".join(f"[{c}]" if c in "*?[" else c for c in text)
    assert is_matched(text, escaped)
    assert not is_matched(text + "x", escaped)


def test_letters_have_their_case_and_a_set_may_be_negated() -> None:
    assert is_matched("shop.Send", "shop.[A-Z]*")
    assert not is_matched("shop.send", "shop.[A-Z]*")
    assert is_matched("shop.send", "shop.[!A-Z]*")


def test_an_empty_range_is_no_pattern() -> None:
    with pytest.raises(ValueError, match="z-a is empty"):
        filters.glob("[z-a]")


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("NoStock", "shop.errors.NoStock: none", True),
        ("shop.errors.NoStock", "shop.errors.NoStock: none", True),
        ("errors.NoStock", "shop.errors.NoStock: none", True),
        ("NoStock", "shop.errors.NoStock", True),
        ("ValueError", "ValueError: no\nValueError", True),
        ("Stock", "shop.errors.NoStock: none", False),
        ("none", "shop.errors.NoStock: none", False),
        ("No*", "shop.errors.NoStock: none", True),
        ("*none", "shop.errors.NoStock: none", False),
        ("valueerror", "ValueError: no", False),
    ],
)
def test_an_exception_is_known_by_its_type_with_or_without_its_module(
    name: str, text: str, found: bool
) -> None:
    assert (re.match(filters.exception(name), text) is not None) is found


def test_many_stars_cost_no_more_than_one() -> None:
    assert filters.glob("*" * 50 + "x") == filters.glob("*x")


def test_a_filter_is_empty_until_it_says_something() -> None:
    assert Filter().is_empty
    assert not Filter(queue="stock").is_empty
    assert not Filter(ids=()).is_empty


def test_odd_bytes_are_compared_and_not_refused() -> None:
    assert filters.matches(b"shop.\xff", filters.glob("shop.*"))
    assert filters.matches(b"shop.a\0b", filters.glob("shop.a*b"))
    assert filters.matches(None, filters.glob("*")) is None
