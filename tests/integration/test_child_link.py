"""The child's end of the socket to a daemon that is gone: no error, it has nothing more to do."""

import socket

import pytest

from ztaskd.workers import frames
from ztaskd.workers.child import Link


@pytest.fixture
def ends():
    """The daemon's socket and the child's link."""
    ours, theirs = socket.socketpair()
    with ours:
        link = Link(theirs.detach())
        yield ours, link
        link._socket.close()


def test_a_daemon_that_is_gone_has_no_next_task(ends):
    daemon, link = ends
    daemon.close()
    assert link.receive() is None


def test_a_daemon_that_is_gone_and_has_left_something_unread_has_no_next_task_either(ends):
    daemon, link = ends
    link.send(frames.Ready())
    daemon.close()  # (from here on the kernel says: connection reset)
    assert link.receive() is None


def test_what_is_said_to_a_daemon_that_is_gone_goes_nowhere(ends):
    daemon, link = ends
    daemon.close()
    link.send(frames.Ready())
    assert link.receive() is None
