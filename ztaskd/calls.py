"""What the hub has the journal's thread call: a verb, in a transaction of its own."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from gevent import monkey

from ztaskd.batch import Call
from ztaskd.storage import TROUBLE, is_refusal

if TYPE_CHECKING:
    from ztaskd.group_commit import GroupCommit

# The native one: the patched version would make a hub of its own in this thread.
sleep = monkey.get_original("time", "sleep")

PAUSES = (0.05, 0.2, 0.5)  # seconds between attempts at a database that does not work: its caller waits


class Calls:
    """Those of one thread, on which they run."""

    def __init__(self, thread: GroupCommit) -> None:
        self.thread = thread

    def do(self, call: Call) -> None:
        """A database that does not work is given a few more tries; then the caller gets its error."""
        for pause in (*PAUSES, None):
            self.thread.asked = time.monotonic()
            try:
                with (
                    self.thread.storage.look()
                    if call.reads
                    else self.thread.storage.transaction(True) as connection
                ):
                    value = call.verb(connection)
            except TROUBLE as error:
                if is_refusal(error):
                    self.thread.post(functools.partial(call.answer.set_exception, error))
                    return
                self.thread.degraded(error)
                self.thread.storage.close()
                if pause is None or self.thread.abandon:
                    self.thread.post(functools.partial(call.answer.set_exception, error))
                    return
                sleep(pause)
            except BaseException as error:
                self.thread.post(functools.partial(call.answer.set_exception, error))
                return
            else:
                self.thread.post(functools.partial(call.answer.set, value))
                self.thread.recovered()
                return
