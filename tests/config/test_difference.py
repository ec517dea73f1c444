import pytest

from frontdoor.config import Settings, changes, parse

HEAD = 'listen = ["127.0.0.1:8080"]\nactive = "v1"\n[backends."*"]\ncommand = ["app"]\n'
API = '[doors.api]\nlisten = ["127.0.0.1:81"]\nactive = "v1"\nbackends.v1.command = ["app"]\n'


def settings(text: str) -> Settings:
    return parse(text, "/srv/config.toml")


DIFFERENT = {
    "[limits]\nconnections = 5\nidle_timeout = '1h'": ["limits.connections", "limits.idle_timeout"],
    "[backends.v2]": ["backends.v2"],
    "[backends.v2]\nprocesses = 2\nenv.A = 'b'\n[backends.'1.2']": ["backends.v2", 'backends."1.2"'],
    "[health]": ["health"],
    "[hooks]\nready = ['mail']\ntimeout = '5s'": ["hooks.ready", "hooks.timeout"],
    "[drain]\ntimeout = '5s'": ["drain.timeout"],  # and not close_over, which follows from it
    "[drain]\ntimeout = '5s'\nclose_over = '1s'": ["drain.timeout", "drain.close_over"],
    "[drain]\nnotify = 'SIGUSR1'\nclose_rate = 5": ["drain.close_rate", "drain.notify"],
    "[swap]\nbake = '30s'\n[probation]\nfailures = 6": ["swap.bake", "probation.failures"],
    API: ["doors.api"],
    "[frontdoor]\nlog_level = 'debug'\nruntime_dir = 'r'": ["frontdoor.runtime_dir", "frontdoor.log_level"],
}


@pytest.mark.parametrize(("text", "keys"), DIFFERENT.items())
def test_what_differs_is_named_as_the_file_has_it(text: str, keys: list[str]) -> None:
    old, new = settings(HEAD), settings(HEAD + text)
    assert changes(old, new) == keys
    assert changes(new, old) == keys


@pytest.mark.parametrize(
    "text",
    [
        "# a comment",
        "[limits]\nconnections = 0",
        "[drain]\ntimeout = '60m'\nclose_over = '10m'",
        "[frontdoor]\nstate_dir = 'run'",
        "processes = 1\nenv = {}",  # in "*"
    ],
)
def test_what_says_the_same_in_other_words_is_no_change(text: str) -> None:
    assert changes(settings(HEAD), settings(HEAD + text)) == []


def test_a_version_is_named_for_its_own_table_only() -> None:
    text = HEAD + "processes = 3\nenv.A = 'a'\n[backends.v2]\n"
    old = settings(text)
    assert changes(old, settings(f"{text}processes = 3\nenv.A = 'a'")) == [], "it says what it inherits"
    assert changes(old, settings(f"{text}processes = 1")) == ["backends.v2"], "a default, and not what it inherits"
    assert changes(old, settings(text.replace("3", "4"))) == ['backends."*"']


def test_the_keys_of_a_door_have_its_name() -> None:
    old = settings(HEAD + API)
    new = settings(HEAD.replace('"v1"', '"v2"') + API.replace(":81", ":82") + "[doors.api.health]")
    assert changes(old, new) == ["active", "doors.api.listen", "doors.api.health"]


def test_a_door_that_only_moved_is_the_same_door() -> None:
    below = '[doors.main]\nlisten = ["127.0.0.1:8080"]\nactive = "v1"\nbackends."*".command = ["app"]\n'
    assert changes(settings(HEAD), settings(below)) == []
    assert changes(settings(HEAD), settings(f"{below}drain.timeout = '5s'")) == ["doors.main.drain.timeout"]
