"""What belongs to the process, and how each of it is read, put back and told: a list for surroundings.py.

Each is here because a change would end the daemon, make it deaf or dumb, or quietly spoil later tasks, and
because it is read in well under two microseconds. Left alone is what libraries rightly set for good when a
task imports them: os.environ, sys.path, the filters of warnings, the recursion limit. Context variables
(language, time zone, decimal's context) end with their task, and slots.py sees to the connections.
"""

from __future__ import annotations

import gc
import locale
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
from gevent import monkey

from ztaskd.output import standard

# The C functions: the public ones make enums, 20 us for the handlers of all signals instead of 0.7.
getsignal = monkey.get_original("_signal", "getsignal")
sigmask = monkey.get_original("_signal", "pthread_sigmask")
setlocale = monkey.get_original("_locale", "setlocale")

REALTIME = getattr(signal, "SIGRTMIN", signal.NSIG)  # not everywhere
SIGNALS = sorted(int(number) for number in signal.valid_signals() if number < REALTIME)
TIMERS = {
    signal.ITIMER_REAL: signal.SIGALRM,
    signal.ITIMER_VIRTUAL: signal.SIGVTALRM,
    signal.ITIMER_PROF: signal.SIGPROF,
}


@dataclass(frozen=True)
class Belonging:
    """`read` gives its state, `put_back` takes the noted one, `tell` words a change (state, noted state).
    `lent`: tasks often change it for a while, and put it back themselves."""

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object]
    tell: Callable[[Any, Any], str]
    lent: bool = False


def of_this_process() -> list[Belonging]:
    """All of them, fit to be noted now. The descriptors come first: what is said about the others needs them."""
    _survive_stray_alarms()
    standard.keep()
    return [
        Belonging("descriptors", standard.changed, _put_back_descriptors, _tell_descriptors),
        *_signals(),
        _umask(),
        *_folder(),
        Belonging(
            "locale",
            partial(setlocale, locale.LC_ALL),
            lambda noted: locale.setlocale(locale.LC_ALL, noted),
            lambda value, _: f"changed the locale to {value}",
            lent=True,
        ),
        _stream("stdout"),
        _stream("stderr"),
        Belonging(
            "timeout",
            socket.getdefaulttimeout,
            socket.setdefaulttimeout,
            lambda value, _: f"changed the default timeout of sockets to {value}",
            lent=True,
        ),
        Belonging(
            "garbage collector",
            gc.isenabled,
            lambda noted: gc.enable() if noted else gc.disable(),
            lambda value, _: f"switched the garbage collector {'on' if value else 'off'}",
            lent=True,
        ),
        *_logging(),
    ]


def _survive_stray_alarms() -> None:
    """By default a timer's signal ends the process. (A handler, and not SIG_IGN, which children inherit.)"""
    for number in TIMERS.values():
        if getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda number, frame: None)


def _put_back_descriptors(noted: object) -> None:
    for descriptor in standard.changed():
        standard.put_back(descriptor)


def _tell_descriptors(value: list[int], noted: object) -> str:
    return f"closed or replaced descriptor {' and '.join(map(str, value))}"


def _umask() -> Belonging:
    """(It cannot be read without being set.)"""

    def read() -> int:
        value = os.umask(0o022)
        os.umask(value)
        return value

    return Belonging(
        "umask",
        read,
        os.umask,
        lambda value, _: f"changed the umask to {value:03o}",
        lent=True,
    )


def _folder() -> list[Belonging]:
    """Kept open: its name may lead elsewhere by then (a deploy), or nowhere."""
    try:
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", 0))
    except OSError:  # another user's (sudo -u www-data ztaskd): there would be no way back to it
        return []

    def tell(value: object, noted: object) -> str:
        try:
            return f"changed the working directory to {os.getcwd()}"
        except OSError:
            return "changed the working directory to one that is gone"

    return [Belonging("folder", lambda: _identity("."), lambda _: os.fchdir(folder), tell, lent=True)]


def _identity(path: str) -> tuple[int, int] | None:
    try:
        return os.stat(path)[1:3]  # inode and device
    except OSError:
        return None


def _signals() -> list[Belonging]:
    """Handlers, timers (before them: each needs its handler until it is stopped), and what is blocked."""
    timers = [timer for timer in TIMERS if not signal.getitimer(timer)[0]]

    def stop_timers(noted: object) -> None:
        for timer in timers:
            signal.setitimer(timer, 0)

    return [
        Belonging(
            "timers",
            lambda: any(signal.getitimer(timer)[0] for timer in timers),
            stop_timers,
            lambda value, noted: "left a timer running (signal.alarm or setitimer)",
        ),
        Belonging("handlers", lambda: list(map(getsignal, SIGNALS)), _put_back_handlers, _tell_handlers),
        Belonging(
            "blocked",
            partial(sigmask, signal.SIG_BLOCK, ()),
            lambda noted: sigmask(signal.SIG_SETMASK, noted),
            lambda value, noted: f"blocked or unblocked {_names(value ^ noted)}",
        ),
    ]


def _put_back_handlers(noted: list[Any]) -> None:
    for number, value, handler in zip(SIGNALS, map(getsignal, SIGNALS), noted, strict=True):
        if value != handler and handler is not None:  # None: it was not set from Python, nor can be
            signal.signal(number, handler)
            if number == signal.SIGCHLD:
                gevent.get_hub().loop.install_sigchld()  # or no task hears of its child's end any more


def _tell_handlers(value: list[Any], noted: list[Any]) -> str:
    return f"changed the handling of {_names(n for n, v, h in zip(SIGNALS, value, noted, strict=True) if v != h)}"


def _names(numbers: Any) -> str:
    names = {number.value: number.name for number in signal.Signals}  # (not of the realtime signals)
    return ", ".join(names.get(number, f"signal {number}") for number in sorted(numbers))


def _stream(name: str) -> Belonging:
    return Belonging(
        name,
        partial(getattr, sys, name, None),
        lambda noted: setattr(sys, name, noted),
        lambda value, _: f"replaced sys.{name} by {type(value).__name__}",
        lent=True,
    )


def _logging() -> list[Belonging]:
    """Where our own lines go, and those of the project: dictConfig() takes the handlers from the root, and
    switches off every logger that it does not name."""
    return [
        Belonging(
            "logging.disable",
            partial(getattr, logging.root.manager, "disable"),
            logging.disable,
            lambda value, _: f"disabled logging up to level {value}",
        ),
        _logger(logging.getLogger("ztaskd")),
        _logger(logging.root, lent=True),
    ]


def _logger(logger: logging.Logger, lent: bool = False) -> Belonging:
    disabled = {other for other in _loggers() if other.disabled}
    handlers = [(handler, handler.level) for handler in logger.handlers]

    def read() -> Any:
        levels = [(handler, handler.level) for handler in logger.handlers]
        return logger.level, logger.disabled, logger.propagate, levels, logger.filters[:]

    def put_back(noted: Any) -> None:
        if logger.disabled:
            for other in _loggers() - disabled:
                other.disabled = False
        level, logger.disabled, logger.propagate, _, filters = noted
        logger.setLevel(level)
        logger.handlers[:] = [handler for handler, _ in handlers]
        logger.filters[:] = filters
        for handler, level in handlers:
            handler.setLevel(level)

    return Belonging(
        f"log {logger.name}",
        read,
        put_back,
        lambda value, noted: _tell_logger(logger.name, value, noted),
        lent,
    )


def _loggers() -> set[logging.Logger]:
    found = logging.root.manager.loggerDict.values()
    return {logger for logger in found if isinstance(logger, logging.Logger)}


def _tell_logger(name: str, value: Any, noted: Any) -> str:
    what = ("level", "disabled", "propagate", "handlers", "filters")
    changed = [word for word, now, then in zip(what, value, noted, strict=True) if now != then]
    return f"changed the logger {name!r} ({', '.join(changed)})"
