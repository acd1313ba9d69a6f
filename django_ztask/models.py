"""The rows: Task, Attempt, Node, Replay, Pause. Fields, indexes, and named filters for reading.

Nobody saves these objects: journal.py makes every change. The first nine fields of Task are
django-ztask's, with their old names, types and meanings.
"""

from __future__ import annotations

import time

from django.db import models
from django.db.models import Q

from django_ztask.lifecycle import UNSUCCESSFUL, Status


class TaskQuerySet(models.QuerySet["Task"]):
    """Filters in the words of the design."""

    def queued(self) -> TaskQuerySet:
        return self.filter(status=Status.QUEUED)

    def due(self, now: float | None = None) -> TaskQuerySet:
        """QUEUED, and its due time has come."""
        return self.queued().filter(next_attempt__lte=time.time() if now is None else now)

    def running(self) -> TaskQuerySet:
        return self.filter(status=Status.RUNNING)

    def succeeded(self) -> TaskQuerySet:
        return self.filter(status=Status.SUCCEEDED)

    def failed(self) -> TaskQuerySet:
        """FAILED, in the order in which a replay starts them."""
        return self.filter(status=Status.FAILED).order_by("created", "uuid")


class Task(models.Model):
    """The recorded unit of work."""

    uuid = models.CharField(max_length=36, primary_key=True)
    function_name = models.CharField(max_length=255)
    args = models.TextField()
    kwargs = models.TextField()
    retry_count = models.IntegerField(default=0, help_text="Retries left.")
    last_exception = models.TextField(blank=True, null=True)
    next_attempt = models.FloatField(blank=True, null=True, help_text="Due time, epoch seconds.")
    created = models.DateTimeField(blank=True, null=True)
    failed = models.DateTimeField(blank=True, null=True)

    status = models.CharField(
        max_length=10, default=Status.QUEUED.value, choices=[(s.value, s.name.capitalize()) for s in Status]
    )
    queue = models.CharField(max_length=100, default="default")
    # (The database knows the default too: callers that still run the code of before leave the column out.)
    pool = models.CharField(
        max_length=20,
        default="",
        db_default="",
        blank=True,
        help_text='Where it runs: "greenlet", "process", or "" for what the node takes it to; "suspect" and '
        '"suspect-greenlet" (its node died while it held it): alone in a child process; "paused-..." (see aside.py): '
        "put aside while its queue is paused.",
    )
    priority = models.SmallIntegerField(default=0, help_text="Higher starts first.")
    codec = models.CharField(max_length=10, default="", blank=True)
    mac = models.CharField(max_length=64, default="", blank=True)
    attempts = models.IntegerField(default=0, help_text="Starts, ever; the fence of every finish.")
    failures = models.IntegerField(default=0)
    crashes = models.IntegerField(default=0)
    interruptions = models.IntegerField(default=0)
    replays = models.IntegerField(default=0)
    node = models.CharField(max_length=36, blank=True, null=True, help_text="Boot id of the claiming node.")
    claimed = models.DateTimeField(blank=True, null=True)
    started = models.DateTimeField(blank=True, null=True)
    finished = models.DateTimeField(blank=True, null=True)
    cancel_requested = models.DateTimeField(
        blank=True, null=True, help_text="Since when it is to end, and not to run again."
    )
    result = models.TextField(blank=True, null=True)
    traceback = models.TextField(blank=True, null=True, help_text="Of the last failure.")
    meta = models.JSONField(blank=True, null=True, help_text="The call's own policy.")
    progress = models.TextField(
        blank=True, null=True, help_text="JSON: what an attempt has said last of how far it is."
    )

    objects = TaskQuerySet.as_manager()

    class Meta:
        db_table = "django_ztask_task"
        # Partial, so that finished rows cost the sweep nothing, however many there are.
        indexes = [
            models.Index(
                fields=["pool", "priority", "next_attempt", "created"],
                condition=Q(status="QUEUED"),
                name="ztask_queued",
            ),
            models.Index(fields=["node"], condition=Q(status="RUNNING"), name="ztask_running"),
            models.Index(fields=["created", "uuid"], condition=Q(status="FAILED"), name="ztask_failed"),
            models.Index(fields=["finished"], condition=Q(status="SUCCEEDED"), name="ztask_succeeded"),
            models.Index(fields=["finished"], condition=Q(status="CANCELLED"), name="ztask_cancelled"),
        ]
        # A state that nobody knows would wait for ever: the hand that types it is told at once.
        constraints = [
            models.CheckConstraint(condition=Q(status__in=[s.value for s in Status]), name="ztask_status")
        ]

    def __str__(self) -> str:
        return f"{self.uuid} {self.function_name} {self.status}"


class Attempt(models.Model):
    """One unsuccessful attempt, with its traceback."""

    id = models.BigAutoField(primary_key=True)
    # (ztask_attempt_once is its index.)
    task = models.ForeignKey(
        Task, on_delete=models.CASCADE, related_name="unsuccessful", db_constraint=False, db_index=False
    )
    attempt = models.IntegerField()
    kind = models.CharField(max_length=12, choices=[(k.value, k.value) for k in UNSUCCESSFUL])
    node = models.CharField(max_length=36)
    started = models.DateTimeField(blank=True, null=True)
    finished = models.DateTimeField()
    exception = models.TextField()
    traceback = models.TextField(blank=True)

    class Meta:
        db_table = "django_ztask_attempt"
        # A finish that is written again, after an error that hid its commit, adds nothing.
        constraints = [models.UniqueConstraint(fields=["task", "attempt"], name="ztask_attempt_once")]

    def __str__(self) -> str:
        return f"attempt {self.attempt} of {self.task_id}: {self.kind}"


class Node(models.Model):
    """One boot of a running ztaskd."""

    boot = models.CharField(max_length=36, primary_key=True)
    name = models.CharField(max_length=100)
    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    url = models.TextField()
    version = models.CharField(max_length=40)
    started = models.DateTimeField()
    lease = models.FloatField(help_text="Counts as alive until this time, epoch seconds.")

    class Meta:
        db_table = "django_ztask_node"

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid} on {self.host})"


class Replay(models.Model):
    """One replay: who had which failed tasks queued again."""

    id = models.BigAutoField(primary_key=True)
    started = models.DateTimeField()
    finished = models.DateTimeField(blank=True, null=True, help_text="Empty: it goes on, or was stopped.")
    by = models.CharField(max_length=255, help_text="user@host")
    pid = models.IntegerField()
    filter = models.JSONField(help_text='Which tasks; "words": as it was typed.')
    matched = models.IntegerField(help_text="Tasks that matched when it began.")
    queued = models.IntegerField(default=0, help_text="Tasks that it has queued again.")
    position = models.TextField(blank=True, null=True, help_text="JSON: created and id of the last one.")
    horizon = models.DateTimeField(blank=True, null=True, help_text="What failed later is not for it.")
    due = models.FloatField(help_text="The due time it gives, epoch seconds.")
    seen = models.FloatField(help_text="Its last sign of life, epoch seconds.")

    class Meta:
        db_table = "django_ztask_replay"

    def __str__(self) -> str:
        return f"replay {self.id} by {self.by}: {self.queued} of {self.matched}"


class Pause(models.Model):
    """A queue of which nothing starts, until somebody resumes it."""

    # (Its number is never used again: by it, rows that are put aside say why.)
    id = models.BigAutoField(primary_key=True)
    queue = models.CharField(max_length=100, unique=True, blank=True, help_text="Empty: everything.")
    since = models.DateTimeField()
    by = models.CharField(max_length=255, help_text="user@host")
    reason = models.TextField(blank=True)

    class Meta:
        db_table = "django_ztask_pause"

    def __str__(self) -> str:
        return f"{self.queue or 'everything'} is paused by {self.by}"
