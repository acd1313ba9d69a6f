"""What an enemy (or a tired operator) writes into the journal; callers use it, the daemon never imports it."""

import base64
import pickle
import time

from django.db import connection

from django_ztask import ids, journal, serialize
from django_ztask.conf import keys
from django_ztask.rows import NewTask
from django_ztask.serialize import Payload

ADD = "tests.project.shop.tasks.add"


class Touch:
    """Its pickle, when loaded, leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({self.path!r}, 'w').close()",)


def hostile(path):
    return base64.b64encode(pickle.dumps([Touch(path)])).decode()


def forge(function=ADD, codec="json", args="[1]", kwargs="{}", mac=None, late=0.0):
    """The id of a new row, signed with the site's key unless a `mac` is given; due `late` seconds ago."""
    [(task_id, micros)] = ids.new()
    payload = Payload(codec, args, kwargs)
    if mac is None:
        mac = serialize.mac(task_id, function, payload, keys("row")[0])
    now = time.time()
    row = NewTask(task_id, function, payload, mac, micros / 1e6, now - late, "default", 0, 0, {})
    journal.record(connection, [row])
    return task_id
