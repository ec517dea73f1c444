import math
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config import ConfigError, DrainNotify, Problem, ReadyCheck, Settings, load, parse
from nobody import without_rights

SAMPLE = Path(__file__).with_name("sample.toml").read_text()
MINIMAL = 'listen = ["127.0.0.1:0"]\nactive = "v1"\nbackends."*".command = ["app"]\n'


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as refused:
        parse(text, "config.toml")
    return str(refused.value)


def refused_file(path: str | Path) -> str:
    with pytest.raises(ConfigError) as refused:
        load(str(path))
    return str(refused.value)


@pytest.fixture(autouse=True)
def not_below_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


def test_the_contracts_sample_is_valid_and_means_what_it_says() -> None:
    settings = parse(SAMPLE, "/srv/app/config.toml")
    assert (settings.path, settings.folder, settings.text) == ("/srv/app/config.toml", "/srv/app", SAMPLE)
    assert list(settings.doors) == ["main"]

    door = settings.doors["main"]
    assert (door.name, door.listen, door.active) == ("main", ("127.0.0.1:8080",), "v1")
    assert door.versions() == ["v1", "v2"]
    backend = door.backend("v2")
    assert backend.command == ("{python}", "backends/chat.py", "--version", "{version}")
    assert (backend.processes, backend.stop_signal, backend.stop_timeout) == (1, signal.SIGTERM, 30.0)
    assert (backend.restart, backend.env) == ("always", {"GREETING": "hello from v2"})

    ready, drain, limits = door.ready, door.drain, door.limits
    assert ready.check == ReadyCheck("connect")
    assert (ready.interval, ready.timeout, ready.successes, ready.deadline) == (0.25, 2, 1, 30)
    assert (drain.timeout, drain.shutdown_timeout, drain.close_over) == (3600, 30, 600)
    assert (drain.close_rate, drain.close_first, drain.close_grace) == (0, "oldest", 5)
    assert (drain.notify, drain.notify_timeout) == (DrainNotify("off"), 5)
    assert (limits.connections, limits.connect_timeout, limits.hold_timeout) == (0, 5, 10)
    assert (limits.idle_timeout, limits.half_close_timeout) == (math.inf, 60)

    health, swap, probation, hooks = door.health, door.swap, door.probation, door.hooks
    assert health is not None, "with [health] in it, health is on"
    assert (health.interval, health.failures) == (5, 3)
    assert (swap.bake, swap.keep_warm, swap.max_generations) == (0, 900, 5)
    assert (probation.crashes, probation.failures, probation.early) == (1, 5, 1)
    assert (hooks.before_swap, hooks.timeout, door.accept_proxy) == ((), 30, ())
    assert (backend.listen_fd, backend.proxy_protocol, backend.external) == (False, "off", False)

    process = settings.frontdoor
    assert (process.runtime_dir, process.runtime_dir_shown) == ("/srv/app/run", "run")
    assert (process.state_dir, process.log_format, process.log_level) == ("/srv/app/run", "auto", "info")


def test_three_keys_are_a_config_and_the_rest_but_health_is_as_in_the_sample() -> None:
    small, sample = parse(MINIMAL, "/srv/config.toml"), parse(SAMPLE, "/srv/config.toml")
    assert small.frontdoor == sample.frontdoor
    for name in ("ready", "drain", "swap", "probation", "canary", "limits", "hooks", "protocol", "accept_proxy"):
        assert getattr(small.doors["main"], name) == getattr(sample.doors["main"], name)


def test_a_file_is_read_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    settings = load("config.toml")
    assert (settings.path, settings.folder) == (str(tmp_path / "config.toml"), str(tmp_path))
    assert settings.frontdoor.runtime_dir == str(tmp_path / "run")
    assert settings == load(str(tmp_path / "config.toml"))


def test_a_mark_of_byte_order_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
    assert load(str(tmp_path / "config.toml")).text == MINIMAL


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert refused_file(path) == f"{path}: there is no such file"
    assert refused_file(tmp_path) == f"{tmp_path}: is a folder; give the config file in it"
    assert refused_file("a\0b") == "a\0b: is not a path: it has a NUL character"
    path.write_bytes(b'active = "v1"\n# caf\xe9\n')
    assert refused_file(path) == f"{path}:2: is not UTF-8 text; save it as UTF-8"
    assert refused_file("/dev/zero") == "/dev/zero: is not a file"
    os.mkfifo(tmp_path / "pipe")
    assert refused_file(tmp_path / "pipe") == f"{tmp_path}/pipe: is not a file", "and nobody waited for a writer"
    path.write_text("# " + "long " * 20_000)
    assert refused_file(path) == f"{path}: is larger than 64 KiB: a config cannot be, make it shorter"
    assert refused_file(path / "below") == f"{path}/below: cannot be read: Not a directory"


def test_a_file_without_permission_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(MINIMAL)
    path.chmod(0)
    with without_rights():
        refused = refused_file(path)
    assert refused == f"{path}: cannot be read: Permission denied"


def test_every_problem_is_told_at_once_in_the_order_of_the_file() -> None:
    problems = refusal(
        """\
listen = ["1.2.3:4", "x:99999", 5]
protcol = "tcp"
[backends.v1]
processes = 0
stop_signal = "SIGTRM"
command = "python app.py"
env = { A = 1, B = "{versoin}", FRONTDOOR_SOCKET = "x", "C=" = "" }
[drain]
timeot = "1h"
timeout = 5
[ready]
check = "http:healthz"
successes = true
[frontdoor]
log_level = "inof"
admin = "9900"
state_dir = "a\\u0000b"
"""
    )
    assert problems.splitlines() == [
        'config.toml:1: listen: "1.2.3:4": "1.2.3" is not an IPv4 address',
        'config.toml:1: listen: "x:99999": the port must be a number from 0 to 65535',
        'config.toml:1: listen: item 3 must be a string, not a whole number: write "5"',
        "config.toml:2: protcol: unknown key; the nearest known one is protocol",
        "config.toml:4: backends.v1.processes: must be 1 or more, not 0",
        'config.toml:5: backends.v1.stop_signal: "SIGTRM" is not a signal; the nearest one is "SIGTERM"',
        (
            "config.toml:6: backends.v1.command: a command is an array of strings, never a shell line: "
            'write ["python", "app.py"]'
        ),
        'config.toml:7: backends.v1.env.A: must be a string, not a whole number: write "1"',
        (
            'config.toml:7: backends.v1.env.B: "{versoin}": unknown placeholder {versoin}; '
            'the nearest known one is {version} (write "{{" for a "{")'
        ),
        "config.toml:7: backends.v1.env.FRONTDOOR_SOCKET: frontdoor sets this variable itself; take it out",
        'config.toml:7: backends.v1.env."C=": a variable\'s name is not empty, and has no "=" and no NUL',
        "config.toml:9: drain.timeot: unknown key; the nearest known one is drain.timeout",
        'config.toml:10: drain.timeout: a duration is a string with a unit: write "5s"',
        'config.toml:12: ready.check: "http:healthz": the path must begin with "/", as in "http:/healthz"',
        "config.toml:13: ready.successes: must be a whole number, not true or false",
        'config.toml:15: frontdoor.log_level: must be "debug", "info", "warning" or "error", not "inof"',
        'config.toml:16: frontdoor.admin: "9900" has no host: for every interface write "0.0.0.0:9900" or "[::]:9900"',
        'config.toml:17: frontdoor.state_dir: "a\\u0000b" has a NUL character, which no path and no argument can hold',
        'config.toml: active: is missing; write active = "v1" to serve the version v1',
    ]


def test_the_problems_of_every_door_are_told_at_once_and_with_their_lines() -> None:
    problems = refusal(
        """\
listen = ["127.0.0.1:80"]
active = "v1"
[backends.v1]
command = ["app"]
[frontdoor]
runtim_dir = "x"
[doors.api]
listen = ["127.0.0.1:81", "127.0.0.1:80"]
active = "v2"
protocol = "htpp"
[doors.api.backends.v1]
command = ["app", "{versoin}"]
comand = ["app"]
env.FRONTDOOR_SOCKET = "x"
[doors.api.backends.v3]
[doors.api.backends.1.2]
command = ["app"]
[doors.api.drain]
timeot = "1h"
close_over = "2h"
[doors.api.swap]
bake = "never"
[doors.web]
listen = ["127.0.0.1:82"]
runtime_dir = "run"
timeout = "5s"
frontdoor.user = "www"
swpa.bake = "1s"
[doors.web.helth]
"""
    )
    assert problems.splitlines() == [
        "config.toml:6: frontdoor.runtim_dir: unknown key; the nearest known one is frontdoor.runtime_dir",
        'config.toml:8: doors.api.listen: "127.0.0.1:80" is where the door main listens; choose another address',
        (
            'config.toml:9: doors.api.active: there is no version "v2": the config knows v1, v3, 1; the nearest is v3; '
            'add [doors.api.backends."v2"], or [doors.api.backends."*"] for any version'
        ),
        'config.toml:10: doors.api.protocol: must be "tcp" or "http", not "htpp"',
        (
            'config.toml:12: doors.api.backends.v1.command: "{versoin}": unknown placeholder {versoin}; '
            'the nearest known one is {version} (write "{{" for a "{")'
        ),
        (
            "config.toml:13: doors.api.backends.v1.comand: unknown key; "
            "the nearest known one is doors.api.backends.v1.command"
        ),
        (
            "config.toml:14: doors.api.backends.v1.env.FRONTDOOR_SOCKET: "
            "frontdoor sets this variable itself; take it out"
        ),
        (
            'config.toml:15: doors.api.backends.v3: has no command, and there is none in [doors.api.backends."*"] '
            'to inherit: write command = ["{python}", "app.py"]'
        ),
        (
            "config.toml:16: doors.api.backends.1.2: unknown key; if 1.2 is a version, its name needs quotes "
            'because of the dot: write [doors.api.backends."1.2"]'
        ),
        "config.toml:19: doors.api.drain.timeot: unknown key; the nearest known one is doors.api.drain.timeout",
        'config.toml:22: doors.api.swap.bake: cannot be "never"',
        'config.toml:23: doors.web.active: is missing; write active = "v1" to serve the version v1',
        'config.toml:23: doors.web.backends: is missing; write [doors.web.backends."*"] with a command below it',
        "config.toml:25: doors.web.runtime_dir: unknown key; the nearest known one is frontdoor.runtime_dir",
        "config.toml:26: doors.web.timeout: unknown key; the nearest known one is doors.web.ready.timeout",
        "config.toml:27: doors.web.frontdoor: unknown key; the nearest known one is frontdoor",
        "config.toml:28: doors.web.swpa: unknown key; the nearest known one is doors.web.swap",
        "config.toml:29: doors.web.helth: unknown key; the nearest known one is doors.web.health",
    ]


def test_a_problem_is_also_there_in_parts() -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"{MINIMAL}dran.timeout = '1h'\n", "/srv/config.toml")
    assert refused.value.problems == (Problem("dran", 4, "unknown key; the nearest known one is drain"),)
    assert str(refused.value) == "/srv/config.toml:4: dran: unknown key; the nearest known one is drain"


def test_a_listener_on_the_control_socket_is_refused() -> None:
    text = MINIMAL.replace('"127.0.0.1:0"', '"unix:run/control.sock"')
    assert refusal(text) == "config.toml:1: listen: this is frontdoor's own control socket; choose another path"


def settled(text: str) -> Settings | str:
    """Parse a text: settings, or the words of the error, which a person can read."""
    try:
        return parse(text, "config.toml")
    except ConfigError as refused:
        words = str(refused)
    for line in words.split("\n"):
        assert re.match(r"config\.toml(:[1-9][0-9]*)?: .", line)
        for jargon in ("Input", "pydantic", "NoneType", "int_", "_type", "frozen"):
            assert jargon not in line
    return words


@given(st.text() | st.text(alphabet="[]{}=.\"'\n#a1"))
def test_any_text_is_a_config_or_a_readable_error(text: str) -> None:
    settled(text)


SEVERAL = f"{SAMPLE}\n[doors.api]\nlisten = ['127.0.0.1:81']\nactive = 'v1'\nbackends.v1.socket = '/run/app.sock'\n"


@given(st.data())
def test_the_sample_with_any_line_damaged_is_a_config_or_a_readable_error(data: st.DataObject) -> None:
    lines = SEVERAL.splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    value = data.draw(
        st.sampled_from(
            [
                "1",
                "-1",
                "1.5",
                "nan",
                "true",
                "[]",
                "[1]",
                '[["a"]]',
                "{}",
                "{ a = 1 }",
                "2026-11-22",
                '""',
                '"x"',
                '"5s"',
                '"never"',
                "12:00:00",
                '"\\u0000"',
                "0x" + "f" * 9000,
                "9" * 400,
                '["{x}", "}"]',
            ]
        )
    )
    name = lines[number].partition("=")[0]
    lines[number] = data.draw(st.sampled_from([f"{name} = {value}", f"x{name} = {value}", "", f"[{name}]"]))
    settled("\n".join(lines))


def test_python_is_the_one_that_frontdoor_runs_on() -> None:
    launch = parse(SAMPLE, "/srv/config.toml").doors["main"].backend("v1")
    argv = launch.launch(socket="/s", version="v1", generation=1, process=0, runtime_dir="/r").argv
    assert argv == (sys.executable, "backends/chat.py", "--version", "v1")
