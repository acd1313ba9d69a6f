"""What there is to be read: /livez, /readyz and /metrics, as text or (the first two) as JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from http import HTTPStatus

from ztaskd.http.health import Health
from ztaskd.http.server import Answer, Request, text
from ztaskd.quiet import Quiet

METHODS = ("GET", "HEAD")

_failed = Quiet(logging.getLogger("ztaskd"), logging.ERROR, "--http: {path} failed: {error!r}", 60.0)


class Pages:
    """`metrics`: the text of /metrics and its content type; None without prometheus_client."""

    def __init__(self, health: Health, metrics: Callable[[], tuple[bytes, str]] | None) -> None:
        self._health = health
        self._metrics = metrics
        self._pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._numbers}

    def answer(self, request: Request) -> Answer:
        page = self._pages.get(request.path)
        if page is None:
            return text(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}")
        if request.method not in METHODS:
            return text(HTTPStatus.METHOD_NOT_ALLOWED, "GET or HEAD", ", ".join(METHODS))
        try:
            return page(request)
        except Exception as error:  # a fault of ours costs one answer
            _failed(path=request.path, error=error)
            return text(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(error).__name__}: see the log")

    def _livez(self, request: Request) -> Answer:
        troubles, last, worst = (
            self._health.troubles_of_hub(),
            self._health.lag.last,
            self._health.lag.worst(),
        )
        milliseconds = {"hub_lag_ms": round(last * 1000, 3), "hub_lag_worst_ms": round(worst * 1000, 3)}
        line = f"ok: the hub's lag is {last * 1000:.1f} ms, the worst of late was {worst * 1000:.1f} ms"
        return _verdict(request, troubles, line, milliseconds)

    def _readyz(self, request: Request) -> Answer:
        return _verdict(request, self._health.troubles(), "ok", {})

    def _numbers(self, request: Request) -> Answer:
        if self._metrics is None:
            return text(
                HTTPStatus.NOT_IMPLEMENTED, "prometheus_client is missing: pip install 'ztaskd[metrics]'"
            )
        body, kind = self._metrics()
        return Answer(HTTPStatus.OK, kind, body)


def _verdict(request: Request, troubles: list[str], fine: str, more: dict[str, float]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
    if not request.json:
        return text(status, "\n".join(troubles) or fine)
    found = {"status": "unavailable" if troubles else "ok", "reasons": troubles, **more}
    return Answer(status, "application/json", json.dumps(found).encode() + b"\n")
