import signal
import sys

import pytest

from frontdoor.config import BackendSettings, ConfigError, Launch, parse

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\n'


def backend(text: str, version: str = "v1") -> BackendSettings:
    return parse(HEAD + text, "/srv/app/config.toml").doors["main"].backend(version)


def launch(text: str) -> Launch:
    return backend(text).launch(
        socket="/srv/app/run/g7/1.sock", version="v1", generation=7, process=1, runtime_dir="/srv/app/run"
    )


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(HEAD + text, "config.toml")
    return str(refused.value).splitlines()


def test_a_version_inherits_key_by_key_and_its_environment_is_merged() -> None:
    text = """
    [backends."*"]
    command = ["app"]
    stop_signal = "INT"
    processes = 3
    env = { A = "general", B = "general" }
    [backends.v1]
    processes = 1
    env = { B = "own", C = "own" }
    """
    v1, v2 = backend(text, "v1"), backend(text, "v2")
    assert (v1.command, v1.stop_signal, v1.processes) == (("app",), signal.SIGINT, 1)  # 1 is the default, and set
    assert v1.env == {"A": "general", "B": "own", "C": "own"}
    assert (v2.processes, v2.env) == (3, {"A": "general", "B": "general"})


def test_a_version_without_a_general_table_stands_for_itself() -> None:
    v1 = backend("[backends.v1]\ncommand = ['app']\nstop_timeout = 'never'\nrestart = 'never'")
    assert (v1.command, v1.stop_timeout, v1.restart) == (("app",), float("inf"), "never")


def test_placeholders_are_filled_for_each_process() -> None:
    assert launch(
        """
        [backends.v1]
        command = ["{python}", "app.py", "--sock={socket}", "{version}#{generation}", "{process}", "{{x}}", ""]
        env = { WHERE = "{runtime_dir}/x", JSON = '{{"a": 1}}' }
        """
    ) == Launch(
        argv=(sys.executable, "app.py", "--sock=/srv/app/run/g7/1.sock", "v1#7", "1", "{x}", ""),
        env={
            "WHERE": "/srv/app/run/x",
            "JSON": '{"a": 1}',
            "FRONTDOOR_SOCKET": "/srv/app/run/g7/1.sock",
            "FRONTDOOR_VERSION": "v1",
            "FRONTDOOR_GENERATION": "7",
            "FRONTDOOR_PROCESS": "1",
        },
        cwd="/srv/app",
    )


@pytest.mark.parametrize(
    ("cwd", "folder"),
    [
        ("releases/{version}", "/srv/app/releases/v1"),
        ("{runtime_dir}/x", "/srv/app/run/x"),
        ("/tmp/{{v}}", "/tmp/{v}"),
        ("..", "/srv"),
    ],
)
def test_a_folder_is_taken_from_the_configs(cwd: str, folder: str) -> None:
    assert launch(f"[backends.v1]\ncommand = ['a']\ncwd = '{cwd}'").cwd == folder
    inherited = f"[backends.'*']\ncommand = ['a']\ncwd = '{cwd}'\n[backends.v1]\nprocesses = 2"
    assert launch(inherited).cwd == folder


def test_who_it_runs_as_and_what_it_is_told_of_clients_is_inherited() -> None:
    text = """
    [backends."*"]
    command = ["app"]
    user = "www"
    group = "web"
    listen_fd = true
    proxy_protocol = "v2"
    [backends.v2]
    user = ""
    proxy_protocol = "v1"
    """
    v1, v2 = backend(text, "v1"), backend(text, "v2")
    assert (v1.user, v1.group, v1.listen_fd, v1.proxy_protocol) == ("www", "web", True, "v2")
    assert (v2.user, v2.group, v2.listen_fd, v2.proxy_protocol) == ("", "web", True, "v1")


BAD = {
    "command = []": "4: backends.v1.command: names no program: the first string is the program to run",
    "command = ['']": "4: backends.v1.command: names no program: the first string is the program to run",
    "command = 'run \"a b\"'": (
        '4: backends.v1.command: a command is an array of strings, never a shell line: write ["run", "a b"]'
    ),
    "command = ['a', 1]": '4: backends.v1.command: item 2 must be a string, not a whole number: write "1"',
    "command = [\n'a',\n'{']": ('6: backends.v1.command: "{": a "{" stands alone; write "{{" for the character'),
    "command = ['a']\nprocesses = true": "5: backends.v1.processes: must be a whole number, not true or false",
    "command = ['a']\nprocesses = 101": "5: backends.v1.processes: must be 100 or less, not 101",
    "command = ['a']\nrestart = 'no'": '5: backends.v1.restart: must be "always" or "never", not "no"',
    "command = ['a']\nstop_signal = 15": (
        '5: backends.v1.stop_signal: a signal is given by its name: write "SIGTERM", not a whole number'
    ),
    "command = ['a']\ncwd = ''": "5: backends.v1.cwd: must not be empty; leave it out for the config's own folder",
    "command = ['a']\nenv = ['A=1']": (
        "5: backends.v1.env: must be a table, not an array: write [backends.v1.env], and its keys below it"
    ),
    "command = ['a']\n[backends.v1.env]\nPORT = 80": (
        '6: backends.v1.env.PORT: must be a string, not a whole number: write "80"'
    ),
    "command = ['a']\nlisten_fd = 'false'": (
        "5: backends.v1.listen_fd: must be true or false, not a string: write false, without quotes"
    ),
    "command = ['a']\nproxy_protocol = 'on'": ('5: backends.v1.proxy_protocol: must be "off", "v1" or "v2", not "on"'),
    "command = ['a']\nuser = 33": '5: backends.v1.user: must be a string, not a whole number: write "33"',
    "socket = 5": '4: backends.v1.socket: must be a string, not a whole number: write "5"',
    "socket = '{sokcet}'": (
        '4: backends.v1.socket: "{sokcet}": unknown placeholder {sokcet}; known are {version}, {generation}, '
        '{python}, {runtime_dir}, {process} (write "{{" for a "{")'
    ),
    "socket = '{socket}'": (
        '4: backends.v1.socket: "{socket}": unknown placeholder {socket}; known are {version}, {generation}, '
        '{python}, {runtime_dir}, {process} (write "{{" for a "{")'
    ),
    "socket = '@app'": (
        '4: backends.v1.socket: "@app": abstract sockets are not offered; write a path ("./@app" for a file)'
    ),
    "socket = 'unix:run/app.sock'": (
        '4: backends.v1.socket: "unix:run/app.sock": write the path alone, "run/app.sock"'
    ),
    "socket = 'localhost:80'": (
        '4: backends.v1.socket: "localhost:80" is an address of TCP, and backends listen on Unix sockets: '
        'write the path of one ("./localhost:80" for a file of that name)'
    ),
    "": (
        '3: backends.v1: has no command, and there is none in [backends."*"] to inherit: '
        'write command = ["{python}", "app.py"]'
    ),
}


@pytest.mark.parametrize(("text", "problem"), BAD.items())
def test_a_bad_backend_is_named_with_its_line(text: str, problem: str) -> None:
    assert refusal(f"[backends.v1]\n{text}") == [f"config.toml:{problem}"]
