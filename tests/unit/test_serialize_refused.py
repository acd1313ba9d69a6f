"""What cannot be carried is refused in the caller, by name; results never fail; the MAC covers a row."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from msgspec import structs

from django_ztask.errors import ArgumentError, MacError, ZtaskError
from django_ztask.serialize import (
    RESULT_LIMIT,
    Payload,
    clean,
    dump_call,
    dump_result,
    load_result,
    mac,
    verify,
)

KEY, OTHER = b"k" * 32, b"o" * 32
ID, NAME = "01931f2c-7a3b-7f00-8000-000000000001", "shop.tasks.install"
PAYLOAD = Payload("json", "[1]", "{}")


class Stubborn:
    """Neither pickles nor shows itself."""

    def __reduce__(self) -> Any:
        raise RuntimeError("never")

    def __repr__(self) -> str:
        raise RuntimeError("nor this")


def deep() -> Any:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    "guilty", [lambda: None, threading.Lock(), (n for n in "x"), Stubborn()], ids=lambda v: type(v).__name__
)
def test_the_guilty_argument_is_named(guilty: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^argument 2 "):
        dump_call([1, guilty], {"fine": 2})
    with pytest.raises(ArgumentError, match=r"^argument 'guilty' "):
        dump_call([1, "fine"], {"fine": 2, "guilty": guilty})
    with pytest.raises(ArgumentError, match=rf"^argument 1 \({type([]).__name__}\)"):
        dump_call([[guilty]], {})


def test_an_argument_error_is_a_type_error_and_one_of_ours() -> None:
    assert issubclass(ArgumentError, TypeError)
    assert issubclass(ArgumentError, ZtaskError)


def test_nesting_that_not_even_pickle_follows_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match="argument 1 "):
        dump_call([deep()], {})


@pytest.mark.parametrize(
    "value", [(1, 2), b"x", float("nan"), {1: 2}, 10**5000], ids=lambda value: type(value).__name__
)
def test_without_pickle_only_exact_json_is_taken_and_the_setting_is_named(value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"argument 2 .*ZTASKD_PICKLE"):
        dump_call([1, value], {}, allow_pickle=False)
    with pytest.raises(ArgumentError, match=r"argument 'key' .*ZTASKD_PICKLE"):
        dump_call([1], {"key": value}, allow_pickle=False)
    assert dump_call([1], {"key": [2]}, allow_pickle=False).codec == "json"


@pytest.mark.parametrize("value", ["__main__", "__main__ x", ("__main__", "__main__ f"), {"__main__": (1,)}])
def test_the_mere_word_main_is_no_reason_to_refuse(value: Any) -> None:
    assert dump_call([(1, value)], {}).codec == "pickle"


@pytest.mark.parametrize("value", [0, "", False, [1, {"a": None}], "a\0b", "repr:x", "pickle:x:y"])
def test_plain_results_are_json(value: Any) -> None:
    text = dump_result(value, ID, KEY, allow_pickle=False)
    assert text is not None
    assert text.encode()
    assert load_result(text, ID, [KEY]) == value


def test_no_result_is_no_text() -> None:
    assert dump_result(None, ID, KEY) is None
    assert load_result(None, ID, [KEY]) is None


def test_other_results_are_pickles_that_only_our_keys_open_and_only_for_their_task() -> None:
    text = dump_result((1, b"x"), ID, KEY)
    assert text is not None
    assert text.startswith("pickle:")
    assert load_result(text, ID, [OTHER, KEY]) == (1, b"x")
    for task_id, keys in ((ID, [OTHER]), (ID, []), ("another", [KEY])):
        with pytest.raises(MacError):
            load_result(text, task_id, keys)


@pytest.mark.parametrize("mac", ["", "é" * 64, "\ud800", "0" * 64])
def test_a_forged_result_is_not_unpickled(mac: str) -> None:
    with pytest.raises(MacError):
        load_result(f"pickle:{mac}:Y29zCnN5c3RlbQo=", ID, [KEY])


@pytest.mark.parametrize("value", [lambda: None, threading.Lock(), Stubborn(), "\0\ud800" * 2000])
def test_a_result_that_cannot_be_carried_is_what_it_looked_like(value: Any) -> None:
    value = (value,) if isinstance(value, str) else value
    text = dump_result(value, ID, KEY, allow_pickle=not isinstance(value, tuple))
    assert text is not None
    assert text.startswith("repr:")
    assert len(text) <= 1010
    assert "\0" not in text
    text.encode()
    with pytest.raises(ValueError):
        load_result(text, ID, [KEY])


def test_a_pickled_result_is_not_made_when_pickle_is_off() -> None:
    assert dump_result((1,), ID, KEY, allow_pickle=False) == "repr:(1,)"


@pytest.mark.parametrize("given", [KEY, OTHER])
def test_a_row_verifies_under_any_of_our_keys(given: bytes) -> None:
    made = mac(ID, NAME, PAYLOAD, given)
    assert len(made) == 64
    verify(ID, NAME, PAYLOAD, made, [KEY, OTHER])


@pytest.mark.parametrize(
    ("task_id", "name", "payload"),
    [
        (ID[:-1] + "2", NAME, PAYLOAD),
        (ID, "os.system", PAYLOAD),
        (ID, NAME, structs.replace(PAYLOAD, codec="pickle")),
        (ID, NAME, structs.replace(PAYLOAD, args="[2]")),
        (ID, NAME, structs.replace(PAYLOAD, kwargs='{"a":1}')),
        (ID + NAME[0], NAME[1:], PAYLOAD),  # the same characters, cut elsewhere
        (ID, NAME, Payload("jso", "n[1]", "{}")),
        (ID, NAME, Payload("json", "[1]{}", "")),
    ],
)
def test_the_mac_covers_each_field_and_where_it_ends(task_id: str, name: str, payload: Payload) -> None:
    with pytest.raises(MacError, match="SECRET_KEY"):
        verify(task_id, name, payload, mac(ID, NAME, PAYLOAD, KEY), [KEY])


@pytest.mark.parametrize("given", ["", "0" * 64, "é" * 64, "\ud800" * 64, "😀"])
def test_a_mac_of_strange_characters_is_only_wrong(given: str) -> None:
    with pytest.raises(MacError):
        verify(ID, NAME, PAYLOAD, given, [KEY])


def test_no_key_verifies_nothing() -> None:
    with pytest.raises(MacError):
        verify(ID, NAME, PAYLOAD, mac(ID, NAME, PAYLOAD, KEY), [])


def test_clean_text_is_fit_for_any_database() -> None:
    assert clean("a\0b\ud800c é 🎈") == "a\\x00b\\ud800c é 🎈"


@pytest.mark.parametrize("value", ["x" * RESULT_LIMIT, b"x" * RESULT_LIMIT])
def test_a_result_too_long_for_a_row_is_not_kept_and_its_task_has_succeeded(value: Any) -> None:
    text = dump_result(value, ID, KEY)
    assert text is not None
    assert len(text) < 200
    with pytest.raises(ValueError, match="more than the 4194304 that a row carries"):
        load_result(text, ID, [KEY])
