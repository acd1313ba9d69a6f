"""The program's last act, in processes of its own: ends, or becomes itself anew."""

import subprocess
import sys
import textwrap

from tests.acceptance.daemon import ROOT

# `between` is called after the mask has been set, as late as possible.
PROGRAM = """
import os, signal, sys, threading, time
from ztaskd.again import program

program.remember()
program.wanted = True

def stop(number, frame):
    program.stopped = True

signal.signal(signal.SIGTERM, stop)
between = lambda: None

def command(*more):
    between()
    return [sys.executable, "-c", "print('again')"]

program._command = command
"""


def run(code, *args):
    command = [sys.executable, "-c", PROGRAM + textwrap.dedent(code), *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def test_what_is_to_begin_anew_does():
    assert run("program.leave(3)") == (0, "again\n", "")


def test_a_stop_that_another_thread_has_taken_since_the_mask_was_set_counts(tmp_path):
    pidfile_of_ours = """
    from pathlib import Path
    program.pidfile = Path(sys.argv[1])
    program.pidfile.write_text(str(os.getpid()))
    """
    code = """
    threading.Thread(target=time.sleep, args=[60], daemon=True).start()

    def between():
        os.kill(os.getpid(), signal.SIGTERM)
        deadline = time.monotonic() + 20
        while not program.stopped and time.monotonic() < deadline:
            time.sleep(0.001)

    program.leave(3)
    """
    pidfile = tmp_path / "pid"
    assert run(pidfile_of_ours + code, str(pidfile)) == (0, "", "")
    assert not pidfile.exists(), "it named us"


def test_it_begins_anew_where_it_was_started_wherever_a_task_has_gone():
    code = """
    os.chdir("/")
    program._command = lambda: [sys.executable, "-c", "import os; print(os.getcwd())"]
    program.leave(3)
    """
    assert run(code) == (0, f"{ROOT}\n", "")


def test_a_new_beginning_that_fails_early_leaves_no_pidfile_behind(tmp_path):
    pidfile = tmp_path / "pid"
    daemon = f"{sys.executable} -m ztaskd --noreload --settings no.such.settings --pidfile {pidfile}"
    script = f"echo $$ > {pidfile}; ZTASKD_AGAIN=1 exec {daemon}"
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done.stderr
    assert not pidfile.exists()
