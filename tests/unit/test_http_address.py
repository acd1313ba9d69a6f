"""HOST:PORT of --http and ZTASKD_HTTP: what is taken, as what, and what is not."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_ztask.conf import conf
from ztaskd import cli
from ztaskd.http.address import parse

GOOD = [
    ("8080", "127.0.0.1:8080"),
    (":8080", "127.0.0.1:8080"),
    ("localhost:8080", "127.0.0.1:8080"),
    ("127.0.0.1:0", "127.0.0.1:0"),
    ("0.0.0.0:65535", "0.0.0.0:65535"),
    ("[::1]:8080", "[::1]:8080"),
    ("[::]:80", "[::]:80"),
    ("metrics.internal:9100", "metrics.internal:9100"),
]

BAD = [
    *("", ":", "host", "host:", "65536", "-1", "8080 ", " 8080", "8080\n", "1e3", "+1", "٨٠٨٠"),
    *(
        "::1:8080",
        "[::1]",
        "[::1]8080",
        "[]:1",
        "*:8080",
        "a b:1",
        "http://a:1",
        "a:1/",
        "0.0.0.0:80:80",
        "100000",
    ),
]


@pytest.mark.parametrize(("text", "means"), GOOD)
def test_a_port_alone_is_this_machines_and_a_host_is_taken_as_told(text: str, means: str) -> None:
    address = parse(text)
    assert str(address) == means
    assert address.host == means.rpartition(":")[0].strip("[]")
    with override_settings(ZTASKD_HTTP=text):
        assert conf.http == text
    assert cli.parse(["--http", text]).http == address


@pytest.mark.parametrize("text", BAD)
def test_nonsense_is_refused_by_flag_and_setting(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="is no address: write 8080, "):
        parse(text)
    with (
        override_settings(ZTASKD_HTTP=text),
        pytest.raises(ImproperlyConfigured, match="ZTASKD_HTTP must be"),
    ):
        conf.http  # noqa: B018
    with pytest.raises(SystemExit) as end:
        cli.parse(["--http", text])
    assert end.value.code == 2
    assert "argument --http: " in capsys.readouterr().err


def test_nobody_listens_unless_told() -> None:
    assert cli.parse([]).http is None
    assert conf.http is None


def test_the_flag_is_for_the_daemon_alone() -> None:
    with pytest.raises(SystemExit) as end:
        cli.parse(["--http", "8080", "prune", "--older-than", "1d"])
    assert end.value.code == 2
