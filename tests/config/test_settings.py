import json
import math
import signal
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from frontdoor.config import ConfigError, DrainNotify, ReadyCheck, ReadySettings, Settings, UnknownVersion, parse
from frontdoor.config.units import LONGEST, parse_duration

# Three lines, so that what a test adds begins on line 4.
HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n'


@pytest.fixture(autouse=True)
def not_below_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


def settings(text: str = "", *, head: str = HEAD) -> Settings:
    return parse(head + text, "/srv/config.toml")


def refusal(text: str, head: str = HEAD) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(head + text, "config.toml")
    return str(refused.value).splitlines()


BAD = {
    "[drain]\ntimeot = '1h'": "5: drain.timeot: unknown key; the nearest known one is drain.timeout",
    "[drian]\nx = 1": "4: drian: unknown key; the nearest known one is drain",
    "runtime_dir = 'run'": "4: runtime_dir: unknown key; the nearest known one is frontdoor.runtime_dir",
    "[limits]\nprotocol = 'tcp'": "5: limits.protocol: unknown key; the nearest known one is protocol",
    "[backends.v1]\ncomand = ['x']": "5: backends.v1.comand: unknown key; the nearest known one is backends.v1.command",
    "[swap]\nqqqq = 1": "5: swap.qqqq: unknown key; known here are bake, keep_warm, max_generations",
    "[door.web]\nlisten = []": "4: door: unknown key; the nearest known one is doors",
    "[backends.v1.ready]\nx = 1": "4: backends.v1.ready: unknown key; the nearest known one is ready",
    "health = true": "4: health: must be a table, not true or false: write [health], and its keys below it",
    "[health]\nintervall = '5s'": "5: health.intervall: unknown key; the nearest known one is health.interval",
    "[health]\ninterval = 'never'": '5: health.interval: cannot be "never"',
    "[health]\nfailures = 0": "5: health.failures: must be 1 or more, not 0",
    "failures = 2": "4: failures: unknown key; the nearest known one is health.failures",
    "[swap]\nmax_generations = 1": "5: swap.max_generations: must be 2 or more, not 1",
    "[hooks]\nready = 'mail me'": (
        '5: hooks.ready: a command is an array of strings, never a shell line: write ["mail", "me"]'
    ),
    "[hooks]\nready = ['', 'x']": "5: hooks.ready: names no program: the first string is the program to run",
    "[hooks]\nfailed = ['a', 5]": '5: hooks.failed: item 2 must be a string, not a whole number: write "5"',
    "[hooks]\ntimeout = '0s'": '5: hooks.timeout: must be longer than 0; write "never" for no limit',
    "accept_proxy = '10.0.0.0/8'": '4: accept_proxy: must be an array, not a string: write ["10.0.0.0/8"]',
    "accept_proxy = ['10.0.0.1', '10.0.0.1/32']": '4: accept_proxy: "10.0.0.1/32" is there twice',
    "drain = 5": "4: drain: must be a table, not a whole number: write [drain], and its keys below it",
    "frontdoor = 'x'": "4: frontdoor: must be a table, not a string: write [frontdoor], and its keys below it",
    "[drain]\ntimeout = '1h'\nclose_over = '2h'": (
        "6: drain.close_over: 2h is longer than the drain's timeout (1h), of which it is a part"
    ),
    "[drain]\nclose_over = '90m'": (
        "5: drain.close_over: 90m is longer than the drain's timeout (1h), of which it is a part"
    ),
    "[drain]\ntimeout = 'never'\nclose_over = 'never'": '6: drain.close_over: cannot be "never"',
    "[drain]\nclose_rate = -1": "5: drain.close_rate: must be 0 or more, not -1",
    "[drain]\nclose_rate = 0.5": "5: drain.close_rate: must be a whole number, not a number with a fraction",
    "[drain]\nclose_first = 'newest'": '5: drain.close_first: must be "oldest" or "idle", not "newest"',
    "[drain]\nclose_grace = 'never'": '5: drain.close_grace: cannot be "never"',
    "[drain]\nnotify_timeout = 'never'": '5: drain.notify_timeout: cannot be "never"',
    "[drain]\nnotify_timeout = '0s'": '5: drain.notify_timeout: must be longer than 0; write "1s", for one',
    "[drain]\nnotify = true": (
        '5: drain.notify: true tells nobody: write a signal ("SIGUSR1"), a request ("http:/drain"), or "" for neither'
    ),
    "[drain]\nnotify = '/drain'": (
        '5: drain.notify: "/drain" is neither a signal nor a request: '
        'write a signal ("SIGUSR1"), a request ("http:/drain"), or "" for neither'
    ),
    "[drain]\nnotify = 'http:drain'": (
        '5: drain.notify: "http:drain": the path must begin with "/", as in "http:/drain"'
    ),
    "[drain]\nnotify = 'http://app/drain'": (
        '5: drain.notify: "http://app/drain": write the path only, as "http:/drain": the backend is known'
    ),
    "[drain]\nnotify = 'SIGUSR3'": '5: drain.notify: "SIGUSR3" is not a signal; the nearest one is "SIGUSR2"',
    "[drain]\nnotify = 'KILL'": (
        '5: drain.notify: "KILL" cannot be caught: it would end or stop the process, and not tell it'
    ),
    "[swap]\nbake = 'never'": '5: swap.bake: cannot be "never"',
    "[swap]\nbake = 30": '5: swap.bake: a duration is a string with a unit: write "30s"',
    "[probation]\ncrashes = 0": "5: probation.crashes: must be 1 or more, not 0",
    "[probation]\nfailures = 0": "5: probation.failures: must be 1 or more, not 0",
    "[probation]\nfailures = 101": "5: probation.failures: must be 100 or less, not 101",
    "[probation]\nearly = 'never'": '5: probation.early: cannot be "never"',
    "[probation]\nfailurs = 3": "5: probation.failurs: unknown key; the nearest known one is probation.failures",
    "crashes = 2": "4: crashes: unknown key; the nearest known one is probation.crashes",
    "[ready]\ninterval = 'never'": '5: ready.interval: cannot be "never"',
    "[ready]\ninterval = '0s'": '5: ready.interval: must be longer than 0; write "250ms", for one',
    "[ready]\ntimeout = '0ms'": '5: ready.timeout: must be longer than 0; write "never" for no limit',
    "[ready]\ndeadline = '0h'": '5: ready.deadline: must be longer than 0; write "never" for no limit',
    "[ready]\nsuccesses = 0": "5: ready.successes: must be 1 or more, not 0",
    "[ready]\nsuccesses = 1.0": "5: ready.successes: must be a whole number, not a number with a fraction",
    "[ready]\nsuccesses = '2'": "5: ready.successes: must be a whole number, not a string: write 2, without quotes",
    "[ready]\ncheck = 'tcp'": '5: ready.check: "tcp" is not a check: write "connect", "http:/path" or "notify"',
    "[ready]\ncheck = true": '5: ready.check: true is not a check: write "connect", "http:/path" or "notify"',
    "[ready]\ncheck = 'http:/a b'": (
        '5: ready.check: "http:/a b": the path must have no spaces and only visible ASCII characters'
    ),
    "[ready]\ncheck = 'http://localhost/x'": (
        '5: ready.check: "http://localhost/x": write the path only, as "http:/healthz": the backend is known'
    ),
    "[limits]\nconnections = -1": "5: limits.connections: must be 0 or more, not -1",
    "[limits]\nidle_timeout = '0s'": '5: limits.idle_timeout: must be longer than 0; write "never" for no limit',
    "[limits]\nhold_timeout = 10": '5: limits.hold_timeout: a duration is a string with a unit: write "10s"',
    "[frontdoor]\nlog_format = 'text'": ('5: frontdoor.log_format: must be "auto", "console" or "json", not "text"'),
    "[frontdoor]\nruntime_dir = 1": '5: frontdoor.runtime_dir: must be a string, not a whole number: write "1"',
    "[frontdoor]\nstate_dir = ['a']": "5: frontdoor.state_dir: must be a string, not an array",
}


@pytest.mark.parametrize(("text", "problem"), BAD.items())
def test_a_bad_key_is_named_with_its_line(text: str, problem: str) -> None:
    assert refusal(text) == [f"config.toml:{problem}"]


@pytest.mark.parametrize(
    ("listen", "problem"),
    [
        ("[]", 'listen: must not be empty: write at least one address, as ["127.0.0.1:8080"]'),
        ('"127.0.0.1:80"', 'listen: must be an array, not a string: write ["127.0.0.1:80"]'),
        ('["LOCALHOST:80", "a:80", "localhost:080"]', 'listen: "localhost:80" is there twice'),
    ],
)
def test_a_bad_listen_is_named(listen: str, problem: str) -> None:
    head = f'listen = {listen}\nactive = "v1"\nbackends."*".command = ["app"]\n'
    assert refusal("", head) == [f"config.toml:1: {problem}"]


def test_an_empty_config_is_told_what_is_needed() -> None:
    assert refusal("", head="") == [
        'config.toml: listen: is missing; write listen = ["127.0.0.1:8080"], for one',
        'config.toml: active: is missing; write active = "v1" to serve the version v1',
        'config.toml: backends: is missing; write [backends."*"] with a command below it',
    ]


def test_an_item_in_a_list_over_many_lines_is_found_on_its_own() -> None:
    head = 'listen = [\n  "127.0.0.1:80",\n  "localhost",\n]\nactive = "v1"\nbackends."*".command = ["app"]\n'
    assert refusal("", head) == [
        'config.toml:3: listen: "localhost" has no port: write "host:port", "[::1]:8080", "unix:path" or "systemd:NAME"'
    ]


def test_of_a_short_drain_timeout_the_default_close_over_is_the_same_last_sixth() -> None:
    drain = settings("[drain]\ntimeout = '5s'").doors["main"].drain
    assert (drain.timeout, drain.close_over) == (5, 5 / 6)
    drain = settings("[drain]\ntimeout = 'never'\nclose_over = '10h'").doors["main"].drain
    assert (drain.timeout, drain.close_over) == (math.inf, 36000)


def test_the_three_checks_are_told_apart() -> None:
    checks = [
        settings(f"[ready]\ncheck = '{check}'").doors["main"].ready.check
        for check in ("connect", "notify", "http:/healthz?full=1")
    ]
    assert checks == [ReadyCheck("connect"), ReadyCheck("notify"), ReadyCheck("http", "/healthz?full=1")]
    assert [str(check) for check in checks] == ["connect", "notify", "http:/healthz?full=1"]


NOTIFY = {
    "": DrainNotify("off"),
    "SIGUSR1": DrainNotify("signal", "SIGUSR1"),
    "HUP": DrainNotify("signal", "SIGHUP"),
    "http:/drain?now=1": DrainNotify("http", "/drain?now=1"),
}

longer_than_0 = st.integers(1, int(LONGEST * 1000)).map(lambda count: parse_duration(f"{count}ms"))
or_never = longer_than_0 | st.just(math.inf)
ready_tables = st.builds(
    ReadySettings.model_construct,
    check=st.sampled_from([ReadyCheck("connect"), ReadyCheck("notify"), ReadyCheck("http", '/a?b="c"')]),
    interval=longer_than_0,
    timeout=or_never,
    successes=st.integers(1, 1000),
    deadline=or_never,
)


@given(ready_tables)
def test_checks_come_back_from_their_table_as_they_were(ready: ReadySettings) -> None:
    table = json.loads(json.dumps(ready.as_table()))
    assert table.keys() == ReadySettings.model_fields.keys()
    assert ReadySettings.model_validate(table) == ready


def test_health_is_off_until_there_is_a_table_and_an_empty_one_will_do() -> None:
    assert settings().doors["main"].health is None
    health = settings("[health]").doors["main"].health
    assert health is not None
    assert (health.interval, health.failures) == (5, 3)


def test_warm_generations_are_kept_as_long_as_it_says() -> None:
    swap = settings("[swap]\nkeep_warm = 'never'\nmax_generations = 2").doors["main"].swap
    assert (swap.keep_warm, swap.max_generations) == (math.inf, 2)


def test_how_a_generation_is_told_that_it_drains() -> None:
    told = {text: settings(f"[drain]\nnotify = '{text}'").doors["main"].drain.notify for text in NOTIFY}
    assert told == NOTIFY
    assert [(str(each), bool(each), each.signal) for each in told.values()] == [
        ("", False, 0),
        ("SIGUSR1", True, signal.SIGUSR1),
        ("SIGHUP", True, signal.SIGHUP),
        ("http:/drain?now=1", True, 0),
    ]


def test_a_probation_is_as_long_and_as_strict_as_it_says() -> None:
    door = settings("[swap]\nbake = '2m'\n[probation]\ncrashes = 3\nfailures = 100\nearly = '0s'").doors["main"]
    assert (door.swap.bake, door.probation.crashes, door.probation.failures, door.probation.early) == (120, 3, 100, 0)


def test_hooks_are_taken_as_they_are() -> None:
    hooks = settings("[hooks]\nbefore_swap = ['hooks/check', '{version}', '$X']\ntimeout = '5s'").doors["main"].hooks
    assert (hooks.before_swap, hooks.ready, hooks.timeout) == (("hooks/check", "{version}", "$X"), (), 5)


def test_networks_have_one_form() -> None:
    door = settings("accept_proxy = ['10.0.0.0/8', '10.1.2.3', '2001:DB8::/32', '::1']").doors["main"]
    assert door.accept_proxy == ("10.0.0.0/8", "10.1.2.3/32", "2001:db8::/32", "::1/128")


def test_settings_cannot_be_changed() -> None:
    all_of_it = settings()
    with pytest.raises(FrozenInstanceError):
        all_of_it.path = "x"  # type: ignore[misc]  # that it cannot be assigned is what is shown
    with pytest.raises(ValidationError):
        all_of_it.doors["main"].active = "v2"


def test_systemd_says_where_the_folders_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/frontdoor:/run/other")
    process = settings().frontdoor
    assert (process.runtime_dir, process.runtime_dir_shown) == ("/run/frontdoor", "/run/frontdoor")
    assert process.state_dir == "/run/frontdoor"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/frontdoor")
    assert settings().frontdoor.state_dir == "/var/lib/frontdoor"
    process = settings("[frontdoor]\nruntime_dir = 'r'\nstate_dir = 's'").frontdoor
    assert (process.runtime_dir, process.runtime_dir_shown, process.state_dir) == ("/srv/r", "r", "/srv/s")


def test_a_runtime_dir_with_too_long_a_path_is_refused() -> None:
    long = "/" + "x" * 100
    assert refusal(f"[frontdoor]\nruntime_dir = '{long}'") == [
        (
            f"config.toml:5: frontdoor.runtime_dir: the socket path {long}/g999999/99.sock has 117 bytes, "
            f"and the limit is 107; set a shorter [frontdoor] runtime_dir"
        )
    ]


def test_a_doors_name_is_a_folder_and_counts_in_the_path() -> None:
    door = 'listen = ["127.0.0.1:{}"]\nactive = "v1"\nbackends.v1.command = ["app"]\n'
    folder = "/" + "x" * (107 - len("//g999999/99.sock") - len("/web"))
    text = f"[frontdoor]\nruntime_dir = '{folder}'\n[doors.web]\n{door.format(1)}"
    assert settings(text).doors["web"].name == "web"
    assert refusal(f"{text}[doors.website]\n{door.format(2)}") == [
        (
            f"config.toml:5: frontdoor.runtime_dir: the socket path {folder}/website/g999999/99.sock has 111 bytes, "
            "and the limit is 107; set a shorter [frontdoor] runtime_dir, "
            "or choose a shorter name than website for that door"
        )
    ]


def test_a_version_that_the_config_does_not_know_is_refused_with_the_nearest() -> None:
    head = 'listen = ["a:1"]\nactive = "v1"\n[backends]\nv1.command = ["a"]\nblue.command = ["a"]\n'
    door = settings(head=head).doors["main"]
    assert door.backend("blue").command == ("a",)
    for version, message in {
        "v2": 'there is no version "v2": the config knows v1, blue; the nearest is v1',
        "*": 'there is no version "*": a version\'s name has letters, digits, ".", "_" and "-", '
        "begins with a letter or a digit, and is at most 64 characters long",
    }.items():
        with pytest.raises(UnknownVersion) as refused:
            door.backend(version)
        assert str(refused.value) == message


def test_any_well_formed_name_is_a_version_where_there_is_a_general_command() -> None:
    door = settings().doors["main"]
    assert door.backend("2026-11-22.1").command == ("app",)
    for version in ("", "v1\n", "-v", "v" * 65, "v/1", "ä"):
        with pytest.raises(UnknownVersion):
            door.backend(version)
