"""The only place that builds things: the project, the log, the locks, the node."""

from __future__ import annotations

import argparse
import logging
import os
import time
import traceback
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ztaskd import project
from ztaskd.cli import Exit
from ztaskd.project import Refusal


def run(options: argparse.Namespace) -> int:
    """The whole life of the process after gevent was patched in. Returns the exit code."""
    from ztaskd import output

    began = time.perf_counter()
    output.open_standard_descriptors()
    terminal = os.dup(2)
    try:
        return _run(options, began)
    except Refusal as refusal:
        _say(terminal, options, str(refusal))
        return refusal.code
    except Exception:
        _say(terminal, options, f"crashed while starting:\n{traceback.format_exc()}")
        return Exit.CRASH


def _run(options: argparse.Namespace, began: float) -> int:
    from ztaskd import logs, output

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
        handler = output.open_log(options.logfile)
    except OSError as error:
        raise Refusal(Exit.USAGE, f"--logfile: cannot write {options.logfile}: {error.strerror}") from None
    logs.configure(handler, options.loglevel)
    log = logging.getLogger("ztaskd")
    for note in notes:
        log.warning("%s", note)
    if not options.noreload:
        log.info("reloading is not available yet: this daemon keeps the code it has read (--noreload)")
    return serve(options, began)


def serve(options: argparse.Namespace, began: float) -> int:
    from ztaskd.addresses import AddressInUse
    from ztaskd.locks import LockFile

    project.check_journal()
    pidfile = LockFile(Path(options.pidfile)) if options.pidfile else None
    if pidfile is not None:
        _write_pidfile(pidfile)
    try:
        return _serve(options, began)
    except AddressInUse as error:
        advice = "Stop it, or give this project another ZTASKD_URL (5555 is also Flower's port)."
        raise Refusal(Exit.ADDRESS_IN_USE, f"{error}. {advice}") from None
    finally:
        if pidfile is not None:
            pidfile.release()


def _serve(options: argparse.Namespace, began: float) -> int:
    from django.db import DatabaseError, InterfaceError, connections

    from django_ztask.conf import conf
    from ztaskd.addresses import BadAddress
    from ztaskd.lease import Lease
    from ztaskd.node import Node

    boot, journal = str(uuid.uuid4()), connections[conf.database]
    with ExitStack() as locks:
        folder = _take_locks(locks, journal, conf.node, boot)
        try:
            node = Node(
                Lease(boot, conf.node, conf.url[0], conf.lease),
                locks=folder,
                disk=folder.parent if journal.vendor == "sqlite" else None,  # (where the file lies)
                concurrency=options.concurrency or conf.concurrency,
                grace=conf.grace if options.grace is None else options.grace,
                workers=_workers(options),
                multiprocess=options.multiprocess,
            )
            node.bind()
            project.load_tasks()
            project.run_on_load()
            project.prepare_journal(journal)
            connections.close_all()
            return node.run(options.replayfailed, began)
        except (DatabaseError, InterfaceError) as error:
            raise Refusal(Exit.DATABASE, f"the journal cannot be used: {error}") from None
        except BadAddress as error:
            raise Refusal(Exit.USAGE, str(error)) from None


def _workers(options: argparse.Namespace) -> Any:
    from ztaskd.workers.pool import Limits, Workers

    memory = options.max_memory_per_child
    limits = Limits(options.max_tasks_per_child, None if memory is None else memory * 2**20)
    return Workers(options.worker_pool_size or os.cpu_count() or 1, options.loglevel, limits)


def _take_locks(held: ExitStack, journal: Any, name: str, boot: str) -> Path:
    """The node's lock and this boot's own, until `held` lets go. Returns their folder."""
    from ztaskd import locks, recover

    try:
        folder = locks.folder_for(journal)
        node_lock = locks.LockFile(folder / f"node-{name}.lock")
        boot_lock = locks.LockFile(recover.boot_lock(folder, boot))
        if not node_lock.acquire(f"pid {os.getpid()}"):
            who = f"{node_lock.holder()} (node {name!r})"
            raise Refusal(Exit.ADDRESS_IN_USE, f"a daemon of this project runs already: {who}. Stop it first")
        held.callback(node_lock.release)
        boot_lock.acquire(f"pid {os.getpid()}")
        held.callback(boot_lock.release)
    except OSError as error:
        raise Refusal(Exit.DATABASE, f"the lock files cannot be made: {error}") from None
    return folder


def _write_pidfile(pidfile: Any) -> None:
    try:
        free = pidfile.acquire(f"{os.getpid()}\n")
    except OSError as error:
        raise Refusal(Exit.PIDFILE, f"--pidfile: cannot write {pidfile.path}: {error.strerror}") from None
    if not free:
        raise Refusal(
            Exit.PIDFILE, f"--pidfile: {pidfile.path} is held by a running ztaskd, pid {pidfile.holder()}"
        )


def _say(terminal: int, options: argparse.Namespace, text: str) -> None:
    """To the terminal (or the supervisor's log), and to the log file when that is open."""
    if options.logfile and logging.getLogger("ztaskd").handlers:
        logging.getLogger("ztaskd").critical("%s", text)
    try:
        os.write(terminal, f"ztaskd: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        pass
