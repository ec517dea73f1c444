"""What a config names. What is done with that is tried out by an intruder."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frontdoor.config.addresses import parse_address
from frontdoor.keeper.identity import Identity
from frontdoor.keeper.permits import Named, NotPermitted, Permits, named

DOOR = Identity("user app", 4711, 4711, [4711], {"USER": "app"})


def names(text: str) -> Named:
    return named(tomllib.loads(text), "/etc/door")


def test_the_addresses_of_all_doors() -> None:
    found = names(
        """
        listen = ["127.0.0.1:80", "[::]:80", "unix:run/s", "systemd:web", "Example.ORG:443"]
        [doors.api]
        listen = ["[0:0::1]:8080", "unix:/run/../run/api"]
        """
    )
    assert found.addresses == {
        "127.0.0.1:80",
        ":::80",
        "unix:/etc/door/run/s",
        "systemd:web",
        "example.org:443",
        "::1:8080",
        "unix:/run/api",
    }


def test_the_address_of_admin() -> None:
    assert names('[frontdoor]\nadmin = "[0:0::1]:9900"').addresses == {"::1:9900"}
    assert names("[frontdoor]\nadmin = 9900").addresses == set()


def test_the_users_of_all_versions_with_what_they_inherit() -> None:
    found = names(
        """
        [backends."*"]
        user = "app"
        group = "www"
        [backends.v1]
        [backends.v2]
        user = "other"
        [backends.v3]
        user = ""
        group = ""
        [doors.api.backends.v1]
        user = "api"
        """
    )
    assert found.users == {("app", "www"), ("other", "www"), ("", ""), ("api", "")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "listen = 5",
        "listen = [5, '', 'nowhere', ':', 'a:b', 'unix:', 'a:99999999999999999999999999999999x']",
        "backends = []",
        "doors = 5",
        "doors.api = 5",
        "listen = '127.0.0.1:80'",
    ],
)
def test_what_is_not_valid_names_nothing(text: str) -> None:
    assert names(text) == Named(frozenset(), frozenset())


def test_a_value_of_another_type_is_no_user() -> None:
    assert names("backends = { v1 = 5, v2 = { user = ['root'], group = 0 } }").users == {("", "")}


@pytest.mark.parametrize(
    "address", ["127.0.0.1:080", "[0:0:0:0:0:0:0:1]:80", "Example.org:80", "unix:./run//s", "systemd:web", "[::]:0"]
)
def test_what_the_door_process_makes_of_an_address_is_the_same_address(address: str) -> None:
    permits = Permits("/etc/door/config.toml", DOOR, "", "/run/door", named({"listen": [address]}, "/etc/door"))
    permits.listener(parse_address(address, "/etc/door"), "")


@given(st.text(max_size=30), st.text(max_size=30))
def test_of_two_addresses_that_are_not_one_only_the_one_that_is_named_is_permitted(one: str, other: str) -> None:
    permits = Permits("/no/such/config", DOOR, "", "/run/door", named({"listen": [one]}, "/"))
    if not named({"listen": [other]}, "/").addresses <= named({"listen": [one]}, "/").addresses or other == "":
        with pytest.raises(NotPermitted):
            permits.listener(other, "")


@pytest.mark.parametrize("group", ["sys", "root", "\0"])
def test_no_group_is_let_in_but_the_one_that_is_named(group: str) -> None:
    permits = Permits("/no/such/config", DOOR, "www", "/run/door", Named(frozenset({"127.0.0.1:80"}), frozenset()))
    permits.listener("127.0.0.1:80", "www")
    with pytest.raises(NotPermitted, match="in nowhere"):
        permits.listener("127.0.0.1:80", group)


def test_a_renewed_keeper_knows_the_same() -> None:
    there = Named(frozenset({"127.0.0.1:80"}), frozenset({("app", "www"), ("", "")}))
    permits = Permits("/etc/config", DOOR, "www", "/run/door", there)
    again = Permits.recall(permits.remember())
    assert again.remember() == permits.remember()
    assert again.door == DOOR
    assert again.user("", "") is again.door
    again.listener("127.0.0.1:80", "www")
    with pytest.raises(NotPermitted):
        again.user("root", "")


def test_who_is_not_root_has_no_permits_to_give(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 4711)
    assert Permits.read(f"{tmp_path}/config.toml") is None


@pytest.mark.parametrize(
    "text", [None, "", "no toml", "[frontdoor]\nuser = ''", "[frontdoor]\nuser = 5", "frontdoor = 5"]
)
def test_without_a_user_there_are_none(tmp_path: object, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    if text is not None:
        with open(f"{tmp_path}/config.toml", "w") as file:
            file.write(text)
    assert Permits.read(f"{tmp_path}/config.toml") is None
