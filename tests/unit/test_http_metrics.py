"""A long metric is written in pieces, and reads as if it were written at once."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from ztaskd.http import metrics


class Some(Collector):
    def collect(self) -> list[Metric]:
        many = CounterMetricFamily("many", "Many\nof them.", labels=["name"])
        for n in range(7):
            many.add_metric([f'"{n}\n'], n)
        return [
            many,
            CounterMetricFamily("one", "One.", value=1),
            CounterMetricFamily("none", "None.", labels=["a"]),
        ]


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
def test_pieces_make_the_whole(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(metrics, "AT_ONCE", at_once)
    assert b"".join(metrics._pieces(Some().collect())) == generate_latest(Some())
