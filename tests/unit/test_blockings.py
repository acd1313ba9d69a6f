"""Who has blocked the hub, as samples tell it; and stacks as people read them."""

from __future__ import annotations

import os
import sys
import threading

import gevent

from ztaskd import stacks
from ztaskd.blockings import OWN, Blocking, Culprit, Totals
from ztaskd.stacks import Place, Reader

RENDER = Culprit("id-1", "shop.tasks.render")
SEND = Culprit("id-2", "shop.tasks.send")
LIBRARY = os.path.join(os.path.dirname(os.__file__), "site-packages", "lib", "x.py")
STDLIB = os.path.join(os.path.dirname(os.__file__), "json", "encoder.py")


def blocking(*samples: tuple[Culprit, str]) -> Blocking:
    found = Blocking(0.0)
    for culprit, place in samples:
        found.add(culprit, place)
    return found


def test_the_line_names_the_task_how_long_and_the_place_where_it_was_most_often() -> None:
    found = blocking((RENDER, "shop/pdf.py:1"), (RENDER, "shop/pdf.py:88"), (RENDER, "shop/pdf.py:88"))
    assert found.tell(1.31, over=True) == (
        "task id-1 shop.tasks.render has blocked the daemon for 1.3 s at shop/pdf.py:88; "
        "give it @task(pool='process')"
    )
    assert "for 0.3 s so far at shop/pdf.py:88" in found.tell(0.31, over=False)


def test_of_places_that_are_equal_the_last_is_shown() -> None:
    assert blocking((RENDER, "a.py:1"), (RENDER, "b.py:2")).place(RENDER) == "b.py:2"


def test_when_several_tasks_share_a_blocking_the_line_says_so_and_the_totals_divide_it() -> None:
    found = blocking((SEND, "a.py:1"), (RENDER, "b.py:2"), (RENDER, "b.py:2"), (RENDER, "b.py:2"))
    assert found.tell(0.8, over=True).startswith(
        "2 tasks in turn have blocked the daemon for 0.8 s, most of it task id-1 shop.tasks.render at b.py:2"
    )
    totals = Totals()
    totals.add(found, 0.8)
    totals.add(blocking((SEND, "a.py:1")), 1.0)
    seconds = {name: (total.times, round(total.seconds, 3)) for name, total in totals.functions.items()}
    assert seconds == {"shop.tasks.render": (1, 0.6), "shop.tasks.send": (2, 1.2)}
    assert totals.lines()[0] == (
        "shop.tasks.send has blocked the daemon 2 time(s), for 1.2 s in all, 1.0 s at most"
    )


def test_the_daemon_itself_gets_no_advice() -> None:
    text = blocking((OWN, "ztaskd/x.py:1")).tell(0.5, over=True)
    assert text.startswith("the daemon itself (or a greenlet of a library) has blocked")
    assert "@task" not in text


def test_the_place_is_the_innermost_line_of_the_project_else_the_innermost() -> None:
    reader = Reader("/daemon/execute.py", "inside")
    own = Place(os.path.join(os.path.realpath(sys.path[-1]), "shop", "pdf.py"), 88, "draw")
    stack = [Place(LIBRARY, 3, "f"), Place(STDLIB, 5, "g"), own, Place(own.file, 9, "outer")]
    assert reader.place(stack) == "shop/pdf.py:88"
    assert reader.place(stack[:1]).endswith("lib/x.py:3")
    assert reader.place([]) == "an unknown place"


def test_a_stack_ends_where_the_task_was_called_and_tells_how_it_waits_once() -> None:
    reader = Reader("/daemon/execute.py", "inside")
    stack = [
        Place("/x/gevent/waiter.py", 1, "get"),
        Place("/x/gevent/hub.py", 2, "sleep"),
        Place("/shop/tasks.py", 3, "pay"),
        Place("/daemon/execute.py", 4, "inside"),
        Place("/daemon/slots.py", 5, "_live"),
    ]
    assert reader.lines(stack) == ["/shop/tasks.py:3 in pay", "/x/gevent/hub.py:2 in sleep"]
    assert reader.lines(stack[3:]) == []
    deep = [Place("/shop/tasks.py", n, "again") for n in range(100)]
    assert len(reader.lines(deep)) == stacks.SHOWN + 1
    assert reader.lines(deep)[0] == "... 75 more"


def test_a_stack_is_read_of_another_thread_and_of_a_greenlet_that_waits() -> None:
    ready, done = threading.Event(), threading.Event()

    def wait_here() -> None:
        ready.set()
        done.wait(20)

    thread = threading.Thread(target=wait_here)
    thread.start()
    ready.wait(20)
    assert thread.ident is not None
    found = stacks.places(stacks.of_thread(thread.ident))
    assert "wait_here" in [place.function for place in found]
    assert found[-1].function == "_bootstrap"
    done.set()
    thread.join()
    assert stacks.of_thread(thread.ident) == []

    def sleep_here() -> None:
        gevent.sleep(20)

    greenlet = gevent.spawn(sleep_here)
    gevent.sleep(0)
    assert "sleep_here" in [place.function for place in stacks.places(stacks.of_greenlet(greenlet))]
    greenlet.kill()
    assert stacks.of_greenlet(greenlet) == []


def test_the_dump_of_a_child_is_read() -> None:
    text = (
        "Current thread 0x00007f (most recent call first):\n"
        '  File "/shop/pdf.py", line 12 in draw\n  File "/shop/tasks.py", line ??? in <lambda>\n'
    )
    assert stacks.from_dump(text) == [
        Place("/shop/pdf.py", 12, "draw"),
        Place("/shop/tasks.py", 0, "<lambda>"),
    ]
