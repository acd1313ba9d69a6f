"""Asks nodes something, all at once: who answers, who does not, and why. The journal is not needed for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

KEYS = (
    "is SECRET_KEY the same here (settings module, environment) as where the daemon was started? If the daemon is of "
    "another project, give this one another ZTASKD_URL"
)
CLOCK = "set the clocks right (NTP)"
OLDER = "the daemon runs older code: restart it, then ask again"
BLOCKED = "a task may be blocking it, or it is stopped (SIGSTOP): its log says more; `kill -USR1 PID` writes there what it does"


@dataclass(frozen=True)
class Answer:
    """Of the node at `url`, in so many seconds. `value` is None when it has none for us; then `kind` is one word for
    why (silence, blocked, mac, stale, busy, ...), `what` says it in full, `advice` what to do ("": nothing)."""

    url: str
    seconds: float
    value: dict[str, Any] | None = None
    kind: str = ""
    what: str = ""
    advice: str = ""

    @property
    def is_refusal(self) -> bool:
        """Somebody is there."""
        return self.value is None and self.kind not in ("silence", "blocked")

    def lines(self) -> list[str]:
        """For people: why there is no answer."""
        return [self.what, *([f"  -> {self.advice}"] if self.advice else [])]


def ask(url: str, command: str, timeout: float) -> Answer:
    from django_ztask import control
    from django_ztask.errors import MacError, MessageError, NoAnswer, Refused

    began = time.perf_counter()

    def answer(value: Any = None, kind: str = "", what: object = "", advice: str = "") -> Answer:
        return Answer(url, time.perf_counter() - began, value, kind, str(what), advice)

    try:
        return answer(control.ask(url, command, timeout).value)
    except NoAnswer as error:
        return answer(None, "blocked" if error.taken else "silence", error, BLOCKED if error.taken else "")
    except Refused as error:
        advice = {"mac": KEYS, "stale": CLOCK, "unknown": OLDER}.get(error.kind, "")
        return answer(None, error.kind, error, advice)
    except MacError:
        return answer(None, "mac", f"the node at {url} answers with another key", KEYS)
    except MessageError as error:
        return answer(None, "message", f"what is at {url} answers, but not as a node does: {error}")
    except OSError as error:  # (an address that is none: zmq's errors are of this kind too)
        return answer(None, "silence", f"{url} cannot be asked: {error}")


def ask_all(urls: Iterable[str], command: str, timeout: float) -> list[Answer]:
    """Each in a thread of its own, so that those which do not answer cost their time once."""
    asked = list(dict.fromkeys(urls))
    answers: dict[str, Answer] = {}

    def run(url: str) -> None:
        answers[url] = ask(url, command, timeout)

    threads = [threading.Thread(target=run, args=(url,), daemon=True) for url in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [answers[url] for url in asked if url in answers]


def here(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The addresses of the journal's nodes that may be reached from this host, without those that are gone."""
    import socket

    host = socket.gethostname()
    return [row["url"] for row in rows if row["host"] == host and row["lives"]]
