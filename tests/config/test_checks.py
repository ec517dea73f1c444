import pytest

from frontdoor.config import ConfigError, parse

RULE = (
    'a version\'s name has letters, digits, ".", "_" and "-", begins with a letter or a digit, '
    "and is at most 64 characters long"
)
COMMAND = 'write command = ["{python}", "app.py"]'

BAD = {
    "active = 'v2'\n[backends.v1]\ncommand = ['a']\n[backends.v10]\ncommand = ['a']": [
        (
            '2: active: there is no version "v2": the config knows v1, v10; the nearest is v1; '
            'add [backends."v2"], or [backends."*"] for any version'
        )
    ],
    "active = 'v1'\nbackends = {}": [
        (
            '2: active: there is no version "v1": the config knows none; '
            'add [backends."v1"], or [backends."*"] for any version'
        )
    ],
    "active = 'v 1'\n[backends.'*']\ncommand = ['a']": [f'2: active: "v 1" is no version: {RULE}'],
    "active = 2026-11-22\n[backends.'*']\ncommand = ['a']": [
        '2: active: must be a string, not a date or a time: write "2026-11-22"'
    ],
    "active = 'v1'\n[backends.'*']\nprocesses = 2": [
        f'2: active: v1 has no table of its own, and [backends."*"] has no command: {COMMAND}'
    ],
    "active = 'v1'\n[backends.'*']\nprocesses = 2\n[backends.v1]\ncommand = ['a']\n[backends.v2]": [
        f'7: backends.v2: has no command, and there is none in [backends."*"] to inherit: {COMMAND}'
    ],
    "active = 'v1'\n[backends.v1]\ncommand = ['a']\n[backends.'v/2']\ncommand = ['a']": [
        f'5: backends."v/2": "v/2" is no version: {RULE}'
    ],
    "active = '1.2.0'\n[backends.'*']\ncommand = ['a']\n[backends.1.2.0]\ncommand = ['a']": [
        (
            "5: backends.1.2: unknown key; if 1.2.0 is a version, its name needs quotes because of the dot: "
            'write [backends."1.2.0"]'
        )
    ],
    "active = 'v1'\nbackends = 5": [
        "3: backends: must be a table, not a whole number: write [backends], and its keys below it"
    ],
    "active = 'v1'\n[backends.'*']\ncommand = ['a', \"b\\u0000\"]": [
        '4: backends."*".command: "b\\u0000" has a NUL character, which no path and no argument can hold'
    ],
    'active = "v1"\n[backends."*"]\ncommand = ["a"]\nenv = { "A\\u0000" = "", "" = "" }': [
        '5: backends."*".env."A\\u0000": a variable\'s name is not empty, and has no "=" and no NUL',
        '5: backends."*".env."": a variable\'s name is not empty, and has no "=" and no NUL',
    ],
}


@pytest.mark.parametrize(("text", "problems"), BAD.items())
def test_what_must_hold_between_keys_is_named_with_its_line(text: str, problems: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f'listen = ["127.0.0.1:8080"]\n{text}', "config.toml")
    assert str(refused.value).splitlines() == [f"config.toml:{problem}" for problem in problems]


def test_a_general_table_without_a_command_is_only_inherited() -> None:
    text = "active = 'v1'\n[backends.'*']\nprocesses = 2\n[backends.v1]\ncommand = ['a']"
    door = parse(f'listen = ["127.0.0.1:8080"]\n{text}', "config.toml").doors["main"]
    assert (door.backend("v1").processes, door.backend("v1").command) == (2, ("a",))
