"""The only place that builds things: the project, the log, the locks, the node."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ztaskd import lastwords, project
from ztaskd.again import program
from ztaskd.cli import Exit
from ztaskd.notify import manager
from ztaskd.project import Refusal

# Seconds for which a thread keeps Python's lock when another one wants it. The journal's thread needs it a dozen times for a
# batch, and the hub after each wait: with Python's own 5 ms a map() of 20,000 ran at 11,300 tasks/s, so at 12,500. (0.5 ms is
# no better, and switches twice as often.)
SWITCH = 0.001

if TYPE_CHECKING:
    from ztaskd.gathering import Look
    from ztaskd.handover import Handover
    from ztaskd.http.service import Http
    from ztaskd.node import Node
    from ztaskd.reload.folders import Code
    from ztaskd.reload.link import Link
    from ztaskd.seat import Seat


def run(options: argparse.Namespace, link: Link | None) -> int:
    """The whole life of the process after gevent was patched in. Returns the exit code."""
    began = time.perf_counter()
    terminal = os.dup(2)
    try:
        return _run(options, began, link)
    except Refusal as refusal:
        told = refusal
    except Exception:
        told = Refusal(Exit.CRASH, f"crashed while starting:\n{traceback.format_exc()}")
    if link is not None:
        link.refused(told.code, str(told), told.final, _code(link))
    else:
        manager.failed(str(told))
        _say(terminal, options, str(told))
    return told.code


def _run(options: argparse.Namespace, began: float, link: Link | None) -> int:
    from django_ztask.conf import conf
    from ztaskd import logs, output

    manager.booting("loading the project")
    sys.setswitchinterval(SWITCH)  # (a project may set its own)
    look = _look(options)
    project.setup_django(options)
    notes = project.check_project(fail_fast=not options.check)
    if options.check:
        project.check_journal()
        project.load_tasks()
        for note in notes:
            print(f"ztaskd: {note}")
        print("ztaskd: settings, database and task modules are fine")
        return Exit.CLEAN
    try:
        look.node = conf.node
        handler = output.open_log(options.logfile, look)
    except OSError as error:
        raise Refusal(Exit.USAGE, f"--logfile: cannot write {options.logfile}: {error.strerror}") from None
    logs.configure(handler, options.loglevel)
    log = logging.getLogger("ztaskd")
    for note in notes:
        log.warning("%s", note)
    return serve(options, began, link)


def _look(options: argparse.Namespace) -> Look:
    """Of the log's lines; from here on, of last words, too. (The node's name is not known yet.)"""
    from ztaskd import facts, gathering, jsonlines

    if options.log_format == "text":
        return gathering.Formatter()
    look = jsonlines.JsonLines(None, facts.of_current, facts.of_event)
    look.as_last_words()
    return look


def serve(options: argparse.Namespace, began: float, link: Link | None) -> int:
    from ztaskd.pidfile import written

    manager.booting("looking at the journal")
    project.check_journal()
    with written(None if link else options.pidfile):  # (else the parent's)
        return _serve(options, began, link)


def _serve(options: argparse.Namespace, began: float, link: Link | None) -> int:
    from django.db import DatabaseError, InterfaceError, connections

    from django_ztask.conf import conf
    from ztaskd.addresses import BadAddress
    from ztaskd.seat import Seat

    boot, journal = str(uuid.uuid4()), connections[conf.database]
    seat = Seat(journal, conf.node, link.predecessor if link else None)
    try:
        node = _node(options, boot, journal, seat, link)
        seat.take(conf.url[0], node.bind)
        project.load_tasks()
        project.run_on_load()
        project.prepare_journal(journal)
        connections.close_all()
        if link:
            link.wait_for_turn(conf.url[0], _code(link))
            seat.take_rest()
        with _boot_lock(seat.folder, boot), closing(node.watchdog):  # (atexit may take long)
            return node.run(options.replayfailed, began)
    except (DatabaseError, InterfaceError) as error:
        raise Refusal(Exit.DATABASE, f"the journal cannot be used: {error}") from None
    except BadAddress as error:
        raise Refusal(Exit.USAGE, str(error)) from None
    finally:
        if not program.starts_anew():  # (else it is free at the exec; its file still names us: `ztaskd stop`)
            seat.leave()


def _node(options: argparse.Namespace, boot: str, journal: Any, seat: Seat, link: Link | None) -> Node:
    from django_ztask.conf import conf
    from ztaskd.lease import Lease
    from ztaskd.node import Node

    return Node(
        Lease(boot, conf.node, conf.url[0], conf.lease),
        locks=seat.folder,
        disk=seat.folder.parent if journal.vendor == "sqlite" else None,  # (where the file lies)
        concurrency=options.concurrency or conf.concurrency,
        grace=conf.grace if options.grace is None else options.grace,
        workers=_workers(options),
        multiprocess=options.multiprocess,
        handover=_handover(options, seat, link) if link else None,
        http=_http(options, link),
    )


def _workers(options: argparse.Namespace) -> Any:
    from ztaskd.workers.pool import Limits, Workers

    memory = options.max_memory_per_child
    limits = Limits(options.max_tasks_per_child, None if memory is None else memory * 2**20)
    return Workers(options.worker_pool_size or os.cpu_count() or 1, options.loglevel, limits)


def _handover(options: argparse.Namespace, seat: Seat, link: Link) -> Handover:
    from ztaskd.handover import Handover

    return Handover(link, options.reload_grace, seat.leave)


def _http(options: argparse.Namespace, link: Link | None) -> Http | None:
    """(Imported for those who want it.)"""
    from django_ztask.conf import conf
    from ztaskd.http import address

    if options.http is None and conf.http is None:
        return None
    from ztaskd.http.service import Http

    where = options.http or address.parse(str(conf.http))
    served = program.is_again if link is None else bool(link.predecessor) or not link.replay
    return Http(where, told=options.http is not None, waits=served)


@contextmanager
def _boot_lock(folder: Path, boot: str) -> Iterator[None]:
    """This boot's own, until it is over: while it is held, nobody recovers what the boot runs."""
    from ztaskd import recover
    from ztaskd.locks import LockFile

    lock = LockFile(recover.boot_lock(folder, boot))
    try:
        free = lock.acquire(f"pid {os.getpid()}")
    except OSError as error:
        raise Refusal(Exit.DATABASE, f"the lock files cannot be made: {error}") from None
    if not free:  # (without it we would count as dead, and what we run would be recovered)
        raise Refusal(Exit.DATABASE, f"another process holds our lock file: {lock.path}, {lock.holder()}")
    try:
        yield
    finally:
        lock.release()


def _code(link: Link) -> Code:
    """What the reloader is to watch, as far as it is known."""
    from django_ztask.conf import conf
    from ztaskd.reload.folders import Code, folders_of_project

    log = logging.getLogger("ztaskd")
    modules = [file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    say = log.log if link.predecessor is None else _nothing  # (once is enough)
    code = folders_of_project(sys.path, modules, Path.cwd(), say)
    try:
        named = tuple(Path(path).absolute() for path in conf.watch)
    except Exception:  # settings that do not load raise anything; why, is said elsewhere
        named = ()
    return Code(code.folders, (*code.files, *named))


def _nothing(level: int, text: str) -> None:
    """For what has been said already."""


def _say(terminal: int, options: argparse.Namespace, text: str) -> None:
    """To the terminal (or the supervisor's log), and to the log file when that is open."""
    if options.logfile and logging.getLogger("ztaskd").handlers:
        logging.getLogger("ztaskd").critical("%s", text)
    lastwords.say(text, terminal)
