"""Task functions that leave something of the process changed, and one that tells how it finds it."""

import contextlib
import decimal
import gc
import io
import locale
import logging
import logging.config
import os
import signal
import socket
import sys
import time

from django_ztask.decorators import task
from tests.project.shop.tasks import note

ALL = [n for n in signal.valid_signals() if n < getattr(signal, "SIGRTMIN", signal.NSIG)]


def change_folder():
    os.chdir("/")


def change_umask():
    os.umask(0o077)


def change_locale():
    locale.setlocale(locale.LC_ALL, "C")


def change_locale_of_numbers():
    locale.setlocale(locale.LC_NUMERIC, "POSIX")


def ignore_signals():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_IGN)


def give_signals_their_default():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)


def block_signals():
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGRTMIN + 1})


def set_alarm():
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)


def set_alarm_with_handler():
    signal.signal(signal.SIGALRM, lambda number, frame: os._exit(99))
    signal.setitimer(signal.ITIMER_REAL, 0.5)


def close_descriptors():
    os.close(0)
    os.close(1)
    os.close(2)


def let_a_file_take_descriptor_1():
    os.close(1)
    os.open(os.environ["SHOP_LEDGER"] + ".1", os.O_WRONLY | os.O_CREAT)


def replace_descriptors():
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)


def close_stdout():
    sys.stdout.close()
    sys.stderr.close()
    sys.stdout.buffer.close()


def lose_stdout():
    sys.stdout = sys.stderr = None


def replace_stdout():
    sys.stdout = io.StringIO()
    sys.stderr = io.StringIO()
    sys.stderr.close()


def set_socket_timeout():
    socket.setdefaulttimeout(0.000001)


def disable_gc():
    gc.disable()


def disable_logging():
    logging.disable(logging.CRITICAL)


def raise_log_levels():
    logging.getLogger("ztaskd").setLevel(logging.CRITICAL)
    logging.getLogger().setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.CRITICAL)


def reject_records():
    logging.getLogger("ztaskd").addFilter(lambda record: False)
    logging.getLogger().handlers.clear()


def configure_logging():
    logging.getLogger("shop").info("this logger exists, and is switched off by dictConfig()")
    logging.config.dictConfig({"version": 1, "root": {"handlers": [], "level": "CRITICAL"}})


def lower_precision():
    decimal.getcontext().prec = 2


LEAVE = {
    function.__name__: function
    for function in (
        change_folder,
        change_umask,
        change_locale,
        change_locale_of_numbers,
        ignore_signals,
        give_signals_their_default,
        block_signals,
        set_alarm,
        set_alarm_with_handler,
        close_descriptors,
        let_a_file_take_descriptor_1,
        replace_descriptors,
        close_stdout,
        lose_stdout,
        replace_stdout,
        set_socket_timeout,
        disable_gc,
        disable_logging,
        raise_log_levels,
        reject_records,
        configure_logging,
        lower_precision,
    )
}


@task(retry_count=0)
def leave(what, fails=False):
    LEAVE[what]()
    if fails:
        raise ValueError(f"after {what}")


@task()
def surroundings():
    """Everything of the process that `leave` changes, as JSON can carry it."""
    umask = os.umask(0)
    os.umask(umask)
    shop, ours, root = (logging.getLogger(name) for name in ("shop", "ztaskd", None))
    loggers = [(x.level, x.disabled, len(x.handlers), len(x.filters)) for x in (shop, ours, root)]
    return {
        "folder": os.getcwd(),
        "umask": umask,
        "locale": locale.setlocale(locale.LC_ALL),
        "signals": {signal.Signals(n).name: str(signal.getsignal(n)) for n in ALL},
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timer": signal.getitimer(signal.ITIMER_REAL)[0],
        "descriptors": [[os.fstat(fd).st_dev, os.fstat(fd).st_ino] for fd in (0, 1, 2)],
        "inherited": [os.get_inheritable(fd) for fd in (0, 1, 2)],
        "streams": [type(stream).__name__ for stream in (sys.stdout, sys.stderr)],
        "timeout": socket.getdefaulttimeout(),
        "gc": gc.isenabled(),
        "disabled": logging.root.manager.disable,
        "loggers": loggers,
        "levels": [handler.level for handler in root.handlers + ours.handlers],
        "precision": decimal.getcontext().prec,
    }


@task()
def keywords(**given):
    return given


@task(timeout=30)
def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.01)


@task()
def capture(word, until):
    """What it has printed itself: it waits for a file in between."""
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        note("captures", word)
        wait_for_file(until)
        print(word)
    return captured.getvalue()


@task()
def leave_and_wait(what, until):
    LEAVE[what]()
    note("left", what)
    wait_for_file(until)


@task()
def switch_interval():
    return sys.getswitchinterval()


def switch_rarely():
    sys.setswitchinterval(0.25)
