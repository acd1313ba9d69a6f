"""The pools of rows that are put aside: what they say, and what is read from what somebody has written there."""

from __future__ import annotations

import pytest

from django_ztask import aside
from django_ztask.lifecycle import POOLS


def test_every_pool_can_be_put_aside_and_finds_its_way_back() -> None:
    assert sorted(aside.ENDINGS) == sorted(POOLS)
    for pool, ending in aside.ENDINGS.items():
        put = f"{aside.PREFIX}1234567890{ending}"
        assert len(put) <= 20, "so many places has the column"
        assert (aside.is_aside(put), aside.home(put), aside.pause(put)) == (True, pool, 1234567890)


@pytest.mark.parametrize("pool", POOLS)
def test_what_is_not_put_aside_is_where_it_belongs(pool: str) -> None:
    assert (aside.is_aside(pool), aside.home(pool), aside.pause(pool)) == (False, pool, None)


@pytest.mark.parametrize("pool", ["paused-", "paused-x", "paused-²", "paused-x-y", "paused--q"])
def test_what_somebody_has_made_up_is_of_no_pause_and_belongs_to_any_place(pool: str) -> None:
    assert (aside.is_aside(pool), aside.home(pool), aside.pause(pool)) == (True, "", None)
