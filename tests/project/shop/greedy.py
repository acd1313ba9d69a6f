"""Task functions that use up what the whole daemon needs."""

import os
import time

from django_ztask.decorators import task
from tests.project.shop.tasks import note


@task()
def hoard(seconds):
    """Opens files until there are no more to be had, and keeps them a while. Returns how many they were."""
    taken = []
    note("began", "hoard")  # (opens the ledger once more)
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        time.sleep(seconds)
    finally:
        for fd in taken:
            os.close(fd)
    return len(taken)
