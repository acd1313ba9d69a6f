#!/usr/bin/env python
"""Stages an hour of trouble with a real ztaskd, in three minutes, and prints it as a transcript: python run_trouble.py

Exit status: 0 everything was shown as docs/operations.md tells it, 1 something was not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from stage import HERE, Stage, WentOtherwise

AROUND = str(HERE / "around.py")
MAILS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description="Stage an hour of trouble with a real ztaskd, and print it.")
    parser.add_argument("--columns", type=int, default=100, help="of the operator's terminal (default 100)")
    columns = parser.parse_args().columns
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Stage(columns) as stage:
            begin(stage)
            deploy_of_broken_code(stage)
            mail_server_is_away(stage)
            mail_server_is_back(stage)
            stuck_task(stage)
            blocked_hub(stage)
            killed_daemon(stage)
            end(stage)
    except WentOtherwise as error:
        print(f"trouble: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def begin(stage: Stage) -> None:
    stage.says("A quiet day")
    stage.types("python manage.py migrate -v0")
    stage.starts_daemon()
    stage.types("ztaskd status", r"state +serves", r"queued +0")


def deploy_of_broken_code(stage: Stage) -> None:
    stage.says("1. A deploy of broken code")
    tasks = stage.folder / "shop" / "tasks.py"
    code = tasks.read_text()
    tasks.write_text(code + "\n\n@task(\n")
    stage.types("ztaskd --check", r"SyntaxError: '\(' was never closed", code=2)
    stage.says("(somebody does not look, and goes on)")
    stage.types('kill -HUP "$(cat ztaskd.pid)"')
    stage.until(lambda: stage.count_log("the old code goes on"), "the new code is refused")
    stage.types("grep -A6 HUP ztaskd.log", "not restarted, the old code goes on", "SyntaxError")
    stage.types("ztaskd status", r"state +serves", "reload +the new code was refused.* SyntaxError")
    stage.says("(mended)")
    tasks.write_text(code)
    starts = stage.count_log(" ready in ")
    stage.types("ztaskd --check")
    stage.types('kill -HUP "$(cat ztaskd.pid)"')
    stage.until(lambda: stage.count_log(" ready in ") > starts, "the new code serves")
    stage.types("tail -n 3 ztaskd.log", " ready in ")


def mail_server_is_away(stage: Stage) -> None:
    stage.says("2. The mail server is away")
    stage.calls(f"[mail_invoice.async_(n) for n in range(1, {MAILS + 1})]")
    stage.until(lambda: len(stage.ids("mail_invoice", "FAILED")) == MAILS, "the mails have failed")
    stage.types("ztaskd status", r"failed +5", r"last error .*ConnectionRefusedError")
    stage.types(
        "ztaskd pause --queue mail --reason 'mail server away, Kim calls them'", "queue mail is paused"
    )
    stage.says("(the shop goes on selling)")
    stage.calls(f"[mail_invoice.async_(n) for n in range({MAILS + 1}, {2 * MAILS + 1})]")
    waits = stage.ids("mail_invoice", "QUEUED")[0]
    stage.types("ztaskd list", r"QUEUED +\S*mail_invoice", r"FAILED .*Connection")
    stage.types(
        f"ztaskd explain {waits[:18]}", "queue mail is paused", "Kim calls", "ztaskd resume --queue mail"
    )
    stage.types(
        f"ztaskd explain {stage.ids('mail_invoice', 'FAILED')[0][:18]}", "both attempts failed", "replay"
    )


def mail_server_is_back(stage: Stage) -> None:
    stage.says("3. The mail server is back")
    server = stage.start(sys.executable, AROUND, "mail", str(stage.port))
    stage.types("ztaskd resume --queue mail", "queue mail goes on: 5 tasks have waited")
    stage.until(lambda: len(stage.ids("mail_invoice", "SUCCEEDED")) == MAILS, "what waited has run")
    stage.types("ztaskd replay --function 'shop.tasks.mail_*' --dry-run", "5 tasks would run again")
    stage.types("ztaskd replay --function 'shop.tasks.mail_*' --rate 50/s", "5 tasks queued again")
    stage.until(lambda: len(stage.ids("mail_invoice", "SUCCEEDED")) == 2 * MAILS, "what had failed has run")
    stage.types("ztaskd list --status FAILED", "no task matches")
    stage.end(server)


def stuck_task(stage: Stage) -> None:
    stage.says("4. A task is stuck: which, since when, where?")
    supplier = stage.start(sys.executable, AROUND, "supplier", str(stage.folder / "run" / "supplier"))
    stage.calls("ask_supplier.async_(4711); import_prices.async_(2000)")
    [stuck] = stage.until(lambda: stage.ids("ask_supplier", "RUNNING"), "one is stuck")
    [slow] = stage.until(lambda: stage.ids("import_prices", "RUNNING"), "one is slow")
    time.sleep(5)  # (an operator does not come at once)
    stage.types(
        "ztaskd status",
        r"running +2",
        "shop.tasks.ask_supplier",
        r"shop.tasks.import_prices +\d+ % importing",
    )
    stage.types(f"ztaskd show {slow[:18]}", r'progress +\d+ of 2,000 \(\d+ %\) "importing"')
    stage.types(f"ztaskd explain {stuck[:18]}", "kill -USR1")
    stage.types('kill -USR1 "$(cat ztaskd.pid)"')
    stage.until(lambda: stage.count_log("that is all"), "the report")
    stage.types("sed -n '/SIGUSR1: 2/,/that is all/p' ztaskd.log", r"tasks.py:\d+ in ask_supplier")
    stage.types(f"ztaskd cancel {stuck[:18]}")
    stage.until(lambda: stage.ids("ask_supplier", "CANCELLED"), "it is cancelled")
    stage.types(f"ztaskd cancel {slow[:18]}")
    stage.until(lambda: stage.ids("import_prices", "CANCELLED"), "so is the other")
    stage.end(supplier)


def blocked_hub(stage: Stage) -> None:
    stage.says("5. Everything is slow: a task blocks the daemon")
    stage.calls("render.async_('cover.png')")
    stage.until(lambda: stage.count_log("has blocked the daemon"), "it is named")
    stage.types("ztaskd status", "a task may be blocking it", code=1)
    stage.types("grep 'has blocked' ztaskd.log", "shop.tasks.render has blocked the daemon", "pool='process'")
    (stage.folder / "run" / "cover.png").touch()
    stage.until(lambda: stage.ids("render", "SUCCEEDED"), "it has ended")
    stage.watches("blocked by +shop.tasks.render: 1 time")


def killed_daemon(stage: Stage) -> None:
    stage.says("6. The daemon is killed (the OOM killer, a power switch)")
    stage.calls("import_prices.map([(40,), (40,)])")
    stage.until(lambda: len(stage.ids("import_prices", "RUNNING")) == 2, "two run")
    stage.types('kill -9 "$(cat ztaskd.pid)"')
    stage.calls("import_prices.async_(10)")
    stage.types("ztaskd status", "no node answers|not answer", "is gone: killed", "start it", code=1)
    stage.starts_daemon()
    stage.until(lambda: len(stage.ids("import_prices", "SUCCEEDED")) == 3, "all have run")
    stage.types("ztaskd list --function 'shop.tasks.import_*'", "SUCCEEDED")


def end(stage: Stage) -> None:
    stage.says("The end")
    stage.types("ztaskd status", r"queued +0", r"running +0", r"failed +0")
    stage.types("ztaskd stop", "stopped: web1")
    stage.types("ztaskd status", "start it", code=1)


if __name__ == "__main__":
    sys.exit(main())
