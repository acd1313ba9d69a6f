"""Why a task has FAILED, by its row and its attempts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_ztask.findings import Evidence, Finding

UNKNOWN = ("django_ztask.errors.UnknownTask", "no node knows this task function")
MAC = "django_ztask.errors.MacError"
PICKLE = "its arguments are a pickle"

REPLAY = "ztaskd replay --id {id}"


def why_failed(evidence: Evidence) -> Iterator[Finding]:
    row = evidence.row
    exception = str(row["last_exception"] or "")
    replay = REPLAY.format(id=row["uuid"])
    attempts = row["unsuccessful"]
    kind = attempts[-1]["kind"] if attempts else ""
    policy = str(row["meta"] or "")
    if row["codec"] == "legacy":
        yield Finding(
            "legacy",
            f"its arguments are those of django-ztask 0.1, which could not be read: {exception}",
            "no replay touches it: call the task again by hand; the old texts are in args and kwargs",
        )
    elif exception.startswith(UNKNOWN):
        yield Finding(
            "unknown-function",
            exception,
            f"deploy the code that has it (is the name still right?), restart the daemon, then: {replay}",
        )
    elif exception.startswith(MAC):
        yield from _mac(evidence, replay)
    elif exception.startswith(PICKLE):
        yield Finding("pickle", exception, f"allow pickles (ZTASKD_PICKLE), then: {replay}")
    elif kind == "crash" or (not kind and row["crashes"] >= evidence.max_crashes):
        yield from _quarantined(evidence, exception, replay)
    elif '"at_most_once": true' in policy and kind in ("interrupted", "failure"):
        yield Finding(
            "at-most-once",
            f"it is at_most_once and had started: {exception}",
            "see whether its work was done; if not, call it again (no replay starts it)",
        )
    elif kind == "failure":
        yield from _failed(row, exception, replay)
    else:
        yield Finding("refused", exception or "the reason was not recorded", f"mend it, then: {replay}")
    if evidence.unknown is not None and not exception.startswith(UNKNOWN):
        what = f"a replay would fail: its task function cannot be found now: {evidence.unknown}"
        yield Finding("unknown-function", what, "deploy the code that has it first")


def _mac(evidence: Evidence, replay: str) -> Iterator[Finding]:
    what = "its MAC did not verify when it was to run: nothing of it was read"
    if evidence.key is None:
        yield Finding(
            "mac",
            f"{what}; it does not verify now either, with SECRET_KEY or any of SECRET_KEY_FALLBACKS",
            "if SECRET_KEY was changed, put the old one into SECRET_KEY_FALLBACKS, restart the daemon, then: "
            f"{replay}; if not, somebody has edited or forged the row: delete it",
        )
        return
    name = "SECRET_KEY" if evidence.key == 0 else f"SECRET_KEY_FALLBACKS[{evidence.key - 1}]"
    yield Finding(
        "mac",
        f"{what}; now it does, with {name}: the daemon had other keys then, or has them still",
        f"restart the daemon with these settings, then: {replay}",
    )


def _quarantined(evidence: Evidence, exception: str, replay: str) -> Iterator[Finding]:
    yield Finding(
        "quarantined",
        f"it took its process along {evidence.row['crashes']} time(s) and is in quarantine: {exception}",
        "look for memory, signals, exits and C code in it (`ztaskd show` has the attempts). Mended? "
        f"{replay} (one more crash, and it is back here)",
    )


def _failed(row: dict[str, Any], exception: str, replay: str) -> Iterator[Finding]:
    attempts, failures = row["attempts"], row["failures"]
    tried = (
        f"{failures} of {attempts} attempts failed"
        if failures != attempts
        else f"all {attempts} attempts failed"
    )
    if attempts in (1, 2) and failures == attempts:
        tried = "its only attempt failed" if attempts == 1 else "both attempts failed"
    yield Finding(
        "exception",
        f"{tried}, no retry is left: {exception}",
        f"mend it (`ztaskd show` has the traceback), then: {replay}",
    )
