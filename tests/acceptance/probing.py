"""Asks a daemon over real HTTP, as probes and Prometheus do."""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.daemon import PATIENCE, Daemon, wait_for

# What the names of the test site's task functions begin with.
SHOP = "tests.project.shop."


class Probe:
    """Of a daemon that was started with --http."""

    def __init__(self, daemon: Daemon) -> None:
        line = daemon.says(" serves /livez")
        self.url = re.findall(r"http://\S+", line)[0]
        self.port = int(self.url.rpartition(":")[2])

    def get(
        self, path: str, method: str = "GET", seconds: float = PATIENCE, **headers: str
    ) -> tuple[int, str]:
        """Status and body. Raises OSError when nobody answers in time."""
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def json(self, path: str) -> tuple[int, Any]:
        status, body = self.get(path, Accept="text/html, application/json;q=0.9")
        return status, json.loads(body)

    def allowed(self, path: str) -> str | None:
        """What the answer to a POST says of methods."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", path, body=b"x" * 1000)
            answer = connection.getresponse()
            assert answer.status == 405
            return answer.getheader("Allow")
        finally:
            connection.close()

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Values by name and labels (their values, in the order of their names), without the prefix ztaskd_."""
        status, text = self.get("/metrics")
        assert status == 200, text
        found: dict[tuple[str, ...], float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = [value.removeprefix(SHOP) for _, value in sorted(sample.labels.items())]
                key = (sample.name.removeprefix("ztaskd_"), *labels)
                assert key not in found, key
                found[key] = sample.value
        return found

    def wait(self, path: str, status: int, text: str = "") -> str:
        """The body, once the answer is that status and holds the text."""

        def answered() -> str | None:
            try:
                code, body = self.get(path)
            except OSError:
                return None
            return body if code == status and text in body else None

        return str(wait_for(answered, f"{path} says {status} {text}"))
