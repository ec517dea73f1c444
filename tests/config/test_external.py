import pytest

from frontdoor.config import BackendSettings, ConfigError, UnknownVersion, parse

HEAD = 'listen = ["127.0.0.1:8080", "unix:door.sock"]\nactive = "v1"\n'
OUT = "means nothing here: this backend has a socket and no command, so somebody else runs it; take it out"


def backend(text: str, version: str = "v1") -> BackendSettings:
    return parse(HEAD + text, "/srv/app/config.toml").doors["main"].backend(version)


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        parse(HEAD + text, "/srv/app/config.toml")
    return [line.removeprefix("/srv/app/config.toml:") for line in str(refused.value).splitlines()]


@pytest.mark.parametrize(
    ("socket", "path"),
    [
        ("app.sock", "/srv/app/app.sock"),
        ("../{version}/./app.sock", "/srv/v1/app.sock"),
        ("/run/{version}-{generation}-{process}.sock", "/run/v1-7-2.sock"),
        ("{runtime_dir}/{{x}}.sock", "/run/door/{x}.sock"),
        ("./localhost:80", "/srv/app/localhost:80"),
    ],
)
def test_its_address_is_absolute(socket: str, path: str) -> None:
    v1 = backend(f"[backends.v1]\nsocket = '{socket}'")
    assert v1.external
    assert v1.address(version="v1", generation=7, process=2, runtime_dir="/run/door") == path
    inherited = backend(f"[backends.'*']\nsocket = '{socket}'\n[backends.v1]\nproxy_protocol = 'v2'")
    assert (inherited.external, inherited.proxy_protocol) == (True, "v2")
    assert inherited.address(version="v1", generation=7, process=2, runtime_dir="/run/door") == path


def test_a_socket_of_ones_own_beats_an_inherited_command() -> None:
    text = """
    [backends."*"]
    command = ["app"]
    user = "www"
    cwd = "app"
    listen_fd = true
    proxy_protocol = "v1"
    [backends.v1]
    socket = "/run/legacy.sock"
    """
    v1, v2 = backend(text), backend(text, "v2")
    assert (v1.external, v1.command, v1.user, v1.cwd, v1.listen_fd) == (True, (), "", None, False)
    assert v1.proxy_protocol == "v1", "this is about the stream and not about who starts what"
    assert (v2.external, v2.command, v2.user, v2.listen_fd) == (False, ("app",), "www", True)


def test_a_command_of_ones_own_beats_an_inherited_socket() -> None:
    text = "[backends.'*']\nsocket = '/run/app.sock'\n[backends.v2]\ncommand = ['app']\nuser = 'www'\nrestart = 'never'"
    v1, v2 = backend(text), backend(text, "v2")
    assert (v1.external, v1.socket) == (True, "/run/app.sock"), "and a version with no table has the general one"
    assert (v2.external, v2.command, v2.socket, v2.user) == (False, ("app",), "", "www")


def test_a_general_table_with_neither_makes_no_version() -> None:
    door = parse(HEAD + "[backends.'*']\nprocesses = 2\n[backends.v1]\ncommand = ['a']", "/srv/config.toml").doors[
        "main"
    ]
    with pytest.raises(UnknownVersion):
        door.backend("v2")


def test_an_empty_socket_is_none() -> None:
    assert not backend("[backends.v1]\ncommand = ['app']\nsocket = ''").external
    assert not backend("[backends.'*']\ncommand = ['app']\n[backends.v1]\nsocket = ''").external
    assert refusal("[backends.'*']\nsocket = 'a'\n[backends.v1]\nsocket = ''") == [
        (
            '5: backends.v1: has no command, and there is none in [backends."*"] to inherit: '
            'write command = ["{python}", "app.py"]'
        )
    ]


def test_several_processes_need_sockets_of_their_own() -> None:
    assert backend("[backends.v1]\nprocesses = 3\nsocket = 'a{process}.sock'").processes == 3
    assert (
        backend("[backends.'*']\ncommand = ['a']\nprocesses = 3\n[backends.v1]\nsocket = 'a{process}'").processes == 3
    )
    assert not backend("[backends.'*']\nsocket = 'a'\n[backends.v1]\nprocesses = 2\ncommand = ['a']").external


BAD = {
    "[backends.v1]\nsocket = 'a.sock'\ncommand = ['a']": [
        "4: backends.v1.socket: cannot stand beside command: a backend is started, or somebody else runs it"
    ],
    "[backends.'*']\nsocket = 'a.sock'\ncommand = ['a']\n[backends.v2]\nrestart = 'never'": [
        '4: backends."*".socket: cannot stand beside command: a backend is started, or somebody else runs it'
    ],
    """[backends.v1]
socket = "a.sock"
listen_fd = true
user = "www"
group = "www"
cwd = "x"
restart = "never"
stop_signal = "INT"
stop_timeout = "5s"
env = { A = "1" }
[backends.v2]
socket = "b.sock"
listen_fd = false
user = ""
env = {}""": [
        f"{line}: backends.v1.{key}: {OUT}"
        for line, key in enumerate(
            ("listen_fd", "user", "group", "cwd", "restart", "stop_signal", "stop_timeout", "env"), start=5
        )
    ],
    "[backends.'*']\nsocket = 'a.sock'\n[backends.v1]\nrestart = 'never'": [f"6: backends.v1.restart: {OUT}"],
    "[backends.v1]\nsocket = 'a{{process}}.sock'\nprocesses = 3": [
        (
            '4: backends.v1.socket: processes = 3, and "a{{process}}.sock" is one socket for all of them: '
            "put {process} in it, or write processes = 1"
        )
    ],
    "[backends.'*']\nprocesses = 2\ncommand = ['a']\n[backends.v1]\nsocket = 'a.sock'": [
        (
            '7: backends.v1.socket: processes = 2 (of [backends."*"]), and "a.sock" is one socket for all of them: '
            "put {process} in it, or write processes = 1"
        )
    ],
    "[backends.'*']\nsocket = 'a.sock'\n[backends.v1]\nprocesses = 2\n[backends.v2]": [
        (
            '6: backends.v1.processes: processes = 2, and "a.sock" is one socket for all of them: '
            "put {process} in it, or write processes = 1"
        )
    ],
    "[backends.v1]\ncommand = ['a']\n[backends.v2]\nsocket = 'a.sock'\n[ready]\ncheck = 'notify'": [
        (
            '8: ready.check: "notify" cannot hold: frontdoor does not start backends.v2, and whoever does has no '
            '$NOTIFY_SOCKET; write "connect" or "http:/path"'
        )
    ],
    "[backends.v1]\ncommand = ['a']\n[backends.v2]\nsocket = 'a.sock'\n[drain]\nnotify = 'SIGUSR1'": [
        (
            "8: drain.notify: a signal cannot arrive: frontdoor does not start backends.v2, and knows no process to "
            'send it to; write "http:/path", or ""'
        )
    ],
    "[backends.v1]\nsocket = 'run/control.sock'\n[backends.v2]\nsocket = '{runtime_dir}/../door.sock'": [
        "4: backends.v1.socket: frontdoor itself listens there; write the path on which the backend does",
        "6: backends.v2.socket: frontdoor itself listens there; write the path on which the backend does",
    ],
    f"[backends.'*']\nsocket = '/{'x' * 98}/{{generation}}.sock'\n[backends.v3]": [
        (
            f'4: backends."*".socket: the socket path /{"x" * 98}/999999.sock has 111 bytes, and the limit is 107; '
            "use a shorter path"
        )
    ],
    '[backends.v1]\nsocket = "a\\u0000b"': [
        '4: backends.v1.socket: "a\\u0000b" has a NUL character, which no path and no argument can hold'
    ],
}


@pytest.mark.parametrize(("text", "problems"), BAD.items())
def test_what_an_external_backend_cannot_have_is_named_with_its_line(text: str, problems: list[str]) -> None:
    assert refusal(text) == problems


@pytest.mark.parametrize("notify", ["", "http:/drain"])
def test_it_can_be_told_over_its_socket_that_it_drains(notify: str) -> None:
    assert backend(f"[backends.v1]\nsocket = 'a.sock'\n[drain]\nnotify = '{notify}'").external


def test_below_a_door_the_names_are_whole() -> None:
    text = """[backends.v1]
command = ["app"]
[doors.api]
listen = ["127.0.0.1:1"]
active = "v1"
ready.check = "notify"
[doors.api.backends."*"]
processes = 2
command = ["app"]
[doors.api.backends.v1]
socket = "a.sock"
user = "www"
"""
    assert refusal(text) == [
        (
            '8: doors.api.ready.check: "notify" cannot hold: frontdoor does not start doors.api.backends.v1, '
            'and whoever does has no $NOTIFY_SOCKET; write "connect" or "http:/path"'
        ),
        (
            '13: doors.api.backends.v1.socket: processes = 2 (of [doors.api.backends."*"]), and "a.sock" is one socket '
            "for all of them: put {process} in it, or write processes = 1"
        ),
        f"14: doors.api.backends.v1.user: {OUT}",
    ]
