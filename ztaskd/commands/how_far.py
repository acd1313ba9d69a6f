"""How far a task is, in words and for machines. (`progress.py` is how far a command is.)"""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict

from django_ztask import progress
from django_ztask.progress import Progress
from ztaskd.commands.printing import age, clean, utc


def words(said: Progress, now: float) -> str:
    """`1,203 of 5,000 (24 %) "parsing", 0.4s ago`."""
    text = number(said.done)
    if said.total is not None and said.fraction is not None:
        # (Rounded down: what is not done is not 100 %.)
        text += f" of {number(said.total)} ({int(said.fraction * 100)} %)"
    if said.text:
        text += f' "{clean(said.text)}"'
    return f"{text}, {age(now - said.at)} ago"


def of_row(text: Any, attempts: Any, now: float) -> str | None:
    """The same for what stands in a row that has had so many `attempts`. None: nothing stands there."""
    found = progress.of_row(text)
    if found is None:
        return None
    attempt, said = found
    return words(said, now) + ("" if attempt == attempts else f", in attempt {attempt}")


def for_machines(text: Any) -> dict[str, Any] | None:
    found = progress.of_row(text)
    if found is None:
        return None
    attempt, said = found
    return {"attempt": attempt, **asdict(said), "fraction": said.fraction, "at": utc(said.at)}


def number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
