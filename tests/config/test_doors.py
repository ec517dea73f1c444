import pytest

from frontdoor.config import ConfigError, Settings, parse

DOOR = 'listen = ["127.0.0.1:{}"]\nactive = "v1"\nbackends.v1.command = ["app"]\n'
RULE = (
    'a door\'s name has letters, digits, "_" and "-", begins with a letter, and is at most 32 characters long; '
    '"g" with a number is the name of a generation\'s folder'
)


def door(port: int, name: str = "") -> str:
    """Four lines (three without a name) that are a door."""
    return (f"[doors.{name}]\n" if name else "") + DOOR.format(port)


def settings(text: str) -> Settings:
    return parse(text, "/srv/config.toml")


def refusal(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        settings(text)
    return [line.removeprefix("/srv/config.toml") for line in str(refused.value).splitlines()]


def test_doors_are_there_in_the_order_of_the_file() -> None:
    assert list(settings(door(1) + door(2, "web") + door(3, "api")).doors) == ["main", "web", "api"]
    assert list(settings(door(2, "web") + door(3, "api")).doors) == ["web", "api"]
    assert list(settings(f"[frontdoor]\nlog_level = 'debug'\n{door(2, 'web')}{door(3, 'main')}").doors) == [
        "web",
        "main",
    ]
    late = "doors.web = { listen = ['a:1'], active = 'v1', backends.v1.command = ['app'] }\n" + door(1)
    assert list(settings(late).doors) == ["web", "main"]


def test_a_door_below_its_name_is_as_one_at_the_top_level() -> None:
    alone, below = settings(door(1)).doors["main"], settings(door(1, "main")).doors["main"]
    assert (alone.name, alone.place, alone.key("drain", "timeout")) == ("main", (), "drain.timeout")
    assert (below.name, below.place) == ("main", ("doors", "main"))
    assert below.key("backends", "1.2") == 'doors.main.backends."1.2"'
    assert alone.model_dump() == below.model_dump()


def test_each_door_has_its_own_versions_and_paths() -> None:
    both = settings(door(1) + door(2, "web").replace("v1", "w1") + "[doors.web.backends.w2]\nsocket = 'w.sock'\n").doors
    assert (both["main"].versions(), both["web"].versions()) == (["v1"], ["w1", "w2"])
    w2 = both["web"].backend("w2")
    assert w2.address(version="w2", generation=1, process=0, runtime_dir="/run") == "/srv/w.sock"


def test_two_doors_may_each_have_a_port_that_the_kernel_picks() -> None:
    assert list(settings(door(0) + door(0, "web")).doors) == ["main", "web"]


BAD = {
    door(1) + door(1, "web"): [
        '5: doors.web.listen: "127.0.0.1:1" is where the door main listens; choose another address'
    ],
    door(1, "web").replace("127.0.0.1:1", "systemd:0") + door(1, "api").replace("127.0.0.1:1", "systemd:0"): [
        '6: doors.api.listen: "systemd:0" is where the door web listens; choose another address'
    ],
    door(1, "web").replace("127.0.0.1:1", "unix:a:0") + door(1, "api").replace("127.0.0.1:1", "unix:./a:0"): [
        '6: doors.api.listen: "unix:/srv/a:0" is where the door web listens; choose another address'
    ],
    door(1, "web").replace("127.0.0.1:1", "unix:run/control.sock"): [
        "2: doors.web.listen: this is frontdoor's own control socket; choose another path"
    ],
    door(1) + door(2, "main"): [
        "4: doors.main: the keys at the top level describe the door main already; give this one another name"
    ],
    door(1, "g7") + door(2, "G7") + door(3, "g7x"): [f'1: doors.g7: "g7" is no name of a door: {RULE}'],
    door(1, "'a b'"): [f'1: doors."a b": "a b" is no name of a door: {RULE}'],
    door(1, "x" * 33): [f'1: doors.{"x" * 33}: "{"x" * 33}" is no name of a door: {RULE}'],
    door(1, "7"): [f'1: doors.7: "7" is no name of a door: {RULE}'],
    "doors = 5": ["1: doors: must be a table, not a whole number: write [doors.web], and its keys below it"],
    f"doors = 5\n{door(1)}": [
        "1: doors: must be a table, not a whole number: write [doors.web], and its keys below it"
    ],
    "[[doors]]\nname = 'web'": ["1: doors: must be a table, not an array: write [doors.web], and its keys below it"],
    "[doors]": ["1: doors: describes no door: write [doors.web], with listen, active, backends below it"],
    "[doors]\nweb = 5": ["2: doors.web: must be a table, not a whole number: write [doors.web], and its keys below it"],
    "[doors]\nlisten = ['a:1']\nready.check = 'connect'\n[doors.backends.v1]\ncommand = ['app']": [
        "2: doors.listen: a door has a name: write [doors.web], and listen below it",
        "3: doors.ready: a door has a name: write [doors.web], and ready below it",
        "4: doors.backends: a door has a name: write [doors.web], and backends below it",
    ],
    # What stands at the top level, where only the doors below [doors] are meant.
    f"lisen = ['a:1']\n{door(1, 'web')}[api]\n": [
        "1: lisen: unknown key; the nearest known one is listen",
        (
            "6: api: unknown key; known here are listen, active, protocol, accept_proxy, http, backends, ready, "
            "health, drain, swap, probation, canary, limits, hooks, frontdoor, doors"
        ),
    ],
    f"accept_proxy = ['::1']\n{door(1, 'web')}[drain]\ntimeot = '5s'": [
        (
            "1: accept_proxy: stands below no door, and the top level is none (it has no listen, active, backends): "
            'write doors.web.accept_proxy = ["::1"]'
        ),
        (
            "6: drain: stands below no door, and the top level is none (it has no listen, active, backends): "
            "write [doors.web.drain]"
        ),
        "7: drain.timeot: unknown key; the nearest known one is drain.timeout",
    ],
    f"active = 'v1'\n{door(1, 'web')}": [
        ' listen: is missing; write listen = ["127.0.0.1:8080"], for one',
        ' backends: is missing; write [backends."*"] with a command below it',
    ],
}


@pytest.mark.parametrize(("text", "problems"), BAD.items())
def test_what_is_wrong_with_the_doors_is_named_with_its_line(text: str, problems: list[str]) -> None:
    assert refusal(text) == [f":{problem}" for problem in problems]
