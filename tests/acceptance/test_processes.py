"""Callers with threads, forks, an event loop, several URLs, or a task function of their own."""

import os
import sys

import pytest

from tests.acceptance.daemon import MANAGE, ROOT

pytestmark = pytest.mark.acceptance
PROGRAM = MANAGE  # as most projects start it


def test_many_threads_of_one_process_share_its_descriptors(site):
    site.start()
    before, after = site.call("""
        import threading
        from django.db import connection
        def descriptors():  # (SQLite itself keeps some of its files open until their locks are free)
            found = []
            for fd in os.listdir("/proc/self/fd"):
                try:
                    found.append(os.readlink(f"/proc/self/fd/{fd}"))
                except FileNotFoundError:
                    pass  # that of listdir itself
            return len([name for name in found if "sqlite" not in name])
        def work(n):
            for i in range(25):
                mark.async_(f"{n}-{i}")
            connection.close()
        mark.async_("first")
        before = descriptors()
        for turn in range(2):
            threads = [threading.Thread(target=work, args=[f"{turn}-{n}"]) for n in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        show([before, descriptors()])
    """)
    assert after <= before
    site.wait_count(401, status="SUCCEEDED", attempts=1)
    assert len(site.marks()) == len(set(site.marks())) == 401


def test_a_child_forked_after_use_sends_its_own_messages(site):
    site.start()
    waited = site.call("""
        from django.db import connections
        mark.async_("parent").result(20)
        connections.close_all()
        children = []
        for n in range(3):
            child = os.fork()
            if not child:
                began = time.monotonic()
                mark.async_(f"child-{n}").result(20)
                os._exit(0 if time.monotonic() - began < 5 else 1)
            children.append(child)
        codes = [os.waitpid(child, 0)[1] for child in children]
        mark.async_("parent-again").result(20)
        show(codes)
    """)
    assert waited == [0, 0, 0]
    assert sorted(site.marks()) == ["child-0", "child-1", "child-2", "parent", "parent-again"]


def test_a_list_of_urls_is_served_by_the_nodes_that_are_there(new_site):
    site = new_site()
    here = site.settings["ZTASKD_URL"]
    site.start()
    site.settings["ZTASKD_URL"] = [here, f"ipc://{site.folder}/nobody"]
    waited = site.call("""
        began = time.monotonic()
        for n in range(20):
            mark.async_(f"m{n}").result(20)
        show(time.monotonic() - began)
    """)
    assert waited < 5  # were every other message lost, the sweep would need ten seconds
    site.wait_count(20, status="SUCCEEDED", attempts=1)


def test_a_coroutine_must_use_aasync(site):
    site.start()
    error = site.call("""
        import asyncio
        async def main():
            try:
                mark.async_("no")
            except Exception as error:
                return type(error).__name__
        show(asyncio.run(main()))
    """)
    assert error == "SynchronousOnlyOperation"
    assert site.count() == 0


def test_a_task_function_of_a_script_runs_through_its_importable_name(site):
    folder = site.folder / "scripts"
    folder.mkdir()
    script = folder / "old_readme_example.py"
    script.write_text("""
import django
django.setup()
from django_ztask.decorators import task

@task()
def double(number):
    return 2 * number

if __name__ == "__main__":
    print(double.async_(21).result(20))
""")
    path = f"{folder}{os.pathsep}{ROOT}"
    site.start(PYTHONPATH=path)
    program = site.run_in_background([sys.executable, str(script)], PYTHONPATH=path)
    assert program.wait() == 0, program.text
    assert program.text == "42\n"
    assert site.sql("SELECT function_name FROM django_ztask_task") == ["old_readme_example.double"]
