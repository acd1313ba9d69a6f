"""The numbers as prometheus_client gives them out, in a registry of our own. Read when somebody asks for them."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

import gevent
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from django_ztask import __version__
from django_ztask.conf import conf
from ztaskd.http.counts import Counts, Histogram
from ztaskd.http.depth import Depth
from ztaskd.http.health import Health

if TYPE_CHECKING:
    from ztaskd.node import Node


# Lines that are written before the hub turns: 200 task functions have 3,500, which took it 30 ms.
AT_ONCE = 200

Family = TypeVar("Family", CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily)


class Metrics(Collector):
    """Of one node. `text` is for the hub: it waits for the journal, but does not block."""

    def __init__(self, node: Node, counts: Counts, depth: Depth, health: Health) -> None:
        self._node = node
        self._counts = counts
        self._depth = depth
        self._health = health
        self._began = time.time()
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def text(self) -> tuple[bytes, str]:
        """In Prometheus' format, and that format's content type."""
        self._depth.refresh()
        return b"".join(_pieces(self._registry.collect())), CONTENT_TYPE_LATEST

    def describe(self) -> Iterable[Metric]:
        """(Nothing to register by: what there is, is known when it is asked for.)"""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._of_node()
        yield from self._of_tasks()
        yield from self._of_places()
        yield from self._of_journal()

    def _of_node(self) -> Iterator[Metric]:
        info = _labelled(
            GaugeMetricFamily, "build_info", "Always 1; what runs.", "version", "python", "node", "database"
        )
        info.add_metric([__version__, platform.python_version(), conf.node, conf.database], 1)
        yield info
        yield _gauge("start_time_seconds", "When the node started, in epoch seconds.", self._began)
        yield _gauge("ready", "1 while /readyz says 200, else 0.", not self._health.troubles())
        lag = self._health.lag
        yield _histogram("hub_lag_seconds", "How late the hub wakes who has slept.", lag.histogram)
        yield _gauge("hub_lag_worst_seconds", "The worst of the last ten seconds.", lag.worst())
        refused = _labelled(CounterMetricFamily, "messages_refused", "Messages refused.", "reason")
        for reason, number in list(self._node.intake.reader.refused.items()):
            refused.add_metric([reason], number)
        yield refused

    def _of_tasks(self) -> Iterator[Metric]:
        counts = self._counts
        text = "Tasks announced as due, by messages and by tasks of this node. (Who calls in a tight loop announces some only.)"
        yield _counter("tasks_enqueued", text, self._node.dispatcher.announced)
        started = _labelled(CounterMetricFamily, "tasks_started", "Attempts started.", "function")
        finished = _labelled(CounterMetricFamily, "tasks_finished", "Attempts ended.", "function", "outcome")
        runs = _labelled(
            HistogramMetricFamily, "task_run_seconds", "From an attempt's start to its end.", "function"
        )
        for name, numbers in counts.functions.items():
            started.add_metric([name], numbers.started)
            for outcome, number in numbers.by_outcome().items():
                finished.add_metric([name, outcome], number)
            runs.add_metric([name], numbers.runs.buckets(), numbers.runs.total)
        yield from (started, finished, runs)
        yield _histogram("task_wait_seconds", "From a task's due time to its start.", counts.waits)
        yield _counter("retries", "Attempts that will be repeated since they failed.", counts.retries)
        yield _counter("crashes", "Attempts that took their process along.", counts.crashes)
        yield _counter("interruptions", "Attempts that a stop has cut off.", counts.interruptions)
        yield _counter("outcomes_dropped", "Ends of tasks that were not this node's any more.", counts.fenced)

    def _of_places(self) -> Iterator[Metric]:
        node = self._node
        yield _gauge("slots", "How many tasks the node runs at a time itself.", node.concurrency)
        yield _gauge("slots_busy", "How many it runs.", len(node.slots.running))
        yield _gauge("children", "How many child processes there are at most.", node.workers.size)
        yield _gauge("children_alive", "How many there are.", len(node.workers.alive()))
        busy = len(node.workers.busy()) + len(node.suspects.busy())
        yield _gauge("children_busy", "How many run a task, those for suspects included.", busy)

    def _of_journal(self) -> Iterator[Metric]:
        yield _histogram("commit_rows", "Claims and ends in one transaction.", self._counts.rows)
        text = "What a transaction took, from its first statement to its commit, waiting for locks included."
        yield _histogram("commit_seconds", text, self._counts.commits)
        states = self._depth.states
        if states is None:  # (rather none than old ones)
            return
        depth = _labelled(
            GaugeMetricFamily,
            "queue_depth",
            "Tasks in the journal; of all its nodes, where there are several.",
            "state",
        )
        for state, number in states.items():
            depth.add_metric([state], number)
        yield depth
        yield _gauge("queue_counted_time_seconds", "When that was counted.", self._depth.counted)


class _Part(Collector):
    """Some samples of a metric."""

    def __init__(self, metric: Metric, samples: list[Sample]) -> None:
        self._metric = Metric(metric.name, metric.documentation, metric.type)
        self._metric.samples = samples

    def collect(self) -> Iterable[Metric]:
        return [self._metric]


def _pieces(metrics: Iterable[Metric]) -> Iterator[bytes]:
    """The hub turns between them."""
    for metric in metrics:
        for first in range(0, len(metric.samples) or 1, AT_ONCE):
            found = generate_latest(_Part(metric, metric.samples[first : first + AT_ONCE]))
            yield found.split(b"\n", 2)[2] if first else found  # (without HELP and TYPE once more)
            gevent.sleep(0)


def _labelled(kind: type[Family], name: str, text: str, *labels: str) -> Family:
    return kind(f"ztaskd_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"ztaskd_{name}", text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"ztaskd_{name}", text, value=value)


def _histogram(name: str, text: str, found: Histogram) -> Metric:
    return HistogramMetricFamily(f"ztaskd_{name}", text, buckets=found.buckets(), sum_value=found.total)
