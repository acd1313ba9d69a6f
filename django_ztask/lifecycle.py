"""The life of a task as pure rules: states, the transition table, what an outcome leads to, backoff.

No I/O, no clock and no Django in here: `now` is passed in. journal.py turns these rules into SQL.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Status(StrEnum):
    """The five states of a task. "Later" is QUEUED with a due time."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """True when nothing but a replay leads out of this state."""
        return self in FINAL


class Event(StrEnum):
    """What can happen to a task."""

    CLAIM = "claim"
    SUCCEED = "succeed"
    RETRY = "retry"
    FAIL = "fail"
    HAND_BACK = "hand back"
    RECOVER = "recover"
    REPLAY = "replay"
    CANCEL = "cancel"
    REFUSE = "refuse"  # never claimed: its function is unknown everywhere, or the row cannot be read


class Kind(StrEnum):
    """How one attempt ended."""

    SUCCESS = "success"
    FAILURE = "failure"  # the task function raised: costs a retry
    INTERRUPTED = "interrupted"  # the node stopped: costs nothing
    CRASH = "crash"  # it took its process along: costs no retry, but a few of them are enough
    NOT_STARTED = "not started"  # claimed, and handed back before its first instruction: costs nothing
    UNKNOWN = "unknown"  # this node has no such task function: another one, or the next deploy, may
    CANCELLED = "cancelled"  # its caller, or the task itself, wanted no more of it
    REFUSED = "refused"  # the row is not to be run (its MAC does not verify, it cannot be decoded)


# Attempts of these kinds leave a row of their own.
UNSUCCESSFUL = (Kind.FAILURE, Kind.INTERRUPTED, Kind.CRASH, Kind.CANCELLED, Kind.REFUSED)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended: texts only, each fit for a database."""

    kind: Kind
    result: str | None = None
    exception: str | None = None
    traceback: str | None = None
    killed: bool = False  # by its node, with its process: no end of its own


# Everything that may happen to a task; what is not here is refused. journal.py guards each statement
# with the state on the left, so a transition that lost a race changes no row.
TRANSITIONS: dict[Status, dict[Event, Status]] = {
    Status.QUEUED: {
        Event.CLAIM: Status.RUNNING,
        Event.CANCEL: Status.CANCELLED,
        Event.REFUSE: Status.FAILED,
    },
    Status.RUNNING: {
        Event.SUCCEED: Status.SUCCEEDED,
        Event.RETRY: Status.QUEUED,
        Event.FAIL: Status.FAILED,
        Event.HAND_BACK: Status.QUEUED,
        Event.RECOVER: Status.QUEUED,
        Event.CANCEL: Status.CANCELLED,
    },
    Status.FAILED: {Event.REPLAY: Status.QUEUED},
    Status.SUCCEEDED: {},
    Status.CANCELLED: {},
}

FINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})

# Where a task runs: in a slot (a greenlet of the node), or in a process of the node's. "" stands in the rows of those
# that leave it to the node.
GREENLET, PROCESS = "greenlet", "process"
CHOICES = ("", GREENLET, PROCESS)

# Suspects were claimed by a node that died: one of them may have ended it. Until an attempt of theirs has come to its
# own end, each runs alone in a child process. (A task for processes always does.)
SUSPECT = {"": "suspect", GREENLET: "suspect-greenlet"}
SUSPECTS = tuple(SUSPECT.values())
MOST_SUSPECTS = 8  # of a node at a time, each by itself
_CLEARED = {suspect: pool for pool, suspect in SUSPECT.items()}

# All values of the column, in the order of their texts.
POOLS = (*CHOICES, *SUSPECTS)

# A task function that no node knows is kept this long after its due time (seconds), so that a deploy
# that is not yet everywhere loses nothing; then it is FAILED as unknown.
UNKNOWN_GRACE = 3600.0

# The longest pause that backoff may grow to (seconds): one day. A longer retry_after stands as it is.
MAX_BACKOFF = 86400.0


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often and when a failed attempt is repeated.

    `count`: retries after the first attempt. `after`: seconds before the first retry. `backoff`: each
    further pause is this many times the one before (1.0: all alike).
    """

    count: int
    after: float
    backoff: float = 1.0

    def pause(self, retries_left: int) -> float:
        """Seconds before the next attempt, when `retries_left` retries were left before it."""
        if not self.after:
            return 0.0
        done = max(0, self.count - retries_left)
        try:
            pause = self.after * self.backoff**done
        except OverflowError:
            pause = MAX_BACKOFF
        return min(pause, max(MAX_BACKOFF, self.after))


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a row after an attempt: the event, the retries left and the new due time."""

    event: Event
    retries_left: int
    due: float

    @property
    def status(self) -> Status:
        return TRANSITIONS[Status.RUNNING][self.event]


def new_pool(pool: str, kind: Kind) -> str | None:
    """Where the task belongs from now on, when an attempt in `pool` has ended as `kind`. None: where it was.

    Only an end of its own clears a suspect. (Who has crashed for the last time runs alone when he is replayed, too.)
    """
    return _CLEARED.get(pool) if kind in (Kind.SUCCESS, Kind.FAILURE) else None


def decide(
    kind: Kind,
    *,
    retries_left: int,
    policy: RetryPolicy,
    due: float,
    now: float,
    replayed: bool = False,
    at_most_once: bool = False,
    crashes_left: int = 1,
) -> Verdict:
    """The verdict on an attempt that ended as `kind` at `now` (epoch seconds), `due` being its due time.
    `crashes_left`: how many more, this one included, until it is FAILED."""
    if kind is Kind.CANCELLED:
        return Verdict(Event.CANCEL, retries_left, due)
    if at_most_once and kind in (Kind.INTERRUPTED, Kind.FAILURE, Kind.CRASH):
        return Verdict(Event.FAIL, retries_left, due)
    if kind is Kind.SUCCESS:
        return Verdict(Event.SUCCEED, retries_left, due)
    if kind in (Kind.INTERRUPTED, Kind.NOT_STARTED) or (kind is Kind.CRASH and crashes_left > 1):
        return Verdict(Event.HAND_BACK, retries_left, due)
    if kind is Kind.UNKNOWN and not replayed and now < due + UNKNOWN_GRACE:
        return Verdict(Event.HAND_BACK, retries_left, due)
    if kind is Kind.FAILURE and retries_left > 0:
        # (Whole microseconds: what is written is what is read again.)
        return Verdict(Event.RETRY, retries_left - 1, round(now + policy.pause(retries_left), 6))
    return Verdict(Event.FAIL, retries_left, due)
