"""The other files of contrib/: rc.local through sh, logrotate's lines, and Kubernetes' command and probes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest

from tests.acceptance.daemon import ROOT, free_port, wait_for

pytestmark = pytest.mark.acceptance

CONTRIB = ROOT / "contrib"
FOLDER, LOG = "/var/www/mysite", "/var/log/ztaskd.log"


def text(name):
    return (CONTRIB / name).read_text()


@pytest.fixture
def daemon(site):
    """Of whatever has started it: its process id, once its log says that it is ready. It is gone at the end."""
    log = site.folder / "ztaskd.log"
    pids = []

    def find():
        ready = wait_for(
            lambda: re.findall(r"ready in .* pid (\d+),", log.read_text() if log.exists() else ""), "it"
        )
        pids.append(int(ready[-1]))
        return pids[-1]

    yield find
    for pid in pids:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_rc_local_starts_it_and_goes_on(site, daemon, shell, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    lines = text("rc.local")
    if shell == "bash":  # as the README of django-ztask had it
        commented = re.findall(r"^#   (.*)$", lines, re.MULTILINE)
        assert [line.split()[0] for line in commented] == ["pushd", "sudo", "popd"]
        lines = "\n".join([*commented, "exit 0\n"])
    shop = ROOT / "tests" / "project"
    lines = lines.replace(FOLDER, str(shop)).replace(LOG, str(site.folder / "ztaskd.log"))
    lines = lines.replace("venv/bin/python", sys.executable)
    lines = lines.replace("sudo -u www-data ", "env ")  # (nobody's password is asked for in a test)
    file, rest = tmp_path / "rc.local", tmp_path / "rest"
    file.write_text(lines.replace("exit 0", f"pwd >{rest}\nexit 0"))
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", shell, "-e", str(file)]
    done = subprocess.run(command, env=site.env(), cwd=tmp_path, timeout=30, check=False)
    assert (done.returncode, rest.read_text().strip()) == (0, str(tmp_path))
    pid = daemon()
    assert site.call("show(mark.async_('a').result(20))") == "a"
    assert os.readlink(f"/proc/{pid}/cwd") == str(shop)
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(pid), "its end")


def test_what_logrotate_does_gives_the_daemon_a_new_log(site, tmp_path):
    pidfile = tmp_path / "pid"
    started = site.start("--pidfile", str(pidfile))
    rules = text("logrotate").replace("/var/www/mysite/ztaskd.pid", str(pidfile))
    command = re.search(r"postrotate\n(.*)\n\s*endscript", rules, re.DOTALL)[1]
    started.path.rename(tmp_path / "old")
    subprocess.run(["sh", "-e", "-c", command], check=True, timeout=30)
    wait_for(started.path.exists, "the new log, before anything is written")
    assert site.call("show(mark.async_('a').result(20))") == "a"
    started.says("tasks.mark succeeded")
    pidfile.unlink()
    subprocess.run(["sh", "-e", "-c", command], check=True, timeout=30)  # it does not run: no complaint


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="no logrotate here")
def test_logrotate_finds_no_fault_in_its_rules():
    done = subprocess.run(
        ["logrotate", "--debug", str(CONTRIB / "logrotate")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, "error" in done.stderr) == (0, False)


@pytest.fixture
def pod():
    """The pod that the deployment makes."""
    yaml = pytest.importorskip("yaml")
    deployment = yaml.safe_load(text("kubernetes.yaml"))
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    spec = deployment["spec"]
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    return spec["template"]["spec"]


def test_kubernetes_waits_longer_than_the_grace(pod):
    (container,) = pod["containers"]
    command = container["command"]
    assert pod["terminationGracePeriodSeconds"] > float(command[command.index("--grace") + 1]) + 10


def test_kubernetes_command_and_probes_work(site, pod):
    (container,) = pod["containers"]
    program, *arguments = container["command"]
    (port,) = container["ports"]
    at = arguments.index("--http") + 1
    assert (program, arguments[at]) == ("ztaskd", f"0.0.0.0:{port['containerPort']}")
    arguments[at] = f"127.0.0.1:{free_port()}"
    site.start(*[word for word in arguments if word != "--noreload"])
    probes = {
        name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    for probe in probes.values():
        with urllib.request.urlopen(f"http://{arguments[at]}{probe['path']}", timeout=20) as answer:
            assert answer.status == 200
