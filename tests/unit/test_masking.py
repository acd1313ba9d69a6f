"""Sensitive arguments: which of a call they are, and texts without them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from django_ztask import execute, masking, serialize
from django_ztask.conf import keys
from django_ztask.decorators import task
from django_ztask.errors import ArgumentError
from django_ztask.execute import CurrentTask
from django_ztask.lifecycle import Kind, Outcome
from django_ztask.rows import claimed

SECRET = "hunter2-swordfish"
ID = "01a20399-b83d-780c-8b00-d26eed99a2eb"


def plain(user: Any, token: Any = None, *, pin: Any = None) -> None: ...
def rest(user: Any, *tokens: Any, **more: Any) -> None: ...
def only(token: Any, /, user: Any = None, **more: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "names", "args", "kwargs", "expected"),
    [
        (plain, ("token",), (1, 2), {}, [1]),
        (plain, ("token",), (1,), {"token": 2, "pin": 3}, ["token"]),
        (plain, ("token", "pin", "user"), (1,), {"pin": 3}, [0, "pin"]),
        (plain, (), (1, 2), {"pin": 3}, []),
        (rest, ("tokens",), (1, 2, 3), {"a": 1}, [1, 2]),
        (rest, ("more",), (1, 2), {"a": 1, "b": 2}, ["a", "b"]),
        (rest, ("more",), (), {"a": 1, "user": 2}, ["a"]),
        (rest, ("key",), (1,), {"key": 1, "b": 2}, ["key"]),
        (only, ("token",), (1,), {"user": 2}, [0]),
    ],
)
def test_positions_and_keywords_count(
    function: Callable[..., Any], names: Any, args: Any, kwargs: Any, expected: list[int | str]
) -> None:
    assert masking.hidden(names, inspect.signature(function), args, kwargs) == expected


@pytest.mark.parametrize("names", ["token", 7, {"token"}, [b"token"], None])
def test_what_are_no_names_is_refused_at_decoration(names: Any) -> None:
    with pytest.raises(TypeError, match="sensitive must be a tuple or a list of parameter names, not "):
        task(sensitive=names)(lambda token: None)


def test_a_name_that_is_no_parameters_is_refused_at_decoration(functions: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="sensitive: the function has no parameter 'tokn'; it has: token"):
        task(sensitive=["tokn"])(lambda token: None)
    made = task(sensitive=["token"])(lambda token: None)
    assert made.options.sensitive == ("token",)
    with pytest.raises(ValueError, match="no parameter 'tokn'"):
        made.using(sensitive=("tokn",))
    with pytest.raises(ValueError, match="no parameter 'tokn'"):
        made.using(name="t.other", sensitive=("tokn",))
    assert task(sensitive=("whatever",))(lambda **more: None).hidden((), {"whatever": 1}) == ["whatever"]


def test_arguments_are_shown_without_them() -> None:
    args, kwargs = json.dumps([1, SECRET]), json.dumps({"pin": 1234, "user": "Zoë"})
    assert masking.masked("json", args, kwargs, ()) == (args, kwargs)
    assert masking.masked("json", args, kwargs, [1, "pin"]) == ('[1,"***"]', '{"pin":"***","user":"Zoë"}')
    assert masking.masked("pickle", "AAAA", "AAAA", [1]) == ("AAAA", "AAAA")


@pytest.mark.parametrize(
    "args", [SECRET, json.dumps(SECRET), b"\xff", 7, "[" * 100_000, json.dumps({SECRET: SECRET})]
)
def test_of_a_row_that_somebody_has_edited_nothing_is_shown(args: Any) -> None:
    assert masking.masked("json", args, "{}", [0]) == ('"***"', '"***"')
    assert masking.masked("json", "[]", args, [0])[0] in ('"***"', "[]")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ('{"sensitive": [0, "token"]}', (0, "token")),
        ({"sensitive": [0, True, None, "token"]}, (0, "token")),
        ('{"sensitive": "token"}', ()),
        ("nonsense", ()),
        ("[]", ()),
        (None, ()),
    ],
)
def test_the_row_says_which_they_are(meta: Any, expected: Any) -> None:
    assert masking.of_meta(meta) == expected
    if isinstance(meta, str) and meta.startswith("{"):
        row = (ID, "t.f", "json", "[]", "{}", "", "", 1.0, 0, 0, 1, 0, 0, meta, "")
        assert claimed(row).hidden == expected
        assert claimed(row).policy == {}


@pytest.mark.parametrize(
    ("value", "text", "expected"),
    [
        (SECRET, f"no login for {SECRET}!", "no login for ***!"),
        ("a'b\n\"cd", repr(KeyError("a'b\n\"cd")), "KeyError('***')"),
        ("Zoë-Zoë", json.dumps({"a": "Zoë-Zoë"}), '{"a": "***"}'),
        ({"inner": [SECRET, ("longer-" + SECRET,)]}, f"{SECRET} longer-{SECRET}", "*** ***"),
        ("first line\nsecond line", "  | first line\n  | second line", "  | ***\n  | ***"),
        (SECRET.encode(), str(SECRET.encode()), "b'***'"),
        (b"key\xff\x00key", repr(ValueError(b"key\xff\x00key")), "ValueError(b'***')"),
        (bytearray(b"secret\xff"), repr(bytearray(b"secret\xff")), "bytearray(b'***')"),
        ("abc", "abc is too short to be searched for", "abc is too short to be searched for"),
        (12345678, "of numbers: 12345678", "of numbers: 12345678"),
    ],
)
def test_texts_are_written_without_them(value: Any, text: str, expected: str) -> None:
    secrets = masking.Secrets()
    secrets.add([value, "user"], {}, [0])
    assert secrets(text) == expected


def run(function: Callable[..., Any], hidden: masking.Hidden = (), *args: Any) -> Outcome:
    payload = serialize.dump_call(args, {})
    name = function.name  # type: ignore[attr-defined]
    mac = serialize.mac(ID, name, payload, keys("row")[0])
    return execute.run(CurrentTask(ID, name, 1, 0), payload, mac, hidden=hidden)


@pytest.mark.parametrize("by", ["row", "function"])
def test_no_text_of_an_outcome_holds_them(functions: dict[str, Any], by: str) -> None:
    options = {"sensitive": ("token",)} if by == "function" else {}

    @task(name="t.f", **options)
    def fails(token: str, how: str) -> Any:
        if how == "repr":
            return Odd(token)
        try:
            raise KeyError(token)
        except KeyError as error:
            error.add_note(token)
            raise ValueError("x" * (1995 if how == "cut" else 1) + token) from error

    functions["t.f"] = fails
    hidden = [0] if by == "row" else []
    for how in ("short", "cut"):
        outcome = run(fails, hidden, SECRET, how)
        assert outcome.kind is Kind.FAILURE
        assert outcome.exception is not None
        assert outcome.traceback is not None
        assert SECRET[:4] not in outcome.exception + outcome.traceback
        assert outcome.traceback.count("***") >= 3
    assert run(fails, hidden, SECRET, "repr").result == "repr:Odd(***)"
    assert SECRET in str(run(task(name="t.f")(fails.function), [], SECRET, "short").exception)


class Odd:
    """Cannot be carried."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __repr__(self) -> str:
        return f"Odd({self.token})"

    def __reduce__(self) -> Any:
        raise TypeError(f"not {self.token}")


@pytest.mark.parametrize("eager", [False, True])
def test_an_argument_that_cannot_be_serialised_is_named_without_them(
    functions: dict[str, Any], eager: bool
) -> None:
    @task(sensitive=("token",))
    def takes(token: str, odd: Any) -> None: ...

    takes._importable = None
    with override_settings(ZTASKD_ALWAYS_EAGER=eager), pytest.raises(ArgumentError) as caught:
        takes.async_(SECRET, Odd(SECRET))
    assert str(caught.value) == "argument 2 (Odd) cannot be serialised: not ***"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_call_that_does_not_fit_shows_no_value(functions: dict[str, Any]) -> None:
    @task(sensitive=("token",))
    def takes(token: str) -> None: ...

    for args, kwargs in (((SECRET, SECRET), {}), ((SECRET,), {"token": SECRET}), ((), {"tokn": SECRET})):
        with pytest.raises(TypeError) as caught:
            takes.async_(*args, **kwargs)
        assert SECRET not in str(caught.value)
    assert SECRET not in repr(takes)
