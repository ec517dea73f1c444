"""The units, as far as systemd itself can say it of them without running them."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

import pytest

from e2e.harness import COMMAND

PACKAGING = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "packaging")
INSTALLED = "/opt/frontdoor/bin/frontdoor"

EXPOSURE = 2.5
"""Of 10, by ``systemd-analyze security``; below 3 is "OK", and a service without any of this has 9.6."""

SYSTEM_CALLS = [
    *("close_range", "epoll_ctl", "execve", "kill", "memfd_create", "pidfd_open", "pidfd_send_signal", "prctl"),
    *("prlimit64", "sendmsg", "setresuid", "setsid", "shutdown", "splice", "waitid"),
]
"""Those that somebody could take for special: the rest is what any program calls."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze: apt-get install systemd"
)


def read(name: str) -> str:
    with open(os.path.join(PACKAGING, name)) as file:
        return file.read()


@pytest.fixture
def units() -> Iterator[str]:
    """A folder with the units, in which the command is one that is there."""
    with tempfile.TemporaryDirectory(prefix="fd-") as folder:
        for name in ("frontdoor.service", "frontdoor.socket"):
            with open(f"{folder}/{name}", "w") as file:
                file.write(read(name).replace(INSTALLED, COMMAND))
        yield folder


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


@needs_systemd
def test_systemd_finds_nothing_wrong(units: str) -> None:
    done = analyze("verify", f"{units}/frontdoor.service", f"{units}/frontdoor.socket")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_and_it_would_find_what_is_wrong(units: str) -> None:
    with open(f"{units}/frontdoor.service", "a") as file:
        file.write("[Service]\nKillMode=gently\n")
    assert "gently" in analyze("verify", f"{units}/frontdoor.service").stderr


@needs_systemd
def test_the_service_is_hardened(units: str) -> None:
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE * 10:.0f}", f"{units}/frontdoor.service")
    print(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_the_filter_of_system_calls_lets_ours_through() -> None:
    def allowed(group: str) -> set[str]:
        lines = analyze("syscall-filter", group).stdout.splitlines()[1:]
        words = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        return {name for word in words for name in (allowed(word) if word.startswith("@") else {word})}

    assert set(SYSTEM_CALLS) - allowed("@system-service") == set()


def settings(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if re.match(r"[A-Za-z]+=", line))


def test_what_the_service_promises() -> None:
    unit = settings(read("frontdoor.service"))
    promised = {
        "Type": "notify",
        "KillMode": "mixed",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "PrivateTmp": "yes",
        "AmbientCapabilities": "CAP_NET_BIND_SERVICE",
        "CapabilityBoundingSet": "CAP_NET_BIND_SERVICE",
        "RuntimeDirectory": "frontdoor",
        "RuntimeDirectoryMode": "0711",
        "OOMPolicy": "continue",
    }
    assert {name: unit[name] for name in promised} == promised
    assert unit["ExecReload"].endswith(" reload --control /run/frontdoor/control.sock")


def test_the_name_of_the_socket_is_the_one_that_the_docs_name() -> None:
    assert settings(read("frontdoor.socket"))["FileDescriptorName"] == "web"
    assert 'listen = ["systemd:web"]' in read("frontdoor.socket")
